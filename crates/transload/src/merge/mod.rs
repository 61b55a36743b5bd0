//! Workbooks and CSV files into one CSV file, without a change to any id.
//!
//! Every file is read twice: first its headers, so that the columns are known, then its rows, which are written one by one.

mod csv_file;
mod error;
mod header;
mod input;
mod number;
mod place;
mod plan;
mod row;
mod sink;
#[cfg(test)]
mod tests;
mod workbook;
mod writer;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use error::MergeError;
pub use header::HeaderRow;
pub use sink::Sink;

use crate::duplicate_keys::RowPlace;
use crate::ingest::FileVersion;
use input::Input;
use place::Place;
use plan::{FilePlan, Plan, SheetPlan, Target};
use row::Row;
use writer::RowWriter;

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 1024;

/// What is merged, and how.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The files, in the order in which their rows are written.
    pub files: &'a [PathBuf],
    /// The sheets of each workbook that are read; none means all that are not hidden.
    pub sheets: &'a [String],
    /// Which row names the columns.
    pub header_row: HeaderRow,
    /// The columns of the output, in their order; none means all, in the order in which they first appear.
    pub columns: &'a [String],
    /// The columns by which rows are told apart; none means the first of the output.
    pub key: &'a [String],
    /// Columns that are added behind the others, with the value that every row has.
    pub added: &'a [(String, String)],
    /// Whether blanks around texts are taken off.
    pub trim: bool,
    /// Which columns may have numbers of more than 15 digits.
    pub accept_rounded: AcceptRounded<'a>,
    /// Whether rows without a key are left out.
    pub skip_empty_keys: bool,
}

/// Which columns may have numbers of more than 15 digits, as they are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptRounded<'a> {
    /// None.
    Nowhere,
    /// All.
    Everywhere,
    /// These.
    In(&'a [String]),
}

/// How far a merge is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeProgress {
    /// Bytes of the files that have been read for their rows.
    pub bytes_done: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Rows that have been written.
    pub rows: u64,
}

/// Something that was counted, and the first few of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many.
    pub count: u64,
    /// The first ten, each with its place.
    pub first: Vec<String>,
}

impl Listed {
    const SHOWN: usize = 10;

    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push(text());
        }
    }
}

/// A file or a sheet of which nothing was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// The sheet, if it is not the whole file.
    pub sheet: Option<String>,
    /// Why.
    pub reason: &'static str,
}

/// What a merge came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files that were read.
    pub files: u64,
    /// Sheets that were read; a CSV file is one.
    pub sheets: u64,
    /// Rows that were written, without the header.
    pub rows: u64,
    /// The columns of the output.
    pub columns: Vec<String>,
    /// The columns by which rows are told apart.
    pub key: Vec<String>,
    /// Rows whose key a row before them has.
    pub duplicates: u64,
    /// Those of them of which some value differs from the row with the same key before them.
    pub differing_duplicates: u64,
    /// Keys that more than one row has.
    pub duplicate_keys: u64,
    /// The first few duplicates: where the row is, and where the row before it with the same key is.
    pub duplicate_examples: Vec<[String; 2]>,
    /// Rows without a value between others.
    pub empty_rows: u64,
    /// Rows that were left out as they have no key.
    pub empty_keys: Listed,
    /// Rows above headers, by their sheet.
    pub title_rows: Vec<(String, u64)>,
    /// Numbers of more than 15 digits.
    pub rounded: u64,
    /// Numbers with leading zeros that their format shows.
    pub padded: u64,
    /// Numbers of workbooks of which the number formats cannot be read…
    pub formats_unseen: u64,
    /// …and those workbooks.
    pub files_without_formats: Vec<PathBuf>,
    /// What was not read.
    pub skipped: Vec<Skipped>,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Whether the output may be written: it is none of the inputs, and there already only if it may be replaced.
///
/// # Errors
/// An output that may not be written.
pub fn check_output(files: &[PathBuf], output: &Path, replace: bool) -> Result<(), MergeError> {
    let Ok(found) = fs::metadata(output) else {
        return Ok(());
    };
    if !found.is_file() {
        return Ok(());
    }
    let target = input::canonical(output)?;
    let is_input = |file: &PathBuf| fs::canonicalize(file).is_ok_and(|file| file == target);
    match (files.iter().any(is_input), replace) {
        (true, _) => Err(MergeError::OutputIsInput(output.to_owned())),
        (false, false) => Err(MergeError::OutputExists(output.to_owned())),
        (false, true) => Ok(()),
    }
}

