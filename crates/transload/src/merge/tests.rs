//! Random tables as workbooks and CSV files, merged, against the naive expectation.

use std::collections::HashMap;
use std::fs;

use proptest::prelude::*;
use rust_xlsxwriter::{Format, Workbook};
use tempfile::TempDir;

use super::*;

const PLAIN: Job<'static> = Job {
    files: &[],
    sheets: &[],
    header_row: HeaderRow::Found,
    columns: &[],
    key: &[],
    added: &[],
    trim: false,
    accept_rounded: AcceptRounded::Nowhere,
    skip_empty_keys: true,
};

/// A table as a file has it: names of columns, and rows of cells.
#[derive(Debug, Clone)]
struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

#[derive(Debug, Clone)]
enum Value {
    Empty,
    Text(String),
    Whole(i64),
    /// Shown with at least so many digits.
    Padded(u32, usize),
    Cents(i32),
    Bool(bool),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Padded(number, width) => format!("{number:0>width$}"),
            Self::Cents(number) => {
                let (sign, number) = (if *number < 0 { "-" } else { "" }, number.unsigned_abs());
                let text = format!("{sign}{}.{:02}", number / 100, number % 100);
                let text = text.trim_end_matches('0').trim_end_matches('.');
                if text == "-0" {
                    "0".to_owned()
                } else {
                    text.to_owned()
                }
            }
            Self::Bool(is_true) => is_true.to_string(),
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Empty),
        4 => "[0-9]{1,25}".prop_map(Value::Text),
        3 => "[a-c0,;\"\n\té' ]{1,6}".prop_map(Value::Text),
        2 => (-999_999_999_999_999i64..1_000_000_000_000_000).prop_map(Value::Whole),
        2 => (any::<u32>(), 2usize..14).prop_map(|(number, width)| Value::Padded(number, width)),
        1 => any::<i32>().prop_map(Value::Cents),
        1 => any::<bool>().prop_map(Value::Bool),
    ]
}

fn table() -> impl Strategy<Value = Table> {
    let others = prop::sample::subsequence(vec!["name", "größe", "a,b", "last \"one\""], 0..=4);
    others.prop_shuffle().prop_flat_map(|mut columns| {
        columns.insert(0, "id");
        let row = prop::collection::vec(value(), columns.len());
        prop::collection::vec(row, 0..12).prop_map(move |rows| Table {
            columns: columns.clone(),
            rows,
        })
    })
}

fn write_xlsx(path: &Path, tables: &[Table]) {
    let mut book = Workbook::new();
    for table in tables {
        let sheet = book.add_worksheet();
        for (column, name) in (0u16..).zip(&table.columns) {
            sheet.write_string(0, column, *name).unwrap();
        }
        for (row, cells) in (1u32..).zip(&table.rows) {
            for (column, cell) in (0u16..).zip(cells) {
                match cell {
                    Value::Empty => Ok(&mut *sheet),
                    Value::Text(text) => sheet.write_string(row, column, text),
                    Value::Whole(number) => sheet.write_number(row, column, *number as f64),
                    Value::Padded(number, width) => {
                        let format = Format::new().set_num_format("0".repeat(*width));
                        sheet.write_number_with_format(row, column, *number, &format)
                    }
                    Value::Cents(number) => {
                        let number = f64::from(*number) / 100.0;
                        sheet.write_number(row, column, number)
                    }
                    Value::Bool(is_true) => sheet.write_boolean(row, column, *is_true),
                }
                .map(|_| ())
                .unwrap();
            }
        }
    }
    book.save(path).unwrap();
}

fn write_csv(path: &Path, table: &Table, delimiter: u8) {
    let mut out = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .from_path(path)
        .unwrap();
    out.write_record(&table.columns).unwrap();
    for row in &table.rows {
        out.write_record(row.iter().map(Value::text)).unwrap();
    }
    out.flush().unwrap();
}

/// What the output and the counts are to be, by a map and loops.
fn naive(tables: &[Table], added: &[(String, String)]) -> (Vec<Vec<String>>, u64, u64) {
    let mut columns: Vec<String> = Vec::new();
    for name in tables.iter().flat_map(|table| &table.columns) {
        if !columns.iter().any(|column| column == name) {
            columns.push((*name).to_owned());
        }
    }
    let mut header = columns.clone();
    header.extend(added.iter().map(|(name, _)| name.clone()));
    let (mut lines, mut seen) = (vec![header], HashMap::<String, u64>::new());
    let (mut duplicates, mut without_key) = (0, 0);
    for table in tables {
        for row in &table.rows {
            let value = |name: &String| {
                let index = table.columns.iter().position(|column| column == name);
                index.map_or_else(String::new, |index| row[index].text())
            };
            let mut line: Vec<String> = columns.iter().map(value).collect();
            if line.iter().all(String::is_empty) {
                continue;
            }
            if line[0].is_empty() {
                without_key += 1;
                continue;
            }
            let count = seen.entry(line[0].clone()).or_default();
            duplicates += u64::from(*count > 0);
            *count += 1;
            line.extend(added.iter().map(|(_, value)| value.clone()));
            lines.push(line);
        }
    }
    (lines, duplicates, without_key)
}

