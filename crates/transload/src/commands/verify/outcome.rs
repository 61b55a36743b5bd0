//! The result as it is printed.

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use indicatif::HumanCount;
use serde_json::{Value, json};
use storage::{StreamView, Timestamp};

use crate::verify_changes::{HourReport, Place, Report};
use records::changes::SECONDS_PER_HOUR;

/// Findings that a person is shown; an outage may leave thousands of objects with records that were given up.
const SHOWN: usize = 20;

/// What an export is good for.
const EXPORTS: &str = "what was lost is made good by two exports, the first of which begins two minutes before the other; and only once the lines and the completion of both are in the log. Those of exports begun by hand do not come there; a full export by the export machine does, with the format changes, and is a fresh state of the table (infra/README.md).";

/// What was found, for a person or a program.
pub(super) struct Outcome<'a> {
    pub(super) bucket: &'a str,
    pub(super) table: &'a str,
    /// Hours since 1970.
    pub(super) hours: Range<u64>,
    pub(super) report: &'a Report,
}

impl Outcome<'_> {
    pub(super) fn json(&self) -> String {
        let report = self.report;
        let place = self.place();
        let stream = report.stream.as_ref().map(
            |stream| json!({"label": stream.label, "arn": stream.arn, "view": view(stream.view)}),
        );
        let findings = report.findings.iter().map(|finding| finding.json(place));
        json!({
            "command": "verify changes",
            "bucket": self.bucket,
            "table": self.table,
            "from": iso(self.hours.start),
            "to": iso(self.hours.end),
            "stream": stream,
            "stream_labels": report.labels,
            "hours": report.hours.iter().map(hour_json).collect::<Vec<_>>(),
            "total": counts_json(&total(&report.hours)),
            "compared_items": report.compared,
            "notes": self.notes(),
            "findings": findings.collect::<Vec<_>>(),
        })
        .to_string()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "Change log of {} in s3://{}, {} to {} (UTC)\n",
            self.table,
            self.bucket,
            iso(self.hours.start),
            iso(self.hours.end)
        );
        if let Some(stream) = &self.report.stream {
            let view = view(stream.view);
            text.push_str(&format!("Stream enabled {} (UTC), {view}\n", stream.label));
        }
        text.push('\n');
        self.write_table(&mut text);
        for note in self.notes() {
            text.push_str(&format!("\nNote: {note}\n"));
        }
        let place = self.place();
        let findings = &self.report.findings;
        for (number, finding) in (1..).zip(findings.iter().take(SHOWN)) {
            text.push_str(&format!("\n{number}. {}\n", finding.message(place)));
            for example in finding.examples(place) {
                text.push_str(&format!("     {example}\n"));
            }
            for command in finding.commands(place) {
                text.push_str(&format!("   $ {command}\n"));
            }
        }
        match findings.len() {
            0 if self.report.hours.iter().all(|hour| hour.is_empty()) => text.push_str(
                "\nThe log has nothing in this range, so nothing was checked. If it should have, look at --bucket, --table and the region.\n",
            ),
            0 => text.push_str("\nNothing wrong was found.\n"),
            all if all > SHOWN => {
                let more = all - SHOWN;
                text.push_str(&format!("\nAnd {more} more, which --json has as well.\n"));
            }
            _ => {}
        }
        text.trim_end().to_owned()
    }

    fn place(&self) -> Place<'_> {
        Place {
            bucket: self.bucket,
            table: self.table,
            exportable: &self.report.exportable,
        }
    }

    /// A row an hour; a run of hours without objects is one row.
    fn write_table(&self, text: &mut String) {
        let names = [
            "objects", "records", "inserted", "modified", "removed", "repeated", "faults", "latest",
        ];
        text.push_str(&row("hour", &names.map(str::to_owned)));
        for run in self
            .report
            .hours
            .chunk_by(|one, next| one.is_empty() && next.is_empty())
        {
            match run {
                [hour] if hour.is_empty() => {
                    text.push_str(&format!("{}  no records\n", iso(hour.hour)));
                }
                [hour] => text.push_str(&row(&iso(hour.hour), &columns(hour))),
                [first, .., last] => text.push_str(&format!(
                    "{}  no records until {} ({} hours)\n",
                    iso(first.hour),
                    iso(last.hour + 1),
                    run.len()
                )),
                [] => {}
            }
        }
        text.push_str(&row("all", &columns(&total(&self.report.hours))));
    }

    /// What is no gap and no fault, and should be known.
    fn notes(&self) -> Vec<String> {
        let report = self.report;
        let mut notes = Vec::new();
        let empty = report.hours.iter().filter(|hour| hour.is_empty()).count();
        if empty > 0 && report.compared.is_none() {
            notes.push(format!(
                "{empty} hours have no records. Whether nothing changed or records were lost, the log cannot say: compare it with an incremental export of these hours (--export)."
            ));
        }
        if let Some(items) = report.compared {
            notes.push(format!(
                "{} items that changed were looked for, as the export has them.",
                HumanCount(items)
            ));
        }
        if report
            .findings
            .iter()
            .any(|finding| finding.takes_exports(self.place()))
        {
            notes.push(EXPORTS.to_owned());
        }
        let Some(stream) = &report.stream else {
            return notes;
        };
        let others = report.labels.iter().map(String::as_str);
        let labels: Vec<&str> = others.filter(|label| *label != stream.label).collect();
        if !labels.is_empty() {
            notes.push(format!(
                "the range has records of other streams of the table (enabled {}). What changed while none was enabled is not in the log.",
                labels.join(", ")
            ));
        }
        if matches!(stream.view, StreamView::KeysOnly | StreamView::OldImage) {
            notes.push(format!(
                "the stream has {} only: from such records no state of the table can be made.",
                view(stream.view)
            ));
        }
        notes
    }
}

