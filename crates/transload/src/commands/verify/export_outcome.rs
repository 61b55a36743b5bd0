//! What was found of an export, as it is printed.

use records::export::ExportKind;
use records::{Item, Value, write_item_plain_json};
use serde_json::{Value as Json, json};
use storage::{ObjectStore, Timestamp};

use crate::export_source::ExportSource;
use crate::verify_export::{Difference, DifferenceCounts, DifferenceKind, Report};
use crate::wording::{counted, quoted};

/// What was found, for a person or a program.
pub(super) struct Outcome<'a, O> {
    pub(super) a: &'a ExportSource<O>,
    pub(super) b: Option<&'a ExportSource<O>>,
    pub(super) table: Option<&'a str>,
    pub(super) sample: Option<u32>,
    pub(super) consistent: bool,
    pub(super) values: bool,
    pub(super) report: &'a Report,
}

impl<O: ObjectStore + 'static> Outcome<'_, O> {
    /// The manifests that have no checksum.
    pub(super) fn without_checksum(&self) -> impl Iterator<Item = &str> {
        let manifests = [Some(self.a), self.b].into_iter().flatten();
        manifests
            .filter_map(ExportSource::manifest)
            .flat_map(|manifest| manifest.without_checksum.iter().map(String::as_str))
    }

    /// What it was compared with.
    pub(super) fn other(&self) -> String {
        match (self.table, self.b) {
            (Some(table), _) => format!("the table {table}"),
            (None, Some(b)) => b.name().to_owned(),
            (None, None) => "nothing".to_owned(),
        }
    }

    pub(super) fn json(&self) -> String {
        let report = self.report;
        let counts = report.counts;
        let compared = self.table.is_some() || self.b.is_some();
        json!({
            "command": "verify export",
            "export": self.side(self.a, report.bytes.is_none().then_some(report.items_a)),
            "other": self.b.map(|b| self.side(b, report.items_b)),
            "table": self.table,
            "table_items": self.table.and(report.items_b),
            "sample": self.sample,
            "consistent": self.consistent,
            "bytes": report.bytes,
            "read_units": report.capacity_tenths as f64 / 10.0,
            "equal": compared.then(|| report.is_equal()),
            "differing_buckets": report.differing_buckets,
            "counted_all": report.counted_all,
            "only_in_export": counts.only_in_a,
            "only_in_other": counts.only_in_b,
            "different": counts.different,
            "repeated_in_export": counts.repeated_in_a,
            "repeated_in_other": counts.repeated_in_b,
            "differences": report.differences.iter().map(|found| self.difference_json(found)).collect::<Vec<_>>(),
            "notes": self.notes(),
        })
        .to_string()
    }

    fn side(&self, export: &ExportSource<O>, items_read: Option<u64>) -> Json {
        let summary = export.manifest().map(|manifest| &manifest.summary);
        let (time, from, to) = match summary.map(|summary| summary.kind) {
            Some(ExportKind::Full { time }) => (Some(iso(time)), None, None),
            Some(ExportKind::Incremental { from, to }) => (None, Some(iso(from)), Some(iso(to))),
            None => (None, None, None),
        };
        json!({
            "name": export.name(),
            "table": summary.map(|summary| summary.table()),
            "time": time,
            "from": from,
            "to": to,
            "files": export.files().len(),
            "items": summary.map(|summary| summary.item_count),
            "items_read": items_read,
        })
    }

