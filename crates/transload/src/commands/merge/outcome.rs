//! The result as it is printed.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use serde_json::json;

use super::MergeArgs;
use crate::merge::{Merged, Skipped};
use crate::wording::{count_line, counted};

/// What a merge came to, for a person or a program.
pub(super) struct Outcome<'a> {
    pub(super) args: &'a MergeArgs,
    pub(super) merged: &'a Merged,
    pub(super) took: Duration,
}

impl Outcome<'_> {
    pub(super) fn json(&self) -> String {
        let Merged {
            empty_keys,
            skipped,
            ..
        } = self.merged;
        let skipped: Vec<_> = skipped
            .iter()
            .map(|skipped| {
                json!({
                    "file": skipped.file.to_string_lossy(),
                    "sheet": skipped.sheet,
                    "reason": skipped.reason,
                })
            })
            .collect();
        let title_rows = self.merged.title_rows.iter().map(|(_, rows)| rows);
        json!({
            "command": "merge",
            "output": self.args.output.to_string_lossy(),
            "files": self.merged.files,
            "sheets": self.merged.sheets,
            "rows": self.merged.rows,
            "bytes": self.merged.bytes,
            "columns": self.merged.columns,
            "key": self.merged.key,
            "duplicates": self.merged.duplicates,
            "duplicates_that_differ": self.merged.differing_duplicates,
            "duplicate_keys": self.merged.duplicate_keys,
            "duplicate_examples": self.merged.duplicate_examples,
            "rows_without_value": self.merged.empty_rows,
            "rows_without_key": empty_keys.count,
            "title_rows": title_rows.sum::<u64>(),
            "numbers_rounded": self.merged.rounded,
            "numbers_padded": self.merged.padded,
            "numbers_of_unknown_format": self.merged.formats_unseen,
            "skipped": skipped,
            "seconds": self.took.as_millis() as f64 / 1000.0,
        })
        .to_string()
    }

    pub(super) fn text(&self) -> String {
        let merged = self.merged;
        let mut text = format!(
            "{} of {} in {}.{:03} s: {} ({})",
            self.args.output.display(),
            format_args!(
                "{} ({})",
                counted(merged.files, "file"),
                counted(merged.sheets, "sheet")
            ),
            self.took.as_secs(),
            self.took.subsec_millis(),
            counted(merged.rows, "row"),
            HumanBytes(merged.bytes),
        );
        text.push_str(&format!("\ncolumns: {}", merged.columns.join(", ")));
        text.push_str(&format!(
            "\nkey: {}{}",
            merged.key.join(", "),
            match self.args.key.is_empty() {
                true => " (the first column; --key names others)",
                false => "",
            }
        ));
        for (count, what) in [
            (merged.duplicates, "rows with the key of a row before them"),
            (merged.empty_rows, "rows without a value left out"),
            (merged.empty_keys.count, "rows without a key left out"),
            (
                merged.padded,
                "numbers with the leading zeros of their format",
            ),
            (merged.rounded, "numbers of more than 15 digits"),
        ] {
            if count > 0 || what.starts_with("rows with the") {
                text.push_str(&format!("\n{}", count_line(count, what)));
            }
        }
        for (place, rows) in &merged.title_rows {
            text.push_str(&format!(
                "\nabove the header of {place}: {}",
                counted(*rows, "row")
            ));
        }
        for Skipped {
            file,
            sheet,
            reason,
        } in &merged.skipped
        {
            let file = file.display();
            match sheet {
                None => text.push_str(&format!("\nnot read: {file} ({reason})")),
                Some(sheet) => {
                    let hint = match *reason {
                        "hidden" => "; --sheet reads it",
                        _ => "",
                    };
                    text.push_str(&format!(
                        "\nnot read: {file}, sheet {sheet} ({reason}{hint})"
                    ));
                }
            }
        }
        text
    }

    /// What must not be missed, whoever reads the result.
    pub(super) fn warnings(&self) -> Vec<String> {
        let merged = self.merged;
        let mut warnings = Vec::new();
        if let [[later, before], ..] = &merged.duplicate_examples[..] {
            warnings.push(format!(
                "{} have the key of a row before them ({} with other values), such as {later} that of {before}; all are in the output: transload ingest keeps the last of them, DynamoDB's ImportTable any",
                counted(merged.duplicates, "row"),
                HumanCount(merged.differing_duplicates),
            ));
        }
        if let Some(first) = merged.empty_keys.first.first() {
            warnings.push(format!(
                "{} without a key left out, such as {first}",
                counted(merged.empty_keys.count, "row")
            ));
        }
        if merged.rounded > 0 {
            warnings.push(format!(
                "{} of more than 15 digits, which the spreadsheet program may have rounded",
                counted(merged.rounded, "number")
            ));
        }
        if let Some(file) = merged.files_without_formats.first() {
            warnings.push(format!(
                "the number formats of {} cannot be read ({} such files): if ids are shown there with leading zeros that the output lacks, save it as .xlsx",
                file.display(),
                merged.files_without_formats.len(),
            ));
        }
        warnings
    }
}
