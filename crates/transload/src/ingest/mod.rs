//! A CSV file of this machine into a table: what the function `csv-ingester` does with an object, without ledger and lake.

mod local_file;
mod recorder;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bulk_writer::{BulkWriter, Progress, SendWindow, WriteFailure, WriterSettings};
use csv_ingester::{End, HeaderError, Input, InputError, RowCounts, RowReader, transfer};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use records::{PlanError, RowMapping};
use serde_json::Value;
use storage::{Clock, StorageError, TableStore, Timestamp};

use crate::advice::Advice;
use crate::output::OutputError;
use recorder::FileRecorder;

pub use local_file::{FileVersion, LocalFile, LocalFileError};

/// As the function has it unless told otherwise: the runs in which a later row supersedes an earlier one end with each block,
/// so that a file has the same counts here and there.
const BLOCK_ROWS: u64 = 50_000;

const ADVICE: Advice = Advice {
    option: "--table",
    rights: "dynamodb:DescribeTable and dynamodb:BatchWriteItem on it",
    throttled: ": try again later or raise its capacity",
};

/// What is to be loaded, and where.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// The file with the rows.
    pub input: &'a LocalFile,
    /// The table.
    pub table: &'a str,
    /// How rows become items.
    pub mapping: &'a RowMapping,
    /// Where the random back-off begins.
    pub seed: u64,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the file, as it is stored, that have been read.
    pub bytes_read: u64,
    /// Rows that have been read.
    pub rows_read: u64,
    /// Rows that have settled.
    pub settled: RowCounts,
    /// Counters of the writer.
    pub writer: Progress,
}

impl LoadProgress {
    /// Rows that are written, superseded or rejected.
    pub fn rows_done(&self) -> u64 {
        // The writer counts a row when the table has acknowledged it; it settles with the rest of its run.
        self.writer.written + self.settled.superseded + self.settled.rejected
    }

    /// Bytes of the file whose rows are done, about. Reading runs up to 16 MB ahead, which in a small file is all of it.
    pub fn bytes_done(&self) -> u64 {
        let bytes = u128::from(self.bytes_read) * u128::from(self.rows_done())
            / u128::from(self.rows_read.max(1));
        u64::try_from(bytes).unwrap_or(self.bytes_read)
    }
}

/// What a load came to. Every row read is written, superseded or rejected.
#[derive(Debug)]
pub struct Loaded {
    /// The rows by what became of them.
    pub counts: RowCounts,
    /// Counters of the writer.
    pub writer: Progress,
    /// The accepted rows as JSON, if there are any.
    pub backup: Option<PathBuf>,
    /// The rejected rows with their reasons, if there are any.
    pub unprocessed: Option<PathBuf>,
    /// Where the first rejected row is and what is wrong with it.
    pub first_reject: Option<String>,
    /// Why the input ended before its end: compressed data that is cut off or damaged.
    pub broken: Option<InputError>,
}

/// Why a load could not be done. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The table's keys cannot be found out.
    #[error("{}", ADVICE.about(table, source.kind()))]
    Table {
        /// The table.
        table: String,
        /// The store's answer.
        source: StorageError,
    },
    /// The file has no rows that fit the table.
    #[error("{path:?} cannot be loaded{}", hint(source))]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<HeaderError>,
    },
    /// Backup or rejects cannot be written.
    #[error("{}", beside_the_input(.0))]
    Output(OutputError),
    /// The file could not be read to its end.
    #[error(
        "{path:?} cannot be read to its end; {written} rows are written so far, and running the command again, which begins with the first row, is safe"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Rows that the table has acknowledged.
        written: u64,
        /// Why not.
        source: InputError,
    },
    /// The table took no more rows.
    #[error(
        "{}; {written} rows are written so far, and running the command again, which begins with the first row, is safe{}",
        ADVICE.about_failure(table, source),
        until(.quiet_until)
    )]
    Unwritable {
        /// The table.
        table: String,
        /// Rows that the table has acknowledged.
        written: u64,
        /// Until when a write without an answer may still land, if there is one.
        quiet_until: Option<Timestamp>,
        /// Why.
        source: Box<WriteFailure>,
    },
}

fn until(quiet: &Option<Timestamp>) -> String {
    quiet.map_or_else(String::new, |time| {
        let time = time.iso();
        format!(" from {time} on (a write without an answer may land until then)")
    })
}

