//! Why an export's manifests cannot be used.

use records::export::ExportFault;
use storage::StorageError;

/// A line of the list of files has about 200 bytes.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Why an export's manifests cannot be used. A `name` is `s3://bucket/key`, or the path of a copy.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The store failed.
    #[error("the export's manifests cannot be read")]
    Store(#[from] StorageError),
    /// There is no manifest of this name.
    #[error("{name} is not there: expected a manifest of an export that is complete")]
    Gone {
        /// The manifest.
        name: String,
        /// The store's answer.
        source: StorageError,
    },
    /// There is no checksum beside a manifest.
    #[error("{name} has no checksum beside it: expected {beside}")]
    NoChecksum {
        /// The manifest.
        name: String,
        /// What DynamoDB calls its checksum.
        beside: String,
    },
    /// A manifest is not as DynamoDB writes it.
    #[error("{name}: {fault}")]
    Summary {
        /// The manifest.
        name: String,
        /// What is wrong.
        fault: ExportFault,
    },
    /// A line of the list of files is not as DynamoDB writes it.
    #[error("{name}, line {line}: {fault}")]
    Line {
        /// The list.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        fault: ExportFault,
    },
    /// A line of the list of files is too long, or no UTF-8.
    #[error("{name}, line {line}: expected UTF-8 text of at most {MAX_LINE_BYTES} bytes")]
    Text {
        /// The list.
        name: String,
        /// The line's number, from 1.
        line: u64,
    },
    /// A file is listed twice.
    #[error("{name}, line {line}: the file {file} is listed before: expected each file once")]
    Twice {
        /// The list.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// The file's name.
        file: String,
    },
    /// A number or checksum is another one than it should be.
    #[error("{name} has the {what} {found}: expected {expected}, as {says} says")]
    NotWhole {
        /// The manifest.
        name: String,
        /// What was compared.
        what: &'static str,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
        /// Where that is said.
        says: String,
    },
    /// A summary that is none.
    #[error("{name} has {bytes} bytes: expected a manifest-summary.json of about 1 KB")]
    TooLarge {
        /// The manifest, or its checksum.
        name: String,
        /// Its size.
        bytes: u64,
    },
}