    fn difference_json(&self, found: &Difference) -> Json {
        let attributes = found.attributes.iter().map(|attribute| match self.values {
            true => json!({
                "name": attribute.name,
                "export": attribute.a.as_ref().map(dynamodb_json),
                "other": attribute.b.as_ref().map(dynamodb_json),
            }),
            false => json!({"name": attribute.name}),
        });
        json!({
            "kind": kind(found.kind),
            "key": serde_json::from_str::<Json>(&key(&found.key)).unwrap_or_default(),
            "attributes": attributes.collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = describe("Export", self.a);
        let files = counted(self.a.files().len() as u64, "file");
        text.push_str(&match (self.report.bytes, self.a.manifest()) {
            (Some(bytes), _) => format!(
                "\nThe manifests are whole and {files} there, {}; the files were not read.",
                indicatif::HumanBytes(bytes)
            ),
            (None, Some(_)) => format!(
                "\nThe manifests and {files} are whole: checksums and counts are right, and every line is an item."
            ),
            (None, None) => format!(
                "\n{} in {files} can be read. There are no manifests to verify them by.",
                counted(self.report.items_a, "item")
            ),
        });
        if let Some(b) = self.b {
            text.push_str(&format!("\n{}", describe("Compared with", b)));
        }
        if let Some(table) = self.table {
            text.push_str(&self.table_text(table));
        }
        if self.b.is_some() || self.table.is_some() {
            text.push_str(&self.differences_text());
        }
        for note in self.notes() {
            text.push_str(&format!("\nNote: {note}"));
        }
        text
    }

    fn table_text(&self, table: &str) -> String {
        let report = self.report;
        let items = report.items_b.unwrap_or(0);
        match self.sample {
            Some(_) => format!(
                "\nCompared {} of the export with the table {table}, one by one (consistent reads)",
                counted(items, "item")
            ),
            None => format!(
                "\nCompared with the table {table}: {}, {}.{} read units, {} reads",
                counted(items, "item"),
                report.capacity_tenths / 10,
                report.capacity_tenths % 10,
                if self.consistent {
                    "consistent"
                } else {
                    "eventually consistent"
                },
            ),
        }
    }

    fn differences_text(&self) -> String {
        let report = self.report;
        if report.is_equal() {
            return "\nEqual.".to_owned();
        }
        let other = self.other();
        let mut text = match (report.counts.all(), report.counted_all) {
            (0, _) => format!(
                "\nDifferent when first read, in {} of 65,536 parts of the keys, and equal when read again: {other} has changed meanwhile.",
                indicatif::HumanCount(report.differing_buckets)
            ),
            (_, true) => format!("\nDifferent: {}.", self.counts_text(report.counts)),
            (_, false) => format!(
                "\nDifferent in {} of 65,536 parts of the keys. In those that were read again: {}.",
                indicatif::HumanCount(report.differing_buckets),
                self.counts_text(report.counts)
            ),
        };
        for found in &report.differences {
            text.push_str(&format!(
                "\n  {:<18} {}",
                self.kind_text(found.kind),
                key(&found.key)
            ));
            if !found.attributes.is_empty() {
                let names = found.attributes.iter().map(|found| found.name.as_str());
                text.push_str(&format!(" in {}", quoted(names)));
            }
            if self.values {
                for attribute in &found.attributes {
                    let value = |value: &Option<Value>| match value {
                        Some(value) => dynamodb_json(value).to_string(),
                        None => "absent".to_owned(),
                    };
                    text.push_str(&format!(
                        "\n      {:?}: {} in the export, {} in {other}",
                        attribute.name,
                        value(&attribute.a),
                        value(&attribute.b)
                    ));
                }
            }
        }
        let more = report.counts.all() - report.differences.len() as u64;
        if more > 0 && !report.differences.is_empty() {
            text.push_str(&format!(
                "\n  and {} more (--max-differences)",
                indicatif::HumanCount(more)
            ));
        }
        text
    }

    fn counts_text(&self, counts: DifferenceCounts) -> String {
        let kinds = [
            (counts.only_in_a, DifferenceKind::OnlyInA),
            (counts.only_in_b, DifferenceKind::OnlyInB),
            (counts.different, DifferenceKind::Different),
            (counts.repeated_in_a, DifferenceKind::RepeatedInA),
            (counts.repeated_in_b, DifferenceKind::RepeatedInB),
        ];
        let told: Vec<String> = kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{} {}", counted(count, "key"), self.kind_text(kind)))
            .collect();
        told.join(", ")
    }

    fn kind_text(&self, kind: DifferenceKind) -> &'static str {
        let table = self.table.is_some();
        match kind {
            DifferenceKind::OnlyInA if table => "only in the export",
            DifferenceKind::OnlyInB if table => "only in the table",
            DifferenceKind::OnlyInA => "only in the first",
            DifferenceKind::OnlyInB => "only in the other",
            DifferenceKind::Different => "different",
            DifferenceKind::RepeatedInA => "again in the first",
            DifferenceKind::RepeatedInB => "again in the other",
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let kind = self.a.manifest().map(|manifest| manifest.summary.kind);
        if self.table.is_some() {
            let time = match kind {
                Some(ExportKind::Full { time }) => {
                    format!("{}, the time of the export,", iso(time))
                }
                _ => "the time of the export".to_owned(),
            };
            notes.push(format!(
                "the table lives on: items that were written since {time} differ by right."
            ));
        }
        if self.sample.is_some() {
            notes.push(
                "a sample is of the export's items: what only the table has is not found by it."
                    .to_owned(),
            );
        }
        notes
    }
}

fn describe<O: ObjectStore + 'static>(what: &str, export: &ExportSource<O>) -> String {
    let name = export.name();
    let Some(manifest) = export.manifest() else {
        return format!("{what} {name}, loose files");
    };
    let summary = &manifest.summary;
    let kind = match summary.kind {
        ExportKind::Full { time } => format!("full as of {}", iso(time)),
        ExportKind::Incremental { from, to } => {
            format!("incremental from {} to {}", iso(from), iso(to))
        }
    };
    format!(
        "{what} {name} of the table {}, {kind}: {} in {}",
        summary.table(),
        counted(summary.item_count, "item"),
        counted(export.files().len() as u64, "file"),
    )
}

fn kind(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::OnlyInA => "only_in_export",
        DifferenceKind::OnlyInB => "only_in_other",
        DifferenceKind::Different => "different",
        DifferenceKind::RepeatedInA => "repeated_in_export",
        DifferenceKind::RepeatedInB => "repeated_in_other",
    }
}

/// A key as plain JSON.
fn key(key: &Item) -> String {
    let mut json = Vec::new();
    write_item_plain_json(key, &mut json);
    String::from_utf8_lossy(&json).into_owned()
}

fn dynamodb_json(value: &Value) -> Json {
    let mut json = Vec::new();
    value.write_dynamodb_json(&mut json);
    serde_json::from_slice(&json).expect("it was just written as JSON")
}

/// As `2026-11-20T00:00:00Z`.
fn iso(seconds: u64) -> String {
    Timestamp(seconds * 1_000).iso().replace(".000Z", "Z")
}