fn hint(error: &HeaderError) -> &'static str {
    match error {
        HeaderError::Plan(PlanError::NoKey { .. }) => {
            " (a row mapping, --mapping FILE.json, can rename columns and add constant ones)"
        }
        _ => "",
    }
}

fn beside_the_input(error: &OutputError) -> String {
    match error {
        OutputError::IsFolder(path) => {
            format!("{path:?} is a folder, and a file of that name is to be written: rename it")
        }
        OutputError::ReadOnly(path) => {
            format!("{path:?} is read-only: make it writable (chmod u+w) or delete it")
        }
        OutputError::Busy(path) => {
            format!("another run is loading the same file now and writes {path:?}: wait for it")
        }
        OutputError::Io {
            operation,
            path,
            source,
        } => format!(
            "cannot {operation} {path:?} (backup and rejects are written beside the input: make room there, or move the input to a folder where you may write): {source}"
        ),
        OutputError::NoFolder { folder } | OutputError::NotAFolder { folder } => {
            format!("the folder {folder:?} of the input is gone: put it back")
        }
    }
}

/// Loads every row of the file. Backup and rejects appear beside it, as `<file>.json-copy.jsonl` and
/// `<file>.unprocessed.jsonl`, when the load has ended. `on_progress` is
/// called once a second at the least.
///
/// # Errors
/// Whatever keeps rows from settling. Running the same load again is safe: the table ends up the same.
pub async fn ingest_file<T: TableStore, C: Clock>(
    load: &Load<'_>,
    tables: &T,
    clock: &C,
    mut on_progress: impl FnMut(&LoadProgress),
) -> Result<Loaded, LoadError> {
    let path = || load.input.path().to_owned();
    let shape = tables
        .describe(load.table)
        .await
        .map_err(|source| LoadError::Table {
            table: load.table.to_owned(),
            source,
        })?;
    let unusable = |source: HeaderError| LoadError::Header {
        path: path(),
        source: Box::new(source),
    };
    let input = Input::open(load.input.clone())
        .await
        .map_err(|error| unusable(error.into()))?;
    let (mut reader, mut input) = RowReader::open(input, load.mapping, &shape, BLOCK_ROWS)
        .await
        .map_err(unusable)?;
    let mut recorder = FileRecorder::beside(load.input.path()).map_err(LoadError::Output)?;
    let window = SendWindow::unbounded();
    let writer = BulkWriter::new(
        tables,
        clock,
        ChaCha8Rng::seed_from_u64(load.seed),
        &shape,
        WriterSettings::default(),
        window.clone(),
    );
    let (bytes_read, settled) = (input.raw_bytes(), recorder.counts());
    let transferred = transfer(
        &mut reader,
        &mut input,
        writer,
        &window,
        clock,
        &mut recorder,
        |rows_read, writer| {
            on_progress(&LoadProgress {
                bytes_read: bytes_read.get(),
                rows_read,
                settled: settled.get(),
                writer,
            });
        },
    )
    .await;
    transferred.recorded.map_err(LoadError::Output)?;
    let written = transferred.progress.written;
    let broken = match transferred.end {
        End::Finished => None,
        End::Broken(error) => Some(error),
        End::Unreadable(source) => {
            return Err(LoadError::Unreadable {
                path: path(),
                written,
                source,
            });
        }
        End::Unwritable(source) => {
            return Err(LoadError::Unwritable {
                table: load.table.to_owned(),
                written,
                quiet_until: Some(transferred.quiet_until).filter(|time| *time > clock.now()),
                source: Box::new(source),
            });
        }
        End::WindowClosed | End::NotRecorded => {
            unreachable!("the window has no end and every run was recorded")
        }
    };
    let recorded = recorder.finish().map_err(LoadError::Output)?;
    Ok(Loaded {
        counts: settled.get(),
        writer: transferred.progress,
        backup: recorded.backup,
        unprocessed: recorded.unprocessed,
        first_reject: recorded.first_reject.as_deref().map(reject_text),
        broken,
    })
}

/// `line 14, column price: "x" is no number`
fn reject_text(line: &[u8]) -> String {
    let reject: Value = serde_json::from_slice(line).unwrap_or_default();
    let column = reject["column"]
        .as_str()
        .map_or_else(String::new, |name| format!(", column {name}"));
    let reason = reject["reason"].as_str().unwrap_or_default();
    format!("line {}{column}: {reason}", reject["line"])
}
