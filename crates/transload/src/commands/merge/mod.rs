//! `transload merge`: workbooks and CSV files into one CSV file.

mod outcome;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use storage::SystemClock;

use outcome::Outcome;

use super::reading_bar::ReadingBar;
use super::{note, print_line};
use crate::Surroundings;
use crate::merge::{AcceptRounded, HeaderRow, Job, Listed, MergeError, Sink, check_output, merge};

/// Merge Excel and CSV files into one CSV file, with every id as it is
///
/// Reads .xlsx, .xlsm, .xlsb, .xls and .ods workbooks (all sheets that are not hidden) and CSV files (comma, semicolon, tab
/// or bar; UTF-8 or UTF-16; plain, gzip or zstd), and writes the rows of all of them in their order, with the columns of all.
///
/// Texts stay as they are, with leading zeros and blanks. Numbers have neither exponent nor `.0`; of a number that an .xlsx
/// file shows with leading zeros (format 00000) the zeros are written. A number of more than 15 digits, which a spreadsheet
/// rounds, is refused with its cell; so are errors such as #N/A. Dates become 2026-01-31 or 2026-01-31T12:34:56.
///
/// The header is found below titles, or named with --header-row. Rows with the same key are counted, and all written: of
/// those `transload ingest` keeps the last, but DynamoDB's ImportTable any.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct MergeArgs {
    /// The files, in the order in which their rows are written
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The file to write, which appears once it is complete; - is the standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// A column that is added with the same value in every row; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_added)]
    add: Vec<(String, String)>,

    /// The columns of the output in their order [default: all, in the order in which they first appear]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_name)]
    columns: Vec<String>,

    /// The columns by which duplicates are counted, and which no row may lack [default: the first column]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_name)]
    key: Vec<String>,

    /// A sheet to read, in each workbook, hidden or not; may be repeated [default: all that are not hidden]
    #[arg(long, value_name = "NAME")]
    sheet: Vec<String>,

    /// The row of each sheet, or the line of each CSV file, that names the columns; 0 where none does, with --columns to name
    /// them [default: found]
    #[arg(long, value_name = "N")]
    header_row: Option<u64>,

    /// Take blanks off the beginning and the end of texts
    #[arg(long)]
    trim: bool,

    /// Take numbers of more than 15 digits as they are in the file, in all columns or in those that are named
    #[arg(long, value_name = "NAMES", num_args = 0.., require_equals = true, value_delimiter = ',', value_parser = parse_name)]
    accept_rounded: Option<Vec<String>>,

    /// Leave out rows that have a value and no key
    #[arg(long)]
    skip_empty_keys: bool,

    /// Replace the output if it exists
    #[arg(long)]
    force: bool,

    /// Print the result as one line of JSON (on the standard error where the rows go to the standard output)
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The exit code is 0 when every row is written or left out on request, 1 when something was refused or failed, 2 when the
arguments cannot be used. Nothing is written then, but to a standard output.

Examples:
  transload merge *.xlsx *.csv -o ids.csv --add processed=false
  transload merge customers.xlsx -o ids.csv --sheet Ids --columns id,name --key id
  transload merge list.csv -o ids.csv --header-row 0 --columns id";

fn parse_added(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected a name and a value, such as processed=false".to_owned()),
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected names of columns, such as id,name".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// Why files were not merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeCommandError {
    /// A name is given twice.
    #[error("{option} names {name:?} twice: expected each column once")]
    Repeated {
        /// The option.
        option: &'static str,
        /// The name.
        name: String,
    },
    /// There is no header, and nothing else names the columns.
    #[error("--header-row 0 says that no row names the columns: name them with --columns")]
    NoNames,
    /// The merge failed.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The result cannot be printed.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl MergeCommandError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Repeated { .. } | Self::NoNames => true,
            Self::Merge(error) => error.is_usage(),
            Self::Stdout(_) => false,
        }
    }
}

/// Merges the files and prints what was written.
///
/// # Errors
/// Unusable arguments, or whatever kept the files from being merged.
pub fn run(args: &MergeArgs, surroundings: &Surroundings) -> Result<(), MergeCommandError> {
    let added: Vec<&String> = args.add.iter().map(|(name, _)| name).collect();
    check_names("--columns", &args.columns.iter().collect::<Vec<_>>())?;
    check_names("--key", &args.key.iter().collect::<Vec<_>>())?;
    check_names("--add", &added)?;
    let header_row = match args.header_row {
        Some(0) if args.columns.is_empty() => return Err(MergeCommandError::NoNames),
        Some(0) => HeaderRow::None,
        Some(row) => HeaderRow::Given(row),
        None => HeaderRow::Found,
    };
    let job = Job {
        files: &args.files,
        sheets: &args.sheet,
        header_row,
        columns: &args.columns,
        key: &args.key,
        added: &args.add,
        trim: args.trim,
        accept_rounded: match args.accept_rounded.as_deref() {
            None => AcceptRounded::Nowhere,
            Some([]) => AcceptRounded::Everywhere,
            Some(columns) => AcceptRounded::In(columns),
        },
        skip_empty_keys: args.skip_empty_keys,
    };
    let to_stdout = args.output == Path::new("-");
    let sink = match to_stdout {
        true => Sink::stdout(),
        false => {
            check_output(&args.files, &args.output, args.force)?;
            Sink::file(&args.output)?
        }
    };
    let mut bar = ReadingBar::new(SystemClock);
    let merged = match merge(&job, sink, |at| bar.show(at.bytes_done, at.bytes, at.rows)) {
        // The reader, such as `head`, has all that it wanted.
        Err(MergeError::Stdout(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(());
        }
        merged => merged,
    };
    drop(bar);
    let merged = merged.inspect_err(|error| {
        if let MergeError::Refused(listed) | MergeError::EmptyKeys(listed) = error {
            list(listed);
        }
    })?;
    let outcome = Outcome {
        args,
        merged: &merged,
        took: surroundings.started.elapsed(),
    };
    let text = match args.json {
        true => outcome.json(),
        false => outcome.text(),
    };
    let printed = match to_stdout {
        true => writeln!(io::stderr(), "{text}"),
        false => print_line(&text),
    };
    printed.map_err(MergeCommandError::Stdout)?;
    for warning in outcome.warnings() {
        note(format_args!("warning: {warning}"));
    }
    Ok(())
}

fn check_names(option: &'static str, names: &[&String]) -> Result<(), MergeCommandError> {
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(MergeCommandError::Repeated {
                option,
                name: (*name).clone(),
            });
        }
    }
    Ok(())
}

/// The first few places of what was refused.
fn list(listed: &Listed) {
    for text in &listed.first {
        note(text);
    }
    let shown = listed.first.len() as u64;
    if listed.count > shown {
        note(format_args!("… and {} more", listed.count - shown));
    }
}
