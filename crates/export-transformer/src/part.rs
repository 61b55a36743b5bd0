//! The row of a data file: who may change it, and how.
//!
//! The row is the decision. Whoever has read and verified the whole file writes the staged objects into it, once, and only
//! objects that were decided on are ever published. Before that any number of invocations may work on the file; they do not
//! know of each other, and the first one to be whole decides.

use export_jobs::output::{Checkpoint, StagedObject};
use export_jobs::{PartRow, Status, change};
use serde::{Deserialize, Serialize};
use storage::{Clock, Ledger, StorageError, Timestamp};

use crate::request::DataFileEntry;
use crate::source::Prefix;

/// The `kind` of the rows.
const KIND: &str = "export-file";

/// How far a file is, as its row has it under `checkpoint` until it is COMPLETED.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What is staged.
    pub(crate) outputs: Checkpoint,
    /// The bytes that it was made of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) prefix: Option<Prefix>,
    /// Whether it is all, verified, and to be published.
    pub(crate) decided: bool,
    /// Whether the last invocation ended because its time was over, and nobody has gone on yet.
    pub(crate) handed_over: bool,
}

/// What an invocation finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// All is done.
    Completed { rows_read: u64, rows_written: u64 },
    /// Objects are decided on, and may not all be published.
    Decided(Checkpoint),
    /// There is work to do, from here on.
    Open(Progress),
    /// The row is COMPLETED with another file.
    OtherFile { location: String },
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is taken. These objects of others are of no use any more.
    Taken { superseded: Vec<StagedObject> },
    /// Another invocation had decided before.
    TakenBefore,
    /// What this one went on from is not in the row any more: its objects may be gone.
    Refused,
}

/// What a failure does with what is staged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnFailure<'a> {
    /// It stays, for whoever begins again.
    Keep,
    /// It is forgotten, if it is still this.
    Forget(&'a Checkpoint),
}

/// A data file's row.
pub(crate) struct Part<'a, L, C> {
    pub(crate) ledger: &'a L,
    pub(crate) clock: &'a C,
    pub(crate) job: &'a str,
    /// The file's name.
    pub(crate) name: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) file: &'a DataFileEntry,
}

