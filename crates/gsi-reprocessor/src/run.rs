//! One run in one lane: as many pending items as it may take, and what became of them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt};
use records::{Item, Value};
use storage::{
    Clock, ErrorKind, IndexPage, IndexSelect, ItemStore, Ledger, ObjectStore, StorageError,
    Timestamp,
};
use tokio::select;

use crate::bundle::{Bundle, SealedBundle};
use crate::config::{Config, Output};
use crate::lease::LaneLease;
use crate::process::Process;
use crate::report::{Counts, Ended, Left};
use crate::work::{Halt, Pending, Work};

/// Keys of one page of the index at most; the largest keys make 3 MB of them.
const PAGE_KEYS: u64 = 1_000;
/// Bundles that are being stored while the next one is gathered.
const BUNDLES_STORED: usize = 2;
/// Pages that counting what is left may read: some two million items, for a third of a cent.
const COUNTED_PAGES: u32 = 200;
/// So many failures of services, and no item that went through, end a run: the service is down.
const MAX_TROUBLE: u64 = 64;

/// When a run ends at the latest.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When it takes no more items.
    pub take_until: Timestamp,
    /// When what is under way is dropped.
    pub work_until: Timestamp,
}

/// What a run came to.
pub struct Ran {
    /// Why it took no more.
    pub ended: Ended,
    /// What became of its items.
    pub counts: Counts,
    /// The last entry that it took from the index, if items stayed unfinished and it did not come to the end: the next run
    /// begins behind it, so that what cannot be finished now does not stand before what can. (An index with a sort key is always
    /// read from its beginning.)
    pub go_on_after: Option<Item>,
}

/// Takes and works until there is a reason to stop. Beside what that came to: the service's failure, if the index could not be read
/// or no item went through because of it.
pub async fn run<O, T, C, P, L>(
    work: &Work<'_, O, T, C, P>,
    lease: &LaneLease<'_, L, C>,
    output: Output,
    limit: u64,
    times: Times,
) -> (Ran, Option<StorageError>)
where
    O: ObjectStore,
    T: ItemStore,
    C: Clock,
    P: Process,
    L: Ledger,
{
    let taking = Taking {
        work,
        lease,
        limit,
        times,
        taken: Cell::new(0),
        last_taken: RefCell::new(None),
        ended: Cell::new(None),
        unreadable: RefCell::new(None),
    };
    let time_left = work.now().until(times.work_until);
    select! {
        biased;
        () = async {
            match output {
                Output::Objects => taking.to_objects().await,
                Output::Bundles => taking.to_bundles().await,
            }
        } => {}
        () = lease.keep() => {}
        () = tokio::time::sleep(time_left) => taking.ended.set(Some(Ended::Deadline)),
    }
    let mut counts = work.counts.get();
    counts.taken = taking.taken.get();
    counts.unfinished = counts.taken - counts.done - counts.skipped - counts.failed;
    let is_fruitless = counts.unfinished > 0 && counts.unfinished == counts.taken;
    let failure = match taking.unreadable.take() {
        Some(error) => Some(error),
        None if is_fruitless => work.trouble.take(),
        None => None,
    };
    let ended = taking.ended.get().unwrap_or(Ended::Trouble);
    let go_on_after = match ended {
        Ended::Empty => None,
        _ if counts.unfinished == 0 => None,
        _ => (taking.last_taken.take()).and_then(|key| work.index_key(key)),
    };
    let ran = Ran {
        ended,
        counts,
        go_on_after,
    };
    (ran, failure)
}

/// How many items are pending, as far as a few pages of the index tell.
pub async fn count_left<O, T, C, P>(
    work: &Work<'_, O, T, C, P>,
    until: Timestamp,
) -> Result<Left, StorageError>
where
    O: ObjectStore,
    T: ItemStore,
    C: Clock,
    P: Process,
{
    let mut left = Left::default();
    let mut start = None;
    for _ in 0..COUNTED_PAGES {
        if work.now() >= until {
            break;
        }
        let page = work.page(IndexSelect::Count, None, start);
        let entries = work.tables.index_page(work.table, &page).await?;
        left.items += entries.count;
        start = entries.next;
        if start.is_none() {
            left.is_all = true;
            break;
        }
    }
    Ok(left)
}