fn row(first: &str, others: &[String; 8]) -> String {
    let mut row = format!("{first:<17}");
    for other in others {
        // Writing to a text cannot fail.
        let _ = write!(row, "  {other:>10}");
    }
    row.push('\n');
    row
}

fn columns(hour: &HourReport) -> [String; 8] {
    let count = |count: u64| HumanCount(count).to_string();
    [
        count(hour.objects),
        count(hour.records),
        count(hour.inserts),
        count(hour.modifies),
        count(hour.removes),
        count(hour.duplicates),
        count(hour.faults),
        hour.latest.map_or_else(|| "-".to_owned(), short),
    ]
}

/// As `3h05m` or `2m07s`.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}m{:02}s", seconds % 60),
        _ => format!("{hours}h{minutes:02}m"),
    }
}

fn total(hours: &[HourReport]) -> HourReport {
    hours
        .iter()
        .fold(HourReport::default(), |sum, hour| HourReport {
            hour: 0,
            objects: sum.objects + hour.objects,
            bytes: sum.bytes + hour.bytes,
            records: sum.records + hour.records,
            inserts: sum.inserts + hour.inserts,
            modifies: sum.modifies + hour.modifies,
            removes: sum.removes + hour.removes,
            duplicates: sum.duplicates + hour.duplicates,
            faults: sum.faults + hour.faults,
            latest: sum.latest.max(hour.latest),
        })
}

fn hour_json(hour: &HourReport) -> Value {
    let mut json = counts_json(hour);
    json["hour"] = iso(hour.hour).into();
    json
}

fn counts_json(hour: &HourReport) -> Value {
    json!({
        "objects": hour.objects,
        "bytes": hour.bytes,
        "records": hour.records,
        "inserts": hour.inserts,
        "modifies": hour.modifies,
        "removes": hour.removes,
        "duplicates": hour.duplicates,
        "faults": hour.faults,
        "latest_seconds": hour.latest.map(|latest| latest.as_secs()),
    })
}

fn view(view: StreamView) -> &'static str {
    match view {
        StreamView::KeysOnly => "keys",
        StreamView::NewImage => "new images",
        StreamView::OldImage => "old images",
        StreamView::NewAndOldImages => "new and old images",
    }
}

/// As `2026-11-20T00:00Z`.
fn iso(hour: u64) -> String {
    let iso = Timestamp(hour * SECONDS_PER_HOUR * 1_000).iso();
    iso.replace(":00.000Z", "Z")
}

#[cfg(test)]
mod tests;
