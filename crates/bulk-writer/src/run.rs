//! A run: a fixed stretch of consecutive input rows inside which only the last row of a key is sent.

use std::collections::HashMap;

use bytes::Bytes;
use storage::PutItem;

/// A run ends after this many input rows…
pub const MAX_RUN_ROWS: usize = 1_000;
/// …or as soon as its rows weigh this many bytes, whichever comes first. Both are functions of the input and the mapping
/// alone, so a repeat cuts the same runs; without the second bound, 1,000 items of 400 KB would need 400 MB.
pub const MAX_RUN_BYTES: usize = 2 * 1024 * 1024;

/// One accepted row of a run.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// What to write.
    pub put: PutItem,
    /// Whether a later row of the run has the same key, so that this one is not sent.
    pub superseded: bool,
}

/// A finished run, ready to be written. `T` is whatever the caller wants back when it has settled.
#[derive(Debug)]
pub struct Run<T> {
    pub(crate) rows: Vec<RunRow>,
    pub(crate) bytes: usize,
    pub(crate) tag: T,
}

/// Collects the accepted rows of one run.
#[derive(Debug, Default)]
pub struct RunBuilder {
    items: Vec<u8>,
    keys: Vec<u8>,
    ends: Vec<(usize, usize)>,
    input_rows: usize,
    input_bytes: usize,
}

impl RunBuilder {
    /// Adds an accepted row: its item as DynamoDB JSON and its canonical key.
    pub fn accept(&mut self, item: &[u8], key: &[u8]) {
        self.items.extend_from_slice(item);
        self.keys.extend_from_slice(key);
        self.ends.push((self.items.len(), self.keys.len()));
    }

    /// Counts one input row, accepted or not, that weighs `bytes` (its text, and what was made of it).
    pub fn count(&mut self, bytes: usize) {
        self.input_rows += 1;
        self.input_bytes += bytes;
    }

    /// Whether the run ends here.
    pub fn is_full(&self) -> bool {
        self.input_rows >= MAX_RUN_ROWS || self.input_bytes >= MAX_RUN_BYTES
    }

    /// Whether no row was counted.
    pub fn is_empty(&self) -> bool {
        self.input_rows == 0
    }

    /// Closes the run and leaves an empty builder behind.
    pub fn finish<T>(&mut self, tag: T) -> Run<T> {
        // The next run will be about as large; growing by doubling would hold twice its memory.
        let next = Self {
            items: Vec::with_capacity(self.items.len()),
            keys: Vec::with_capacity(self.keys.len()),
            ends: Vec::with_capacity(self.ends.len()),
            ..Self::default()
        };
        let taken = std::mem::replace(self, next);
        let items = Bytes::from(taken.items);
        let keys = Bytes::from(taken.keys);
        let mut rows: Vec<RunRow> = Vec::with_capacity(taken.ends.len());
        let mut last_of_key: HashMap<Bytes, usize> = HashMap::with_capacity(taken.ends.len());
        let (mut item_start, mut key_start) = (0, 0);
        for (index, (item_end, key_end)) in taken.ends.into_iter().enumerate() {
            let put = PutItem {
                item: items.slice(item_start..item_end),
                key: keys.slice(key_start..key_end),
            };
            (item_start, key_start) = (item_end, key_end);
            if let Some(earlier) = last_of_key.insert(put.key.clone(), index) {
                rows[earlier].superseded = true;
            }
            rows.push(RunRow {
                put,
                superseded: false,
            });
        }
        Run {
            rows,
            bytes: taken.input_bytes,
            tag,
        }
    }
}

impl<T> Run<T> {
    /// The rows, in input order.
    pub fn rows(&self) -> &[RunRow] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_row_of_a_key_is_live() {
        let mut builder = RunBuilder::default();
        for (item, key) in [("1", "a"), ("2", "b"), ("3", "a"), ("4", "a")] {
            builder.accept(item.as_bytes(), key.as_bytes());
            builder.count(2);
        }
        let run = builder.finish(());
        let superseded: Vec<bool> = run.rows().iter().map(|row| row.superseded).collect();
        assert_eq!(superseded, [true, false, true, false]);
        assert_eq!(run.rows()[3].put.item, Bytes::from("4"));
        assert!(builder.is_empty());
    }

    #[test]
    fn a_run_ends_by_rows_or_by_weight() {
        let mut builder = RunBuilder::default();
        for _ in 0..MAX_RUN_ROWS - 1 {
            builder.count(1);
        }
        assert!(!builder.is_full());
        builder.count(1);
        assert!(builder.is_full());
        let mut builder = RunBuilder::default();
        builder.count(MAX_RUN_BYTES);
        assert!(builder.is_full());
    }
}