/// Taking items out of the index.
struct Taking<'a, 'w, O, T, C, P, L> {
    work: &'a Work<'w, O, T, C, P>,
    lease: &'a LaneLease<'w, L, C>,
    limit: u64,
    times: Times,
    taken: Cell<u64>,
    last_taken: RefCell<Option<Item>>,
    ended: Cell<Option<Ended>>,
    unreadable: RefCell<Option<StorageError>>,
}

/// What came of one of the calls for bundles.
enum Step {
    Read(Result<(Pending, Vec<u8>), Halt>),
    Stored(Vec<Pending>),
    Marked(Result<(), Halt>),
}

/// Where in the index the taking is.
#[derive(Default)]
struct Place {
    keys: VecDeque<Item>,
    next: Option<Item>,
    /// Whether the partition is still to be read from its beginning, up to where the reading began.
    must_wrap: bool,
    is_last: bool,
    /// An entry whose sort key changes while the index is read may be met twice.
    seen: BTreeSet<Vec<u8>>,
}

impl<'a, 'w, O, T, C, P, L> Taking<'a, 'w, O, T, C, P, L>
where
    O: ObjectStore,
    T: ItemStore,
    C: Clock,
    P: Process,
    L: Ledger,
{
    async fn to_objects(&self) {
        let work = self.work;
        self.keys()
            .map(|key| work.to_object(key))
            .buffer_unordered(work.config.concurrency)
            .for_each(async |outcome| work.count(outcome))
            .await;
    }

    /// Reading, storing and marking share the calls that may be under way. Marks go first, and no more than two bundles are
    /// stored at a time: so what waits in memory is bounded.
    async fn to_bundles(&self) {
        let mut keys = Box::pin(self.keys());
        let mut under_way: FuturesUnordered<LocalBoxFuture<'_, Step>> = FuturesUnordered::new();
        let mut bundle = Bundle::default();
        let mut to_mark: VecDeque<Pending> = VecDeque::new();
        let (mut reading, mut storing, mut is_last) = (0_usize, 0_usize, false);
        loop {
            let is_complete = is_last && reading == 0;
            if bundle.is_full() || (is_complete && !bundle.is_empty()) {
                let sealed = std::mem::take(&mut bundle);
                storing += 1;
                under_way.push(self.store(sealed).map(Step::Stored).boxed_local());
            }
            while under_way.len() < self.work.gate.allowed()
                && let Some(pending) = to_mark.pop_front()
            {
                let mark = async move { Step::Marked(self.work.mark_done(&pending).await) };
                under_way.push(mark.boxed_local());
            }
            let may_read =
                !is_last && storing < BUNDLES_STORED && under_way.len() < self.work.gate.allowed();
            select! {
                biased;
                Some(step) = under_way.next(), if !under_way.is_empty() => {
                    self.work.gate.finished();
                    match step {
                        Step::Read(read) => {
                            reading -= 1;
                            match read {
                                Ok((pending, output)) => bundle.add(self.work.run, pending, &output),
                                Err(halt) => self.work.count(Err(halt)),
                            }
                        }
                        Step::Stored(items) => {
                            storing -= 1;
                            to_mark.extend(items);
                        }
                        Step::Marked(outcome) => self.work.count(outcome),
                    }
                }
                key = keys.next(), if may_read => match key {
                    Some(key) => {
                        reading += 1;
                        under_way.push(self.prepare(key).map(Step::Read).boxed_local());
                    }
                    None => is_last = true,
                },
                else => return,
            }
        }
    }

    async fn prepare(&self, key: Item) -> Result<(Pending, Vec<u8>), Halt> {
        let work = self.work;
        let pending = work.read(key).await?;
        // The order of the lines of two runs is that of their readings, which the lease keeps apart.
        if work.now() >= self.lease.held_until() {
            self.end(Ended::LeaseLost);
            return Err(lease_lost(&work.table.name).into());
        }
        let output = work.process(&pending).await?;
        match Bundle::check(&output) {
            Ok(()) => Ok((pending, output)),
            Err(reason) => Err(work.fail(&pending, &reason).await),
        }
    }

    /// Puts a bundle; the items that can be marked now.
    async fn store(&self, bundle: Bundle) -> Vec<Pending> {
        let work = self.work;
        let bucket = &work.config.lake_bucket;
        let (name, body, items) = match bundle.seal(work.lane, work.table) {
            Ok(Some(SealedBundle { name, body, items })) => (name, body, items),
            Ok(None) => return Vec::new(),
            Err(error) => {
                work.count(Err(unsealed(work.config, error).into()));
                return Vec::new();
            }
        };
        // The name says what is in it, so whoever puts it again puts the same.
        match work.objects.put(bucket, &name, body).await {
            Ok(()) => items,
            Err(error) => {
                work.count(Err(error.into()));
                Vec::new()
            }
        }
    }

    /// Keys of pending items, until there is a reason to take no more.
    fn keys(&self) -> impl Stream<Item = Item> {
        let place = Place {
            next: self.lease.begin_after.clone(),
            must_wrap: self.lease.begin_after.is_some(),
            ..Place::default()
        };
        stream::unfold(place, async |mut place| {
            loop {
                if self.must_stop() {
                    return None;
                }
                if place.keys.is_empty() && place.is_last {
                    self.end(Ended::Empty);
                    return None;
                }
                if self.taken.get() >= self.limit {
                    self.end(Ended::Limit);
                    return None;
                }
                if let Some(key) = place.keys.pop_front() {
                    self.taken.set(self.taken.get() + 1);
                    *self.last_taken.borrow_mut() = Some(key.clone());
                    return Some((key, place));
                }
                if let Err(error) = self.turn_page(&mut place).await {
                    *self.unreadable.borrow_mut() = Some(error);
                    return None;
                }
            }
        })
    }

    async fn turn_page(&self, place: &mut Place) -> Result<(), StorageError> {
        let work = self.work;
        let wanted = PAGE_KEYS.min(self.limit - self.taken.get());
        let wanted = u32::try_from(wanted).expect("a page has at most a thousand keys");
        let page = work.page(IndexSelect::Keys, Some(wanted), place.next.take());
        let entries = work.tables.index_page(work.table, &page).await?;
        // What follows the end is the beginning, where this run has not been; what it has taken is known.
        place.is_last = entries.next.is_none() && !std::mem::take(&mut place.must_wrap);
        place.next = entries.next;
        for key in entries.keys {
            let canonical = work.table.canonical_key(&key).map_err(|error| {
                let message = "an entry of the index has no good key";
                StorageError::new(ErrorKind::Internal, "Query", &*work.table.name, message)
                    .with_source(error)
            })?;
            if place.seen.insert(canonical) {
                place.keys.push_back(key);
            }
        }
        Ok(())
    }

    fn must_stop(&self) -> bool {
        let now = self.work.now();
        if now >= self.lease.held_until() {
            self.end(Ended::LeaseLost);
        } else if now >= self.times.take_until {
            self.end(Ended::Deadline);
        }
        let counts = self.work.counts.get();
        let went_through = counts.done + counts.skipped + counts.failed;
        self.ended.get().is_some() || (went_through == 0 && self.work.troubled.get() >= MAX_TROUBLE)
    }

    /// Notes why no more is taken; the first reason stays.
    fn end(&self, why: Ended) {
        if self.ended.get().is_none() {
            self.ended.set(Some(why));
        }
    }
}

