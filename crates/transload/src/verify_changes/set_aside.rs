//! Records that stream-writer could not place.

use std::collections::BTreeSet;
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use records::changes::{seconds_of, set_aside_folder};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::{ListedObject, ObjectStore, StorageError};

use super::finding::{Finding, SHOWN};
use crate::change_log::{Log, MAX_LINE_BYTES, whole};
use records::changes::SECONDS_PER_HOUR;

/// Objects that are read at a time.
const OBJECTS_AT_A_TIME: usize = 8;

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Its key in the lake.
    pub key: String,
    /// Why it has no place in the log.
    pub reason: String,
}

/// What was set aside.
pub(super) struct SetAside {
    /// Keys of all of it, of whatever time.
    pub(super) names: BTreeSet<String>,
    count: u64,
    first: Vec<Aside>,
}

#[derive(Deserialize)]
struct Kept<'a> {
    reason: String,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// Finds what was set aside of the given hours: by the time of the change, or, where the record has none, of the object.
pub(super) async fn find<O: ObjectStore + 'static>(
    log: &Log<O>,
    hours: &Range<u64>,
) -> Result<SetAside, StorageError> {
    let folder = set_aside_folder(log.table());
    let listed = log.store().list(log.bucket(), &folder).await?;
    let mut found = SetAside {
        names: BTreeSet::new(),
        count: 0,
        first: Vec::new(),
    };
    let mut read = stream::iter(&listed)
        .map(|object| of_hours(log, object, hours))
        .buffered(OBJECTS_AT_A_TIME);
    while let Some(aside) = read.try_next().await? {
        if let Some(aside) = aside {
            found.count += 1;
            found.first.push(aside);
            found.first.truncate(SHOWN);
        }
    }
    drop(read);
    found.names = listed.into_iter().map(|object| object.key).collect();
    Ok(found)
}

async fn of_hours<O: ObjectStore + 'static>(
    log: &Log<O>,
    object: &ListedObject,
    hours: &Range<u64>,
) -> Result<Option<Aside>, StorageError> {
    let written = object.modified.0 / 1_000 / SECONDS_PER_HOUR;
    // What was set aside had happened before, and two clocks may be a little apart.
    if written + 1 < hours.start {
        return Ok(None);
    }
    let content = whole(log.store(), log.bucket(), &object.key, MAX_LINE_BYTES).await?;
    let kept: Option<Kept<'_>> = serde_json::from_slice(&content).ok();
    let changed = kept.as_ref().and_then(|kept| seconds_of(kept.record.get()));
    let hour = changed.map_or(written, |seconds| seconds / SECONDS_PER_HOUR);
    Ok(hours.contains(&hour).then(|| Aside {
        key: object.key.clone(),
        reason: kept.map_or_else(|| "it cannot be read".to_owned(), |kept| kept.reason),
    }))
}

impl SetAside {
    pub(super) fn finding(self) -> Option<Finding> {
        (self.count > 0).then_some(Finding::SetAside {
            count: self.count,
            first: self.first,
        })
    }
}
