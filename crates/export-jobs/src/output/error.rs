//! What can be wrong with lines and their objects.

use lambda_support::{Failure, FailureKind};
use storage::StorageError;
use transcode::LineFault;

use super::outputs::MAX_DATA_SETS;

/// Bytes that S3 takes in a key.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// Why a part's objects cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A line is none of this form.
    #[error("line {line}: {fault}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        fault: LineFault,
    },
    /// The job's shaping or schema cannot be used.
    #[error("the job's settings cannot be used: {0}")]
    Settings(String),
    /// More objects than the part's row can list.
    #[error(
        "the lines make more objects than one row of the ledger can list: expected at most {MAX_DATA_SETS} values of the discriminator, and fewer and larger objects: raise the size of a split, or where there are many values the function's memory"
    )]
    TooManyObjects,
    /// A data set whose name is too long for S3.
    #[error(
        "a value of the discriminator makes an object's key of {0} bytes: expected at most {MAX_KEY_BYTES}"
    )]
    LongKey(usize),
    /// A defect of an encoder.
    #[error("{0} failed")]
    Encoder(&'static str),
    /// A service failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OutputError {
    /// Whether the part can never be right as it is: it has to be recorded as FAILED.
    pub fn is_invalid(&self) -> bool {
        match self {
            Self::Line { .. } | Self::Settings(_) | Self::TooManyObjects | Self::LongKey(_) => true,
            Self::Encoder(_) | Self::Storage(_) => false,
        }
    }
}

impl From<&OutputError> for Failure {
    fn from(error: &OutputError) -> Self {
        match error {
            OutputError::Storage(error) => Self::from(error),
            OutputError::Encoder(_) => Self::new(FailureKind::Internal, error),
            _ => Self::new(FailureKind::Invalid, error),
        }
    }
}
