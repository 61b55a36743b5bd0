//! The writer: drives the lanes over a table store and reports runs as they settle, in input order.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::{Rng, RngExt};
use records::TableShape;
use storage::{Clock, ErrorKind, PutItem, StorageError, TableStore, Timestamp};

use crate::lanes::{Lane, Row, RowId};
use crate::run::{Run, RunRow};

/// How a bulk load is paced.
#[derive(Debug, Clone, Copy)]
pub struct WriterSettings {
    /// Number of lanes, which is the most batches under way at a time.
    pub lanes: usize,
    /// Bytes of runs that have not settled above which no further run should be submitted.
    pub max_unsettled_bytes: usize,
    /// Most encoded bytes of one batch; DynamoDB takes 16 MB.
    pub max_batch_bytes: usize,
    /// How long an attempt that got no answer may still land.
    pub settle: Duration,
    /// First and longest back-off; each wait is a random share (full jitter) of a bound that doubles between them.
    pub back_off: (Duration, Duration),
    /// The load fails when answers that wrote nothing go on for this long without one that did.
    pub patience: Duration,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            lanes: 32,
            max_unsettled_bytes: 8 * 1024 * 1024,
            max_batch_bytes: 1024 * 1024,
            settle: Duration::from_secs(300),
            back_off: (Duration::from_millis(50), Duration::from_secs(5)),
            patience: Duration::from_secs(120),
        }
    }
}

/// Until when attempts may start: the end of the lease or of the time to run. Clones share one value, so that whoever
/// renews the lease can extend it and whoever sees a reason to stop can close it.
#[derive(Debug, Clone)]
pub struct SendWindow(Rc<Cell<Timestamp>>);

impl SendWindow {
    /// A window that ends at `end`.
    pub fn until(end: Timestamp) -> Self {
        Self(Rc::new(Cell::new(end)))
    }

    /// A window without an end.
    pub fn unbounded() -> Self {
        Self::until(Timestamp(u64::MAX))
    }

    /// Moves the end.
    pub fn set_end(&self, end: Timestamp) {
        self.0.set(end);
    }

    /// No further attempt.
    pub fn close(&self) {
        self.0.set(Timestamp(0));
    }

    /// The end.
    pub fn end(&self) -> Timestamp {
        self.0.get()
    }
}

/// A row that DynamoDB itself refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Position among the accepted rows of its run.
    pub index: usize,
    /// DynamoDB's reason.
    pub reason: String,
}

/// A run of which every row is written, superseded or refused.
#[derive(Debug)]
pub struct SettledRun<T> {
    /// What the caller gave with the run.
    pub tag: T,
    /// Rows that DynamoDB acknowledged.
    pub written: u64,
    /// Rows that were not sent because a later row of the run has their key.
    pub superseded: u64,
    /// Rows that DynamoDB refused, in input order.
    pub refused: Vec<RefusedRow>,
}

/// Counters since the writer was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows acknowledged, settled or not.
    pub written: u64,
    /// Rows that came back unwritten and were sent again.
    pub throttled: u64,
    /// Attempts without an answer.
    pub unanswered: u64,
    /// BatchWriteItem calls.
    pub calls: u64,
}

/// Why a load cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WriteFailure {
    /// The table store said something that a further attempt does not change.
    #[error("the table cannot be written")]
    Store(#[source] StorageError),
    /// Nothing was acknowledged for the time given as patience.
    #[error("no write was acknowledged for {} s; the last answer was", .patience.as_secs())]
    NoProgress {
        /// The patience that ran out.
        patience: Duration,
        /// What the last attempt got.
        #[source]
        last: StorageError,
    },
}

#[derive(Debug)]
struct PendingRun<T> {
    rows: Vec<RunRow>,
    bytes: usize,
    tag: T,
    unsettled: usize,
    written: u64,
    refused: Vec<RefusedRow>,
}

struct Answer {
    lane: usize,
    rows: Vec<Row>,
    /// Nothing if the window had closed before the attempt could start.
    result: Option<Result<Vec<usize>, StorageError>>,
}

/// Writes runs of rows into a table: the last row of a key wins, however the table answers.
///
/// This is the one layer that retries writes: unprocessed items, throttles and missing answers, each with full jitter.
pub struct BulkWriter<'a, S, C, R, T> {
    store: &'a S,
    clock: &'a C,
    random: R,
    table: &'a TableShape,
    settings: WriterSettings,
    lanes: Vec<Lane>,
    under_way: FuturesUnordered<LocalBoxFuture<'a, Answer>>,
    runs: VecDeque<PendingRun<T>>,
    first_run: u64,
    unsettled_bytes: usize,
    window: SendWindow,
    quiet_until: Timestamp,
    fruitless_since: Option<Timestamp>,
    progress: Progress,
    failure: Option<WriteFailure>,
}