impl<L: Ledger, C: Clock> Part<'_, L, C> {
    /// The file's name in full.
    pub(crate) fn location(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.file.data_file_s3_key)
    }

    /// Notes that somebody works on the file.
    pub(crate) async fn begin(&self) -> Result<Begun, StorageError> {
        self.change(|row, now| {
            if row.processing_status == Status::Completed {
                return match self.is_of(row) {
                    true => Begun::Completed {
                        rows_read: row.rows_read,
                        rows_written: row.rows_written,
                    },
                    false => Begun::OtherFile {
                        location: row.s3_location.clone(),
                    },
                };
            }
            if !self.is_of(row) {
                *row = self.fresh();
            }
            let mut progress = progress_of(row);
            if progress.decided {
                return Begun::Decided(progress.outputs);
            }
            match row.processing_status {
                Status::InProgress if progress.handed_over => {}
                Status::InProgress | Status::Failed => row.retry_count += 1,
                _ => {}
            }
            row.processing_status = Status::InProgress;
            row.start_time.get_or_insert_with(|| now.iso());
            row.end_time = None;
            progress.handed_over = false;
            record(row, &progress);
            Begun::Open(progress)
        })
        .await
    }

    /// Decides that `outputs` are the file's objects, if nobody has decided yet. `resumed` is what they went on from.
    pub(crate) async fn decide(
        &self,
        outputs: &Checkpoint,
        resumed: &Checkpoint,
    ) -> Result<Decision, StorageError> {
        self.change(|row, _| {
            let stored = progress_of(row);
            if row.processing_status == Status::Completed {
                return Decision::TakenBefore;
            }
            if stored.decided {
                return match stored.outputs == *outputs {
                    // Our own write, whose answer was lost.
                    true => Decision::Taken {
                        superseded: Vec::new(),
                    },
                    false => Decision::TakenBefore,
                };
            }
            // What was staged before is there for certain only as long as the row has it.
            if !self.is_of(row) || !stored.outputs.objects.starts_with(&resumed.objects) {
                return Decision::Refused;
            }
            let rows = outputs.rows();
            row.processing_status = Status::InProgress;
            row.rows_read = rows.read();
            row.rows_written = rows.written;
            row.rows_filtered = rows.filtered;
            record(
                row,
                &Progress {
                    outputs: outputs.clone(),
                    decided: true,
                    ..Progress::default()
                },
            );
            let superseded = stored.outputs.objects.into_iter();
            Decision::Taken {
                superseded: superseded
                    .filter(|object| !outputs.objects.contains(object))
                    .collect(),
            }
        })
        .await
    }

    /// Leaves what is staged to the next invocation; false if the row has gone on without this one.
    pub(crate) async fn hand_over(
        &self,
        outputs: &Checkpoint,
        prefix: &Prefix,
        resumed: &Checkpoint,
    ) -> Result<bool, StorageError> {
        self.change(|row, _| {
            let stored = progress_of(row);
            let progress = Progress {
                outputs: outputs.clone(),
                prefix: Some(prefix.clone()),
                decided: false,
                handed_over: true,
            };
            if stored == progress {
                // Our own write, whose answer was lost.
                return true;
            }
            if !self.is_open(row, &stored) || stored.outputs != *resumed {
                return false;
            }
            let rows = outputs.rows();
            row.processing_status = Status::InProgress;
            row.rows_read = rows.read();
            row.rows_written = rows.written;
            row.rows_filtered = rows.filtered;
            record(row, &progress);
            true
        })
        .await
    }

    /// Notes that all objects are published.
    pub(crate) async fn complete(&self, outputs: &Checkpoint) -> Result<(), StorageError> {
        self.change(|row, now| {
            if row.processing_status == Status::Completed || !progress_of(row).decided {
                return;
            }
            let rows = outputs.rows();
            row.processing_status = Status::Completed;
            row.end_time = Some(now.iso());
            row.error_message = None;
            row.rows_read = rows.read();
            row.rows_written = rows.written;
            row.rows_filtered = rows.filtered;
            row.checkpoint = None;
            row.objects = outputs.listed();
        })
        .await
    }

    /// Takes a decision back whose objects are gone from the store.
    pub(crate) async fn withdraw(
        &self,
        outputs: &Checkpoint,
        message: &str,
    ) -> Result<(), StorageError> {
        self.change(|row, now| {
            let stored = progress_of(row);
            if row.processing_status != Status::Completed && stored.outputs == *outputs {
                end_failed(row, message, now);
                record(row, &Progress::default());
            }
        })
        .await
    }

    /// Notes why the file was given up; false if the row has gone on without this invocation.
    pub(crate) async fn fail(
        &self,
        message: &str,
        staged: OnFailure<'_>,
    ) -> Result<bool, StorageError> {
        self.change(|row, now| {
            if row.processing_status == Status::Completed {
                return false;
            }
            if !self.is_of(row) {
                *row = self.fresh();
            }
            let stored = progress_of(row);
            if stored.decided {
                return false;
            }
            if let OnFailure::Forget(resumed) = staged {
                if stored.outputs != *resumed {
                    return false;
                }
                record(row, &Progress::default());
                (row.rows_read, row.rows_written, row.rows_filtered) = (0, 0, 0);
            }
            end_failed(row, message, now);
            true
        })
        .await
    }

    async fn change<T>(
        &self,
        mut transition: impl FnMut(&mut PartRow, Timestamp) -> T,
    ) -> Result<T, StorageError> {
        change(self.ledger, self.clock, self.job, self.name, |row, now| {
            transition(row.get_or_insert_with(|| self.fresh()), now)
        })
        .await
    }

    fn fresh(&self) -> PartRow {
        PartRow {
            kind: KIND.to_owned(),
            file_id: self.name.to_owned(),
            s3_location: self.location(),
            item_count: self.file.item_count,
            md5_checksum: self.file.md5_checksum.clone(),
            ..PartRow::default()
        }
    }

    /// Whether the row is that of these very bytes.
    fn is_of(&self, row: &PartRow) -> bool {
        row.s3_location == self.location()
            && row.item_count == self.file.item_count
            && row.md5_checksum == self.file.md5_checksum
    }

    fn is_open(&self, row: &PartRow, stored: &Progress) -> bool {
        row.processing_status != Status::Completed && !stored.decided && self.is_of(row)
    }
}

fn end_failed(row: &mut PartRow, message: &str, now: Timestamp) {
    row.processing_status = Status::Failed;
    row.end_time = Some(now.iso());
    row.error_message = Some(message.to_owned());
}

/// What the row says of progress. That of another version of this function says nothing, and the file is begun anew.
fn progress_of(row: &PartRow) -> Progress {
    row.checkpoint
        .as_ref()
        .and_then(|checkpoint| Progress::deserialize(checkpoint).ok())
        .unwrap_or_default()
}

fn record(row: &mut PartRow, progress: &Progress) {
    row.checkpoint = match *progress == Progress::default() {
        true => None,
        false => serde_json::to_value(progress).ok(),
    };
}
