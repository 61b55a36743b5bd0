//! What can go wrong with a scan.

use export_jobs::output::OutputError;
use export_jobs::{DocumentError, SettingsError};
use lambda_support::{Failure, FailureKind};
use storage::StorageError;

use crate::request::RequestError;

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The event says nothing that could be done.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Settings that do not go together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A document that the event names cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Something that the event asks for cannot be done.
    #[error("{0}")]
    Unusable(String),
    /// The id is that of a scan with other settings.
    #[error(
        "the scan {scan:?} of the table {table} was begun with {recorded}, and the event asks for {asked}: expected the same settings, or another id"
    )]
    OtherSettings {
        /// The scan's id.
        scan: String,
        /// The table's name.
        table: String,
        /// What was recorded.
        recorded: String,
        /// What the event asks for.
        asked: String,
    },
    /// The name stands for another table than when the scan began.
    #[error(
        "the table {table} was made anew after the scan {scan:?} began: expected the table with the id {recorded}, found {found}; begin a scan with another id"
    )]
    OtherTable {
        /// The scan's id.
        scan: String,
        /// The table's name.
        table: String,
        /// The id of the table that is scanned.
        recorded: String,
        /// The id of the table that is there.
        found: String,
    },
    /// Nobody began such a scan.
    #[error("the ledger has no job {0}: expected one that the action begin recorded")]
    NoJob(String),
    /// The scan has fewer segments.
    #[error("the job {job} has no segment {segment}: expected one of 0 to {last}")]
    NoSegment {
        /// The ledger's `job`.
        job: String,
        /// What the event asks for.
        segment: u32,
        /// The last one.
        last: u32,
    },
    /// A scan of the table began in a second that is still to come by this clock.
    #[error(
        "a scan of the table began in the second {0} of some worker's clock, which is not over by this one's: expected clocks that agree; try again later"
    )]
    ClockAhead(u64),
    /// Another worker has taken the segment over.
    #[error("another worker has taken {0} over: expected one worker at a time")]
    Lost(String),
    /// Another execution has taken the scan over.
    #[error(
        "the execution {holder} works on {job}: expected {execution}, which had it, to leave the segments to that one"
    )]
    Elsewhere {
        /// The ledger's `job`.
        job: String,
        /// Whom the scan's row names.
        holder: String,
        /// For whom the segment was to be read.
        execution: String,
    },
    /// Whose scan it is cannot be told.
    #[error(transparent)]
    Hold(#[from] Failure),
    /// The time was over before anything could be committed.
    #[error("the time was over before anything of {0} was committed: expected a longer time")]
    TimeOver(String),
    /// What was read once cannot be made visible any more.
    #[error(
        "rows of {part} that were read are gone: expected the upload that the ledger names; uploads are aborted by the bucket's lifecycle after some days; begin a scan with another id"
    )]
    Gone {
        /// The job and the segment.
        part: String,
        /// What the store said.
        #[source]
        source: StorageError,
    },
    /// Rows cannot be made into objects.
    #[error("{part}: {source}")]
    Output {
        /// The job and the segment.
        part: String,
        /// Why not.
        source: OutputError,
    },
    /// A service failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<&ScanError> for Failure {
    fn from(error: &ScanError) -> Self {
        let kind = match error {
            ScanError::Document(DocumentError::Store(error)) => return Self::from(error),
            ScanError::Document(_) => FailureKind::Invalid,
            ScanError::Hold(failure) => return failure.clone(),
            ScanError::Request(_)
            | ScanError::Settings(_)
            | ScanError::Unusable(_)
            | ScanError::OtherSettings { .. }
            | ScanError::OtherTable { .. }
            | ScanError::NoJob(_)
            | ScanError::NoSegment { .. }
            | ScanError::Elsewhere { .. }
            | ScanError::Gone { .. } => FailureKind::Invalid,
            ScanError::ClockAhead(_) | ScanError::Lost(_) | ScanError::TimeOver(_) => {
                FailureKind::Transient
            }
            ScanError::Output { source, .. } => Self::from(source).kind,
            ScanError::Storage(error) => return Self::from(error),
        };
        Self::new(kind, error)
    }
}
