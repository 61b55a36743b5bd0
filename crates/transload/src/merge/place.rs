//! Places in the inputs, as they are named to people.

use std::fmt;
use std::path::Path;

/// A sheet, a row or a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    path: &'a Path,
    /// None for a CSV file.
    sheet: Option<&'a str>,
    row: Option<u64>,
    /// Counted from 0.
    column: Option<usize>,
}

impl<'a> Place<'a> {
    pub(super) fn sheet(path: &'a Path, sheet: Option<&'a str>) -> Self {
        Self {
            path,
            sheet,
            row: None,
            column: None,
        }
    }

    pub(super) fn row(self, row: u64) -> Self {
        Self {
            row: Some(row),
            ..self
        }
    }

    pub(super) fn cell(self, row: u64, column: usize) -> Self {
        Self {
            row: Some(row),
            column: Some(column),
            ..self
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.path.display())?;
        match (self.sheet, self.row, self.column) {
            (None, None, _) => Ok(()),
            (None, Some(line), None) => write!(out, ", line {line}"),
            (None, Some(line), Some(field)) => write!(out, ", line {line}, field {}", field + 1),
            (Some(sheet), None, _) => write!(out, ", sheet {sheet}"),
            (Some(sheet), Some(row), None) => write!(out, ", sheet {sheet}, row {row}"),
            (Some(sheet), Some(row), Some(column)) => {
                write!(out, ", sheet {sheet}, {}{row}", letters(column))
            }
        }
    }
}

/// The name of a column (counted from 0) as spreadsheets have it: A to Z, AA and so on.
fn letters(column: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        letters.push(b'A' + u8::try_from((rest - 1) % 26).expect("below 26"));
        rest = (rest - 1) / 26;
    }
    letters
        .iter()
        .rev()
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_spreadsheets_do() {
        let cases = [
            (0, "A"),
            (25, "Z"),
            (26, "AA"),
            (701, "ZZ"),
            (702, "AAA"),
            (16_383, "XFD"),
        ];
        for (column, name) in cases {
            assert_eq!(letters(column), name);
        }
    }

    #[test]
    fn places_read_alone() {
        let book = Place::sheet(Path::new("a.xlsx"), Some("Ids"));
        let file = Place::sheet(Path::new("b.csv"), None);
        let texts = [
            book.to_string(),
            book.row(3).to_string(),
            book.cell(7, 1).to_string(),
            file.to_string(),
            file.row(3).to_string(),
            file.cell(7, 1).to_string(),
        ];
        assert_eq!(
            texts,
            [
                "a.xlsx, sheet Ids",
                "a.xlsx, sheet Ids, row 3",
                "a.xlsx, sheet Ids, B7",
                "b.csv",
                "b.csv, line 3",
                "b.csv, line 7, field 2",
            ]
        );
    }
}
