//! A small write to every item of a table, so that each of them appears on the table's stream.

mod checkpoint;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use records::{Item, TableShape, Value};
use serde::{Deserialize, Serialize};
use storage::{
    Clock, Condition, ErrorKind, ItemStore, ItemWrite, ScanPage, StorageError, TableIdentity,
    TableStore, WriteOutcome,
};

use crate::advice::Advice;
use crate::output::OutputError;
use crate::pacer::Pacer;
use checkpoint::{Checkpoint, Segment};

/// Items of one page of a segment. The checkpoint is written after a page of each segment.
const PAGE_ITEMS: u32 = 100;
/// Writes under way at a time; the pace is kept however many these are.
const IN_FLIGHT: usize = 16;

const ADVICE: Advice = Advice {
    option: "--table",
    rights: "dynamodb:DescribeTable, dynamodb:Scan and dynamodb:UpdateItem on it",
    throttled: ", so this has stopped: try again later, with a lower --rate",
};

/// What is to be touched.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The table.
    pub table: &'a str,
    /// The attribute that is set.
    pub attribute: &'a str,
    /// What it is set to.
    pub value: &'a Value,
    /// The most writes a second, and the most read units a second.
    pub per_second: u32,
    /// Into how many segments the table is cut; they are touched by turns.
    pub segments: u32,
    /// Where it is kept how far this has come.
    pub checkpoint: &'a Path,
}

/// Items by what became of them. A page that was not finished when a touch was stopped is looked at again, and what was touched in
/// it counts as holding the value then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TouchedCounts {
    /// Items that the scan has found.
    pub seen: u64,
    /// Items that were written.
    pub touched: u64,
    /// Items that held the value already.
    pub held: u64,
    /// Items that were gone when they were to be written.
    pub gone: u64,
    /// Items that DynamoDB refused to write.
    pub refused: u64,
}

/// How far a touch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TouchProgress {
    /// The items so far, those of earlier tries among them.
    pub counts: TouchedCounts,
    /// How many of them an earlier try had seen.
    pub seen_before: u64,
    /// Items of the table, as DynamoDB has last counted them.
    pub about: u64,
}

/// What a touch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The items, those of earlier tries among them.
    pub counts: TouchedCounts,
    /// Whether an earlier try was gone on with.
    pub resumed: bool,
    /// DynamoDB's reason for the first item that it refused.
    pub first_refusal: Option<String>,
}

/// Why items were not touched. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum TouchError {
    /// The table cannot be used.
    #[error("{}", ADVICE.about(table, source.kind()))]
    Table {
        /// The table.
        table: String,
        /// The store's answer.
        source: StorageError,
    },
    /// The attribute is part of a key, of the table or of an index.
    #[error(
        "{attribute:?} is a key attribute of {of}: expected --attribute to name one that is no key, best one that nothing reads"
    )]
    KeyAttribute {
        /// The attribute.
        attribute: String,
        /// `the table offers`, `the index by_price`.
        of: String,
    },
    /// A touch would make nothing appear anywhere.
    #[error(
        "the table {0} has no stream, so touching its items would make nothing appear: enable a stream with the view NEW_AND_OLD_IMAGES first"
    )]
    NoStream(String),
    /// The checkpoint cannot be read.
    #[error("cannot read the checkpoint {path:?}")]
    UnreadCheckpoint {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The file is no checkpoint.
    #[error(
        "{path:?} is no checkpoint ({reason}): expected one that transload touch has written; delete it to begin anew, or name another --checkpoint"
    )]
    WrongCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint is one of another touch.
    #[error(
        "the checkpoint {path:?} is of another touch, with the {what} {found}: expected {expected}; finish that one, delete the file, or name another --checkpoint"
    )]
    OtherCheckpoint {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The checkpoint cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A finished touch leaves no checkpoint, and this one stayed.
    #[error("every item is touched, but the checkpoint {path:?} cannot be removed: remove it")]
    LeftCheckpoint {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// A scan or a write failed.
    #[error(
        "{}; {seen} items are done, and running the command again goes on after them",
        ADVICE.about(table, source.kind())
    )]
    Stopped {
        /// The table.
        table: String,
        /// Items up to the checkpoint.
        seen: u64,
        /// The store's answer.
        source: StorageError,
    },
}

