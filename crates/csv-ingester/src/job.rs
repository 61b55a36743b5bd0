//! The ledger's row of one object version: its state, its counts, and where to go on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::Timestamp;

use crate::event::ObjectVersion;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProcessingStatus {
    /// Work is under way, or will be gone on with.
    InProgress,
    /// Every row is written, superseded or rejected.
    Completed,
    /// The input can never succeed as it is.
    Failed,
    /// A newer version of the object took its place.
    Superseded,
}

impl ProcessingStatus {
    /// Whether nobody will work on the job any more.
    pub fn has_ended(self) -> bool {
        self != Self::InProgress
    }
}

/// Rows by what became of them. `read = written + superseded + rejected` for whatever has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows of the input.
    #[serde(rename = "rows_read")]
    pub read: u64,
    /// Acknowledged by DynamoDB.
    #[serde(rename = "rows_written")]
    pub written: u64,
    /// Not sent, because a later accepted row of the same run has their key.
    #[serde(rename = "rows_superseded")]
    pub superseded: u64,
    /// In the unprocessed parts.
    #[serde(rename = "rows_rejected")]
    pub rejected: u64,
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.superseded += other.superseded;
        self.rejected += other.rejected;
    }
}

/// A place to go on from: everything before it has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of the next block.
    pub block: u64,
    /// Line (from 1) on which the next row begins.
    pub line: u64,
    /// Byte offset of the next row in the decompressed file.
    pub byte_offset: u64,
}

/// The row, without its keys and revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// `ingest`.
    pub kind: String,
    /// `s3://bucket/key`.
    pub s3_location: String,
    /// The version id, or the ETag where there is none.
    pub file_id: String,
    /// Where the job stands.
    pub processing_status: ProcessingStatus,
    /// When the first attempt began.
    pub start_time: String,
    /// When the job ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_time: Option<String>,
    /// Why the job failed, or why its last attempt stopped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// Attempts after the first one.
    pub retry_count: u64,
    /// Milliseconds since 1970 at the first of the attempts in a row that settled no block.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fruitless_since: Option<u64>,
    /// When this row was last written.
    pub last_updated: String,
    /// The owner's fence.
    pub fence: u64,
    /// Rows of a block of this job.
    pub block_rows: u64,
    /// The row mapping of this job, so that going on later uses the same one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub row_mapping: Option<String>,
    /// Where in the lake that mapping was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub row_mapping_key: Option<String>,
    /// Counts of everything that has settled.
    #[serde(flatten)]
    pub counts: RowCounts,
    /// Where to go on; none before the first block has settled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint: Option<Checkpoint>,
    /// Peak memory of the last attempt's process in MB (10^6 bytes).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_memory_mb: Option<u64>,
}

impl Job {
    /// A job that begins now.
    pub fn begin(object: &ObjectVersion, fence: u64, block_rows: u64, now: Timestamp) -> Self {
        Self {
            kind: "ingest".to_owned(),
            s3_location: format!("s3://{}/{}", object.bucket, object.key),
            file_id: object
                .version
                .clone()
                .or_else(|| object.etag.clone())
                .unwrap_or_default(),
            processing_status: ProcessingStatus::InProgress,
            start_time: now.iso(),
            end_time: None,
            error_message: None,
            retry_count: 0,
            fruitless_since: None,
            last_updated: now.iso(),
            fence,
            block_rows,
            row_mapping: None,
            row_mapping_key: None,
            counts: RowCounts::default(),
            checkpoint: None,
            peak_memory_mb: None,
        }
    }

    /// A new owner takes the job over.
    pub fn take_over(&mut self, fence: u64, now: Timestamp) {
        self.fence = fence;
        self.retry_count += 1;
        self.fruitless_since.get_or_insert(now.0);
    }

    /// Why the job is to be given up, if its attempts have settled nothing for `patience`. Counted when an attempt begins, so
    /// that one that is killed counts, too.
    pub fn hopeless_after(&self, patience: Duration, now: Timestamp) -> Option<String> {
        let since = Timestamp(self.fruitless_since?);
        (since.until(now) >= patience).then(|| {
            format!(
                "given up: no block of {} rows has settled since {}, in {} attempts in all: expected progress; give the table more \
                 capacity, the function more memory, or the stack smaller blocks (BlockRows), and upload the object again; the last error was: {}",
                self.block_rows,
                since.iso(),
                self.retry_count,
                self.error_message.as_deref().unwrap_or("none was recorded"),
            )
        })
    }

    /// A block has settled.
    pub fn advance(&mut self, block: RowCounts, next: Checkpoint) {
        self.counts += block;
        self.checkpoint = Some(next);
        self.fruitless_since = None;
    }

    /// The job ends.
    pub fn end(&mut self, status: ProcessingStatus, message: Option<String>, now: Timestamp) {
        self.processing_status = status;
        self.error_message = message;
        self.end_time = Some(now.iso());
    }
}
