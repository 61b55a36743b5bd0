//! How far a part's objects are, as its row has it.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use storage::staged::{self, Staged};
use storage::{ObjectStore, StorageError};

use crate::part::OutputObject;

/// Objects that are published at the same time.
const PUBLISHED_AT_ONCE: usize = 8;

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows in objects.
    pub written: u64,
    /// Rows that the filter left out.
    pub filtered: u64,
}

impl RowCounts {
    /// Rows that were read.
    pub fn read(self) -> u64 {
        self.written + self.filtered
    }
}

/// A whole object that nobody can see yet, with the number of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedObject {
    /// How to publish it.
    pub staged: Staged,
    /// Rows in it.
    pub rows: u64,
}

/// How far a data set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EntityMark {
    /// The number of its next object.
    pub split: u32,
    /// Its lines below this number are in whole objects, or filtered out.
    pub lines: u64,
    /// What became of those lines.
    pub rows: RowCounts,
}

/// What is whole of a part's objects. It is right at any line, with any number of data sets: each has a mark of its own, and
/// whoever goes on reads the lines anew from the first one and passes over those below the mark of their data set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The objects, in the order in which they ended.
    pub objects: Vec<StagedObject>,
    /// The data sets that have objects or filtered rows.
    pub entities: BTreeMap<String, EntityMark>,
}

impl Checkpoint {
    /// Rows in whole objects, and rows filtered out before their ends.
    pub fn rows(&self) -> RowCounts {
        let mut sum = RowCounts::default();
        for mark in self.entities.values() {
            sum.written += mark.rows.written;
            sum.filtered += mark.rows.filtered;
        }
        sum
    }

    /// The objects as a part's row lists them, in order of their keys.
    pub fn listed(&self) -> Vec<OutputObject> {
        let mut listed: Vec<OutputObject> = self
            .objects
            .iter()
            .map(|object| OutputObject {
                key: object.staged.key.clone(),
                rows: object.rows,
                bytes: object.staged.bytes,
            })
            .collect();
        listed.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        listed
    }
}

/// Makes staged objects appear; those that have appeared already are no error.
///
/// # Errors
/// The first that the store refuses; a repeat goes on with what is left.
pub async fn publish_all<O: ObjectStore>(
    objects: &O,
    staged: &[StagedObject],
) -> Result<(), StorageError> {
    stream::iter(staged)
        .map(|object| staged::publish(objects, &object.staged))
        .buffer_unordered(PUBLISHED_AT_ONCE)
        .try_collect()
        .await
}

/// Forgets staged objects. What a store does not forget goes when the bucket's lifecycle removes incomplete uploads, so that
/// a failure here is logged and no more.
pub async fn discard_all<O: ObjectStore>(objects: &O, staged: &[StagedObject]) {
    for object in staged {
        if let Err(error) = staged::discard(objects, &object.staged).await {
            tracing::warn!(%error, object.key = object.staged.key, "a staged object could not be discarded");
        }
    }
}
