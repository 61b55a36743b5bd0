//! Rows of a sheet, cell by cell as text.

use std::fmt::Write;

use calamine::{CellErrorType, Data, DataRef, ExcelDateTime};

use super::number::{Padding, push_number};

/// A row in which some cells have a value; used over and over, so that a row costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The row of the sheet, or the line of the file in which the row begins, counted from 1.
    pub(super) number: u64,
    /// Rows without a value between the row with a value before this one and this one.
    pub(super) gap: u64,
    /// The texts of the cells, one behind the other.
    text: String,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    column: usize,
    start: usize,
    end: usize,
    kind: Kind,
}

/// Where a cell's text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text itself.
    Text,
    /// A number of at most 15 digits.
    Number,
    /// A longer number.
    LongNumber,
    /// A number whose format shows leading zeros.
    Padded,
    /// A date, a time, or true or false.
    Other,
    /// The result of a formula is an error such as `#N/A`.
    Error,
    /// A number of which the format makes a date or a time, and which is none.
    NoTime,
}

/// What a cell of any format holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    Empty,
    Text(&'a str),
    Number(f64),
    Bool(bool),
    Time(ExcelDateTime),
    /// A date, a time or a duration in ISO 8601.
    Iso(&'a str),
    Error(&'a CellErrorType),
    /// An error that the file has as a text.
    ErrorText(&'a str),
}

impl<'a> From<&'a DataRef<'_>> for Content<'a> {
    fn from(cell: &'a DataRef<'_>) -> Self {
        match cell {
            DataRef::Empty => Self::Empty,
            DataRef::String(text) => Self::Text(text),
            DataRef::SharedString(text) => Self::Text(text),
            DataRef::Int(number) => Self::Number(*number as f64),
            DataRef::Float(number) => Self::Number(*number),
            DataRef::Bool(is_true) => Self::Bool(*is_true),
            DataRef::DateTime(time) => Self::Time(*time),
            DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Self::Iso(text),
            DataRef::Error(error) => Self::Error(error),
        }
    }
}

impl<'a> From<&'a Data> for Content<'a> {
    fn from(cell: &'a Data) -> Self {
        match cell {
            Data::Empty => Self::Empty,
            Data::String(text) => Self::Text(text),
            Data::Int(number) => Self::Number(*number as f64),
            Data::Float(number) => Self::Number(*number),
            Data::Bool(is_true) => Self::Bool(*is_true),
            Data::DateTime(time) => Self::Time(*time),
            Data::DateTimeIso(text) | Data::DurationIso(text) => Self::Iso(text),
            Data::Error(error) => Self::Error(error),
        }
    }
}

impl Row {
    /// Makes it the row of this number, still without a value.
    pub(super) fn begin(&mut self, number: u64) {
        self.number = number;
        self.gap = 0;
        self.text.clear();
        self.cells.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells that have a value: column (from 0), text and where that is from, by column.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, &str, Kind)> + '_ {
        let text = |cell: &Cell| &self.text[cell.start..cell.end];
        self.cells
            .iter()
            .map(move |cell| (cell.column, text(cell), cell.kind))
    }

    /// Adds a cell; one without a value, or with a text without characters, is left out.
    pub(super) fn push(&mut self, column: usize, content: Content<'_>, padding: Option<&Padding>) {
        let start = self.text.len();
        let text = &mut self.text;
        let kind = match content {
            Content::Empty => return,
            Content::Text(value) => {
                text.push_str(value);
                Kind::Text
            }
            Content::Number(value) => match padding {
                Some(padding) if padding.push(value, text) => Kind::Padded,
                _ if push_number(value, text) => Kind::LongNumber,
                _ => Kind::Number,
            },
            Content::Bool(is_true) => {
                text.push_str(if is_true { "true" } else { "false" });
                Kind::Other
            }
            Content::Iso(value) => {
                text.push_str(value);
                Kind::Other
            }
            Content::Time(time) => match push_time(time, text) {
                true => Kind::Other,
                false => {
                    push_number(time.as_f64(), text);
                    Kind::NoTime
                }
            },
            Content::Error(error) => {
                put(text, format_args!("{error}"));
                Kind::Error
            }
            Content::ErrorText(error) => {
                text.push_str(error);
                Kind::Error
            }
        };
        let end = self.text.len();
        if end == start {
            return;
        }
        let cell = Cell {
            column,
            start,
            end,
            kind,
        };
        // A file may hold the cells of a row in any order.
        let place = self.cells.partition_point(|other| other.column <= column);
        self.cells.insert(place, cell);
    }
}

/// Appends a date, a time of day, both, or a duration in ISO 8601; false if it is none of them.
fn push_time(time: ExcelDateTime, out: &mut String) -> bool {
    /// The day after the last one that spreadsheets know, 9999-12-31.
    const END_OF_TIME: f64 = 2_958_466.0;
    let days = time.as_f64();
    if time.is_duration() {
        push_duration(days, out);
        return true;
    }
    if !(0.0..END_OF_TIME).contains(&days) {
        return false;
    }
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    let has_time = (hour, minute, second, milli) != (0, 0, 0, 0);
    // Day 0 is no day: the cell has a time of day alone.
    let has_date = days >= 1.0;
    if has_date {
        put(out, format_args!("{year:04}-{month:02}-{day:02}"));
    }
    if has_date && has_time {
        out.push('T');
    }
    if has_time || !has_date {
        put(out, format_args!("{hour:02}:{minute:02}:{second:02}"));
        if milli > 0 {
            put(out, format_args!(".{milli:03}"));
        }
    }
    true
}

fn push_duration(days: f64, out: &mut String) {
    let millis = (days.abs() * 86_400_000.0).round() as u64;
    let (seconds, milli) = (millis / 1000, millis % 1000);
    let sign = if days < 0.0 && millis > 0 { "-" } else { "" };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put(out, format_args!("{sign}PT{hours}H{minutes}M{seconds}"));
    if milli > 0 {
        put(out, format_args!(".{milli:03}"));
    }
    out.push('S');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType::{DateTime, TimeDelta};

    use super::*;

    fn one(content: Content<'_>) -> Option<(String, Kind)> {
        let mut row = Row::default();
        row.push(0, content, None);
        row.cells()
            .next()
            .map(|(_, text, kind)| (text.to_owned(), kind))
    }

    #[test]
    fn times_are_iso_8601() {
        let cases = [
            (46_053.0, DateTime, false, "2026-01-31"),
            (46_053.524_259_259, DateTime, false, "2026-01-31T12:34:56"),
            (
                46_053.5 + 0.123 / 86_400.0,
                DateTime,
                false,
                "2026-01-31T12:00:00.123",
            ),
            (46_053.999_999_999_9, DateTime, false, "2026-02-01"),
            (0.25, DateTime, false, "06:00:00"),
            (0.0, DateTime, false, "00:00:00"),
            (1.0, DateTime, false, "1900-01-01"),
            (44_591.0, DateTime, true, "2026-01-31"),
            (1.5, TimeDelta, false, "PT36H0M0S"),
            (-0.5 / 86_400.0, TimeDelta, false, "-PT0H0M0.500S"),
        ];
        for (days, kind, is_1904, expected) in cases {
            let time = Content::Time(ExcelDateTime::new(days, kind, is_1904));
            assert_eq!(one(time), Some((expected.to_owned(), Kind::Other)));
        }
    }

    #[test]
    fn a_number_that_is_no_date_is_told() {
        for days in [-1.0, 1e9, f64::NAN] {
            let time = Content::Time(ExcelDateTime::new(days, DateTime, false));
            assert_eq!(one(time).unwrap().1, Kind::NoTime, "{days}");
        }
    }

    #[test]
    fn a_row_has_its_cells_by_column_and_those_with_a_value_alone() {
        let mut row = Row::default();
        row.begin(7);
        row.push(3, Content::Text(" d "), None);
        row.push(0, Content::Bool(true), None);
        row.push(1, Content::Text(""), None);
        row.push(2, Content::Error(&CellErrorType::NA), None);
        let cells: Vec<_> = row.cells().collect();
        assert_eq!(
            cells,
            [
                (0, "true", Kind::Other),
                (2, "#N/A", Kind::Error),
                (3, " d ", Kind::Text)
            ]
        );
        row.begin(8);
        assert!(row.is_empty());
    }
}
