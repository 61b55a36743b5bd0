//! The row of a segment: how far it is, and who reads it.
//!
//! A scan cannot be repeated, since items change between two readings. So the row decides what belongs to the scan: rows that a
//! worker has read and staged count from the one write on which both their objects and the place behind them are in the row.

use std::collections::BTreeMap;

use export_jobs::names::segment_part;
use export_jobs::output::{Checkpoint, EntityMark, StagedObject};
use export_jobs::{PartRow, Status, change};
use serde::{Deserialize, Serialize};
use storage::{Clock, ErrorKind, Ledger, StorageError, Timestamp};

/// Objects that a segment's row lists, the newest ones: a row has at most 400 KB, and a segment any number of objects.
const MAX_LISTED: usize = 200;

/// The checkpoint of a segment's row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Raised by each worker that takes the segment: the one before it commits nothing more.
    pub fence: u64,
    /// A value of the worker's own, so that no two of them ever write the same row.
    pub owner: String,
    /// The key of the last row that was committed, or that DynamoDB passed by, as DynamoDB JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// Whether the end of the segment was reached.
    pub is_whole: bool,
    /// The first second, counted from 1970, after its last page had come: no change of that second or a later one is in it.
    pub read_until: u64,
    /// When what was read is paid for, in milliseconds from 1970: the rate holds over invocations.
    pub paid_until: u64,
    /// Objects that belong to the scan, and that may not be visible yet.
    pub staged: Vec<StagedObject>,
    /// How far each data set is.
    pub entities: BTreeMap<String, EntityMark>,
    /// Objects of the segment, also those that its row does not list any more.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What a worker adds to a segment.
#[derive(Debug, Clone)]
pub struct Step {
    /// See [`Progress::after`].
    pub after: Option<String>,
    /// See [`Progress::is_whole`].
    pub is_whole: bool,
    /// See [`Progress::read_until`].
    pub read_until: u64,
    /// See [`Progress::paid_until`].
    pub paid_until: u64,
    /// Rows of the segment that were read so far.
    pub rows_read: u64,
    /// The objects of this step, and the data sets of the segment.
    pub outputs: Checkpoint,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is in the row, and its objects belong to the scan.
    Yes,
    /// Another worker has the segment.
    Lost {
        /// Whether the objects belong to the scan all the same: the write had landed, and only its answer was lost.
        is_in: bool,
    },
}

/// What a worker finds that wants a segment.
pub enum Taken<'a, L, C> {
    /// All of it is done.
    Completed(Box<PartRow>),
    /// It is this worker's.
    Held(Box<Held<'a, L, C>>),
}

/// A segment that is this worker's until another one takes it.
pub struct Held<'a, L, C> {
    ledger: &'a L,
    clock: &'a C,
    job: String,
    part: String,
    /// As this worker wrote it last.
    row: PartRow,
    progress: Progress,
}

impl Progress {
    /// How far a row says that its segment is.
    ///
    /// # Errors
    /// If the row is none of this version.
    pub fn of(row: &PartRow) -> Result<Self, StorageError> {
        match &row.checkpoint {
            None => Ok(Self::default()),
            Some(checkpoint) => Self::deserialize(checkpoint).map_err(|error| {
                let target = format!("the ledger row of {}", row.file_id);
                let message =
                    "the checkpoint is not as this version writes it: expected a segment's";
                StorageError::new(ErrorKind::Internal, "GetItem", target, message)
                    .with_source(error)
            }),
        }
    }

    fn is_of(&self, worker: &Self) -> bool {
        (self.fence, &self.owner) == (worker.fence, &worker.owner)
    }
}

/// The row of a segment that nobody has begun with.
pub fn pending_row(segment: u32) -> PartRow {
    PartRow {
        kind: "scan-segment".to_owned(),
        file_id: segment_part(segment),
        ..PartRow::default()
    }
}

fn write_into(row: &mut PartRow, progress: &Progress) {
    row.checkpoint =
        Some(serde_json::to_value(progress).expect("a checkpoint is texts, counts and lists"));
}

