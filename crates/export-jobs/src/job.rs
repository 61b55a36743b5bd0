//! Rows of jobs: one window of a table's exports, one scan.

use serde::{Deserialize, Serialize};
use storage::Timestamp;

use crate::part::Status;
use crate::row::Row;
use crate::settings::Settings;
use crate::window::Span;

/// The `part` of an export's own row. Data files are called otherwise: their names end in `.json.gz`.
pub const EXPORT_PART: &str = "export";
/// The `part` of a scan's own row.
pub const SCAN_PART: &str = "scan";

/// The row of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// `export`.
    pub kind: String,
    /// How far it is.
    pub processing_status: Status,
    /// The table's name.
    pub table: String,
    /// The table's ARN.
    pub table_arn: String,
    /// The id that DynamoDB gave the table: one made again under the name is another one.
    pub table_id: String,
    /// The names of its key attributes, the partition key first.
    pub key_names: Vec<String>,
    /// The window's name.
    pub window: String,
    /// What the export holds.
    #[serde(flatten)]
    pub span: Span,
    /// Where DynamoDB writes, and the suite.
    pub bucket: String,
    /// What every key of the export begins with, before `/AWSDynamoDB/`.
    pub prefix: String,
    /// Whether the chain of incremental windows begins anew with its end.
    #[serde(default)]
    pub restarts_chain: bool,
    /// The number of the export that is tried for this window, from 1.
    pub attempt: u32,
    /// What makes a repeated call of this attempt the same call.
    pub client_token: String,
    /// The export, once it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub export_arn: Option<String>,
    /// The key of its `manifest-summary.json`, once it is complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest_key: Option<String>,
    /// The ARN of the execution of the state machine that works on the window's files, or did; nothing before one has planned
    /// them, and once the one that had them said that the window FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution: Option<String>,
    /// The key of its `manifest-files.json`, once the manifests have been verified.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub files_key: Option<String>,
    /// Data files of the manifest.
    #[serde(default)]
    pub file_count: u64,
    /// Items of the manifest.
    #[serde(default)]
    pub item_count: u64,
    /// Rows in the objects, once it is COMPLETED.
    #[serde(default)]
    pub rows_written: u64,
    /// Rows that the filter left out, once it is COMPLETED.
    #[serde(default)]
    pub rows_filtered: u64,
    /// What is made of the lines.
    pub settings: Settings,
    /// The key of the schema, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema_key: Option<String>,
    /// When the window was recorded.
    pub start_time: String,
    /// When it ended, COMPLETED or FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_time: Option<String>,
    /// Why it FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// Data files that were not COMPLETED when it FAILED, at most a hundred.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failed_files: Vec<String>,
    /// Times that it was begun anew after it FAILED.
    pub retry_count: u64,
    /// When the row was written.
    pub last_updated: String,
}

impl JobRow {
    /// The export's id: what follows the last slash of its ARN.
    pub fn export_id(&self) -> Option<&str> {
        self.export_arn
            .as_deref()
            .and_then(|arn| arn.rsplit('/').next())
    }
}

impl Row for JobRow {
    const WHAT: &'static str = "an export's row";

    fn is_completed(&self) -> bool {
        self.processing_status == Status::Completed
    }

    fn written_at(&mut self, now: Timestamp) {
        self.last_updated = now.iso();
    }
}

/// The row of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRow {
    /// `scan`.
    pub kind: String,
    /// How far it is.
    pub processing_status: Status,
    /// The table's name.
    pub table: String,
    /// The id that DynamoDB gave the table.
    pub table_id: String,
    /// The names of its key attributes, the partition key first.
    pub key_names: Vec<String>,
    /// The scan's id, which the caller chose.
    pub scan: String,
    /// The second, counted from 1970, at which it began: nothing that it read is older.
    pub snapshot_time: u64,
    /// The second in which its last row was read, once it is COMPLETED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot_end: Option<u64>,
    /// Into how many parts the table is cut.
    pub segments: u32,
    /// Read units a second that all segments together may take; 0 for no limit.
    pub read_units: u64,
    /// Whether each page sees every write that was acknowledged before, at twice the price.
    pub consistent: bool,
    /// Where the suite writes.
    pub bucket: String,
    /// What is made of the rows.
    pub settings: Settings,
    /// The key of the schema, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema_key: Option<String>,
    /// The ARN of the execution of the state machine that works on its segments, or did; nothing if it was begun by hand, and once it
    /// FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution: Option<String>,
    /// Rows in the objects, once it is COMPLETED.
    #[serde(default)]
    pub rows_written: u64,
    /// When it was recorded.
    pub start_time: String,
    /// When it ended, COMPLETED or FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_time: Option<String>,
    /// Why it FAILED.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// When the row was written.
    pub last_updated: String,
}

impl Row for ScanRow {
    const WHAT: &'static str = "a scan's row";

    fn is_completed(&self) -> bool {
        self.processing_status == Status::Completed
    }

    fn written_at(&mut self, now: Timestamp) {
        self.last_updated = now.iso();
    }
}