impl<'a, S: TableStore, C: Clock, R: Rng, T> BulkWriter<'a, S, C, R, T> {
    /// A writer into `table` that starts no attempt after `window`. `random` gives the jitter.
    pub fn new(
        store: &'a S,
        clock: &'a C,
        random: R,
        table: &'a TableShape,
        settings: WriterSettings,
        window: SendWindow,
    ) -> Self {
        Self {
            store,
            clock,
            random,
            table,
            settings,
            lanes: (0..settings.lanes.max(1)).map(|_| Lane::new()).collect(),
            under_way: FuturesUnordered::new(),
            runs: VecDeque::new(),
            first_run: 0,
            unsettled_bytes: 0,
            window,
            quiet_until: Timestamp(0),
            fruitless_since: None,
            progress: Progress::default(),
            failure: None,
        }
    }

    /// Whether a further run may be submitted without passing the memory bound.
    pub fn has_room(&self) -> bool {
        self.unsettled_bytes < self.settings.max_unsettled_bytes
    }

    /// Whether any submitted run has not been reported yet.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// Until when an attempt without an answer may still land; in the past if there is none.
    pub fn quiet_until(&self) -> Timestamp {
        self.quiet_until
    }

    /// Counters.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes a run over. Nothing is sent before [`Self::next_settled`] is awaited.
    pub fn submit(&mut self, run: Run<T>) {
        let number = self.first_run + self.runs.len() as u64;
        let mut unsettled = 0;
        for (index, row) in run.rows.iter().enumerate() {
            if !row.superseded {
                unsettled += 1;
                let id = RowId { run: number, index };
                let lane = self.lane_of(&row.put.key);
                self.lanes[lane].push(Row {
                    id,
                    put: row.put.clone(),
                });
            }
        }
        self.unsettled_bytes += run.bytes;
        self.runs.push_back(PendingRun {
            rows: run.rows,
            bytes: run.bytes,
            tag: run.tag,
            unsettled,
            written: 0,
            refused: Vec::new(),
        });
    }

