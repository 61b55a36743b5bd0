//! Exports of a table to S3 as DYNAMODB_JSON: what their manifests and their lines say.
//!
//! Layout and members are those of real exports of January 2026. Keys of objects are whole: they hold the export's prefix.

mod line;
mod manifest;

pub use line::ChangedItem;
pub use manifest::{DataFile, ExportKind, ExportSummary};

use crate::value::JsonValueError;

/// Why a manifest or a line of an export cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// It is no JSON of the right shape.
    #[error("{what} cannot be read ({source}): expected {expected}")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A member holds something else.
    #[error("{member} is {found:?}: expected {expected}")]
    Malformed {
        /// The member's name.
        member: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The keys are no DynamoDB JSON.
    #[error("Keys cannot be read ({0}): expected the item's key attributes")]
    Keys(JsonValueError),
}