impl TouchError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::KeyAttribute { .. } | Self::WrongCheckpoint { .. } | Self::OtherCheckpoint { .. }
        )
    }
}

/// Sets the attribute of every item that is there, at an even pace, and goes on where an earlier try has stopped. An item that is
/// gone when its turn comes stays gone, and one that holds the value already is not written.
///
/// # Errors
/// Whatever keeps items from being touched. Running the same touch again goes on from the last checkpoint.
pub async fn touch<T: TableStore + ItemStore, C: Clock>(
    job: &Job<'_>,
    tables: &T,
    clock: &C,
    mut on_progress: impl FnMut(&TouchProgress),
) -> Result<Touched, TouchError> {
    let unusable = |source| TouchError::Table {
        table: job.table.to_owned(),
        source,
    };
    let shape = tables.describe(job.table).await.map_err(unusable)?;
    check_attribute(job.attribute, &shape)?;
    if tables.stream(job.table).await.map_err(unusable)?.is_none() {
        return Err(TouchError::NoStream(job.table.to_owned()));
    }
    let about = tables.item_count(job.table).await.map_err(unusable)?;
    let identity = tables.identity(job.table).await.map_err(unusable)?;
    let found = Checkpoint::read(job.checkpoint, job, &identity)?;
    let resumed = found.is_some();
    let checkpoint = found.unwrap_or_else(|| Checkpoint::begin(job.segments));
    // What cannot be written is found out before the first item is.
    checkpoint.write(job.checkpoint, job, &identity)?;
    let mut touching = Touching {
        job,
        tables,
        shape: &shape,
        identity,
        pacer: Pacer::new(clock, job.per_second),
        progress: TouchProgress {
            counts: checkpoint.counts,
            seen_before: checkpoint.counts.seen,
            about,
        },
        checkpoint,
        first_refusal: None,
    };
    while touching.round(&mut on_progress).await? {}
    fs::remove_file(job.checkpoint).map_err(|source| TouchError::LeftCheckpoint {
        path: job.checkpoint.to_owned(),
        source,
    })?;
    Ok(Touched {
        counts: touching.checkpoint.counts,
        resumed,
        first_refusal: touching.first_refusal,
    })
}

fn check_attribute(attribute: &str, shape: &TableShape) -> Result<(), TouchError> {
    let index_keys = shape.indexes.iter().flat_map(|index| {
        let keys = index.partition.iter().chain(&index.sort);
        keys.map(|key| (key, format!("the index {}", index.name)))
    });
    let mut keys = shape
        .keys()
        .map(|key| (key, format!("the table {}", shape.name)))
        .chain(index_keys);
    match keys.find(|(key, _)| key.name == attribute) {
        None => Ok(()),
        Some((_, of)) => Err(TouchError::KeyAttribute {
            attribute: attribute.to_owned(),
            of,
        }),
    }
}

struct Touching<'a, T, C> {
    job: &'a Job<'a>,
    tables: &'a T,
    shape: &'a TableShape,
    identity: TableIdentity,
    pacer: Pacer<'a, C>,
    /// What is on the disk.
    checkpoint: Checkpoint,
    progress: TouchProgress,
    first_refusal: Option<String>,
}

enum Fate {
    Touched,
    Held,
    Gone,
    Refused(String),
}

