//! Which row of a sheet names its columns.

use std::collections::HashSet;

use super::row::{Kind, Row};

/// Rows with a value in which a header is looked for.
pub(super) const WINDOW_ROWS: usize = 100;

/// Which row is the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderRow {
    /// The first that looks like one.
    Found,
    /// The row of this number (from 1), or the line of a CSV file.
    Given(u64),
    /// None: the columns are those of [`super::Job::columns`], in their order.
    None,
}

/// The names of the columns of a sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Its row or line; 0 where there is none.
    pub(super) row: u64,
    /// By column; some have no name.
    pub(super) names: Vec<Option<String>>,
    /// Rows with a value above it.
    pub(super) title_rows: u64,
}

/// The columns that are asked for by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Those of the output; none means all.
    pub(super) columns: &'a [String],
    /// Those of the key; none means the first.
    pub(super) key: &'a [String],
}

impl Header {
    /// For a sheet whose columns are named by the caller.
    pub(super) fn given(names: &[String]) -> Self {
        Self {
            row: 0,
            names: names.iter().cloned().map(Some).collect(),
            title_rows: 0,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().flatten().any(|other| other == name)
    }

    /// Whether this row, read again, still is the header.
    pub(super) fn is(&self, row: &Row) -> bool {
        names(row) == self.names
    }
}

/// The header among the first rows with a value, `more` of which may follow.
///
/// Where columns are asked for by name, it is the row that has the most of them (of equals the first); rows that do not look
/// like a header count only where the columns of the output are all named. Otherwise it is the first row that looks like
/// one and covers the columns of all rows below it. A row looks like a header if its cells are distinct texts side by side,
/// each with a letter: that sets it apart from a row of ids, and its width from a title.
pub(super) fn find(window: &[Row], rule: HeaderRow, wanted: Wanted<'_>) -> Option<Header> {
    let at = |index: usize| Header {
        row: window[index].number,
        names: names(&window[index]),
        title_rows: index as u64,
    };
    match rule {
        HeaderRow::None => Some(Header::given(wanted.columns)),
        HeaderRow::Given(number) => window.iter().position(|row| row.number == number).map(at),
        HeaderRow::Found if wanted.columns.is_empty() && wanted.key.is_empty() => (0..window.len())
            .find(|index| {
                looks_like_one(&window[*index]) && covers(&window[*index], &window[index + 1..])
            })
            .map(at),
        HeaderRow::Found => {
            let merit = |index: &usize| {
                let row = &window[*index];
                match wanted.columns.is_empty() && !looks_like_one(row) {
                    true => 0,
                    false => count_of(row, wanted),
                }
            };
            // Of equals `max_by_key` takes the last.
            let best = (0..window.len()).rev().max_by_key(merit)?;
            (merit(&best) > 0).then(|| at(best))
        }
    }
}

/// How well a header fits its rows: the wanted columns that it has, whether it covers the rows below it, its columns.
pub(super) fn merit(header: &Header, window: &[Row], wanted: Wanted<'_>) -> (usize, bool, usize) {
    let wanted = wanted.columns.iter().chain(wanted.key);
    let index = window.iter().position(|row| row.number == header.row);
    (
        wanted.filter(|name| header.has(name)).count(),
        index.is_some_and(|index| covers(&window[index], &window[index + 1..])),
        header.names.iter().flatten().count(),
    )
}

fn count_of(row: &Row, wanted: Wanted<'_>) -> usize {
    let names = names(row);
    let wanted = wanted.columns.iter().chain(wanted.key);
    wanted
        .filter(|name| names.iter().flatten().any(|other| other == *name))
        .count()
}

fn names(row: &Row) -> Vec<Option<String>> {
    let mut names = Vec::new();
    for (column, text, _) in row.cells() {
        let name = text.trim();
        if !name.is_empty() {
            names.resize(column, None);
            names.push(Some(name.to_owned()));
        }
    }
    names
}

fn looks_like_one(row: &Row) -> bool {
    let mut seen = HashSet::new();
    let mut next = None;
    let has_only_names = row.cells().all(|(column, text, kind)| {
        let is_next = next.is_none_or(|next| next == column);
        next = Some(column + 1);
        is_next
            && kind == Kind::Text
            && text.chars().any(char::is_alphabetic)
            && seen.insert(text.trim().to_owned())
    });
    has_only_names && next.is_some()
}

/// Whether no row has a value to the left or to the right of this one's.
fn covers(row: &Row, below: &[Row]) -> bool {
    let (first, last) = span(row);
    below.iter().map(span).all(|(other_first, other_last)| {
        (first..=last).contains(&other_first) && (first..=last).contains(&other_last)
    })
}

fn span(row: &Row) -> (usize, usize) {
    let first = row.cells().next().map_or(0, |(column, ..)| column);
    let last = row.cells().last().map_or(0, |(column, ..)| column);
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::super::row::Content;
    use super::*;

    fn window(rows: &[&[&str]]) -> Vec<Row> {
        let mut window = Vec::new();
        for (index, cells) in rows.iter().enumerate() {
            let mut row = Row::default();
            row.begin(index as u64 + 1);
            for (column, text) in cells.iter().enumerate() {
                match text.strip_prefix('=') {
                    Some(number) => {
                        row.push(column, Content::Number(number.parse().unwrap()), None);
                    }
                    None => row.push(column, Content::Text(text), None),
                }
            }
            if !row.is_empty() {
                window.push(row);
            }
        }
        window
    }

    /// The number of the header's row, and of the title rows above it.
    fn found(rows: &[&[&str]], columns: &[&str], key: &[&str]) -> Option<(u64, u64)> {
        let owned =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| n.to_string()).collect() };
        let (columns, key) = (owned(columns), owned(key));
        let wanted = Wanted {
            columns: &columns,
            key: &key,
        };
        find(&window(rows), HeaderRow::Found, wanted).map(|header| (header.row, header.title_rows))
    }

    #[test]
    fn the_header_is_the_first_row_of_names_that_is_wide_enough() {
        let plain: &[&[&str]] = &[&["id", "name"], &["1", "Ann"], &["2", "Bob"]];
        assert_eq!(found(plain, &[], &[]), Some((1, 0)));
        let titled: &[&[&str]] = &[
            &["Customers"],
            &[],
            &["As of", "=46053"],
            &["id", "name"],
            &["=1", "Ann"],
        ];
        assert_eq!(found(titled, &[], &[]), Some((4, 2)));
        let shifted: &[&[&str]] = &[&["Ids"], &["", "id", "name"], &["", "1", "Ann"]];
        assert_eq!(found(shifted, &[], &[]), Some((2, 1)));
        let one_column: &[&[&str]] = &[&["id"], &["00001"], &["00002"]];
        assert_eq!(found(one_column, &[], &[]), Some((1, 0)));
        let header_alone: &[&[&str]] = &[&["id", "name"]];
        assert_eq!(found(header_alone, &[], &[]), Some((1, 0)));
    }

    #[test]
    fn rows_that_are_no_header_are_not_taken() {
        let ids: &[&[&str]] = &[&["00001"], &["00002"]];
        assert_eq!(found(ids, &[], &[]), None, "no letter");
        let numbers: &[&[&str]] = &[&["id", "=1"], &["id", "=2"]];
        assert_eq!(found(numbers, &[], &[]), None, "a number");
        let twice: &[&[&str]] = &[&["id", "id "], &["=1", "=2"]];
        assert_eq!(found(twice, &[], &[]), None, "twice the same");
        let gap: &[&[&str]] = &[&["id", "", "name"], &["=1", "=2", "=3"]];
        assert_eq!(found(gap, &[], &[]), None, "a column without a name");
        let wide: &[&[&str]] = &[&["id", "name"], &["=1", "=2", "=3"]];
        assert_eq!(found(wide, &[], &[]), None, "a value without a column");
    }

    #[test]
    fn named_columns_find_their_row() {
        let titled: &[&[&str]] = &[&["Ids of all"], &["id"], &["1"]];
        assert_eq!(found(titled, &[], &[]), Some((1, 0)));
        assert_eq!(found(titled, &["id"], &[]), Some((2, 1)));
        assert_eq!(found(titled, &[], &["id"]), Some((2, 1)));
        assert_eq!(found(titled, &["other"], &[]), None);
        let noted: &[&[&str]] = &[&["id", "", "name", "name"], &["=1", "note", "Ann", "x"]];
        assert_eq!(found(noted, &["id"], &[]), Some((1, 0)));
        assert_eq!(found(noted, &[], &["id"]), None);
        let more: &[&[&str]] = &[&["id", "x"], &["id", "sort"], &["id", "sort"]];
        assert_eq!(found(more, &["sort"], &["id"]), Some((2, 1)));
    }

    #[test]
    fn a_given_row_may_look_like_anything() {
        let rows = window(&[&["Ids"], &["=2024", "", " b "], &["1"]]);
        let wanted = Wanted {
            columns: &[],
            key: &[],
        };
        let header = find(&rows, HeaderRow::Given(2), wanted).unwrap();
        let names: Vec<_> = header.names.iter().map(Option::as_deref).collect();
        assert_eq!(names, [Some("2024"), None, Some("b")]);
        assert_eq!(header.title_rows, 1);
        assert_eq!(find(&rows, HeaderRow::Given(9), wanted), None);
    }
}
