//! Exports of whole tables, and of windows of their changes, to a bucket (ExportTableToPointInTime).

use serde::{Deserialize, Serialize};

use crate::StorageError;

/// An export to begin. DynamoDB writes it as gzipped DynamoDB JSON under `[prefix/]AWSDynamoDB/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// ARN of the table; point-in-time recovery must be on.
    pub table_arn: String,
    /// The bucket that receives the export.
    pub bucket: String,
    /// What every key of the export begins with, before `/AWSDynamoDB/`; empty for none.
    pub prefix: String,
    /// What is exported.
    pub span: ExportSpan,
    /// The same token with the same request is the same export: at most one is begun.
    pub client_token: String,
}

/// What an export holds. Times are whole seconds from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportSpan {
    /// Every item as it was at a time.
    Full {
        /// The time; within the table's [`RecoveryWindow`].
        time: u64,
    },
    /// The net change of every item that was written in a window of 15 minutes to 24 hours.
    Incremental {
        /// The window's start, which belongs to it.
        from: u64,
        /// The window's end, which does not.
        to: u64,
        /// Which images the changes have.
        view: ExportView,
    },
}

/// Which images the changes of an incremental export have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExportView {
    /// The item as it is at the window's end.
    NewImage,
    /// Also the item as it was at the window's start.
    NewAndOldImages,
}

/// Whether an export runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportStatus {
    /// It runs.
    InProgress,
    /// All of its objects are in the bucket.
    Completed,
    /// It failed; what it had written stays in the bucket.
    Failed,
}

/// What is known of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportDescription {
    /// The export's ARN, which ends in its id.
    pub arn: String,
    /// Whether it runs, or how it ended.
    pub status: ExportStatus,
    /// What it holds, where the store says it.
    pub span: Option<ExportSpan>,
    /// The bucket that receives it.
    pub bucket: String,
    /// What every key of it begins with, unless that is nothing.
    pub prefix: Option<String>,
    /// The token that it was begun with.
    pub client_token: Option<String>,
    /// The id of the table, which another table of the same name does not share.
    pub table_id: Option<String>,
    /// Key of its `manifest-summary.json`, which is there once it is completed.
    pub manifest_key: Option<String>,
    /// How many items it holds, once it is completed.
    pub item_count: Option<u64>,
    /// Code and message of the failure, if it failed.
    pub failure: Option<(String, String)>,
}

/// An export as a list of a table's exports has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedExport {
    /// The export's ARN.
    pub arn: String,
    /// Whether it runs, or how it ended.
    pub status: ExportStatus,
    /// Whether it holds a window of changes, and not a table.
    pub incremental: bool,
}

/// The times to which a table can be restored, which are also those that exports can be of. Whole seconds from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryWindow {
    /// The earliest time: when recovery was switched on, or 1 to 35 days ago.
    pub earliest: u64,
    /// The latest time, typically five minutes ago.
    pub latest: u64,
}

/// Where tables can be exported from. Every operation retries what is transient inside (the SDK's standard retry).
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait TableExports {
    /// Begins an export, and describes it (ExportTableToPointInTime). A request with the token of an earlier one that asks
    /// for the same begins nothing and describes the earlier export, for 8 hours; from then on the token is a new one. (AWS
    /// counts from when the first request "is completed"; nobody should rely on more than from its sending.)
    ///
    /// `Conflict` if the token's earlier export is of another request. `Refused` if a time is outside of the table's
    /// [`RecoveryWindow`], point-in-time recovery is off, or the request is wrong in itself. `NotFound` if there is no such
    /// table. `Throttled` also if as many exports run as may (300 for a table).
    async fn begin_export(
        &self,
        request: &ExportRequest,
    ) -> Result<ExportDescription, StorageError>;

    /// How the export with this ARN is (DescribeExport). `NotFound` if there is none.
    async fn export(&self, arn: &str) -> Result<ExportDescription, StorageError>;

    /// The exports of the table with this ARN of the last 90 days, in whatever order (ListExports, all pages). One that was
    /// begun a moment ago may not be listed yet.
    async fn exports(&self, table_arn: &str) -> Result<Vec<ListedExport>, StorageError>;

    /// The times to which the table of this name or ARN can be restored (DescribeContinuousBackups); nothing if its
    /// point-in-time recovery is off. `NotFound` if there is no such table.
    async fn recovery(&self, table: &str) -> Result<Option<RecoveryWindow>, StorageError>;
}