impl<'a, L: Ledger, C: Clock> Held<'a, L, C> {
    /// Takes the segment from whoever has it.
    ///
    /// # Errors
    /// If the ledger fails, or the row is none of this version.
    pub async fn take(
        ledger: &'a L,
        clock: &'a C,
        job: &str,
        segment: u32,
        owner: &str,
    ) -> Result<Taken<'a, L, C>, StorageError> {
        let part = segment_part(segment);
        let (row, progress) = change(ledger, clock, job, &part, |stored, now| {
            let row = stored.get_or_insert_with(|| pending_row(segment));
            let mut progress = Progress::of(row)?;
            if row.processing_status == Status::Completed {
                return Ok((row.clone(), progress));
            }
            match row.start_time {
                None => row.start_time = Some(now.iso()),
                Some(_) => row.retry_count += 1,
            }
            row.processing_status = Status::InProgress;
            row.error_message = None;
            row.end_time = None;
            progress.fence += 1;
            owner.clone_into(&mut progress.owner);
            write_into(row, &progress);
            Ok::<_, StorageError>((row.clone(), progress))
        })
        .await??;
        Ok(match row.processing_status {
            Status::Completed => Taken::Completed(Box::new(row)),
            _ => Taken::Held(Box::new(Self {
                ledger,
                clock,
                job: job.to_owned(),
                part,
                row,
                progress,
            })),
        })
    }

    /// How far the segment is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The row as this worker wrote it last.
    pub fn row(&self) -> &PartRow {
        &self.row
    }

    /// The job and the segment, for messages.
    pub fn name(&self) -> String {
        format!("{} of {}", self.part, self.job)
    }

    /// Adds a step: from now on its rows belong to the scan, and nobody reads them again. What was committed before must be
    /// visible by then, since the row forgets how to make it so.
    ///
    /// # Errors
    /// If the ledger fails. The step may have been added then, or may be added later, until another worker takes the segment.
    pub async fn commit(&mut self, step: Step) -> Result<Committed, StorageError> {
        let mut next = self.progress.clone();
        next.after = step.after;
        next.is_whole = step.is_whole;
        next.read_until = step.read_until;
        next.paid_until = step.paid_until;
        next.objects += step.outputs.objects.len() as u64;
        next.bytes += (step.outputs.objects.iter())
            .map(|one| one.staged.bytes)
            .sum::<u64>();
        let rows = step.outputs.rows();
        let listed = step.outputs.listed();
        next.staged = step.outputs.objects;
        next.entities = step.outputs.entities;
        let before = self.progress.clone();
        let (outcome, row) = change(
            self.ledger,
            self.clock,
            &self.job,
            &self.part,
            |stored: &mut Option<PartRow>, _| {
                let lost = (Committed::Lost { is_in: false }, None);
                let Some(row) = stored else {
                    return Ok(lost);
                };
                let held = Progress::of(row)?;
                if held == next {
                    return Ok((Committed::Yes, Some(row.clone())));
                }
                if !held.is_of(&before) {
                    // Objects that the row has no more were published before it forgot them.
                    let is_in = held.staged.iter().any(|one| next.staged.contains(one));
                    return Ok((Committed::Lost { is_in }, None));
                }
                row.rows_read = step.rows_read;
                row.rows_written = rows.written;
                row.rows_filtered = rows.filtered;
                row.objects.extend(listed.iter().cloned());
                let too_many = row.objects.len().saturating_sub(MAX_LISTED);
                row.objects.drain(..too_many);
                write_into(row, &next);
                Ok::<_, StorageError>((Committed::Yes, Some(row.clone())))
            },
        )
        .await??;
        if let Some(row) = row {
            self.row = row;
            self.progress = next;
        }
        Ok(outcome)
    }

    /// Says that all of the segment is done. Nothing if another worker has the segment, which will say so.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn complete(&self) -> Result<Option<PartRow>, StorageError> {
        let end = |row: &mut PartRow, now: Timestamp, mut progress: Progress| {
            progress.staged.clear();
            write_into(row, &progress);
            row.processing_status = Status::Completed;
            row.end_time = Some(now.iso());
        };
        change(
            self.ledger,
            self.clock,
            &self.job,
            &self.part,
            |stored: &mut Option<PartRow>, now| {
                let Some(row) = stored else {
                    return Ok(None);
                };
                let progress = Progress::of(row)?;
                if row.processing_status != Status::Completed {
                    if progress != self.progress || !progress.is_whole {
                        return Ok(None);
                    }
                    end(row, now, progress);
                }
                Ok(Some(row.clone()))
            },
        )
        .await?
    }

    /// Records why the segment cannot be read on, unless another worker has it.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn fail(&self, message: &str) -> Result<(), StorageError> {
        change(
            self.ledger,
            self.clock,
            &self.job,
            &self.part,
            |stored: &mut Option<PartRow>, now| {
                let Some(row) = stored else {
                    return Ok(());
                };
                if Progress::of(row)?.is_of(&self.progress) {
                    row.processing_status = Status::Failed;
                    row.error_message = Some(message.to_owned());
                    row.end_time = Some(now.iso());
                }
                Ok::<_, StorageError>(())
            },
        )
        .await?
    }
}
