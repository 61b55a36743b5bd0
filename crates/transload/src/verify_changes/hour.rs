//! One hour of the stream's part of the log.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use records::changes::{ChangeKind, StreamRecord};
use storage::{ListedObject, ObjectStore, StorageError, Timestamp};

use super::export::Wanted;
use super::failures::Held;
use super::finding::SHOWN;
use crate::change_log::{HourObjects, Log, LogError};
use crate::describe;
use crate::digest::{Fingerprint, of_event};
use records::changes::SECONDS_PER_HOUR;

/// Objects that are read at a time.
const OBJECTS_AT_A_TIME: usize = 8;

/// What one hour of the log holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourReport {
    /// Hours since 1970.
    pub hour: u64,
    /// Objects in its folder.
    pub objects: u64,
    /// Their bytes, as they are stored.
    pub bytes: u64,
    /// Records, each event id counted once.
    pub records: u64,
    /// Those of them that are insertions.
    pub inserts: u64,
    /// Those of them that are changes of an item.
    pub modifies: u64,
    /// Those of them that are removals.
    pub removes: u64,
    /// Lines that repeat a record; the published view hides them.
    pub duplicates: u64,
    /// Lines that cannot be read or do not belong here, and objects that break off.
    pub faults: u64,
    /// How long after its change the newest record of an object was written, at the most; but for records that an on-failure
    /// object holds, which somebody put in by hand.
    pub latest: Option<Duration>,
}

impl HourReport {
    /// Whether there is nothing at all: an hour in which nothing changed, or one that was lost.
    pub fn is_empty(&self) -> bool {
        self.objects == 0
    }
}

/// What was read of one hour.
pub(super) struct HourRead {
    pub(super) report: HourReport,
    /// Every record's event id.
    pub(super) events: HashSet<Fingerprint>,
    /// Labels of the streams that the records come from.
    pub(super) labels: BTreeSet<String>,
    /// The first faults.
    pub(super) faults: Vec<String>,
}

/// Reads every object of the hour. `held` is what the on-failure objects have of it; changes are crossed off `wanted`.
pub(super) async fn read<O: ObjectStore + 'static>(
    log: &Log<O>,
    found: &HourObjects,
    held: &Held,
    wanted: Option<&mut Wanted>,
) -> Result<HourRead, StorageError> {
    let reader = RefCell::new(Reader {
        table: log.table(),
        read: HourRead {
            report: HourReport {
                hour: found.hour,
                objects: found.objects.len() as u64,
                bytes: found.objects.iter().map(|object| object.bytes).sum(),
                ..HourReport::default()
            },
            events: HashSet::new(),
            labels: BTreeSet::new(),
            faults: Vec::new(),
        },
        held,
        wanted,
    });
    stream::iter(&found.objects)
        .map(|object| read_object(log, object, &reader))
        .buffer_unordered(OBJECTS_AT_A_TIME)
        .try_collect::<()>()
        .await?;
    Ok(reader.into_inner().read)
}

async fn read_object<O: ObjectStore + 'static>(
    log: &Log<O>,
    object: &ListedObject,
    reader: &RefCell<Reader<'_>>,
) -> Result<(), StorageError> {
    let mut newest = None;
    let mut lines = match log.lines(&object.key).await {
        Ok(lines) => lines,
        Err(error) => return reader.borrow_mut().fault(error),
    };
    loop {
        match lines.next().await {
            Ok(None) => break,
            Ok(Some((number, json))) => {
                let taken = reader.borrow_mut().line(json);
                match taken {
                    Ok(seconds) => newest = newest.max(seconds),
                    Err(fault) => {
                        let place = format!("{}, line {number}: {fault}", log.name(&object.key));
                        reader.borrow_mut().note(place);
                    }
                }
            }
            Err(error) => reader.borrow_mut().fault(error)?,
        }
    }
    if let Some(newest) = newest {
        let late = Timestamp(newest * 1_000).until(object.modified);
        let latest = &mut reader.borrow_mut().read.report.latest;
        *latest = (*latest).max(Some(late));
    }
    Ok(())
}

struct Reader<'a> {
    table: &'a str,
    read: HourRead,
    held: &'a Held,
    wanted: Option<&'a mut Wanted>,
}

impl Reader<'_> {
    /// Takes a line and says when its change happened, unless the record was given up in between.
    fn line(&mut self, json: &str) -> Result<Option<u64>, String> {
        let report = &mut self.read.report;
        let record = StreamRecord::parse(json).map_err(|fault| fault.to_string())?;
        record
            .check_table(self.table)
            .map_err(|fault| fault.to_string())?;
        if record.seconds / SECONDS_PER_HOUR != report.hour {
            let changed = Timestamp(record.seconds * 1_000).iso();
            return Err(format!(
                "its change is of {changed}: expected one of the folder's hour"
            ));
        }
        let event = of_event(&record.event_id);
        let seconds = (!self.held.has(&event)).then_some(record.seconds);
        if !self.read.events.insert(event) {
            report.duplicates += 1;
            return Ok(seconds);
        }
        report.records += 1;
        *match record.kind {
            ChangeKind::Insert => &mut report.inserts,
            ChangeKind::Modify => &mut report.modifies,
            ChangeKind::Remove => &mut report.removes,
        } += 1;
        if !self.read.labels.contains(&*record.stream_label) {
            self.read.labels.insert(record.stream_label.to_string());
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.cross_off(&record);
        }
        Ok(seconds)
    }

    /// What is wrong with the object is a fault of the log; what is wrong with the store is not.
    fn fault(&mut self, error: LogError) -> Result<(), StorageError> {
        match error {
            LogError::Store(error) => Err(error),
            fault => {
                self.note(describe(&fault));
                Ok(())
            }
        }
    }

    fn note(&mut self, fault: String) {
        self.read.report.faults += 1;
        if self.read.faults.len() < SHOWN {
            self.read.faults.push(fault);
        }
    }
}
