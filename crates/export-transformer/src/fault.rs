//! What can be wrong with a data file.

use export_jobs::output::OutputError;
use lambda_support::{Failure, FailureKind, error_chain};
use storage::{ErrorKind, StorageError};

use crate::source::MAX_LINE_BYTES;

/// Why a data file was not transformed. The message is the second half of a sentence that begins with the file's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileFault {
    /// Another object came under its name: the one that reading began with is not there any more.
    #[error(
        "it was replaced while it was read: expected the data file that the manifest names, and nobody else to write it"
    )]
    Replaced(#[source] StorageError),
    /// It could not be read.
    #[error("it cannot be read: expected the data file that the manifest names")]
    Read(#[source] StorageError),
    #[error("it does not begin as gzip: expected a gzip file")]
    NotGzip,
    #[error("its gzip data is damaged behind byte {near} ({reason}): expected a whole gzip file")]
    Damaged { near: u64, reason: String },
    #[error("its gzip data breaks off after {bytes} bytes: expected a whole gzip file")]
    Truncated { bytes: u64 },
    #[error("byte {at}, behind the end of its gzip data, is no gzip: expected the end of the file")]
    Trailing { at: u64 },
    #[error("its MD5 is {found}: expected {expected}, as the manifest has it")]
    Md5 { found: String, expected: String },
    #[error("it has {found} items: expected {expected}, as the manifest has it")]
    Items { found: u64, expected: u64 },
    #[error("line {line} has more than {MAX_LINE_BYTES} bytes: expected one item")]
    LongLine { line: u64 },
    #[error("line {line} is empty: expected one item")]
    EmptyLine { line: u64 },
    #[error(
        "it is another file than when its first objects were made: expected the same bytes; what was made of it is forgotten"
    )]
    ReplacedMeanwhile,
    /// A line, the job's settings, or a service.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl FileFault {
    /// What it means that a read failed.
    pub(crate) fn of_read(error: StorageError) -> Self {
        match error.kind() {
            // The object is held to the ETag that it had when it was opened.
            ErrorKind::Conflict => Self::Replaced(error),
            _ => Self::Read(error),
        }
    }

    /// Whether the part is to be recorded as FAILED: the same call would fail the same way. Else a service failed, and the
    /// same call may succeed.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Read(error) => {
                !error.kind().is_transient() && error.kind() != ErrorKind::Internal
            }
            Self::Output(error) => error.is_invalid(),
            _ => true,
        }
    }

    /// What the caller gets. `file` is the data file's name in full.
    pub(crate) fn failure(&self, file: &str) -> Failure {
        let kind = match self {
            _ if self.is_final() => FailureKind::Invalid,
            Self::Read(error) => Failure::from(error).kind,
            Self::Output(error) => Failure::from(error).kind,
            _ => FailureKind::Internal,
        };
        Failure {
            kind,
            message: format!("{file}: {}", error_chain(self)),
        }
    }
}
