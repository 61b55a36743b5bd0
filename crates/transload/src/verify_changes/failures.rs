//! What the event source mapping gave up: objects of its on-failure destination, which hold their events whole.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use records::changes::{StreamRecord, set_aside_object};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::{ListedObject, ObjectStore, StorageError, Timestamp};

use super::finding::Finding;
use crate::change_log::{Log, whole};
use crate::digest::{Fingerprint, of_event};
use records::changes::SECONDS_PER_HOUR;

/// Objects that are read at a time: each may take some 40 MB.
const OBJECTS_AT_A_TIME: usize = 2;
/// An event has at most 6 MB (Lambda's limit of a payload), which in a JSON text may take six bytes for one.
const MAX_BYTES: usize = 40 * 1024 * 1024;

/// An object of the destination that has to do with the table and the range.
struct Failure {
    key: String,
    written: Timestamp,
    function: Option<String>,
    /// Hours that it has records of: all of them if it was written in the range, else those of the range.
    hours: BTreeSet<u64>,
    /// Records of these hours.
    records: u64,
    /// Those that are not in the log, as far as it has been compared.
    missing: u64,
}

/// The objects of the destination.
pub(super) struct Failures {
    known: Vec<Failure>,
    unread: Vec<Finding>,
}

/// The records of one hour that the objects hold, each with its object's place among them; in order.
pub(super) struct Held(Vec<(Fingerprint, usize)>);

impl Held {
    /// Whether one of the objects holds the record.
    pub(super) fn has(&self, event: &Fingerprint) -> bool {
        self.0.binary_search_by(|(held, _)| held.cmp(event)).is_ok()
    }
}

/// What such an object says.
struct Batch {
    function: Option<String>,
    /// Event ids and seconds of the records that have a place.
    placed: Vec<(Fingerprint, u64)>,
    /// Names that the others would have been set aside by.
    unplaced: Vec<String>,
}

#[derive(Deserialize)]
struct RawFailure<'a> {
    #[serde(rename = "requestContext")]
    context: Option<RawContext>,
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: Option<RawBatch>,
    /// The event, as a JSON text of a JSON text or as it is.
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawContext {
    #[serde(rename = "functionArn")]
    function: Option<String>,
}

#[derive(Deserialize)]
struct RawBatch {
    #[serde(rename = "streamArn")]
    stream: String,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

/// Reads the destination. What was written in the range counts with all of its records, which are some 20 hours older; of what
/// was written later, the records of the range do. `set_aside` are the keys of all records that were set aside.
pub(super) async fn find<O: ObjectStore + 'static>(
    log: &Log<O>,
    prefix: &str,
    hours: &Range<u64>,
    set_aside: &BTreeSet<String>,
) -> Result<Failures, StorageError> {
    let listed = log.store().list(log.bucket(), prefix).await?;
    // What was given up had happened before, and two clocks may be a little apart.
    let late_enough =
        |object: &&ListedObject| object.modified.0 / 1_000 / SECONDS_PER_HOUR + 1 >= hours.start;
    let mut read = stream::iter(listed.iter().filter(late_enough))
        .map(|object| async move { Ok::<_, StorageError>((object, read(log, &object.key).await?)) })
        .buffered(OBJECTS_AT_A_TIME);
    let mut failures = Failures {
        known: Vec::new(),
        unread: Vec::new(),
    };
    while let Some((object, batch)) = read.try_next().await? {
        match batch {
            Ok(None) => {}
            Ok(Some(batch)) => {
                let written = object.modified.0 / 1_000 / SECONDS_PER_HOUR;
                let all = hours.contains(&written);
                let counted = || {
                    let hours_of = batch.placed.iter().map(|(_, at)| at / SECONDS_PER_HOUR);
                    hours_of.filter(|hour| all || hours.contains(hour))
                };
                let not_aside = |name: &&String| !set_aside.contains(*name);
                let lost = batch.unplaced.iter().filter(not_aside).count() as u64;
                failures.known.push(Failure {
                    key: object.key.clone(),
                    written: object.modified,
                    hours: counted().collect(),
                    records: counted().count() as u64 + lost,
                    missing: lost,
                    function: batch.function,
                });
            }
            Err(reason) => failures.unread.push(Finding::FailureUnread {
                key: object.key.clone(),
                reason,
            }),
        }
    }
    Ok(failures)
}

