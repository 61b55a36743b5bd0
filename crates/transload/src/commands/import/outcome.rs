//! The result as it is printed.

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::ImportArgs;
use crate::commands::plan::hot_text;
use crate::import::Report;
use crate::plan::{Plan, Prices, Way, WayName};
use crate::preflight::Preflight;
use crate::wording::{count_line, duration};

pub(super) struct Outcome<'a> {
    pub(super) args: &'a ImportArgs,
    pub(super) preflight: &'a Preflight,
    pub(super) plan: &'a Plan,
    pub(super) prices: &'a Prices,
}

impl Outcome<'_> {
    fn way(&self) -> Option<&Way> {
        let mut ways = self.plan.ways.iter();
        ways.find(|way| way.name == WayName::Import)
    }

    /// What is known before the import.
    pub(super) fn before(&self) -> String {
        let mut text = format!("{}: {}", self.args.source, self.preflight.text());
        if let Some(way) = self.way() {
            text.push_str(&format!(
                "\n\nan import takes about {} ({}) and costs about {} (prices of {}, {})",
                way.seconds.map_or("an unknown time".to_owned(), duration),
                way.time_is,
                way.cost.unwrap_or_default(),
                self.prices.date,
                self.prices.region,
            ));
        }
        for hot in &self.plan.hot_partitions {
            text.push_str(&format!("\n{}", hot_text(hot)));
        }
        text
    }

    /// What came of it.
    pub(super) fn after(&self, report: &Report) -> String {
        let row = |count: u64, what: &str| format!("\n{}", count_line(count, what));
        let mut text = format!(
            "{} is imported from {} ({} read):",
            report.table,
            self.args.source,
            HumanBytes(report.bytes)
        );
        text.push_str(&row(report.processed, "items read"));
        text.push_str(&row(report.imported, "items written"));
        text.push_str(&row(report.errors, "errors"));
        text.push_str(&format!(
            "\non: point-in-time recovery, deletion protection, {}",
            self.args
                .stream
                .view()
                .map_or("no stream".to_owned(), |view| format!("stream with {view}"))
        ));
        if let Some(log) = &report.log {
            text.push_str(&format!("\nlog of the import: {log}"));
        }
        text
    }

    /// What must not be missed, whoever reads the result.
    pub(super) fn warning(&self, report: &Report) -> Option<String> {
        if let Some(message) = &report.message {
            return Some(format!("warning: {message}"));
        }
        (report.imported != self.preflight.items && !self.args.accept_duplicates).then(|| {
            format!(
                "warning: {} items were expected in {}, and {} were written: compare them with the source",
                HumanCount(self.preflight.items),
                report.table,
                HumanCount(report.imported),
            )
        })
    }

    pub(super) fn json(&self, report: Option<&Report>) -> String {
        let result = report.map_or(Value::Null, |report| {
            json!({
                "table": report.table,
                "imported": report.imported,
                "processed": report.processed,
                "errors": report.errors,
                "bytes": report.bytes,
                "log": report.log,
                "message": report.message,
            })
        });
        json!({
            "command": "import",
            "source": self.args.source.to_string(),
            "table": self.args.table,
            "dry_run": self.args.dry_run,
            "preflight": self.preflight,
            "import": self.way(),
            "hot_partitions": self.plan.hot_partitions,
            "prices": {"date": self.prices.date, "region": self.prices.region},
            "result": result,
        })
        .to_string()
    }
}
