//! Rows of parts: one data file of an export, one segment of a scan.

use serde::{Deserialize, Serialize};
use storage::Timestamp;

use crate::row::Row;

/// How far a job or a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Nobody has begun with it.
    #[default]
    Pending,
    /// Somebody has begun with it.
    InProgress,
    /// All of it is done and checked.
    Completed,
    /// It ended with `error_message`, and begins anew when it is asked for again.
    Failed,
}

/// An object of the lake that belongs to a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputObject {
    /// Its key.
    pub key: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The row of a part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartRow {
    /// `export-file` or `scan-segment`.
    pub kind: String,
    /// The name of the data file, or of the segment.
    pub file_id: String,
    /// Where the data file is, `s3://bucket/key`; empty for a segment.
    pub s3_location: String,
    /// How far it is.
    pub processing_status: Status,
    /// When somebody began with it first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start_time: Option<String>,
    /// When it ended, COMPLETED or FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_time: Option<String>,
    /// Why it FAILED, the last time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// Times that it was begun anew.
    pub retry_count: u64,
    /// When the row was written.
    pub last_updated: String,
    /// Items that the manifest promises; 0 for a segment.
    #[serde(default)]
    pub item_count: u64,
    /// The MD5 that the manifest promises, in base64; empty for a segment.
    #[serde(default)]
    pub md5_checksum: String,
    /// Rows that were read.
    pub rows_read: u64,
    /// Rows that are in the objects.
    pub rows_written: u64,
    /// Rows that the filter left out.
    #[serde(default)]
    pub rows_filtered: u64,
    /// Where the next invocation goes on, as the function wrote it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint: Option<serde_json::Value>,
    /// The objects that hold the rows.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub objects: Vec<OutputObject>,
}

impl Row for PartRow {
    const WHAT: &'static str = "a part's row";

    fn is_completed(&self) -> bool {
        self.processing_status == Status::Completed
    }

    fn written_at(&mut self, now: Timestamp) {
        self.last_updated = now.iso();
    }
}
