//! What is done with the lines of exports, on the threads that read them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::buckets::{Buckets, bucket_of};
use super::comparison::Comparison;
use super::row::{Row, Rows};
use crate::digest::Fingerprint;
use crate::export_source::{LineWork, WorkFault};

/// Sees that every line can be read, and nothing else.
pub(super) struct ReadWork(pub(super) Arc<Rows>);

impl LineWork for ReadWork {
    fn line(&mut self, _file: usize, line: &str) -> Result<(), WorkFault> {
        self.0.read(line)?;
        Ok(())
    }
}

/// Sums rows up.
pub(super) struct SumWork {
    rows: Arc<Rows>,
    pub(super) buckets: Buckets,
}

impl SumWork {
    pub(super) fn new(rows: &Arc<Rows>) -> Self {
        Self {
            rows: Arc::clone(rows),
            buckets: Buckets::new(),
        }
    }
}

impl LineWork for SumWork {
    fn line(&mut self, _file: usize, line: &str) -> Result<(), WorkFault> {
        self.buckets.add(self.rows.read(line)?.digests());
        Ok(())
    }
}

/// Rows of the smallest key hashes: a sample that is the same in every run, whatever their order.
pub(super) struct SampleWork {
    rows: Arc<Rows>,
    pub(super) sample: Sample,
}

/// So many rows at the most, by the hashes of their keys: keys of at most 3 KB.
#[derive(Debug)]
pub(super) struct Sample {
    size: usize,
    pub(super) rows: BTreeMap<Fingerprint, Sampled>,
}

#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) key: records::Item,
    pub(super) state: Fingerprint,
    pub(super) file: u32,
}

impl Sample {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            rows: BTreeMap::new(),
        }
    }

    fn wants(&self, key: &Fingerprint) -> bool {
        let last = self.rows.last_key_value();
        self.rows.len() < self.size || last.is_some_and(|(last, _)| key < last)
    }

    fn take(&mut self, key: Fingerprint, sampled: Sampled) {
        if self.wants(&key) {
            self.rows.insert(key, sampled);
            if self.rows.len() > self.size {
                self.rows.pop_last();
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, sampled) in other.rows {
            self.take(key, sampled);
        }
    }
}

impl SampleWork {
    pub(super) fn new(rows: &Arc<Rows>, size: usize) -> Self {
        Self {
            rows: Arc::clone(rows),
            sample: Sample::new(size),
        }
    }
}

impl LineWork for SampleWork {
    fn line(&mut self, file: usize, line: &str) -> Result<(), WorkFault> {
        let row = self.rows.read(line)?;
        let digests = row.digests();
        if self.sample.wants(&digests.key) {
            let sampled = Sampled {
                key: row.key,
                state: digests.state,
                file: number(file),
            };
            self.sample.take(digests.key, sampled);
        }
        Ok(())
    }
}

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// Gives the rows of the chosen buckets to a comparison.
pub(super) struct CompareWork {
    rows: Arc<Rows>,
    side: Side,
    chosen: Arc<[bool]>,
    comparison: Arc<Mutex<Comparison>>,
}

impl CompareWork {
    pub(super) fn new(rows: &Arc<Rows>, side: Side, comparison: &Arc<Mutex<Comparison>>) -> Self {
        let chosen = lock(comparison).chosen().into();
        Self {
            rows: Arc::clone(rows),
            side,
            chosen,
            comparison: Arc::clone(comparison),
        }
    }
}

impl LineWork for CompareWork {
    fn line(&mut self, file: usize, line: &str) -> Result<(), WorkFault> {
        let row = self.rows.read(line)?;
        let digests = row.digests();
        // Few rows are in a chosen bucket, so the threads seldom wait for one another.
        if self.chosen[bucket_of(&digests.key)] {
            let mut comparison = lock(&self.comparison);
            match self.side {
                Side::A => comparison.take_a(digests, number(file)),
                Side::B => comparison.take_b(&row, digests),
            }
        }
        Ok(())
    }
}

/// Finds whole rows by the hashes of their keys.
pub(super) struct FindWork {
    rows: Arc<Rows>,
    wanted: Arc<HashSet<Fingerprint>>,
    pub(super) found: HashMap<Fingerprint, Row>,
}

impl FindWork {
    pub(super) fn new(rows: &Arc<Rows>, wanted: &Arc<HashSet<Fingerprint>>) -> Self {
        Self {
            rows: Arc::clone(rows),
            wanted: Arc::clone(wanted),
            found: HashMap::new(),
        }
    }
}

impl LineWork for FindWork {
    fn line(&mut self, _file: usize, line: &str) -> Result<(), WorkFault> {
        let row = self.rows.read(line)?;
        let key = crate::digest::of_key(&row.key);
        if self.wanted.contains(&key) {
            self.found.insert(key, row);
        }
        Ok(())
    }
}

pub(super) fn lock(comparison: &Mutex<Comparison>) -> std::sync::MutexGuard<'_, Comparison> {
    // A thread that panicked ends the command, so what it left behind is never looked at.
    comparison.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(file: usize) -> u32 {
    u32::try_from(file).expect("an export has far fewer files than 2^32")
}
