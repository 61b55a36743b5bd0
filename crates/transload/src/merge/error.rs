//! Why files were not merged. The messages say what to do next.

use std::io;
use std::path::PathBuf;

use csv_ingester::InputError;

use crate::ingest::LocalFileError;
use crate::output::OutputError;
use crate::wording::quoted;

use super::Listed;
use super::header::WINDOW_ROWS;

/// Why files were not merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is no such file.
    #[error(
        "there is no file {0:?}: expected a workbook (.xlsx, .xlsm, .xlsb, .xls, .ods) or a CSV file"
    )]
    Missing(PathBuf),
    /// A folder, a pipe or a device.
    #[error(
        "{0:?} is no regular file: write the rows into a file first, since each file is read twice"
    )]
    NotAFile(PathBuf),
    /// The same file, perhaps by another path.
    #[error("{0:?} is given twice: each of its rows would be in the output twice")]
    Twice(PathBuf),
    /// The output is one of the inputs.
    #[error(
        "{0:?} is both an input and the output: choose another --output (a pattern such as *.csv takes in the result of an earlier merge)"
    )]
    OutputIsInput(PathBuf),
    /// The output is there already.
    #[error("{0:?} exists: choose another --output, or replace it with --force")]
    OutputExists(PathBuf),
    /// The system refused to open it.
    #[error("cannot open {path:?}")]
    Unopened {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// A workbook by its name alone.
    #[error(
        "{0:?} is no workbook, whatever its name says: save it again as .xlsx, or rename it to .csv if it holds CSV text"
    )]
    NoWorkbook(PathBuf),
    /// A password is needed.
    #[error(
        "{0:?} is encrypted, or of a kind that its name does not tell: save it as .xlsx without a password"
    )]
    Encrypted(PathBuf),
    /// A workbook that cannot be read.
    #[error("{place} cannot be read: expected a workbook as spreadsheet programs save it")]
    Workbook {
        /// File, or file and sheet.
        place: String,
        /// What is wrong with it.
        source: Box<calamine::Error>,
    },
    /// A CSV file cannot be opened.
    #[error(transparent)]
    CsvFile(LocalFileError),
    /// The bytes of a CSV file cannot be read.
    #[error("{path:?} cannot be read to its end")]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: InputError,
    },
    /// A line of a CSV file cannot be read.
    #[error(
        "{place}: {reason}: expected CSV (RFC 4180) in UTF-8, or in UTF-16 with a byte order mark"
    )]
    BrokenRecord {
        /// File and line.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The runtime that reads CSV files could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No workbook has the sheet.
    #[error("{path:?} has no sheet {sheet:?}: it has {found}")]
    NoSheet {
        /// The workbook.
        path: PathBuf,
        /// The name of the sheet.
        sheet: String,
        /// The sheets that it has.
        found: String,
    },
    /// A sheet is named, and there are none.
    #[error(
        "--sheet names {0:?}, and no file is a workbook: leave --sheet out, as a CSV file is read whole"
    )]
    NoWorkbookForSheet(String),
    /// No sheet of any file has a row.
    #[error("there is nothing to merge: no file has a row with a value")]
    Nothing,
    /// Which row names the columns is not to be seen.
    #[error("{place}: {}", no_header(wanted, *row, first))]
    NoHeader {
        /// File and sheet.
        place: String,
        /// The cells of the first row with a value.
        first: String,
        /// The columns that were asked for.
        wanted: Vec<String>,
        /// The row that was to be the header.
        row: Option<u64>,
    },
    /// Two columns of one name.
    #[error(
        "{place} has the column {name:?} twice: rename one of them, or choose others with --columns"
    )]
    ColumnTwice {
        /// File, sheet and row.
        place: String,
        /// The name.
        name: String,
    },
    /// A column that was asked for is in no file.
    #[error("no file has the column {name:?} of {option}: there are {found}")]
    NoColumn {
        /// The option that names it.
        option: &'static str,
        /// The name.
        name: String,
        /// The columns that there are.
        found: String,
    },
    /// A column of the key is no column of the output.
    #[error(
        "the key column {name:?} is no column of the output, which has {found}: expected --key to name some of them"
    )]
    NoKeyColumn {
        /// The name.
        name: String,
        /// The columns of the output.
        found: String,
    },
    /// A sheet lacks a column of the key.
    #[error(
        "{place} has no column {name:?}, which is {why}: it has {found}; rename its column, choose sheets with --sheet, or another --key"
    )]
    SheetWithoutKey {
        /// File and sheet.
        place: String,
        /// The column.
        name: String,
        /// Who made it the key.
        why: &'static str,
        /// The columns that the sheet has.
        found: String,
    },
    /// A column to be added is there already.
    #[error(
        "{place} has the column {name:?} already, which --add is to add: choose another name, or leave it out with --columns"
    )]
    AddedColumnExists {
        /// File and sheet.
        place: String,
        /// The name.
        name: String,
    },
    /// The file is no longer what it was when its header was read.
    #[error("{place} has changed while it was read: run the command again when nobody writes it")]
    Changed {
        /// File and sheet.
        place: String,
    },
    /// Some cells have no value that could be written.
    #[error("{} cells cannot be taken as they are, and nothing was written", .0.count)]
    Refused(Listed),
    /// Some rows have no key.
    #[error(
        "{} rows have a value and no key, and nothing was written: complete them, choose another --key, or leave them out with --skip-empty-keys",
        .0.count
    )]
    EmptyKeys(Listed),
    /// The folder for temporary files takes no more.
    #[error("cannot keep the keys in the folder for temporary files (TMPDIR), 36 bytes a row")]
    Temporary(#[source] io::Error),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl MergeError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Missing(_)
            | Self::NotAFile(_)
            | Self::Twice(_)
            | Self::OutputIsInput(_)
            | Self::OutputExists(_)
            | Self::NoSheet { .. }
            | Self::NoWorkbookForSheet(_)
            | Self::NoHeader { .. }
            | Self::NoColumn { .. }
            | Self::NoKeyColumn { .. }
            | Self::AddedColumnExists { .. } => true,
            Self::Output(error) => !matches!(error, OutputError::Io { .. } | OutputError::Busy(_)),
            _ => false,
        }
    }
}

fn no_header(wanted: &[String], row: Option<u64>, first: &str) -> String {
    match (row, wanted) {
        (Some(row), _) => format!("row {row}, which --header-row names, has no value"),
        (None, []) => format!(
            "none of the first {WINDOW_ROWS} rows looks like a header: expected a row of distinct names side by side, as wide as all rows below it; name the row with --header-row (0 if there is none), the columns with --columns, or choose sheets with --sheet"
        ),
        (None, wanted) => format!(
            "none of the first {WINDOW_ROWS} rows has a column {} (the first row has {first}): check --columns and --key, name the row with --header-row, or choose sheets with --sheet",
            quoted(wanted.iter().map(String::as_str))
        ),
    }
}
