//! Lanes: which rows go into the next batch, and what an answer does to them. No IO, no clock.
//!
//! A lane is a queue with at most one batch under way, and all rows of a key take the same lane, so two rows of one key are
//! never under way together and the later one in the input is written later.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use storage::{PutItem, Timestamp};

/// Most items of one BatchWriteItem.
pub(crate) const MAX_BATCH_ITEMS: usize = 25;

/// Where a row comes from: the number of its run and its position there. Ordered as the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId {
    pub(crate) run: u64,
    pub(crate) index: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: RowId,
    pub(crate) put: PutItem,
}

#[derive(Debug)]
pub(crate) struct Lane {
    queue: VecDeque<Row>,
    /// Rows whose key may still be overwritten by an attempt of an earlier row that got no answer.
    parked: VecDeque<Row>,
    /// Per key: the row whose attempt got no answer, and until when that attempt may land.
    settling: HashMap<Bytes, (RowId, Timestamp)>,
    /// Most items of the next batch: halved when a batch is refused, so that the guilty row ends up alone.
    limit: usize,
    /// Answers in a row that wrote nothing.
    fruitless: u32,
    not_before: Timestamp,
    under_way: bool,
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            parked: VecDeque::new(),
            settling: HashMap::new(),
            limit: MAX_BATCH_ITEMS,
            fruitless: 0,
            not_before: Timestamp(0),
            under_way: false,
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.queue.push_back(row);
    }

    /// Puts a row where it belongs among those that wait: the queue is in input order always, so that an older row of a key
    /// goes before a newer one.
    pub(crate) fn insert(&mut self, row: Row) {
        let place = self.queue.partition_point(|queued| queued.id < row.id);
        self.queue.insert(place, row);
    }

    /// The next batch, if the lane is free, has one worth sending (a full one, or any when `flush`) and may send now.
    /// A batch has at most `max_batch_bytes` encoded bytes, unless a single item is larger: that one goes alone.
    pub(crate) fn next_batch(
        &mut self,
        now: Timestamp,
        flush: bool,
        max_batch_bytes: usize,
    ) -> Option<Vec<Row>> {
        if self.under_way || now < self.not_before {
            return None;
        }
        self.unpark(now);
        if self.queue.is_empty() || (!flush && self.queue.len() < self.limit) {
            return None;
        }
        let batch = self.take_batch(now, max_batch_bytes);
        self.under_way = !batch.is_empty();
        self.under_way.then_some(batch)
    }

    /// When a lane that has nothing to send now may have something without any new row: the end of its back-off or of the
    /// earliest settle time that a parked row waits for.
    pub(crate) fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.under_way {
            return None;
        }
        let parked = self
            .parked
            .iter()
            .filter_map(|row| self.settling.get(&row.put.key))
            .map(|(_, until)| *until)
            .min();
        let queued = (!self.queue.is_empty() && now < self.not_before).then_some(self.not_before);
        match (parked, queued) {
            (Some(parked), _) if self.queue.is_empty() => Some(parked.max(self.not_before)),
            (Some(parked), Some(queued)) => Some(parked.min(queued)),
            (parked, queued) => parked.or(queued),
        }
    }

    fn unpark(&mut self, now: Timestamp) {
        if self.settling.is_empty() {
            return;
        }
        self.settling.retain(|_, (_, until)| *until > now);
        let (waiting, ready): (VecDeque<Row>, VecDeque<Row>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|row| self.settling.contains_key(&row.put.key));
        self.parked = waiting;
        for row in ready {
            self.insert(row);
        }
    }

    fn take_batch(&mut self, now: Timestamp, max_batch_bytes: usize) -> Vec<Row> {
        let mut batch: Vec<Row> = Vec::with_capacity(self.limit.min(self.queue.len()));
        let mut keys: HashSet<Bytes> = HashSet::with_capacity(self.limit);
        let mut bytes = 0;
        while batch.len() < self.limit {
            let Some(row) = self.queue.pop_front() else {
                break;
            };
            if self.must_wait(&row, now) {
                self.parked.push_back(row);
                continue;
            }
            let too_large = bytes + row.put.item.len() > max_batch_bytes;
            if keys.contains(&row.put.key) || (too_large && !batch.is_empty()) {
                self.queue.push_front(row);
                break;
            }
            bytes += row.put.item.len();
            keys.insert(row.put.key.clone());
            batch.push(row);
        }
        batch
    }

    /// A row waits while an attempt of *another* row of its key may land (its own content again does no harm), and behind
    /// a row of its key that waits.
    fn must_wait(&self, row: &Row, now: Timestamp) -> bool {
        match self.settling.get(&row.put.key) {
            Some((id, until)) => *id != row.id && *until > now,
            None => false,
        }
    }

    /// All rows of the batch were written.
    pub(crate) fn written(&mut self) {
        self.under_way = false;
        self.fruitless = 0;
        self.limit = (self.limit * 2).min(MAX_BATCH_ITEMS);
    }

    /// `rows` come back unwritten; `progress` when others of the batch were written. Returns the tries so far without any
    /// progress, from 1.
    pub(crate) fn throttled(&mut self, rows: Vec<Row>, progress: bool) -> u32 {
        self.under_way = false;
        self.fruitless = if progress { 1 } else { self.fruitless + 1 };
        self.requeue(rows);
        self.fruitless
    }

    /// The batch got no answer: its rows are sent again, and other rows of their keys wait until this attempt cannot land
    /// any more.
    pub(crate) fn unanswered(&mut self, rows: Vec<Row>, now: Timestamp, settle: Duration) -> u32 {
        let until = now.plus(settle);
        for row in &rows {
            self.settling.insert(row.put.key.clone(), (row.id, until));
        }
        self.throttled(rows, false)
    }

    /// The batch was refused as a whole. Its rows are tried again in halves; a single refused row is returned.
    pub(crate) fn refused(&mut self, mut rows: Vec<Row>) -> Option<Row> {
        self.under_way = false;
        if rows.len() == 1 {
            return rows.pop();
        }
        self.limit = (rows.len() / 2).max(1);
        self.requeue(rows);
        None
    }

    /// No batch before `time`.
    pub(crate) fn back_off_until(&mut self, time: Timestamp) {
        self.not_before = time;
    }

    /// The batch did not start.
    pub(crate) fn not_sent(&mut self, rows: Vec<Row>) {
        self.under_way = false;
        self.requeue(rows);
    }

    /// The rows of a batch that nobody will send again.
    pub(crate) fn abandon(&mut self) {
        self.under_way = false;
    }

    fn requeue(&mut self, rows: Vec<Row>) {
        for row in rows.into_iter().rev() {
            self.queue.push_front(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(300);
    const MAX_BYTES: usize = 1_000;

    fn row(index: usize, key: &str) -> Row {
        sized_row(index, key, 10)
    }

    fn sized_row(index: usize, key: &str, bytes: usize) -> Row {
        Row {
            id: RowId { run: 0, index },
            put: PutItem {
                item: Bytes::from(vec![b'x'; bytes]),
                key: Bytes::copy_from_slice(key.as_bytes()),
            },
        }
    }

    fn indexes(batch: &[Row]) -> Vec<usize> {
        batch.iter().map(|row| row.id.index).collect()
    }

    #[test]
    fn a_batch_holds_a_key_once_and_keeps_the_order() {
        let mut lane = Lane::new();
        for (index, key) in ["a", "b", "a", "c"].iter().enumerate() {
            lane.push(row(index, key));
        }
        let first = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("rows wait");
        assert_eq!(indexes(&first), [0, 1]);
        assert!(
            lane.next_batch(Timestamp(0), true, MAX_BYTES).is_none(),
            "one batch at a time"
        );
        lane.written();
        let second = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("rows wait");
        assert_eq!(indexes(&second), [2, 3]);
    }

    #[test]
    fn without_flush_only_full_batches_go() {
        let mut lane = Lane::new();
        for index in 0..MAX_BATCH_ITEMS - 1 {
            lane.push(row(index, &index.to_string()));
        }
        assert!(lane.next_batch(Timestamp(0), false, MAX_BYTES).is_none());
        lane.push(row(MAX_BATCH_ITEMS, "last"));
        let batch = lane
            .next_batch(Timestamp(0), false, MAX_BYTES)
            .expect("a full batch");
        assert_eq!(batch.len(), MAX_BATCH_ITEMS);
    }

    #[test]
    fn a_batch_keeps_below_its_bytes_but_a_large_item_goes_alone() {
        let mut lane = Lane::new();
        for (index, bytes) in [600, 600, 5_000, 10].iter().enumerate() {
            lane.push(sized_row(index, &index.to_string(), *bytes));
        }
        let mut batches = Vec::new();
        while let Some(batch) = lane.next_batch(Timestamp(0), true, MAX_BYTES) {
            batches.push(indexes(&batch));
            lane.written();
        }
        assert_eq!(batches, [vec![0], vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn unprocessed_rows_go_before_later_ones_of_their_key() {
        let mut lane = Lane::new();
        for (index, key) in ["a", "b", "a"].iter().enumerate() {
            lane.push(row(index, key));
        }
        let batch = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("rows wait");
        assert_eq!(lane.throttled(vec![batch[0].clone()], true), 1);
        lane.back_off_until(Timestamp(50));
        assert!(lane.next_batch(Timestamp(49), true, MAX_BYTES).is_none());
        assert_eq!(lane.wakes_at(Timestamp(49)), Some(Timestamp(50)));
        let retry = lane
            .next_batch(Timestamp(50), true, MAX_BYTES)
            .expect("back-off is over");
        assert_eq!(indexes(&retry), [0]);
        lane.written();
        let last = lane
            .next_batch(Timestamp(50), true, MAX_BYTES)
            .expect("the later row");
        assert_eq!(indexes(&last), [2]);
    }

    #[test]
    fn after_no_answer_the_same_row_goes_again_and_others_of_its_key_wait() {
        let mut lane = Lane::new();
        for (index, key) in ["a", "a", "b", "a"].iter().enumerate() {
            lane.push(row(index, key));
        }
        let batch = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("rows wait");
        assert_eq!(indexes(&batch), [0]);
        lane.unanswered(batch, Timestamp(1_000), SETTLE);
        let again = lane
            .next_batch(Timestamp(1_000), true, MAX_BYTES)
            .expect("same content may go");
        assert_eq!(
            indexes(&again),
            [0, 2],
            "rows 1 and 3 wait for the key, row 2 overtakes them"
        );
        lane.written();
        assert!(
            lane.next_batch(Timestamp(300_999), true, MAX_BYTES)
                .is_none()
        );
        assert_eq!(lane.wakes_at(Timestamp(2_000)), Some(Timestamp(301_000)));
        let later = lane
            .next_batch(Timestamp(301_000), true, MAX_BYTES)
            .expect("settled");
        assert_eq!(indexes(&later), [1]);
        lane.written();
        let last = lane
            .next_batch(Timestamp(301_000), true, MAX_BYTES)
            .expect("the last of its key");
        assert_eq!(indexes(&last), [3]);
    }

    #[test]
    fn a_row_that_has_waited_does_not_pass_an_older_one_of_its_key() {
        let mut lane = Lane::new();
        lane.push(row(5, "a"));
        lane.push(row(9, "a"));
        let batch = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("rows wait");
        lane.unanswered(batch, Timestamp(0), SETTLE);
        let again = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("the same row");
        lane.throttled(again, false);
        lane.back_off_until(Timestamp(400_000));
        let later = lane
            .next_batch(Timestamp(400_000), true, MAX_BYTES)
            .expect("all are free");
        assert_eq!(
            indexes(&later),
            [5],
            "although row 9 has become free meanwhile"
        );
    }

    #[test]
    fn the_heir_of_a_refused_row_goes_before_later_rows_that_wait_already() {
        let mut lane = Lane::new();
        lane.push(row(5, "a"));
        lane.push(row(9, "a"));
        let batch = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("rows wait");
        lane.unanswered(batch, Timestamp(0), SETTLE);
        let again = lane
            .next_batch(Timestamp(0), true, MAX_BYTES)
            .expect("the same row");
        assert_eq!(indexes(&again), [5]);
        assert!(lane.refused(again).is_some());
        assert!(
            lane.next_batch(Timestamp(1), true, MAX_BYTES).is_none(),
            "row 9 waits"
        );
        lane.insert(row(3, "a"));
        assert!(
            lane.next_batch(Timestamp(2), true, MAX_BYTES).is_none(),
            "row 3 waits, too"
        );
        let heir = lane
            .next_batch(Timestamp(300_000), true, MAX_BYTES)
            .expect("settled");
        assert_eq!(indexes(&heir), [3]);
    }

    #[test]
    fn a_refused_batch_is_halved_down_to_the_guilty_row() {
        let mut lane = Lane::new();
        for index in 0..25 {
            lane.push(row(index, &index.to_string()));
        }
        let mut guilty = None;
        let mut written = Vec::new();
        for _ in 0..100 {
            let Some(batch) = lane.next_batch(Timestamp(0), true, MAX_BYTES) else {
                break;
            };
            if batch.iter().any(|row| row.id.index == 17) {
                guilty = guilty.or(lane.refused(batch));
            } else {
                written.extend(indexes(&batch));
                lane.written();
            }
        }
        assert_eq!(guilty.map(|row| row.id.index), Some(17));
        written.sort_unstable();
        let expected: Vec<usize> = (0..25).filter(|index| *index != 17).collect();
        assert_eq!(written, expected);
    }
}
