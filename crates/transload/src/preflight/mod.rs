//! What is in a source of rows, before anything is done with it: one pass over it, in memory that does not grow with it.
//!
//! Rows are read as ImportTable would read them: the first line of each CSV object is its header, keys have the types of the
//! table, all other columns are text, and empty cells make no attribute (Developer Guide, "Amazon S3 import formats for
//! DynamoDB" and "Import format quotas and validation"). So what it would fail on, lose or change is known beforehand.

mod cell;
mod csv;
mod findings;
mod frequent;
mod intake;
mod key_plan;
mod keys;
mod lines;
mod pass;
mod quotes;
mod source;
#[cfg(test)]
mod tests;
mod text;

use std::io;

use serde::Serialize;
use storage::StorageError;

pub use findings::{Effect, Finding, Kind, Place};
pub use keys::{IndexSpec, KeySpec, is_name, table_shape};
pub use pass::preflight;
pub use source::{Address, SourceError, SourceSet};

/// How rows are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum Format {
    /// CSV with this delimiter.
    Csv {
        /// What stands between two fields.
        delimiter: char,
    },
    /// A line `{"Item":{…}}` for each item.
    DynamodbJson,
}

/// What an index holds of each item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// The keys of table and index.
    KeysOnly,
    /// The whole item, or it is not known what.
    All,
}

/// How far a pass is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stored bytes that have been read.
    pub bytes_done: u64,
    /// Stored bytes in all.
    pub bytes_total: u64,
    /// Rows that have been read.
    pub rows: u64,
}

/// The partition key that most items have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hottest {
    /// Its value as text.
    pub value: String,
    /// So many items have it at least.
    pub rows_at_least: u64,
    /// Whether it is exactly so many.
    pub exact: bool,
}

/// What an index will hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexUse {
    /// The index.
    pub name: String,
    /// Rows that are in it.
    pub entries: u64,
    /// Write units that its entries take.
    pub units: u64,
    /// Its most frequent partition key.
    pub hottest: Option<Hottest>,
}

/// What is in a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// How its first object is written; nothing if none could be read.
    pub format: Option<Format>,
    /// `NONE`, `GZIP` or `ZSTD`, as ImportTable calls it.
    pub compression: &'static str,
    /// Files or objects.
    pub objects: u64,
    /// Bytes as they are stored.
    pub stored_bytes: u64,
    /// Bytes of the text.
    pub uncompressed_bytes: u64,
    /// Rows or lines with something in them, without headers.
    pub rows: u64,
    /// Rows among them that are no items of the table.
    pub bad_rows: u64,
    /// Items that the others make: different keys.
    pub items: u64,
    /// Rows that are left over if one of each key stays.
    pub duplicate_rows: u64,
    /// Keys that more than one row has.
    pub repeated_keys: u64,
    /// Bytes of the items of all good rows, as DynamoDB counts them.
    pub item_bytes: u64,
    /// Bytes of the largest of them.
    pub largest_item_bytes: u64,
    /// Where it is.
    pub largest_item: Option<Place>,
    /// Write units that the good rows take in the table.
    pub table_units: u64,
    /// The indexes.
    pub indexes: Vec<IndexUse>,
    /// The most frequent partition key of the table, where it has a sort key.
    pub hottest: Option<Hottest>,
    /// The columns of the first object, where it is CSV.
    pub columns: Vec<String>,
    /// What an import would stumble over, the gravest first.
    pub findings: Vec<Finding>,
    /// The keys and ETags of the objects as one number; nothing for a file.
    #[serde(skip)]
    pub fingerprint: Option<[u8; 32]>,
}

impl Preflight {
    /// Rows that are items.
    pub fn good_rows(&self) -> u64 {
        self.rows - self.bad_rows
    }

    /// Bytes of an item on average, rounded up.
    pub fn mean_item_bytes(&self) -> u64 {
        self.item_bytes.div_ceil(self.good_rows().max(1))
    }

    /// Write units of the table and all of its indexes.
    pub fn total_units(&self) -> u64 {
        self.table_units + self.indexes.iter().map(|index| index.units).sum::<u64>()
    }

    /// Whether something of this effect was found.
    pub fn has(&self, effect: Effect) -> bool {
        self.findings.iter().any(|finding| finding.effect == effect)
    }
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The source could not be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store failed.
    #[error("{object} cannot be read to its end")]
    Store {
        /// The file or object.
        object: String,
        /// Why not.
        source: StorageError,
    },
    /// Keys cannot be kept on the disk.
    #[error(
        "the keys cannot be kept on the disk: expected room for 36 bytes a row in the folder for temporary files (TMPDIR)"
    )]
    Spill(#[source] io::Error),
}
