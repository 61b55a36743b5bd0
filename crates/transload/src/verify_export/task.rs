//! What is verified, and what is found.

use records::TableShape;
use storage::StorageError;

use super::{Difference, DifferenceCounts, RowFault, ScanOptions};
use crate::export_source::{ExportSource, ExportSourceError};

/// What is verified.
pub struct Task<'a, O, I, C> {
    /// The export.
    pub a: &'a ExportSource<O>,
    /// What it is compared with.
    pub against: Against<'a, O, I>,
    /// The names of the table's key attributes; incremental exports have them in each line, and a live table knows them.
    pub key_names: Option<Vec<String>>,
    /// Differences that are told of, those of the smallest key hashes.
    pub max_differences: usize,
    /// Threads that read files.
    pub threads: usize,
    /// By which reads are paced.
    pub clock: &'a C,
}

/// What an export is compared with.
pub enum Against<'a, O, I> {
    /// Its own manifests.
    Manifests {
        /// Whether the files are only looked for, and not read.
        quick: bool,
    },
    /// Another export.
    Export(&'a ExportSource<O>),
    /// Every item of a live table.
    Table {
        /// Where the table is.
        tables: &'a I,
        /// Its keys.
        shape: &'a TableShape,
        /// How it is read.
        scan: ScanOptions,
    },
    /// Some items of a live table.
    Sample {
        /// Where the table is.
        tables: &'a I,
        /// Its keys.
        shape: &'a TableShape,
        /// How many items, those of the smallest key hashes.
        items: usize,
        /// The most reads a second.
        reads: Option<u32>,
    },
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Items of A that were read; none if its files were only looked for.
    pub items_a: u64,
    /// Items of B that were read; of a sample, those that were asked for.
    pub items_b: Option<u64>,
    /// Bytes of the files, where they were only looked for.
    pub bytes: Option<u64>,
    /// Read units of the table, in tenths.
    pub capacity_tenths: u64,
    /// Buckets whose sums differ, of 65,536.
    pub differing_buckets: u64,
    /// Whether all of these were looked at again, so that the counts are those of all differences.
    pub counted_all: bool,
    /// How many keys differ, as far as they were looked at.
    pub counts: DifferenceCounts,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.differing_buckets == 0 && self.counts.all() == 0
    }
}

/// What a verification is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the export A.
    A,
    /// Reading the export B.
    B,
    /// Reading the table.
    Table,
    /// Looking at what differs again.
    Again,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyExportError {
    /// An export cannot be read, or is not whole.
    #[error(transparent)]
    Export(#[from] ExportSourceError),
    /// The table cannot be read.
    #[error("the table cannot be read")]
    Table(#[from] StorageError),
    /// An item of the table has no key, which no table has.
    #[error("an item of the table cannot be compared")]
    Item(#[from] RowFault),
    /// One side is full and the other incremental.
    #[error("{a} and {b} cannot be compared: expected two full exports, or two incremental ones")]
    Kinds {
        /// One export.
        a: String,
        /// The other one.
        b: String,
    },
    /// An incremental export and a table.
    #[error(
        "{0} is an incremental export, which says what changed in a window: expected a full one to compare with a table"
    )]
    Incremental(String),
    /// Nobody knows the keys.
    #[error(
        "the keys of the items in {0} are not known: expected --key NAME[,SORT], or a table of the export's name that can be described"
    )]
    NoKeys(String),
}
