//! What was found, for a person.

use indicatif::{HumanBytes, HumanCount};

use super::{Effect, Finding, Format, Preflight};
use crate::wording::count_line;

/// Words of each effect, as wide as the widest.
fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Fails => "fails  ",
        Effect::LosesRows => "loses  ",
        Effect::Undocumented => "unknown",
        Effect::Changes => "note   ",
    }
}

impl Preflight {
    /// Some lines about what is in the source.
    pub(crate) fn text(&self) -> String {
        let format = match self.format {
            Some(Format::Csv { delimiter }) => format!("CSV with {delimiter:?}"),
            Some(Format::DynamodbJson) => "DynamoDB JSON".to_owned(),
            None => "nothing that can be read".to_owned(),
        };
        let mut lines = vec![
            format!(
                "{format}, compression {}, {} stored, {} uncompressed",
                self.compression,
                HumanBytes(self.stored_bytes),
                HumanBytes(self.uncompressed_bytes),
            ),
            count_line(self.rows, "rows"),
            count_line(self.bad_rows, "of them are no items"),
            count_line(self.items, "items (different keys)"),
            count_line(
                self.mean_item_bytes(),
                &match &self.largest_item {
                    None => "bytes an item on average".to_owned(),
                    Some(place) => format!("bytes an item on average; the largest: {place}"),
                },
            ),
            count_line(self.table_units, "write units of the table"),
        ];
        for index in &self.indexes {
            let what = format!(
                "write units of {}, for {} rows",
                index.name,
                HumanCount(index.entries)
            );
            lines.push(count_line(index.units, &what));
        }
        if !self.findings.is_empty() {
            lines.push("\nwhat an import makes of it:".to_owned());
        }
        lines.extend(self.findings.iter().map(finding_text));
        lines.join("\n")
    }
}

fn finding_text(finding: &Finding) -> String {
    let mut text = format!(
        "  {}  {}",
        word(finding.effect),
        finding.kind.said(finding.count)
    );
    for place in &finding.examples {
        text.push_str(&format!("\n             {place}"));
    }
    text.push_str(&format!("\n           → {}", finding.kind.remedy()));
    text
}
