//! `transload merge` as a person or a script meets it: exit codes, messages, files.

use std::fs;
use std::io::Write;
use std::process::Command;

use rust_xlsxwriter::{Format, Workbook, Worksheet};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "merge_command/cells.rs"]
mod cells;
#[path = "merge_command/raw.rs"]
mod raw;

/// Exit code, standard output and standard error of a run in `folder`.
fn run(folder: &TempDir, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.current_dir(folder).arg("merge").args(args);
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The rows that a run with these arguments writes, and its result.
fn merged(folder: &TempDir, args: &[&str]) -> (String, Value) {
    let args = [args, &["-o", "out.csv", "--force", "--json"]].concat();
    let (code, out, err) = run(folder, &args);
    assert_eq!(code, 0, "{err}");
    let text = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    (text, serde_json::from_str(&out).unwrap())
}

/// What a run says that fails with this code and writes nothing.
fn failed(folder: &TempDir, code: i32, args: &[&str]) -> String {
    let args = [args, &["-o", "failed.csv"]].concat();
    let (found, out, err) = run(folder, &args);
    assert_eq!((found, out.as_str()), (code, ""), "{err}");
    let left = ["failed.csv", "failed.csv.partial"].map(|name| folder.path().join(name).exists());
    assert_eq!(left, [false, false]);
    err
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn workbook(folder: &TempDir, name: &str, fill: impl FnOnce(&mut Workbook)) {
    let mut book = Workbook::new();
    fill(&mut book);
    book.save(folder.path().join(name)).unwrap();
}

fn texts(sheet: &mut Worksheet, row: u32, cells: &[&str]) {
    for (column, text) in (0..).zip(cells) {
        sheet.write_string(row, column, *text).unwrap();
    }
}

#[test]
fn sheets_are_chosen() {
    let folder = folder();
    workbook(&folder, "a.xlsx", |book| {
        let sheet = book.add_worksheet().set_name("One").unwrap();
        texts(sheet, 0, &["id", "name"]);
        texts(sheet, 1, &["1", "Ann"]);
        book.add_worksheet().set_name("Blank").unwrap();
        let sheet = book.add_worksheet().set_name("Old").unwrap();
        sheet.set_hidden(true);
        texts(sheet, 0, &["id"]);
        texts(sheet, 1, &["2"]);
        let sheet = book.add_worksheet().set_name("Two").unwrap();
        texts(sheet, 0, &["town", "id"]);
        texts(sheet, 1, &["Bonn", "3"]);
        let mut chart = rust_xlsxwriter::Chart::new_line();
        chart.add_series().set_values("=One!$A$1:$A$2");
        let sheet = book.add_chartsheet().set_name("Chart").unwrap();
        sheet.insert_chart(0, 0, &chart).unwrap();
    });
    let (text, result) = merged(&folder, &["a.xlsx"]);
    assert_eq!(text, "id,name,town\n1,Ann,\n3,,Bonn\n");
    assert_eq!(result["sheets"], 2);
    let skipped: Vec<_> = result["skipped"].as_array().unwrap().iter().collect();
    let skipped: Vec<_> = skipped
        .iter()
        .map(|s| (s["sheet"].as_str(), s["reason"].as_str()))
        .collect();
    assert_eq!(
        skipped,
        [
            (Some("Old"), Some("hidden")),
            (Some("Chart"), Some("no cells, such as a chart")),
            (Some("Blank"), Some("empty")),
        ]
    );
    let (text, _) = merged(&folder, &["a.xlsx", "--sheet", "Old"]);
    assert_eq!(text, "id\n2\n");
    let message = failed(&folder, 2, &["a.xlsx", "--sheet", "one"]);
    assert!(
        message.contains("has no sheet \"one\": it has \"One\", \"Blank\""),
        "{message}"
    );
    let (code, out, _) = run(&folder, &["a.xlsx", "-o", "text.csv"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("not read: a.xlsx, sheet Old (hidden; --sheet reads it)"),
        "{out}"
    );
    assert!(
        out.contains("key: id (the first column; --key names others)"),
        "{out}"
    );
}

#[test]
fn the_header_is_found_below_titles_or_given() {
    let folder = folder();
    workbook(&folder, "a.xlsx", |book| {
        let sheet = book.add_worksheet();
        texts(sheet, 0, &["Customers of all countries"]);
        sheet.write_string(1, 0, "As of").unwrap();
        sheet.write_number(1, 1, 2026).unwrap();
        texts(sheet, 3, &["id", "name "]);
        texts(sheet, 4, &["1", "Ann"]);
        texts(sheet, 7, &["2", "Bob"]);
        sheet.write_blank(20, 0, &Format::new().set_bold()).unwrap();
    });
    let (text, result) = merged(&folder, &["a.xlsx"]);
    assert_eq!(text, "id,name\n1,Ann\n2,Bob\n");
    assert_eq!(
        (&result["title_rows"], &result["rows_without_value"]),
        (&json!(2), &json!(2))
    );
    write(&folder, "title.csv", "Customers\n;\nid;name\n1;Ann\n");
    assert_eq!(merged(&folder, &["title.csv"]).0, "id,name\n1,Ann\n");
    write(&folder, "bare.csv", "00001,Ann\n00002,Bob\n");
    let message = failed(&folder, 2, &["bare.csv"]);
    assert!(
        message.contains("bare.csv: none of the first 100 rows looks like a header"),
        "{message}"
    );
    let (text, _) = merged(
        &folder,
        &["bare.csv", "--header-row", "0", "--columns", "id"],
    );
    assert_eq!(text, "id\n00001\n00002\n");
    let message = failed(&folder, 2, &["bare.csv", "--header-row", "0"]);
    assert!(message.contains("name them with --columns"), "{message}");
    assert_eq!(
        merged(&folder, &["bare.csv", "--header-row", "1"]).0,
        "00001,Ann\n00002,Bob\n"
    );
    let message = failed(&folder, 2, &["bare.csv", "--header-row", "9"]);
    assert!(
        message.contains("row 9, which --header-row names, has no value"),
        "{message}"
    );
    let message = failed(&folder, 2, &["a.xlsx", "--key", "ID"]);
    assert!(
        message.contains("none of the first 100 rows has a column \"ID\""),
        "{message}"
    );
}

#[test]
fn duplicates_are_counted_and_written() {
    let folder = folder();
    write(&folder, "a.csv", "id,sort,v\n1,a,x\n2,a,x\n1,a,x\n");
    write(&folder, "b.csv", "id,sort,v\n1,b,x\n2,a,y\n");
    let (code, out, err) = run(
        &folder,
        &[
            "a.csv", "b.csv", "-o", "out.csv", "--json", "--key", "id,sort",
        ],
    );
    assert_eq!(code, 0);
    let result: Value = serde_json::from_str(&out).unwrap();
    let counts = [
        "rows",
        "duplicates",
        "duplicates_that_differ",
        "duplicate_keys",
    ]
    .map(|name| &result[name]);
    assert_eq!(counts, [&json!(5), &json!(2), &json!(1), &json!(2)]);
    assert_eq!(
        result["duplicate_examples"],
        json!([
            ["a.csv, line 4", "a.csv, line 2"],
            ["b.csv, line 3", "a.csv, line 3"]
        ])
    );
    assert!(err.contains("warning: 2 rows have the key of a row before them (1 with other values), such as a.csv, line 4 that of a.csv, line 2"), "{err}");
    assert_eq!(merged(&folder, &["a.csv", "b.csv"]).1["duplicates"], 3);
    let message = failed(&folder, 2, &["a.csv", "--key", "none"]);
    assert!(
        message.contains("has a column \"none\" (the first row has \"id\", \"sort\", \"v\")"),
        "{message}"
    );
    let message = failed(&folder, 2, &["a.csv", "--sheet", "Ids"]);
    assert!(
        message.contains("no file is a workbook: leave --sheet out"),
        "{message}"
    );
}

#[test]
fn rows_without_a_key_or_a_value_are_counted() {
    let folder = folder();
    write(&folder, "a.csv", "id,name\n,Ann\n,\n1,Bob\n,\n");
    let message = failed(&folder, 1, &["a.csv"]);
    assert!(
        message.starts_with("a.csv, line 2: no id\nerror: 1 rows have a value and no key"),
        "{message}"
    );
    let (text, result) = merged(&folder, &["a.csv", "--skip-empty-keys"]);
    assert_eq!(text, "id,name\n1,Bob\n");
    assert_eq!(
        (&result["rows_without_key"], &result["rows_without_value"]),
        (&json!(1), &json!(1))
    );
    write(&folder, "b.csv", "name\nEve\n");
    let message = failed(&folder, 1, &["a.csv", "b.csv", "--skip-empty-keys"]);
    assert!(
        message.contains("b.csv has no column \"id\", which is the key (the first column"),
        "{message}"
    );
    write(&folder, "c.csv", "id\n1,more\n");
    let message = failed(&folder, 1, &["c.csv", "--header-row", "1"]);
    assert!(
        message.contains("c.csv, line 2, field 2: a value in a column without a name"),
        "{message}"
    );
}

#[test]
fn the_output_is_neither_an_input_nor_replaced_unasked() {
    let folder = folder();
    write(&folder, "a.csv", "id\n1\n");
    write(&folder, "out.csv", "old");
    let (code, _, err) = run(&folder, &["a.csv", "-o", "out.csv"]);
    assert!(code == 2 && err.contains("\"out.csv\" exists"), "{err}");
    assert_eq!(
        fs::read_to_string(folder.path().join("out.csv")).unwrap(),
        "old"
    );
    assert_eq!(run(&folder, &["a.csv", "-o", "out.csv", "--force"]).0, 0);
    let (code, _, err) = run(&folder, &["a.csv", "out.csv", "-o", "./out.csv", "--force"]);
    assert!(
        code == 2 && err.contains("both an input and the output"),
        "{err}"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("out.csv")).unwrap(),
        "id\n1\n"
    );
    let message = failed(&folder, 2, &["a.csv", "./a.csv"]);
    assert!(message.contains("is given twice"), "{message}");
    let (code, out, err) = run(&folder, &["a.csv", "-o", "-"]);
    assert_eq!((code, out.as_str()), (0, "id\n1\n"), "{err}");
    assert!(err.contains("- of 1 file (1 sheet)"), "{err}");
}

#[test]
fn files_that_are_not_what_they_seem_are_told() {
    let folder = folder();
    write(&folder, "a.csv", "id,processed\n1,x\n");
    write(&folder, "~$a.xlsx", "someone");
    let (text, result) = merged(&folder, &["~$a.xlsx", "a.csv"]);
    assert_eq!(text, "id,processed\n1,x\n");
    assert_eq!(
        result["skipped"][0]["reason"],
        "the lock file of an open workbook"
    );
    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["a.csv", "--add", "processed=false"],
            2,
            "a.csv has the column \"processed\" already",
        ),
        (
            &["a.csv", "--add", "processed"],
            2,
            "expected a name and a value",
        ),
        (
            &["a.csv", "--columns", "id,id"],
            2,
            "--columns names \"id\" twice",
        ),
        (&["missing.xlsx"], 2, "there is no file \"missing.xlsx\""),
        (&["."], 2, "is no regular file"),
        (&["text.xlsx"], 1, "is no workbook, whatever its name says"),
        (&["locked.xlsx"], 1, "is encrypted"),
    ];
    write(&folder, "text.xlsx", "id\n1\n");
    fs::write(
        folder.path().join("locked.xlsx"),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest",
    )
    .unwrap();
    for (args, code, expected) in cases {
        let message = failed(&folder, code, args);
        assert!(message.contains(expected), "{args:?}: {message}");
    }
    write(&folder, "broken.csv", "id,name\n1,\"open\n");
    let message = failed(&folder, 1, &["broken.csv"]);
    assert!(
        message.contains("broken.csv, line 2: a quote that begins on this line is never closed"),
        "{message}"
    );
    let (code, _, _) = run(
        &folder,
        &[
            "a.csv",
            "-o",
            "added.csv",
            "--columns",
            "id",
            "--add",
            "processed=false",
        ],
    );
    assert_eq!(code, 0);
    let text = fs::read_to_string(folder.path().join("added.csv")).unwrap();
    assert_eq!(text, "id,processed\n1,false\n");
}

#[test]
fn csv_files_are_read_as_ingest_reads_them() {
    let folder = folder();
    let utf16: Vec<u8> = "\u{feff}id\tname\n1\tgrößer\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(folder.path().join("a.txt"), utf16).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"id|name\n2|\"two\nlines\"\n").unwrap();
    fs::write(folder.path().join("b.csv.gz"), gzip.finish().unwrap()).unwrap();
    let zstd = zstd::bulk::compress(b"id;name\r\n3;c\r\n", 1).unwrap();
    fs::write(folder.path().join("c.csv.zst"), zstd).unwrap();
    write(&folder, "one.tsv", "id\n4,5\n");
    let (text, _) = merged(&folder, &["a.txt", "b.csv.gz", "c.csv.zst", "one.tsv"]);
    assert_eq!(text, "id,name\n1,größer\n2,\"two\nlines\"\n3,c\n\"4,5\",\n");
}