impl Failures {
    /// Hours outside of the range that there are records of.
    pub(super) fn other_hours(&self, range: &Range<u64>) -> BTreeSet<u64> {
        let hours = self.known.iter().flat_map(|failure| &failure.hours);
        hours
            .copied()
            .filter(|hour| !range.contains(hour))
            .collect()
    }

    /// The records of an hour. Objects are read again for each of their hours: an outage may leave more of them than memory can
    /// hold.
    pub(super) async fn held<O: ObjectStore + 'static>(
        &self,
        log: &Log<O>,
        hour: u64,
    ) -> Result<Held, StorageError> {
        let mut held = Vec::new();
        for (nth, failure) in self.known.iter().enumerate() {
            if !failure.hours.contains(&hour) {
                continue;
            }
            if let Ok(Some(batch)) = read(log, &failure.key).await? {
                let placed = batch.placed.into_iter();
                let of_hour = placed.filter(|(_, at)| at / SECONDS_PER_HOUR == hour);
                held.extend(of_hour.map(|(event, _)| (event, nth)));
            }
        }
        held.sort_unstable();
        Ok(Held(held))
    }

    /// Counts what an hour of the log lacks, by the event ids that it has.
    pub(super) fn compare(&mut self, held: &Held, events: &HashSet<Fingerprint>) {
        for (_, nth) in held.0.iter().filter(|(event, _)| !events.contains(event)) {
            self.known[*nth].missing += 1;
        }
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        let missing = self.known.into_iter().filter(|failure| failure.missing > 0);
        let missing = missing.map(|failure| Finding::NotInLog {
            key: failure.key,
            written: failure.written,
            function: failure.function,
            records: failure.records,
            missing: failure.missing,
        });
        missing.chain(self.unread).collect()
    }
}

/// Nothing for an object of another table, or of something that is no stream.
async fn read<O: ObjectStore + 'static>(
    log: &Log<O>,
    key: &str,
) -> Result<Result<Option<Batch>, String>, StorageError> {
    let content = whole(log.store(), log.bucket(), key, MAX_BYTES).await?;
    Ok(parse(&content, log.table()))
}

fn parse(content: &[u8], table: &str) -> Result<Option<Batch>, String> {
    let raw: RawFailure<'_> = serde_json::from_slice(content).map_err(|error| {
        format!(
            "it cannot be read ({error}): expected the JSON object of an on-failure destination"
        )
    })?;
    let of_table = format!(":table/{table}/stream/");
    if !raw
        .batch
        .is_some_and(|batch| batch.stream.contains(&of_table))
    {
        return Ok(None);
    }
    let payload = raw
        .payload
        .ok_or("it has no payload: expected the event, as a destination in S3 has it")?;
    let unreadable = |error: serde_json::Error| {
        format!("its payload cannot be read ({error}): expected an object with Records")
    };
    let text = match payload.get().starts_with('"') {
        true => serde_json::from_str(payload.get())
            .map(Cow::Owned)
            .map_err(unreadable)?,
        false => Cow::Borrowed(payload.get()),
    };
    let event: RawEvent<'_> = serde_json::from_str(&text).map_err(unreadable)?;
    let mut batch = Batch {
        function: raw.context.and_then(|context| context.function),
        placed: Vec::new(),
        unplaced: Vec::new(),
    };
    for raw in event.records {
        match StreamRecord::parse(raw.get()) {
            Ok(record) if record.table == table => {
                let place = (of_event(&record.event_id), record.seconds);
                batch.placed.push(place);
            }
            _ => batch.unplaced.push(set_aside_object(table, raw.get())),
        }
    }
    Ok(Some(batch))
}
