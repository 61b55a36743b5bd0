//! The sheets of a workbook.

use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calamine::{CellErrorType, Data, DataRef, Range, Reader, Sheet, Sheets, Xlsx, XlsxError};

use super::error::MergeError;
use super::input::{Counted, TakeRow};
use super::number::Padding;
use super::place::Place;
use super::row::{Content, Row};

type Source = BufReader<Counted>;

/// An open workbook.
///
/// The rows of `.xlsx` come one by one, so a sheet of any length takes no memory; texts that such a workbook keeps apart from
/// its sheets (the shared strings) are in memory as long as it is open. Sheets of other kinds are in memory one at a time, but
/// those of `.ods` all together.
pub(super) struct Workbook {
    path: PathBuf,
    sheets: Sheets<Source>,
}

impl Workbook {
    pub(super) fn new(path: &Path, sheets: Sheets<Source>) -> Self {
        Self {
            path: path.to_owned(),
            sheets,
        }
    }

    pub(super) fn metadata(&self) -> &[Sheet] {
        self.sheets.sheets_metadata()
    }

    /// Whether the formats of its numbers are known, and with them leading zeros.
    pub(super) fn shows_formats(&self) -> bool {
        matches!(self.sheets, Sheets::Xlsx(_))
    }

    /// Hands on every row of a sheet that has a value. The answer is whether there were cells without one.
    pub(super) fn rows(&mut self, sheet: &str, take: TakeRow<'_>) -> Result<bool, MergeError> {
        let place = Place::sheet(&self.path, Some(sheet));
        match &mut self.sheets {
            Sheets::Xlsx(book) => stream(book, sheet, take, |source| {
                unreadable(&place, source.into())
            }),
            Sheets::Ods(book) => {
                let failed = |source: calamine::OdsError| unreadable(&place, source.into());
                let formulas = book.worksheet_formula(sheet).map_err(failed)?;
                let range = book.worksheet_range(sheet).map_err(failed)?;
                from_range(&range, Some(&formulas), take)
            }
            other => {
                let range = other
                    .worksheet_range(sheet)
                    .map_err(|source| unreadable(&place, source))?;
                from_range(&range, None, take)
            }
        }
    }

    /// Hands on row and column (from 0) of every formula whose result is not in the file.
    pub(super) fn formulas_without_result(
        &mut self,
        sheet: &str,
        found: &mut dyn FnMut(u32, u32) -> Result<(), MergeError>,
    ) -> Result<(), MergeError> {
        let place = Place::sheet(&self.path, Some(sheet));
        match &mut self.sheets {
            Sheets::Xlsx(book) => {
                let failed = |source: XlsxError| unreadable(&place, source.into());
                let mut cells = book.worksheet_cells_reader(sheet).map_err(failed)?;
                while let Some(cell) = cells.next_cell_with_formula_metadata().map_err(failed)? {
                    if cell.formula.is_some() && cell.value == DataRef::Empty {
                        found(cell.pos.0, cell.pos.1)?;
                    }
                }
            }
            Sheets::Ods(book) => {
                let failed = |source: calamine::OdsError| unreadable(&place, source.into());
                let formulas = book.worksheet_formula(sheet).map_err(failed)?;
                let range = book.worksheet_range(sheet).map_err(failed)?;
                let (row, column) = formulas.start().unwrap_or_default();
                for (down, right, formula) in formulas.used_cells() {
                    let at = (row + down as u32, column + right as u32);
                    if !formula.is_empty()
                        && matches!(range.get_value(at), None | Some(Data::Empty))
                    {
                        found(at.0, at.1)?;
                    }
                }
            }
            // In these formats a formula without a result cannot be written.
            Sheets::Xls(_) | Sheets::Xlsb(_) => {}
        }
        Ok(())
    }
}

fn unreadable(place: &Place<'_>, source: calamine::Error) -> MergeError {
    MergeError::Workbook {
        place: place.to_string(),
        source: Box::new(source),
    }
}

fn stream(
    book: &mut Xlsx<Source>,
    sheet: &str,
    take: TakeRow<'_>,
    failed: impl Fn(XlsxError) -> MergeError,
) -> Result<bool, MergeError> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(&failed)?;
    let formats = cells.styles().iter().map(|style| {
        let format = style.number_format.as_ref()?;
        Padding::parse(&format.format_code)
    });
    let paddings: Vec<Option<Padding>> = formats.collect();
    let mut rows = RowMaker::default();
    let mut has_empty_cells = false;
    while let Some((cell, style)) = cells.next_cell_with_style_id().map_err(&failed)? {
        let (row, column) = cell.get_position();
        let content = Content::from(cell.get_value());
        has_empty_cells |= matches!(content, Content::Empty);
        if rows.begin(row, take)?.is_break() {
            return Ok(has_empty_cells);
        }
        let padding = paddings.get(style).and_then(Option::as_ref);
        rows.row.push(column as usize, content, padding);
    }
    // Nothing follows the last row, whether or not more is wanted.
    let _ = rows.finish(take)?;
    Ok(has_empty_cells)
}

fn from_range(
    range: &Range<Data>,
    formulas: Option<&Range<String>>,
    take: TakeRow<'_>,
) -> Result<bool, MergeError> {
    let (first_row, first_column) = range.start().unwrap_or_default();
    let mut rows = RowMaker::default();
    let mut has_empty_cells = formulas.is_some();
    for (row, cells) in (first_row..).zip(range.rows()) {
        if rows.begin(row, take)?.is_break() {
            return Ok(has_empty_cells);
        }
        for (column, cell) in (first_column..).zip(cells) {
            let formula = formulas.and_then(|formulas| formulas.get_value((row, column)));
            let content = match cell {
                Data::String(text) if formula.is_some_and(|f| !f.is_empty()) && is_error(text) => {
                    Content::ErrorText(text)
                }
                cell => Content::from(cell),
            };
            has_empty_cells |= matches!(content, Content::Empty);
            rows.row.push(column as usize, content, None);
        }
    }
    // Nothing follows the last row, whether or not more is wanted.
    let _ = rows.finish(take)?;
    Ok(has_empty_cells)
}

/// Whether the text is one that `.ods` has in place of a result.
fn is_error(text: &str) -> bool {
    text.parse::<CellErrorType>().is_ok() || text.starts_with("Err:")
}

/// Gathers the cells of a row.
#[derive(Default)]
struct RowMaker {
    row: Row,
    /// The row (from 0) that is being gathered.
    current: Option<u32>,
    /// The number of the last row with a value.
    last: u64,
}

impl RowMaker {
    /// Cells of this row (from 0) follow.
    fn begin(&mut self, row: u32, take: TakeRow<'_>) -> Result<ControlFlow<()>, MergeError> {
        if self.current == Some(row) {
            return Ok(ControlFlow::Continue(()));
        }
        let flow = self.finish(take)?;
        self.current = Some(row);
        self.row.begin(u64::from(row) + 1);
        Ok(flow)
    }

    /// Hands on the row that has been gathered.
    fn finish(&mut self, take: TakeRow<'_>) -> Result<ControlFlow<()>, MergeError> {
        if self.row.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let number = self.row.number;
        self.row.gap = number.saturating_sub(self.last + 1);
        self.last = number;
        take(&mut self.row)
    }
}
