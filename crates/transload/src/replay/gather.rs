//! The log's lines that take part, on the disk, and the state of every key out of them.

use std::cell::RefCell;
use std::io;

use futures_util::{StreamExt, TryStreamExt, stream};
use records::changes::{
    ChangeKind, ChangeLine, KeyState, LogLine, Merge, MergeRule, SnapshotSource,
    canonical_key_of_any, hour_folder,
};
use records::{Item, TableShape, item_from_dynamodb_json};
use serde_json::value::RawValue;
use storage::{ListedObject, ObjectStore};

use super::spill::{Spill, Spilled, hash_of, parts_for};
use super::{Progress, ReplayError};
use crate::change_log::{Log, LogError};
use records::changes::SECONDS_PER_HOUR;

/// Objects that are read at a time: most of a stream's are small, and opening one takes longer than reading it.
const OBJECTS_AT_A_TIME: usize = 16;

/// What a log says, key by key, before anything is done with it.
#[derive(Debug)]
pub(super) struct Gathered {
    rule: MergeRule,
    spilled: Spilled,
    until: u64,
    pub(super) census: Census,
}

/// What was found in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// The time and source of the snapshot that the state begins with, if there is one.
    pub snapshot: Option<(u64, SnapshotSource)>,
    /// Objects that were read.
    pub objects: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Lines among them that take part.
    pub lines_used: u64,
    /// Keys that they speak of.
    pub keys: u64,
    /// Keys of which there is an item.
    pub items: u64,
    /// Keys of which the item is removed.
    pub removed: u64,
}

/// Reads all lines of the log that can matter for its state before the second `until`, and merges them once, so that nothing
/// is written anywhere if there is anything wrong with them. `target` is the table that they are for; a part is made of
/// `part_bytes` of the log.
///
/// # Errors
/// An object or a line that cannot be read, or does not fit the table; a key whose last change has no image.
pub(super) async fn gather<O: ObjectStore + 'static>(
    log: &Log<O>,
    until: Option<u64>,
    target: Option<&TableShape>,
    part_bytes: u64,
    on_progress: &mut impl FnMut(&Progress),
) -> Result<Gathered, ReplayError> {
    let complete = log.completions().await.map_err(ReplayError::Log)?;
    let rule = MergeRule::new(&complete, until.unwrap_or(u64::MAX));
    let objects = objects_of(log, &rule, until).await?;
    let total: u64 = objects.iter().map(|object| object.bytes).sum();
    let parts = parts_for(total, part_bytes);
    let ends = complete.iter().map(|complete| complete.end);
    let intake = RefCell::new(Intake {
        rule: &rule,
        target,
        spill: Spill::new(parts).map_err(ReplayError::Spill)?,
        census: Census {
            snapshot: rule.snapshot(),
            objects: objects.len() as u64,
            ..Census::default()
        },
        end: ends.max().unwrap_or(0),
    });
    let mut done = 0;
    let mut read = stream::iter(objects)
        .map(async |object| {
            read_object(log, &object.key, &intake).await?;
            Ok::<u64, ReplayError>(object.bytes)
        })
        .buffer_unordered(OBJECTS_AT_A_TIME);
    while let Some(bytes) = read.try_next().await? {
        done += bytes;
        on_progress(&Progress::Reading { done, total });
    }
    drop(read);
    let Intake {
        spill, census, end, ..
    } = intake.into_inner();
    let mut gathered = Gathered {
        spilled: spill.finish().map_err(ReplayError::Spill)?,
        rule,
        until: until.unwrap_or(end),
        census,
    };
    gathered.count(on_progress)?;
    Ok(gathered)
}

/// The objects of the hours that can matter: from a minute before the snapshot to `until`.
async fn objects_of<O: ObjectStore + 'static>(
    log: &Log<O>,
    rule: &MergeRule,
    until: Option<u64>,
) -> Result<Vec<ListedObject>, ReplayError> {
    let since = rule.since();
    let mut objects = Vec::new();
    for source in ["export", "scan", "stream"] {
        // Names of folders are ordered as their hours are.
        let first = hour_folder(log.table(), source, since);
        let after = until.map(|until| hour_folder(log.table(), source, until + SECONDS_PER_HOUR));
        let in_time = |object: &ListedObject| {
            object.key >= first && after.as_ref().is_none_or(|after| object.key < *after)
        };
        let listed = log.all(source).await;
        let listed = listed.map_err(|error| ReplayError::Log(LogError::Store(error)))?;
        objects.extend(listed.into_iter().filter(in_time));
    }
    // A table that was empty has a snapshot without rows.
    match objects.is_empty() && rule.snapshot().is_none() {
        true => Err(ReplayError::NoLog {
            table: log.table().to_owned(),
            bucket: log.bucket().to_owned(),
        }),
        false => Ok(objects),
    }
}

