//! Merging takes no more memory for a longer sheet. Alone in its file, so that no other test shares the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "suite/merge_command/raw.rs"]
mod raw;

use std::path::Path;

use lambda_support::peak_memory_bytes;
use transload::merge::{AcceptRounded, HeaderRow, Job, Sink, merge};

const MB: u64 = 1_000_000;

/// So many rows of half a kilobyte, whose texts are not shared.
fn write(path: &Path, rows: u64) {
    let text = "x".repeat(500);
    let cell = |name: &str, text: &str| {
        format!("<c r=\"{name}\" t=\"inlineStr\"><is><t>{text}</t></is></c>")
    };
    raw::write_xlsx(path, |out| {
        write!(
            out,
            "<row r=\"1\">{}{}</row>",
            cell("A1", "id"),
            cell("B1", "text")
        )?;
        for row in 2..rows + 2 {
            let id = cell(&format!("A{row}"), &format!("{row:08}"));
            let text = cell(&format!("B{row}"), &text);
            write!(out, "<row r=\"{row}\">{id}{text}</row>")?;
        }
        Ok(())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_longer_sheet_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let peak_with = |rows: u64| {
        let input = folder.path().join(format!("{rows}.xlsx"));
        write(&input, rows);
        let files = [input];
        let job = Job {
            files: &files,
            sheets: &[],
            header_row: HeaderRow::Found,
            columns: &[],
            key: &[],
            added: &[],
            trim: false,
            accept_rounded: AcceptRounded::Nowhere,
            skip_empty_keys: false,
        };
        let output = folder.path().join("out.csv");
        let merged = merge(&job, Sink::file(&output).unwrap(), |_| ()).unwrap();
        assert_eq!((merged.rows, merged.duplicates), (rows, 0));
        peak_memory_bytes()
    };
    let short = peak_with(1_000);
    let long = peak_with(150_000);
    // The keys of 150,000 rows are 5 MB, which do not go to the disk before there are 16 MB of them; the sheet has 86 MB.
    assert!(
        long < short + 20 * MB,
        "{short} bytes with 1,000 rows, {long} with 150,000"
    );
}
