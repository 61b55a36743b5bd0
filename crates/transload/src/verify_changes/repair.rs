//! Commands that mend what was found.

use std::ops::Range;

use records::changes::SETTLED_SECONDS;
use storage::Timestamp;

use crate::change_log::HOUR_SECONDS;

/// An incremental export covers at most 24 hours, of which two minutes are margin (DynamoDB developer guide, "Limits of exports").
const HOURS_OF_A_WINDOW: u64 = 23;

/// Windows of incremental exports whose cores are the given hours, in order.
pub(super) fn windows(hours: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for hour in hours {
        match runs.last_mut() {
            Some(run) if run.end == hour && run.end - run.start < HOURS_OF_A_WINDOW => {
                run.end += 1;
            }
            _ => runs.push(hour..hour + 1),
        }
    }
    runs.into_iter()
        .map(|run| {
            let start = (run.start * HOUR_SECONDS).saturating_sub(SETTLED_SECONDS);
            start..run.end * HOUR_SECONDS + SETTLED_SECONDS
        })
        .collect()
}

/// Exports the window of a table into the lake.
pub(super) fn export_command(table: &str, bucket: &str, window: &Range<u64>) -> String {
    let quoted_table = quoted(table);
    format!(
        "aws dynamodb export-table-to-point-in-time \
         --table-arn \"$(aws dynamodb describe-table --table-name {quoted_table} --query Table.TableArn --output text)\" \
         --s3-bucket {} --export-format DYNAMODB_JSON --export-type INCREMENTAL_EXPORT \
         --incremental-export-specification ExportFromTime={},ExportToTime={},ExportViewType=NEW_AND_OLD_IMAGES",
        quoted(bucket),
        iso(window.start),
        iso(window.end),
    )
}

/// As `2026-01-31T12:34:56Z`.
pub(super) fn iso(seconds: u64) -> String {
    Timestamp(seconds * 1_000).iso().replace(".000Z", "Z")
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_margin_and_is_shorter_than_a_day() {
        assert_eq!(windows([0, 1, 5]), [0..7_260, 17_940..21_660]);
        let long = windows(0..30);
        assert_eq!(long, [0..82_860, 82_740..108_060]);
        assert!(
            long.iter()
                .all(|window| window.end - window.start <= 86_400)
        );
    }

    #[test]
    fn a_word_of_a_shell_is_quoted_where_it_has_to_be() {
        for (text, expected) in [
            ("aws/lambda/a=1", "aws/lambda/a=1"),
            ("a b", "'a b'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
