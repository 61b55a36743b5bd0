//! The result as it is printed.

use std::time::Duration;

use indicatif::HumanCount;
use jiff::Timestamp;
use serde_json::json;

use super::ReplayArgs;
use crate::replay::{Fates, Replayed};
use crate::wording::count_line;

/// What a replay came to, for a person or a program.
pub(super) struct Outcome<'a> {
    pub(super) args: &'a ReplayArgs,
    pub(super) replayed: &'a Replayed,
    pub(super) took: Duration,
}

impl Outcome<'_> {
    pub(super) fn json(&self) -> String {
        let Replayed {
            census,
            fates,
            unprocessed,
        } = self.replayed;
        let path = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
        json!({
            "command": "replay",
            "bucket": self.args.bucket,
            "table": self.args.table,
            "into": self.args.into,
            "output": self.args.output.as_ref().map(path),
            "until": self.args.until.map(iso),
            "snapshot_source": census.snapshot.map(|(_, source)| source.name()),
            "snapshot_time": census.snapshot.map(|(time, _)| iso_seconds(time)),
            "objects": census.objects,
            "lines_read": census.lines,
            "lines_used": census.lines_used,
            "keys": census.keys,
            "items": census.items,
            "removed": census.removed,
            "written": fates.written,
            "deleted": fates.deleted,
            "already_there": fates.already_there,
            "newer_in_table": fates.newer,
            "without_version": fates.without_version,
            "refused": fates.refused,
            "unprocessed": unprocessed.as_ref().map(path),
            "seconds": self.took.as_millis() as f64 / 1000.0,
        })
        .to_string()
    }

    pub(super) fn text(&self) -> String {
        let Self { args, replayed, .. } = self;
        let target = match (&args.into, &args.output) {
            (Some(table), _) => table.clone(),
            (None, output) => output
                .as_deref()
                .unwrap_or_else(|| std::path::Path::new("-"))
                .display()
                .to_string(),
        };
        let until = args
            .until
            .map_or_else(String::new, |time| format!(" before {}", iso(time)));
        let begin = match replayed.census.snapshot {
            Some((time, source)) => {
                format!("from the {} of {} on", source.name(), iso_seconds(time))
            }
            None => "without a snapshot".to_owned(),
        };
        let mut text = format!(
            "{} in s3://{}{until}, {begin}, into {target} in {}.{:03} s:",
            args.table,
            args.bucket,
            self.took.as_secs(),
            self.took.subsec_millis(),
        );
        for (count, what) in self.rows() {
            text.push_str(&format!("\n{}", count_line(count, what)));
        }
        if let Some(path) = &replayed.unprocessed {
            text.push_str(&format!("\nrefused items and why: {}", path.display()));
        }
        text
    }

    fn rows(&self) -> Vec<(u64, &'static str)> {
        let census = &self.replayed.census;
        let fates = &self.replayed.fates;
        let mut rows = vec![
            (census.lines, "lines read"),
            (census.keys, "keys in them"),
            (fates.written, "items written"),
        ];
        match self.args.version_attribute {
            Some(_) => rows.extend([
                (
                    fates.deleted,
                    "deleted, as the log says that they were removed",
                ),
                (fates.already_there, "as the log has them already"),
                (
                    fates.newer,
                    "left alone: newer in the table, or not to be compared",
                ),
                (
                    fates.without_version,
                    "left alone: without the version attribute",
                ),
            ]),
            None => rows.push((fates.removed, "removed, so there is nothing to write")),
        }
        if self.args.into.is_some() {
            rows.push((fates.refused, "refused by DynamoDB"));
        }
        rows
    }

    /// What must not be missed, whoever reads the result.
    pub(super) fn warning(&self) -> Option<String> {
        let Fates {
            refused,
            without_version,
            ..
        } = self.replayed.fates;
        let mut warnings = Vec::new();
        if let Some(path) = &self.replayed.unprocessed {
            warnings.push(format!(
                "{} items were refused by DynamoDB and are not in the table; with their reasons: {}",
                HumanCount(refused),
                path.display()
            ));
        }
        if without_version > 0 {
            warnings.push(format!(
                "{} keys were left alone, as the log's image of them has no text, number or bytes in the version attribute",
                HumanCount(without_version)
            ));
        }
        (!warnings.is_empty()).then(|| format!("warning: {}", warnings.join("; ")))
    }
}

/// As `2026-11-20T10:00:00Z`.
fn iso(time: Timestamp) -> String {
    time.to_string()
}

fn iso_seconds(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| seconds.to_string(), iso)
}