impl<O, T, C, P> Work<'_, O, T, C, P> {
    /// The key of an item's entry in the index: its own key and the marker. Nothing if the index has a sort key, whose value is
    /// not known here.
    fn index_key(&self, mut key: Item) -> Option<Item> {
        let mut indexes = self.table.indexes.iter();
        let index = indexes.find(|index| index.name == self.config.index)?;
        if !index.sort.is_empty() {
            return None;
        }
        let marker = self.config.markers.attribute.clone();
        key.insert(marker, Value::S(self.lane.pending.clone()));
        Some(key)
    }

    fn page(&self, select: IndexSelect, limit: Option<u32>, start: Option<Item>) -> IndexPage {
        IndexPage {
            index: self.config.index.clone(),
            attribute: self.config.markers.attribute.clone(),
            value: self.lane.pending.clone(),
            select,
            limit,
            start,
        }
    }
}

fn unsealed(config: &Config, error: std::io::Error) -> StorageError {
    let message = "the bundle could not be compressed";
    StorageError::new(
        ErrorKind::Internal,
        "PutObject",
        &*config.lake_bucket,
        message,
    )
    .with_source(error)
}

fn lease_lost(table: &str) -> StorageError {
    StorageError::new(
        ErrorKind::Unanswered,
        "GetItem",
        table,
        "the lane's lease ended before the answer came",
    )
}