impl<T: ItemStore, C: Clock> Touching<'_, T, C> {
    /// Touches a page of each segment, and writes down that they are done; says whether there is more to do.
    async fn round(
        &mut self,
        on_progress: &mut impl FnMut(&TouchProgress),
    ) -> Result<bool, TouchError> {
        let open = |segment: &Segment| matches!(segment, Segment::After(_));
        if !self.checkpoint.segments.iter().any(open) {
            return Ok(false);
        }
        let mut segments = self.checkpoint.segments.clone();
        let (pages, capacity_tenths) = self.read_pages(&mut segments).await?;
        // Reading has its pace too: where there is little to write, it would take all the capacity there is.
        let pause = Duration::from_millis(capacity_tenths * 100) / self.job.per_second.max(1);
        let ((), written) = tokio::join!(
            tokio::time::sleep(pause),
            self.write(by_turns(pages), on_progress)
        );
        written.map_err(|source| self.stopped(source))?;
        self.checkpoint = Checkpoint {
            segments,
            counts: self.progress.counts,
        };
        self.checkpoint
            .write(self.job.checkpoint, self.job, &self.identity)?;
        Ok(true)
    }

    fn stopped(&self, source: StorageError) -> TouchError {
        TouchError::Stopped {
            table: self.job.table.to_owned(),
            seen: self.checkpoint.counts.seen,
            source,
        }
    }

    /// The next page of each open segment, each of which is moved on, and what they cost.
    async fn read_pages(
        &self,
        segments: &mut [Segment],
    ) -> Result<(Vec<Vec<Item>>, u64), TouchError> {
        let mut attributes: Vec<String> = self.shape.keys().map(|key| key.name.clone()).collect();
        attributes.push(self.job.attribute.to_owned());
        let open = (0..).zip(segments).filter_map(|(number, segment)| {
            let Segment::After(start) = segment else {
                return None;
            };
            let page = ScanPage {
                segment: number,
                segments: self.job.segments,
                limit: Some(PAGE_ITEMS),
                consistent: false,
                start: start.clone(),
                attributes: Some(attributes.clone()),
            };
            Some(async move { (segment, self.tables.scan_page(self.shape, &page).await) })
        });
        let (mut pages, mut capacity_tenths) = (Vec::new(), 0);
        for (segment, scanned) in future::join_all(open).await {
            let scanned = scanned.map_err(|source| self.stopped(source))?;
            *segment = match scanned.next {
                Some(next) => Segment::After(Some(next)),
                None => Segment::Ended,
            };
            capacity_tenths += scanned.capacity_tenths;
            pages.push(scanned.items);
        }
        Ok((pages, capacity_tenths))
    }

    async fn write(
        &mut self,
        items: Vec<Item>,
        on_progress: &mut impl FnMut(&TouchProgress),
    ) -> Result<(), StorageError> {
        let (job, tables, shape) = (self.job, self.tables, self.shape);
        let paced = stream::unfold(
            (items.into_iter(), &mut self.pacer),
            |(mut items, pacer)| async {
                let mut key = items.next()?;
                let held = key.remove(job.attribute).as_ref() == Some(job.value);
                if !held {
                    pacer.turn().await;
                }
                Some(((key, held), (items, pacer)))
            },
        );
        let mut written = std::pin::pin!(
            paced
                .map(async |(key, held)| match held {
                    true => Ok(Fate::Held),
                    false => touch_one(job, tables, shape, key).await,
                })
                .buffer_unordered(IN_FLIGHT)
        );
        while let Some(fate) = written.next().await {
            let counts = &mut self.progress.counts;
            match fate? {
                Fate::Touched => counts.touched += 1,
                Fate::Held => counts.held += 1,
                Fate::Gone => counts.gone += 1,
                Fate::Refused(reason) => {
                    counts.refused += 1;
                    self.first_refusal.get_or_insert(reason);
                }
            }
            counts.seen += 1;
            on_progress(&self.progress);
        }
        Ok(())
    }
}

async fn touch_one(
    job: &Job<'_>,
    tables: &impl ItemStore,
    shape: &TableShape,
    key: Item,
) -> Result<Fate, StorageError> {
    let write = ItemWrite::Update {
        key,
        set: Item::from([(job.attribute.to_owned(), job.value.clone())]),
        remove: Vec::new(),
    };
    let condition = Condition::ExistsAndDiffers {
        attribute: job.attribute.to_owned(),
        from: job.value.clone(),
    };
    match tables.write_if(shape, &write, &condition).await {
        Ok(WriteOutcome::Updated(_) | WriteOutcome::Done) => Ok(Fate::Touched),
        Ok(WriteOutcome::Refused(Some(_))) => Ok(Fate::Held),
        Ok(WriteOutcome::Refused(None)) => Ok(Fate::Gone),
        // Such as an item that would be over 400 KB: the others can be touched.
        Err(error) if error.kind() == ErrorKind::Refused => {
            Ok(Fate::Refused(error.message().to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// One item of each page after the other: the pages are of different partitions, and no partition has to take all writes.
fn by_turns(pages: Vec<Vec<Item>>) -> Vec<Item> {
    let longest = pages.iter().map(Vec::len).max().unwrap_or(0);
    let mut pages: Vec<_> = pages.into_iter().map(Vec::into_iter).collect();
    (0..longest)
        .flat_map(|_| {
            pages
                .iter_mut()
                .filter_map(Iterator::next)
                .collect::<Vec<_>>()
        })
        .collect()
}