    /// Sends what can be sent and waits for the oldest run to settle. With `flush`, batches that are not full go too: ask for
    /// it when no further run can come (the end of the input, or no room), and get `None` once every run has been reported.
    /// Without it, this waits for ever while the lanes want more rows before they send again: drop it and submit a run.
    /// `None` in both cases when the [`SendWindow`] has closed and nothing is under way. Cancel safe.
    pub async fn next_settled(
        &mut self,
        flush: bool,
    ) -> Result<Option<SettledRun<T>>, WriteFailure> {
        loop {
            if let Some(settled) = self.take_settled() {
                return Ok(Some(settled));
            }
            let now = self.clock.now();
            if self.failure.is_none() {
                self.dispatch(flush, now);
            }
            if self.under_way.is_empty() {
                if let Some(failure) = self.failure.take() {
                    return Err(failure);
                }
                match self.pause(now) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None if flush || self.has_closed() => return Ok(None),
                    None => std::future::pending().await,
                }
                continue;
            }
            // Lanes that wait out a back-off are looked at again in time, although other lanes are still under way.
            let answer = match self.pause(now) {
                Some(pause) => tokio::time::timeout(pause, self.under_way.next())
                    .await
                    .ok(),
                None => Some(self.under_way.next().await),
            };
            if let Some(Some(answer)) = answer {
                self.settle(answer);
            }
        }
    }

    /// Waits for what is under way and sends nothing more; returns what has settled by then.
    pub async fn stop(&mut self) -> Vec<SettledRun<T>> {
        while let Some(answer) = self.under_way.next().await {
            self.settle(answer);
        }
        std::iter::from_fn(|| self.take_settled()).collect()
    }

    fn has_closed(&self) -> bool {
        self.clock.now() >= self.window.end()
    }

    fn dispatch(&mut self, flush: bool, now: Timestamp) {
        if now >= self.window.end() {
            return;
        }
        let max_bytes = self.settings.max_batch_bytes;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(rows) = lane.next_batch(now, flush, max_bytes) {
                self.progress.calls += 1;
                let (store, table, clock) = (self.store, self.table, self.clock);
                let window = self.window.clone();
                self.under_way.push(Box::pin(async move {
                    // Time may have passed since this was queued: it starts when it is first polled.
                    let result = if clock.now() < window.end() {
                        let items: Vec<PutItem> = rows.iter().map(|row| row.put.clone()).collect();
                        Some(store.put_batch(table, &items).await)
                    } else {
                        None
                    };
                    Answer {
                        lane: index,
                        rows,
                        result,
                    }
                }));
            }
        }
    }

    /// How long until some lane may send without a new row; `None` if no lane waits for time.
    fn pause(&self, now: Timestamp) -> Option<Duration> {
        if now >= self.window.end() || self.failure.is_some() {
            return None;
        }
        let wake = self
            .lanes
            .iter()
            .filter_map(|lane| lane.wakes_at(now))
            .min()?;
        // A millisecond at the least, so that a clock that is read coarsely cannot make this a busy loop.
        Some(
            now.until(wake.min(self.window.end()))
                .max(Duration::from_millis(1)),
        )
    }

    fn settle(&mut self, answer: Answer) {
        let now = self.clock.now();
        let Answer { lane, rows, result } = answer;
        match result {
            None => self.lanes[lane].not_sent(rows),
            Some(Ok(unprocessed)) if unprocessed.is_empty() => {
                self.acknowledge(&rows);
                self.lanes[lane].written();
            }
            Some(Ok(unprocessed)) => {
                let (back, written): (Vec<_>, Vec<_>) = rows
                    .into_iter()
                    .enumerate()
                    .partition(|(position, _)| unprocessed.contains(position));
                let back: Vec<Row> = back.into_iter().map(|(_, row)| row).collect();
                let written: Vec<Row> = written.into_iter().map(|(_, row)| row).collect();
                self.acknowledge(&written);
                self.progress.throttled += back.len() as u64;
                let tries = self.lanes[lane].throttled(back, !written.is_empty());
                self.back_off(lane, tries, now);
            }
            Some(Err(error)) => self.settle_error(lane, rows, error, now),
        }
    }

    fn settle_error(&mut self, lane: usize, rows: Vec<Row>, error: StorageError, now: Timestamp) {
        match error.kind() {
            ErrorKind::Throttled => {
                self.progress.throttled += rows.len() as u64;
                let tries = self.lanes[lane].throttled(rows, false);
                self.back_off(lane, tries, now);
                self.lose_patience(error, now);
            }
            ErrorKind::Unanswered => {
                self.progress.unanswered += 1;
                self.quiet_until = now.plus(self.settings.settle);
                let tries = self.lanes[lane].unanswered(rows, now, self.settings.settle);
                self.back_off(lane, tries, now);
                self.lose_patience(error, now);
            }
            ErrorKind::Refused => {
                if let Some(row) = self.lanes[lane].refused(rows) {
                    self.refuse(lane, row.id, error.message().to_owned());
                }
            }
            ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::Internal => {
                self.lanes[lane].abandon();
                self.failure.get_or_insert(WriteFailure::Store(error));
            }
        }
    }

    fn acknowledge(&mut self, rows: &[Row]) {
        if !rows.is_empty() {
            self.fruitless_since = None;
        }
        self.progress.written += rows.len() as u64;
        for row in rows {
            let run = self.run_mut(row.id.run);
            run.written += 1;
            run.unsettled -= 1;
        }
    }

    /// The row is out; if it had superseded an earlier row of its run, that one is the last accepted row of the key now.
    fn refuse(&mut self, lane: usize, id: RowId, reason: String) {
        let run = self.run_mut(id.run);
        run.unsettled -= 1;
        run.refused.push(RefusedRow {
            index: id.index,
            reason,
        });
        let (earlier, rest) = run.rows.split_at_mut(id.index);
        let heir = earlier
            .iter_mut()
            .enumerate()
            .rev()
            .find(|(_, row)| row.superseded && row.put.key == rest[0].put.key);
        if let Some((index, row)) = heir {
            row.superseded = false;
            let put = row.put.clone();
            run.unsettled += 1;
            let id = RowId { run: id.run, index };
            self.lanes[lane].insert(Row { id, put });
        }
    }

    fn lose_patience(&mut self, last: StorageError, now: Timestamp) {
        let patience = self.settings.patience;
        let since = *self.fruitless_since.get_or_insert(now);
        if since.until(now) >= patience {
            self.failure
                .get_or_insert(WriteFailure::NoProgress { patience, last });
        }
    }

    fn back_off(&mut self, lane: usize, tries: u32, now: Timestamp) {
        let (first, longest) = self.settings.back_off;
        let bound = first
            .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)))
            .min(longest);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(self.random.random_range(0..=millis));
        self.lanes[lane].back_off_until(now.plus(wait));
    }

    fn take_settled(&mut self) -> Option<SettledRun<T>> {
        if self.runs.front()?.unsettled > 0 {
            return None;
        }
        let mut run = self.runs.pop_front()?;
        self.first_run += 1;
        self.unsettled_bytes -= run.bytes;
        run.refused.sort_by_key(|row| row.index);
        Some(SettledRun {
            tag: run.tag,
            written: run.written,
            superseded: run.rows.iter().filter(|row| row.superseded).count() as u64,
            refused: run.refused,
        })
    }

    fn run_mut(&mut self, number: u64) -> &mut PendingRun<T> {
        let offset = usize::try_from(number - self.first_run).expect("few runs are pending");
        &mut self.runs[offset]
    }

    fn lane_of(&self, key: &Bytes) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        (hasher.finish() % self.lanes.len() as u64) as usize
    }
}
