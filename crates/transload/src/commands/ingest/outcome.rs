//! The result as it is printed.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use super::IngestArgs;
use crate::ingest::Loaded;
use crate::wording::count_line;

/// What a load came to, for a person or a program.
pub(super) struct Outcome<'a> {
    pub(super) args: &'a IngestArgs,
    pub(super) bytes: u64,
    pub(super) loaded: &'a Loaded,
    pub(super) took: Duration,
}

impl Outcome<'_> {
    pub(super) fn json(&self) -> String {
        let Loaded { counts, writer, .. } = self.loaded;
        serde_json::json!({
            "command": "ingest",
            "file": self.args.file.to_string_lossy(),
            "table": self.args.table,
            "bytes": self.bytes,
            "complete": self.loaded.broken.is_none(),
            "rows_read": counts.read,
            "rows_written": counts.written,
            "rows_superseded": counts.superseded,
            "rows_rejected": counts.rejected,
            "throttled": writer.throttled,
            "unanswered": writer.unanswered,
            "calls": writer.calls,
            "backup": self.loaded.backup.as_ref().map(|path| path.to_string_lossy()),
            "unprocessed": self.loaded.unprocessed.as_ref().map(|path| path.to_string_lossy()),
            "seconds": self.took.as_millis() as f64 / 1000.0,
            "rows_per_second": rate(counts.read, self.took),
        })
        .to_string()
    }

    pub(super) fn text(&self) -> String {
        let counts = self.loaded.counts;
        let row = |count: u64, what: &str| format!("\n{}", count_line(count, what));
        let mut text = format!(
            "{} ({}) into {} in {}.{:03} s, {} rows/s:",
            self.args.file.display(),
            HumanBytes(self.bytes),
            self.args.table,
            self.took.as_secs(),
            self.took.subsec_millis(),
            HumanCount(rate(counts.read, self.took)),
        );
        text.push_str(&row(counts.read, "rows read"));
        text.push_str(&row(counts.written, "written"));
        text.push_str(&row(
            counts.superseded,
            "superseded (a later row has the same key)",
        ));
        text.push_str(&row(counts.rejected, "rejected"));
        let files = [
            ("accepted rows as JSON", &self.loaded.backup),
            ("rejected rows and why", &self.loaded.unprocessed),
        ];
        for (what, path) in files {
            if let Some(path) = path {
                text.push_str(&format!("\n{what}: {}", path.display()));
            }
        }
        text
    }

    /// What must not be missed, whoever reads the result.
    pub(super) fn warning(&self) -> Option<String> {
        let path = self.loaded.unprocessed.as_ref()?;
        let first = self.loaded.first_reject.as_deref().unwrap_or_default();
        Some(format!(
            "warning: {} of {} rows were rejected and are not in the table; the first is {first}; all with their reasons: {}",
            HumanCount(self.loaded.counts.rejected),
            HumanCount(self.loaded.counts.read),
            path.display(),
        ))
    }
}

/// Rows a second, over the whole time.
pub(super) fn rate(rows: u64, took: Duration) -> u64 {
    let per_second = u128::from(rows) * 1000 / took.as_millis().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_no_time_is_finite() {
        assert_eq!(rate(500, Duration::ZERO), 500_000);
        assert_eq!(rate(500, Duration::from_secs(2)), 250);
    }
}
