//! The merged state of a change log into a table, or into a file.

mod back_off;
mod fill;
mod gather;
mod marker;
mod spill;
#[cfg(test)]
mod tests;
mod update;

use std::io;
use std::path::{Path, PathBuf};

use bulk_writer::WriteFailure;
use records::changes::ChangeKind;
use records::{Item, TableShape, Value};
use storage::{Clock, ItemStore, ObjectStore, ScanPage, StorageError, TableStore};

use crate::advice::Advice;
use crate::change_log::{Log, LogError};
use crate::output::{LinesFile, OutputError, WholeFile};
use gather::gather;
use marker::Marker;
use spill::LOG_BYTES_OF_PART;

pub use gather::Census;
pub use marker::MarkerError;

const ADVICE: Advice = Advice {
    option: "--into",
    rights: "dynamodb:DescribeTable, dynamodb:Scan and dynamodb:BatchWriteItem on it, or with --version-attribute dynamodb:DescribeTable, dynamodb:PutItem and dynamodb:DeleteItem",
    throttled: ": try again later, raise its capacity or lower --rate",
};

/// What is to be written, and how.
#[derive(Debug, Clone, Copy)]
pub struct Replay<'a> {
    /// The table that is written.
    pub table: &'a str,
    /// The state is that before this second; nothing for all that the log has, or, with [`Mode::Again`], had at the first try.
    pub until: Option<u64>,
    /// What the table may hold already.
    pub mode: Mode<'a>,
    /// Where it is kept which replay fills the table, until that has ended; a table that lives needs none.
    pub marker: &'a Path,
    /// Where the items go that DynamoDB refuses.
    pub unprocessed: &'a Path,
    /// Where the random back-off begins.
    pub seed: u64,
}

/// What the table may hold, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode<'a> {
    /// Nothing.
    Empty,
    /// Nothing but what an earlier try of the very same replay has put, whose marker is there.
    Again,
    /// Anything: an item is written only over an older one.
    Living {
        /// The attribute that grows with each write of an item.
        version: &'a str,
        /// The most writes a second.
        per_second: u32,
    },
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The log is read; in bytes as they are stored.
    Reading {
        /// So much is read.
        done: u64,
        /// So much there is.
        total: u64,
    },
    /// The lines are merged; in parts.
    Merging {
        /// So much is merged.
        done: u64,
        /// So much there is.
        total: u64,
    },
    /// The table or the file is written; in items and removals.
    Writing {
        /// So much has settled.
        done: u64,
        /// So much there is.
        total: u64,
        /// Items that were not written and were sent again.
        throttled: u64,
    },
}

/// What became of the keys. Together they are all keys of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates {
    /// Items that were put.
    pub written: u64,
    /// Items that were deleted, because the log's last word is that they were removed.
    pub deleted: u64,
    /// Keys whose items were as the log has them already, there or not there.
    pub already_there: u64,
    /// Items that stayed, because the table's is newer, or cannot be compared.
    pub newer: u64,
    /// Items, or last images of removed ones, without the version attribute: nothing was done.
    pub without_version: u64,
    /// Removed items of which nothing had to be done in an empty table.
    pub removed: u64,
    /// Items that DynamoDB refused.
    pub refused: u64,
}

impl Fates {
    fn total(&self) -> u64 {
        self.written
            + self.deleted
            + self.already_there
            + self.newer
            + self.without_version
            + self.removed
            + self.refused
    }
}

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// What the log held.
    pub census: Census,
    /// What became of it.
    pub fates: Fates,
    /// The refused items with the reasons, if there are any.
    pub unprocessed: Option<PathBuf>,
}

