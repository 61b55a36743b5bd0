//! What was found, for a person.

use indicatif::{HumanBytes, HumanCount};

use super::{Effect, Finding, Format, Preflight};

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
            row(self.rows, "rows"),
            row(self.bad_rows, "of them are no items"),
            row(self.items, "items (different keys)"),
            row(
                self.mean_item_bytes(),
                &match &self.largest_item {
                    None => "bytes an item on average".to_owned(),
                    Some(place) => format!("bytes an item on average; the largest: {place}"),
                },
            ),
            row(self.table_units, "write units of the table"),
        ];
        for index in &self.indexes {
            let what = format!(
                "write units of {}, for {} rows",
                index.name,
                HumanCount(index.entries)
            );
            lines.push(row(index.units, &what));
        }
        if !self.findings.is_empty() {
            lines.push("\nwhat an import makes of it:".to_owned());
        }
        lines.extend(self.findings.iter().map(finding_text));
        lines.join("\n")
    }
}

fn row(count: u64, what: &str) -> String {
    format!("  {:>13} {what}", HumanCount(count).to_string())
}

fn finding_text(finding: &Finding) -> String {
    let mut text = format!(
        "  {}  {} {}",
        word(finding.effect),
        HumanCount(finding.count),
        finding.kind.what()
    );
    for place in &finding.examples {
        text.push_str(&format!("\n             {place}"));
    }
    text.push_str(&format!("\n           → {}", finding.kind.remedy()));
    text
}

/// Seconds as `6 h 57 min`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_two_units() {
        let texts = [0, 59, 60, 3_599, 3_600, 25_000].map(duration);
        assert_eq!(
            texts,
            [
                "0 s",
                "59 s",
                "1 min 0 s",
                "59 min 59 s",
                "1 h 0 min",
                "6 h 56 min"
            ]
        );
    }
}
