//! The rows of buckets that differ, one side against the other.

use std::collections::{BTreeMap, HashMap};

use records::{Item, Value};

use super::buckets::{BUCKETS, bucket_of};
use super::row::{Row, RowDigests};
use crate::digest::Fingerprint;

/// In what a key differs. The order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// Only A has the key.
    OnlyInA,
    /// Only B has the key.
    OnlyInB,
    /// Both have the key, with different items.
    Different,
    /// A has the key more than once.
    RepeatedInA,
    /// B has the key more than once.
    RepeatedInB,
}

/// How many keys differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DifferenceCounts {
    /// Keys that only A has.
    pub only_in_a: u64,
    /// Keys that only B has.
    pub only_in_b: u64,
    /// Keys with different items.
    pub different: u64,
    /// Rows of A with a key that A had before.
    pub repeated_in_a: u64,
    /// Rows of B with a key that B had before.
    pub repeated_in_b: u64,
}

impl DifferenceCounts {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.only_in_a + self.only_in_b + self.different + self.repeated_in_a + self.repeated_in_b
    }

    pub(super) fn add(&mut self, kind: DifferenceKind) {
        *match kind {
            DifferenceKind::OnlyInA => &mut self.only_in_a,
            DifferenceKind::OnlyInB => &mut self.only_in_b,
            DifferenceKind::Different => &mut self.different,
            DifferenceKind::RepeatedInA => &mut self.repeated_in_a,
            DifferenceKind::RepeatedInB => &mut self.repeated_in_b,
        } += 1;
    }
}

/// One key that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// In what.
    pub kind: DifferenceKind,
    /// The key attributes.
    pub key: Item,
    /// The attributes that are not the same on both sides, by name; none unless both sides have the key.
    pub attributes: Vec<AttributeDifference>,
}

/// An attribute that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeDifference {
    /// Its name.
    pub name: String,
    /// Its value in A, where A has it.
    pub a: Option<Value>,
    /// Its value in B, likewise.
    pub b: Option<Value>,
}

/// Rows of the chosen buckets: some 60 bytes for each, and as many whole rows as are shown.
#[derive(Debug)]
pub(super) struct Comparison {
    chosen: Vec<bool>,
    rows: HashMap<Fingerprint, Held>,
    counts: DifferenceCounts,
    found: BTreeMap<(Fingerprint, DifferenceKind), Found>,
    /// How many are shown: those of the smallest key hashes, so that a repeat shows the same.
    shown: usize,
}

#[derive(Debug)]
struct Held {
    state: Fingerprint,
    /// The file of A that has it; nothing if only B does.
    file: Option<u32>,
    seen_in_b: bool,
}

/// A difference whose rows are not all known.
#[derive(Debug)]
pub(super) struct Found {
    /// The file of A that has the row.
    pub(super) file: Option<u32>,
    pub(super) b: Option<Row>,
}

/// All that was found, by the hash of the key.
pub(super) type FoundRows = BTreeMap<(Fingerprint, DifferenceKind), Found>;

impl Comparison {
    pub(super) fn new(buckets: &[usize], shown: usize) -> Self {
        let mut chosen = vec![false; BUCKETS];
        for bucket in buckets {
            chosen[*bucket] = true;
        }
        Self {
            chosen,
            rows: HashMap::new(),
            counts: DifferenceCounts::default(),
            found: BTreeMap::new(),
            shown,
        }
    }

    /// Which buckets are looked at, by their numbers.
    pub(super) fn chosen(&self) -> &[bool] {
        &self.chosen
    }

    /// A row of A; all of these come first.
    pub(super) fn take_a(&mut self, row: RowDigests, file: u32) {
        if !self.chosen[bucket_of(&row.key)] {
            return;
        }
        let held = Held {
            state: row.state,
            file: Some(file),
            seen_in_b: false,
        };
        if self.rows.insert(row.key, held).is_some() {
            self.find(row.key, DifferenceKind::RepeatedInA, Some(file), None);
        }
    }

    /// A row of B.
    pub(super) fn take_b(&mut self, row: &Row, digests: RowDigests) {
        if !self.chosen[bucket_of(&digests.key)] {
            return;
        }
        let Some(held) = self.rows.get_mut(&digests.key) else {
            let held = Held {
                state: digests.state,
                file: None,
                seen_in_b: true,
            };
            self.rows.insert(digests.key, held);
            self.find(digests.key, DifferenceKind::OnlyInB, None, Some(row));
            return;
        };
        let (file, repeated) = (held.file, held.seen_in_b);
        let differs = held.state != digests.state;
        held.seen_in_b = true;
        if repeated {
            self.find(digests.key, DifferenceKind::RepeatedInB, None, Some(row));
        } else if differs {
            self.find(digests.key, DifferenceKind::Different, file, Some(row));
        }
    }

    fn find(&mut self, key: Fingerprint, kind: DifferenceKind, file: Option<u32>, b: Option<&Row>) {
        self.counts.add(kind);
        let place = (key, kind);
        let last = self.found.last_key_value().map(|(place, _)| *place);
        if self.found.len() >= self.shown && last.is_none_or(|last| last < place) {
            return;
        }
        let b = b.cloned();
        self.found.insert(place, Found { file, b });
        if self.found.len() > self.shown {
            self.found.pop_last();
        }
    }

    /// Both sides have been given whole.
    pub(super) fn finish(mut self) -> (DifferenceCounts, FoundRows) {
        for (key, held) in std::mem::take(&mut self.rows) {
            if !held.seen_in_b {
                self.find(key, DifferenceKind::OnlyInA, held.file, None);
            }
        }
        (self.counts, self.found)
    }
}

/// What differs, from the rows of both sides as far as they have the key.
pub(super) fn difference(
    kind: DifferenceKind,
    a: Option<&Row>,
    b: Option<&Row>,
) -> Option<Difference> {
    let key = a.or(b)?.key.clone();
    let attributes = match (kind, a, b) {
        (DifferenceKind::Different, Some(a), Some(b)) => {
            let item = |row: &Row| row.item.clone().unwrap_or_default();
            let (a, b) = (item(a), item(b));
            let names = a
                .keys()
                .chain(b.keys().filter(|name| !a.contains_key(*name)));
            let mut differing: Vec<AttributeDifference> = names
                .filter(|name| a.get(*name) != b.get(*name))
                .map(|name| AttributeDifference {
                    name: name.clone(),
                    a: a.get(name).cloned(),
                    b: b.get(name).cloned(),
                })
                .collect();
            differing.sort_by(|one, other| one.name.cmp(&other.name));
            differing
        }
        _ => Vec::new(),
    };
    Some(Difference {
        kind,
        key,
        attributes,
    })
}