/// Why a replay could not be done. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An object of the log, or a line of it, cannot be read.
    #[error("the log cannot be read, so nothing is written{}", how_to_go_on(.0))]
    Log(#[source] LogError),
    /// There is nothing of the table's log in the bucket, or not of the time in question.
    #[error(
        "the bucket {bucket} has no change log of the table {table} for that time: expected objects under changes/table={table}/ (check --bucket, --table and --until)"
    )]
    NoLog {
        /// The table.
        table: String,
        /// The bucket.
        bucket: String,
    },
    /// A line is whole and cannot be used.
    #[error("{object}, line {line}: {reason}; nothing is written")]
    Unfit {
        /// `s3://bucket/key`.
        object: String,
        /// From 1.
        line: u64,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The log says that an item changed, and not to what.
    #[error(
        "the last change of the key {key} has no image of the item, so nothing is written: expected a stream with the view NEW_IMAGE or NEW_AND_OLD_IMAGES (the log cannot be replayed until a snapshot from after that change is in it)"
    )]
    NoImage {
        /// The key as JSON.
        key: String,
    },
    /// The folder for temporary files cannot be used.
    #[error(
        "the lines of the log cannot be kept in the folder for temporary files (TMPDIR names another one, with room for about the size of the log)"
    )]
    Spill(#[source] io::Error),
    /// The table's keys cannot be found out, or its items not be read.
    #[error("{}", ADVICE.about(table, source.kind()))]
    Table {
        /// The table.
        table: String,
        /// The store's answer.
        source: StorageError,
    },
    /// Items would be written over others without a look at them.
    #[error(
        "the table {0} is not empty: name an empty one, or, to write only over what is older, the attribute that tells (--version-attribute); a replay that was stopped is repeated with --again"
    )]
    NotEmpty(String),
    /// The version attribute is a part of the key.
    #[error(
        "{0:?} is a key attribute of the table: expected --version-attribute to name one that grows with each write of an item"
    )]
    VersionIsKey(String),
    /// The marker of an earlier try is not there, or one of another replay.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The table took no more items.
    #[error(
        "{}; {written} items are written so far, and running the command again with --again added is safe",
        ADVICE.about_failure(table, source)
    )]
    Unfilled {
        /// The table.
        table: String,
        /// Items that the table has acknowledged.
        written: u64,
        /// Why.
        source: Box<WriteFailure>,
    },
    /// A write on a condition failed.
    #[error(
        "{}; {done} of {total} keys are done so far, and running the command again is safe",
        ADVICE.about_failure(table, source)
    )]
    NotUpdated {
        /// The table.
        table: String,
        /// Keys that have settled.
        done: u64,
        /// Keys of the log.
        total: u64,
        /// Why.
        source: Box<WriteFailure>,
    },
}

impl ReplayError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NotEmpty(_) | Self::VersionIsKey(_) => true,
            Self::Marker(error) => error.is_usage(),
            _ => false,
        }
    }

    fn no_image(keys: &Item) -> Self {
        let mut key = Vec::new();
        Value::M(keys.clone()).write_plain_json(&mut key);
        Self::NoImage {
            key: String::from_utf8_lossy(&key).into_owned(),
        }
    }

    fn table(table: &str) -> impl FnOnce(StorageError) -> Self {
        move |source| Self::Table {
            table: table.to_owned(),
            source,
        }
    }
}

fn how_to_go_on(error: &LogError) -> &'static str {
    match error {
        LogError::Store(_) => "",
        _ => {
            " (put the object back as it was: without it the log cannot be replayed until a snapshot from after it is in the log)"
        }
    }
}

/// Writes the merged state of a log into a table. Running the same replay again is safe: with [`Mode::Again`] where it was
/// [`Mode::Empty`], and as it is where the table lives.
///
/// # Errors
/// Whatever keeps the state from being found out, before anything is written, or from being written.
pub async fn replay<O, T, C>(
    replay: &Replay<'_>,
    log: &Log<O>,
    tables: &T,
    clock: &C,
    on_progress: impl FnMut(&Progress),
) -> Result<Replayed, ReplayError>
where
    O: ObjectStore + 'static,
    T: TableStore + ItemStore,
    C: Clock,
{
    replay_in_parts(replay, log, tables, clock, LOG_BYTES_OF_PART, on_progress).await
}

async fn replay_in_parts<O, T, C>(
    replay: &Replay<'_>,
    log: &Log<O>,
    tables: &T,
    clock: &C,
    part_bytes: u64,
    on_progress: impl FnMut(&Progress),
) -> Result<Replayed, ReplayError>
where
    O: ObjectStore + 'static,
    T: TableStore + ItemStore,
    C: Clock,
{
    let shape = tables
        .describe(replay.table)
        .await
        .map_err(ReplayError::table(replay.table))?;
    let into = Target {
        shape: &shape,
        tables,
        clock,
    };
    match replay.mode {
        Mode::Empty | Mode::Again => fill_all(replay, log, &into, part_bytes, on_progress).await,
        Mode::Living {
            version,
            per_second,
        } => {
            let rule = update::ByVersion {
                attribute: version,
                per_second,
            };
            update_all(replay, &rule, log, &into, part_bytes, on_progress).await
        }
    }
}