/// Writes the rows of all files. The file of `sink` appears when all of them are written, and only if nothing was refused.
/// `on_progress` is called every thousand rows or so.
///
/// # Errors
/// Inputs that cannot be read or do not fit together, cells without a value that could be written, rows without a key, or an
/// output that cannot be written.
pub fn merge(
    job: &Job<'_>,
    sink: Sink,
    mut on_progress: impl FnMut(&MergeProgress),
) -> Result<Merged, MergeError> {
    let plan = Plan::make(job)?;
    let mut writer = RowWriter::begin(job, &plan, sink)?;
    let mut progress = MergeProgress {
        bytes: plan.bytes,
        ..MergeProgress::default()
    };
    let mut formats_unseen = BTreeSet::new();
    let (mut sheets, mut before) = (0, 0);
    for file in &plan.files {
        let bytes_read = Rc::new(Cell::new(0));
        let mut input = Input::open(&file.path, &bytes_read)?;
        for sheet in &file.sheets {
            let number = sheets;
            sheets += 1;
            let numbers_before = writer.numbers;
            read_sheet(&mut input, file, sheet, &mut |place, found| {
                let row = match found {
                    Found::Row(row) => row,
                    Found::NoResult { row, column } => {
                        let place = place.cell(row, column);
                        writer.refuse(|| format!("{place}: {NO_RESULT}"));
                        return Ok(());
                    }
                };
                let row_place = RowPlace {
                    source: number,
                    row: row.number,
                };
                writer.take(sheet, (place, row_place), row)?;
                if writer.merged.rows % PROGRESS_ROWS == 0 {
                    progress.bytes_done = before + bytes_read.get().min(file.bytes);
                    progress.rows = writer.merged.rows;
                    on_progress(&progress);
                }
                Ok(())
            })?;
            if let Input::Workbook(book) = &input
                && !book.shows_formats()
                && writer.numbers > numbers_before
            {
                writer.merged.formats_unseen += writer.numbers - numbers_before;
                formats_unseen.insert(file.path.clone());
            }
        }
        // Somebody who writes it has perhaps written half a row.
        if FileVersion::at(&file.path).ok() != file.version {
            return Err(MergeError::Changed {
                place: file.path.display().to_string(),
            });
        }
        before += file.bytes;
    }
    let mut merged = writer.finish(&plan)?;
    merged.files = plan.files.len() as u64;
    merged.sheets = u64::from(sheets);
    merged.files_without_formats = formats_unseen.into_iter().collect();
    for file in &plan.files {
        for sheet in file
            .sheets
            .iter()
            .filter(|sheet| sheet.header.title_rows > 0)
        {
            let place = Place::sheet(&file.path, sheet.name.as_deref()).to_string();
            merged.title_rows.push((place, sheet.header.title_rows));
        }
    }
    merged.skipped = plan.skipped;
    Ok(merged)
}

const NO_RESULT: &str =
    "a formula whose result is not in the file: open it in a spreadsheet program and save it";

/// What [`read_sheet`] comes upon.
enum Found<'a> {
    /// A row below the header.
    Row(&'a Row),
    /// A formula without a result: row (from 1) and column (from 0).
    NoResult { row: u64, column: usize },
}

/// Hands on all that is below the header.
fn read_sheet(
    input: &mut Input,
    file: &FilePlan,
    sheet: &SheetPlan,
    take: &mut dyn FnMut(Place<'_>, Found<'_>) -> Result<(), MergeError>,
) -> Result<(), MergeError> {
    let name = sheet.name.as_deref();
    let place = Place::sheet(&file.path, name);
    let changed = || MergeError::Changed {
        place: place.to_string(),
    };
    let mut has_header = sheet.header.row == 0;
    let has_empty_cells = input.rows(name, sheet.delimiter, &mut |row| {
        if row.number == sheet.header.row {
            has_header = sheet.header.is(row);
        } else if row.number > sheet.header.row {
            if !has_header {
                return Err(changed());
            }
            take(place, Found::Row(row))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if !has_header {
        return Err(changed());
    }
    if let (Input::Workbook(book), Some(name), true) = (input, name, has_empty_cells) {
        book.formulas_without_result(name, &mut |row, column| {
            let (row, column) = (u64::from(row) + 1, column as usize);
            let is_written = matches!(sheet.targets.get(column), Some(Target::Column(_)));
            match row > sheet.header.row && is_written {
                true => take(place, Found::NoResult { row, column }),
                false => Ok(()),
            }
        })?;
    }
    Ok(())
}
