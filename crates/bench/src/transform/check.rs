//! Whether a run did what it is measured for.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Format;
use super::export::Export;
use super::subject::Subject;
use crate::digest::Digest;
use crate::endpoint::Counts;

/// What a run left behind.
pub(super) struct Left<'a> {
    /// What all rows of the outputs come to.
    pub(super) rows: Digest,
    /// What the endpoint got.
    pub(super) counts: &'a Counts,
    /// What the subject printed.
    pub(super) said: &'a str,
}

/// Whether all rows are in the outputs, each once and unchanged.
pub(super) fn check(
    subject: Subject,
    format: Format,
    export: &Export,
    left: &Left<'_>,
) -> Result<(), String> {
    let fault = match (subject, format) {
        (Subject::Floor, _) => floor_fault(export, format, left),
        _ => rows_fault(export, left),
    };
    let fault = fault.or_else(|| match subject {
        Subject::Transload => function_fault(export, left.counts),
        _ => None,
    });
    match (fault, subject) {
        (None, _) => Ok(()),
        (Some(fault), Subject::Transload) => Err(left.counts.explain(&fault)),
        (Some(fault), _) => Err(fault),
    }
}

/// The digest of the rows in a folder, by another process.
pub(super) fn rows_in(folder: &Path, checker: &Path) -> Result<Digest, String> {
    let output = Command::new(checker)
        .arg(folder)
        .output()
        .map_err(|error| format!("cannot run {}: {error}", checker.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the outputs are none: {}", said.trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} says no digest: {error}", checker.display()))
}

fn rows_fault(export: &Export, left: &Left<'_>) -> Option<String> {
    (left.rows != export.rows).then(|| {
        format!(
            "{} rows were written of {}, and not exactly those of the export",
            left.rows.items, export.rows.items
        )
    })
}

fn floor_fault(export: &Export, format: Format, left: &Left<'_>) -> Option<String> {
    let inflated = export.bytes.to_string();
    if left.said.split_whitespace().next() != Some(&inflated) {
        return Some(format!(
            "it inflated {} bytes of {inflated}",
            left.said.trim()
        ));
    }
    match format {
        Format::Parquet => None,
        Format::Gzip | Format::Zstd => rows_fault(export, left),
    }
}

/// What is missing of the function's run.
fn function_fault(export: &Export, counts: &Counts) -> Option<String> {
    let files = export.files.len();
    let done = |answer: &&Value| answer["status"] == "COMPLETED";
    let good: Vec<_> = counts.function_answers.iter().filter(done).collect();
    if (good.len(), counts.function_answers.len()) != (files, files) {
        return Some(format!(
            "{} of {files} files were answered with COMPLETED",
            good.len()
        ));
    }
    for count in ["rows_read", "rows_written"] {
        let rows = good.iter().filter_map(|answer| answer[count].as_u64());
        let rows: u64 = rows.sum();
        if rows != export.rows.items {
            return Some(format!("it says that {count} is {rows} in all"));
        }
    }
    if counts.tables.unfinished > 0 {
        let unfinished = counts.tables.unfinished;
        return Some(format!("{unfinished} uploads were left unfinished"));
    }
    if counts.ledger_writes < files as u64 {
        let writes = counts.ledger_writes;
        return Some(format!("the ledger was written {writes} times"));
    }
    (counts.refused > 0).then(|| "requests were refused".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::export::DataFile;
    use super::super::items::Shape;
    use super::*;
    use crate::digest::ItemHash;
    use crate::endpoint::Tables;

    fn export() -> Export {
        let mut rows = Digest::default();
        rows.add(ItemHash::default());
        Export {
            shape: Shape::Flat,
            objects: "objects".into(),
            plain: "plain".into(),
            files: vec![DataFile {
                key: "a.json.gz".to_owned(),
                items: 1,
                md5: String::new(),
            }],
            bytes: 12,
            rows,
        }
    }

    #[test]
    fn a_run_counts_only_if_everything_was_done() {
        let export = export();
        let complete = Counts {
            function_answers: vec![
                json!({"file": "a.json.gz", "status": "COMPLETED", "rows_read": 1, "rows_written": 1}),
            ],
            ledger_writes: 2,
            ..Counts::default()
        };
        let fault_of = |counts: &Counts, rows| {
            let left = Left {
                rows,
                counts,
                said: "",
            };
            check(Subject::Transload, Format::Zstd, &export, &left).err()
        };
        assert_eq!(fault_of(&complete, export.rows), None);
        let fault = fault_of(&complete, Digest::default()).unwrap();
        assert!(fault.starts_with("0 rows were written of 1"), "{fault}");
        type Spoil = fn(&mut Counts);
        let spoilt: [(&str, Spoil); 6] = [
            ("0 of 1 files", |counts| counts.function_answers.clear()),
            ("0 of 1 files", |counts| {
                counts.function_answers[0]["status"] = json!("CONTINUE");
            }),
            ("it says that rows_written is 0", |counts| {
                counts.function_answers[0]["rows_written"] = json!(0);
            }),
            ("2 uploads were left", |counts| {
                counts.tables = Tables {
                    unfinished: 2,
                    ..Tables::default()
                };
            }),
            ("the ledger was written 0 times", |counts| {
                counts.ledger_writes = 0;
            }),
            ("requests were refused", |counts| counts.refused = 1),
        ];
        for (words, spoil) in spoilt {
            let mut counts = complete.clone();
            spoil(&mut counts);
            let fault = fault_of(&counts, export.rows).unwrap();
            assert!(fault.starts_with(words), "{fault}");
        }
    }

    #[test]
    fn the_floor_has_to_say_that_it_read_everything_and_to_write_it() {
        let export = export();
        let counts = Counts::default();
        for (said, format, rows, is_good) in [
            ("12 5\n", Format::Zstd, export.rows, true),
            ("12 5\n", Format::Zstd, Digest::default(), false),
            ("12 0\n", Format::Parquet, Digest::default(), true),
            ("11 0\n", Format::Parquet, Digest::default(), false),
            ("", Format::Gzip, export.rows, false),
        ] {
            let left = Left {
                rows,
                counts: &counts,
                said,
            };
            let checked = check(Subject::Floor, format, &export, &left);
            assert_eq!(checked.is_ok(), is_good, "{said} {format:?}: {checked:?}");
        }
    }
}