async fn fill_all<O, T, C>(
    replay: &Replay<'_>,
    log: &Log<O>,
    into: &Target<'_, T, C>,
    part_bytes: u64,
    mut on_progress: impl FnMut(&Progress),
) -> Result<Replayed, ReplayError>
where
    O: ObjectStore + 'static,
    T: TableStore + ItemStore,
    C: Clock,
{
    if replay.mode == Mode::Empty {
        check_empty(into.tables, into.shape).await?;
    }
    let table = into.tables.identity(replay.table).await;
    let table = table.map_err(ReplayError::table(replay.table))?;
    let until = marker::until_of(replay, &table, log)?;
    let mut refused = LinesFile::create(replay.unprocessed.to_owned())?;
    let shape = Some(into.shape);
    let gathered = gather(log, until, shape, part_bytes, &mut on_progress).await?;
    Marker::of(&table, log, gathered.until()).write(replay.marker)?;
    let fates = fill::fill(&gathered, into, replay.seed, &mut refused, &mut on_progress).await?;
    let unprocessed = refused.finish()?;
    Marker::remove(replay.marker)?;
    Ok(Replayed {
        census: gathered.census,
        fates,
        unprocessed,
    })
}

async fn update_all<O, T, C>(
    replay: &Replay<'_>,
    rule: &update::ByVersion<'_>,
    log: &Log<O>,
    into: &Target<'_, T, C>,
    part_bytes: u64,
    mut on_progress: impl FnMut(&Progress),
) -> Result<Replayed, ReplayError>
where
    O: ObjectStore + 'static,
    T: ItemStore,
    C: Clock,
{
    if into.shape.keys().any(|key| key.name == rule.attribute) {
        return Err(ReplayError::VersionIsKey(rule.attribute.to_owned()));
    }
    let mut refused = LinesFile::create(replay.unprocessed.to_owned())?;
    let shape = Some(into.shape);
    let gathered = gather(log, replay.until, shape, part_bytes, &mut on_progress).await?;
    let seed = replay.seed;
    let updated = update::update(&gathered, into, rule, seed, &mut refused, &mut on_progress);
    Ok(Replayed {
        fates: updated.await?,
        census: gathered.census,
        unprocessed: refused.finish()?,
    })
}

/// The table that is written.
struct Target<'a, T, C> {
    shape: &'a TableShape,
    tables: &'a T,
    clock: &'a C,
}

async fn check_empty(tables: &impl ItemStore, shape: &TableShape) -> Result<(), ReplayError> {
    let mut page = ScanPage {
        segment: 0,
        segments: 1,
        limit: Some(1),
        consistent: true,
        start: None,
        attributes: Some(vec![shape.partition.name.clone()]),
    };
    loop {
        let scanned = tables
            .scan_page(shape, &page)
            .await
            .map_err(ReplayError::table(&shape.name))?;
        if !scanned.items.is_empty() {
            return Err(ReplayError::NotEmpty(shape.name.clone()));
        }
        match scanned.next {
            Some(next) => page.start = Some(next),
            None => return Ok(()),
        }
    }
}

/// Writes the items of the merged state of a log into a file, as lines of DynamoDB JSON.
///
/// # Errors
/// As [`replay`].
pub async fn replay_into_file<O: ObjectStore + 'static>(
    log: &Log<O>,
    until: Option<u64>,
    output: &Path,
    mut on_progress: impl FnMut(&Progress),
) -> Result<Replayed, ReplayError> {
    let mut file = WholeFile::create(output)?;
    let gathered = gather(log, until, None, LOG_BYTES_OF_PART, &mut on_progress).await?;
    let mut fates = Fates::default();
    for part in 0..gathered.parts() {
        for state in gathered.states(part)? {
            match (state.kind, state.new_image) {
                (ChangeKind::Remove, _) | (_, None) => fates.removed += 1,
                (_, Some(item)) => {
                    file.append(item.as_bytes())?;
                    file.append(b"\n")?;
                    fates.written += 1;
                }
            }
        }
        on_progress(&Progress::Writing {
            done: fates.total(),
            total: gathered.census.keys,
            throttled: 0,
        });
    }
    file.finish()?;
    Ok(Replayed {
        census: gathered.census,
        fates,
        unprocessed: None,
    })
}

/// A line of the file of items that DynamoDB refused.
fn refused_line(reason: &str, item: &str) -> Vec<u8> {
    let reason = serde_json::Value::from(reason);
    format!("{{\"reason\":{reason},\"item\":{item}}}\n").into_bytes()
}
