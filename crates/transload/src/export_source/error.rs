//! Why an export cannot be read.

use std::path::PathBuf;

use export_jobs::ManifestError;
use storage::StorageError;

use super::WorkFault;
use crate::change_log::LogError;
use crate::ingest::LocalFileError;

/// Why an export cannot be read. Each names the object or file, the line where there is one, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ExportSourceError {
    /// The store failed.
    #[error("the export cannot be read")]
    Store(#[from] StorageError),
    /// The address leads to no folder of a bucket.
    #[error(
        "{0:?} names no export: expected s3://bucket/prefix/AWSDynamoDB/<export id>/, the folder of its manifest-summary.json"
    )]
    Address(String),
    /// The folder has no manifest.
    #[error(
        "{name} is not there: expected the folder of an export that is complete, s3://bucket/prefix/AWSDynamoDB/<export id>/"
    )]
    NoManifest {
        /// `s3://bucket/key` of the summary.
        name: String,
        /// The store's answer.
        source: StorageError,
    },
    /// There is nothing under a path.
    #[error(
        "there is no file or folder {0:?}: expected an export, or files of DynamoDB JSON lines"
    )]
    Missing(PathBuf),
    /// A file of this machine cannot be an input.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// A folder of this machine cannot be listed.
    #[error("cannot read {path:?}")]
    Unread {
        /// The folder.
        path: PathBuf,
        /// The answer of the system.
        source: std::io::Error,
    },
    /// A folder has neither manifests nor lines.
    #[error(
        "there is nothing to read in {0:?}: expected manifest-summary.json, or files called .json, .jsonl, .json.gz, .jsonl.gz or .jsonl.zst"
    )]
    Nothing(PathBuf),
    /// The manifests cannot be read, or are not what they should be.
    #[error(transparent)]
    Manifests(Box<ManifestError>),
    /// A file cannot be read.
    #[error("a file of the export cannot be read")]
    Lines(#[source] LogError),
    /// A line of a data file is not what it should be.
    #[error("{name}, line {line}: {fault}")]
    Line {
        /// `s3://bucket/key`, or a path.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        fault: WorkFault,
    },
    /// A file is not whole.
    #[error("{name} has the {what} {found}: expected {expected}, as the manifest says")]
    NotWhole {
        /// `s3://bucket/key`, or a path.
        name: String,
        /// What was compared.
        what: &'static str,
        /// What it has.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// A manifest names a data file that is no part of its export.
    #[error(
        "{name}, line {line}: the data file {key:?} lies elsewhere: expected a key below {expected}"
    )]
    Elsewhere {
        /// `s3://bucket/key`, or a path.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// The data file's key.
        key: String,
        /// The folder that exports of this place lie in.
        expected: String,
    },
    /// A data file is gone.
    #[error("{name} is not there: expected it, as the manifest names it")]
    FileGone {
        /// `s3://bucket/key`, or a path.
        name: String,
    },
    /// The thread that read a file is gone.
    #[error("a thread that read {name} stopped")]
    Stopped {
        /// `s3://bucket/key`, or a path.
        name: String,
        /// What became of it.
        source: tokio::task::JoinError,
    },
}

impl From<ManifestError> for ExportSourceError {
    fn from(error: ManifestError) -> Self {
        Self::Manifests(Box::new(error))
    }
}

impl ExportSourceError {
    /// Whether the export itself is at fault: damaged, incomplete, or not what its manifest says. Otherwise nothing is known of it.
    pub fn is_fault_of_export(&self) -> bool {
        match self {
            Self::Line { .. }
            | Self::NotWhole { .. }
            | Self::Elsewhere { .. }
            | Self::FileGone { .. } => true,
            Self::Lines(error) => !matches!(error, LogError::Store(_)),
            Self::Manifests(error) => !matches!(**error, ManifestError::Store(_)),
            Self::Store(_)
            | Self::Address(_)
            | Self::NoManifest { .. }
            | Self::Missing(_)
            | Self::File(_)
            | Self::Unread { .. }
            | Self::Nothing(_)
            | Self::Stopped { .. } => false,
        }
    }

    /// Whether another source has to be named, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Address(_) | Self::NoManifest { .. } | Self::Missing(_) | Self::Nothing(_) => {
                true
            }
            Self::File(error) => error.is_usage(),
            _ => false,
        }
    }
}

pub(super) fn check_whole<T: PartialEq + ToString>(
    name: &str,
    what: &'static str,
    found: &T,
    expected: &T,
) -> Result<(), ExportSourceError> {
    match found == expected {
        true => Ok(()),
        false => Err(ExportSourceError::NotWhole {
            name: name.to_owned(),
            what,
            found: found.to_string(),
            expected: expected.to_string(),
        }),
    }
}
