//! Imports of whole tables from a bucket (ImportTable), as far as they are followed.

use crate::StorageError;

/// How far an import is. The counts grow while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportProgress {
    /// The import's ARN.
    pub arn: String,
    /// Whether it runs, or how it ended.
    pub status: ImportStatus,
    /// Bytes of the source that were processed.
    pub processed_bytes: u64,
    /// Items read from the source.
    pub processed_items: u64,
    /// Items written to the table, which may have overwritten one another.
    pub imported_items: u64,
    /// Errors met in the source: bad lines and bad items.
    pub errors: u64,
    /// ARN of the log group that holds the errors.
    pub log_group: Option<String>,
    /// Code and message of the failure, if it failed.
    pub failure: Option<(String, String)>,
}

/// Whether an import runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportStatus {
    /// It runs, or is being cancelled.
    Running,
    /// Everything was imported.
    Completed,
    /// Somebody cancelled it.
    Cancelled,
    /// It failed; what it had imported stays in the table.
    Failed,
}

/// Where imports of tables can be looked up. Every operation retries what is transient inside (the SDK's standard retry).
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait TableImports {
    /// How far the newest import into the table with this ARN is, of those of the last 90 days; nothing if there is none
    /// (ListImports and DescribeImport). An import that was begun a moment ago may not be listed yet.
    async fn newest_import(&self, table_arn: &str) -> Result<Option<ImportProgress>, StorageError>;
}