struct Intake<'a> {
    rule: &'a MergeRule,
    target: Option<&'a TableShape>,
    spill: Spill,
    census: Census,
    /// The first second that is after everything in the log.
    end: u64,
}

async fn read_object<O: ObjectStore + 'static>(
    log: &Log<O>,
    key: &str,
    intake: &RefCell<Intake<'_>>,
) -> Result<(), ReplayError> {
    let object = || log.name(key);
    let mut lines = log.lines(key).await.map_err(ReplayError::Log)?;
    while let Some((line, json)) = lines.next().await.map_err(ReplayError::Log)? {
        let parsed = LogLine::parse(json).map_err(|source| {
            ReplayError::Log(LogError::Line {
                object: object(),
                line,
                source,
            })
        })?;
        let mut intake = intake.borrow_mut();
        intake.census.lines += 1;
        let LogLine::Change(change) = parsed else {
            continue;
        };
        intake.end = intake.end.max(change.seconds.saturating_add(1));
        intake.check(&change).map_err(|reason| ReplayError::Unfit {
            object: object(),
            line,
            reason,
        })?;
        intake.take(&change, json).map_err(ReplayError::Spill)?;
    }
    Ok(())
}

impl Intake<'_> {
    /// Whether the line can be used for what it is wanted for, or what is wrong with it.
    fn check(&self, change: &ChangeLine<'_>) -> Result<(), String> {
        check_image("dynamodb.NewImage", change.new_image, &change.keys)?;
        check_image("dynamodb.OldImage", change.old_image, &change.keys)?;
        self.target
            .map_or(Ok(()), |target| check_keys(target, &change.keys))
    }

    fn take(&mut self, change: &ChangeLine<'_>, json: &str) -> io::Result<()> {
        if self.rule.rank(change).is_none() {
            return Ok(());
        }
        self.census.lines_used += 1;
        let key = canonical_key_of_any(&change.keys);
        self.spill.push(&key, json)
    }
}

fn check_image(member: &str, image: Option<&RawValue>, keys: &Item) -> Result<(), String> {
    let Some(image) = image else {
        return Ok(());
    };
    let item = item_from_dynamodb_json(image.get())
        .map_err(|error| format!("{member}: {error}: expected an item as DynamoDB JSON"))?;
    for (name, value) in keys {
        if item.get(name) != Some(value) {
            return Err(format!(
                "{member} has another {name:?} than dynamodb.Keys: expected the item of that key"
            ));
        }
    }
    Ok(())
}

/// Whether the keys are those of the table: with others, two items of the log could be one of the table.
fn check_keys(target: &TableShape, keys: &Item) -> Result<(), String> {
    let table = &target.name;
    if let Some(name) = keys
        .keys()
        .find(|name| target.keys().all(|key| key.name != **name))
    {
        return Err(format!(
            "{name:?} is a key attribute, and not one of the table {table}: expected a table with the same keys"
        ));
    }
    let key = target.canonical_key(keys);
    key.map(|_| ())
        .map_err(|error| format!("{error}: expected the keys of the table {table}"))
}

impl Gathered {
    /// In how many parts the keys are.
    pub(super) fn parts(&self) -> usize {
        self.spilled.parts()
    }

    /// The second before which the state is: the one that was asked for, or the first one after everything in the log.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// The state of every key of a part, in an order in which keys that are next to each other in the table are not: writes in
    /// their order would all go to one partition at a time.
    pub(super) fn scattered(
        &self,
        part: usize,
    ) -> Result<impl Iterator<Item = KeyState> + use<>, ReplayError> {
        let mut states: Vec<KeyState> = self.states(part)?.collect();
        states.sort_by_cached_key(|state| hash_of(&canonical_key_of_any(&state.keys)));
        Ok(states.into_iter())
    }

    /// The state of every key of a part, in the order of their canonical keys.
    pub(super) fn states(
        &self,
        part: usize,
    ) -> Result<impl Iterator<Item = KeyState> + use<>, ReplayError> {
        let mut merge = Merge::new(self.rule.clone());
        let read = self.spilled.read(part, |line| {
            if let Ok(LogLine::Change(change)) = LogLine::parse(line) {
                merge.push(*change);
            }
        });
        read.map_err(ReplayError::Spill)?;
        Ok(merge.finish())
    }

    fn count(&mut self, on_progress: &mut impl FnMut(&Progress)) -> Result<(), ReplayError> {
        for part in 0..self.parts() {
            for state in self.states(part)? {
                self.census.keys += 1;
                match (state.kind, &state.new_image) {
                    (ChangeKind::Remove, _) => self.census.removed += 1,
                    (_, Some(_)) => self.census.items += 1,
                    (_, None) => return Err(ReplayError::no_image(&state.keys)),
                }
            }
            on_progress(&Progress::Merging {
                done: part as u64 + 1,
                total: self.parts() as u64,
            });
        }
        Ok(())
    }
}