fn parsed(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_path(path)
        .unwrap();
    let records = reader.records().map(Result::unwrap);
    records
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_output_is_what_a_loop_makes(
        one in prop::collection::vec(table(), 1..4),
        two in table(),
        three in table(),
        value in "[a-z,\"]{0,5}",
    ) {
        let folder = TempDir::new().unwrap();
        let path = |name| folder.path().join(name);
        write_xlsx(&path("one.xlsx"), &one);
        // Nothing tells the delimiter of a single column.
        write_csv(&path("two.csv"), &two, if two.columns.len() > 1 { b';' } else { b',' });
        write_csv(&path("three.tsv"), &three, b'\t');
        let files = ["one.xlsx", "two.csv", "three.tsv"].map(path);
        let added = [("processed".to_owned(), value)];
        let key = ["id".to_owned()];
        // Cells of random text may look like a header of more columns than the true one.
        let job = Job {
            files: &files,
            added: &added,
            key: &key,
            header_row: HeaderRow::Given(1),
            ..PLAIN
        };
        let output = path("out.csv");
        let merged = merge(&job, Sink::file(&output).unwrap(), |_| ()).unwrap();
        let tables: Vec<Table> = one.into_iter().chain([two, three]).collect();
        let (lines, duplicates, without_key) = naive(&tables, &added);
        let rows = lines.len() as u64 - 1;
        prop_assert_eq!(parsed(&output), lines);
        prop_assert_eq!(merged.rows, rows);
        prop_assert_eq!(merged.duplicates, duplicates);
        prop_assert_eq!(merged.empty_keys.count, without_key);
        prop_assert_eq!(merged.bytes, fs::metadata(&output).unwrap().len());
    }
}

#[test]
fn progress_grows_to_the_rows_and_the_bytes() {
    let folder = TempDir::new().unwrap();
    let files = ["a.csv", "b.csv"].map(|name| folder.path().join(name));
    let rows: String = (0..50_000).map(|nth| format!("{nth}\n")).collect();
    for file in &files {
        fs::write(file, format!("id\n{rows}")).unwrap();
    }
    let job = Job {
        files: &files,
        ..PLAIN
    };
    let mut reports = Vec::new();
    let sink = Sink::file(&folder.path().join("out.csv")).unwrap();
    merge(&job, sink, |progress| reports.push(*progress)).unwrap();
    assert!(reports.is_sorted_by_key(|progress| (progress.rows, progress.bytes_done)));
    let last = reports.last().unwrap();
    assert!(
        last.rows > 98_000 && last.bytes_done <= last.bytes,
        "{last:?}"
    );
    assert_eq!(last.bytes, 2 * fs::metadata(&files[0]).unwrap().len());
    assert!(last.bytes_done > last.bytes / 2, "{last:?}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let folder = TempDir::new().unwrap();
    let files = ["a.csv", "b.csv"].map(|name| folder.path().join(name));
    let rows: String = (0..5_000).map(|nth| format!("{nth},x\n")).collect();
    for file in &files {
        fs::write(file, format!("id,name\n{rows}")).unwrap();
    }
    let job = Job {
        files: &files,
        ..PLAIN
    };
    let output = folder.path().join("out.csv");
    let sink = Sink::file(&output).unwrap();
    let error = merge(&job, sink, |_| {
        fs::write(&files[1], "name,id\nx,1\n").unwrap()
    });
    assert!(
        matches!(error, Err(MergeError::Changed { .. })),
        "{error:?}"
    );
    assert!(!output.exists());
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_merged() {
    let folder = TempDir::new().unwrap();
    let files = [folder.path().join("a.csv")];
    let rows: String = (0..5_000).map(|nth| format!("{nth},x\n")).collect();
    fs::write(&files[0], format!("id,name\n{rows}")).unwrap();
    let job = Job {
        files: &files,
        ..PLAIN
    };
    let output = folder.path().join("out.csv");
    let sink = Sink::file(&output).unwrap();
    let error = merge(&job, sink, |_| {
        fs::write(&files[0], format!("id,name\n{rows}{rows}")).unwrap();
    });
    assert!(
        matches!(error, Err(MergeError::Changed { .. })),
        "{error:?}"
    );
    assert!(!output.exists());
}
