//! What the actions answer.

use export_jobs::{PartRow, Status};
use serde::Serialize;

/// The answer of the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of `begin`.
    Begun(Begun),
    /// Of `scan`.
    Segment(SegmentReport),
    /// Of `finish`.
    Finished(Finished),
}

/// The answer of `begin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Begun {
    /// The scan is recorded, and whoever asked works on it.
    Begun {
        /// The ledger's `job`.
        job: String,
        /// The segments, to be scanned in any order, as many at the same time as one likes.
        segments: Vec<u32>,
    },
    /// Another execution works on it.
    Elsewhere {
        /// The ledger's `job`.
        job: String,
        /// Its ARN.
        execution: String,
        /// One sentence for whoever reads the execution that asked.
        message: String,
    },
}

/// The answer of `scan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// The segment.
    pub segment: u32,
    /// `COMPLETED`, or `CONTINUE`: the time was over, call again.
    pub status: &'static str,
    /// Rows of the segment that were read so far, by all invocations: the sum of the next two.
    pub rows_read: u64,
    /// Rows in objects.
    pub rows_written: u64,
    /// Rows that the filter left out.
    pub rows_filtered: u64,
}

impl SegmentReport {
    /// What a segment's row says.
    pub fn of(segment: u32, row: &PartRow) -> Self {
        Self {
            segment,
            status: match row.processing_status {
                Status::Completed => "COMPLETED",
                _ => "CONTINUE",
            },
            rows_read: row.rows_read,
            rows_written: row.rows_written,
            rows_filtered: row.rows_filtered,
        }
    }
}

/// The answer of `finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// `COMPLETED` or `FAILED`.
    pub status: &'static str,
    /// Always false: items that were changed meanwhile are in it as they were before or after.
    pub snapshot: bool,
    /// Rows in the objects.
    pub rows: u64,
    /// Rows that the filter left out.
    pub rows_filtered: u64,
    /// Objects.
    pub objects: u64,
    /// Segments that are not COMPLETED, at most twenty.
    pub failed_segments: Vec<u32>,
    /// Whether there are more of them.
    pub more: bool,
    /// What it came to, in a sentence.
    pub message: String,
}
