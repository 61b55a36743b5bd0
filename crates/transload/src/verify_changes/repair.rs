//! What repairs make good, and the commands that export what they are made of.

use std::borrow::Cow;
use std::ops::Range;

use records::Item;
use records::changes::{ChangeKind, ChangeLine, Completion, MergeRule, Origin, SETTLED_SECONDS};
use storage::Timestamp;

use records::changes::SECONDS_PER_HOUR;

/// How much earlier the first of two repairs begins that make a loss good. One alone does not know of an item that was inserted
/// in the first minute of its window and whose removal is what was lost.
const APART_SECONDS: u64 = 2 * SETTLED_SECONDS;
/// An incremental export covers at most 24 hours, of which four minutes are margin (DynamoDB developer guide, "Limits of
/// exports").
const HOURS_OF_A_WINDOW: u64 = 23;
/// An incremental export covers at least 15 minutes (likewise).
const SHORTEST_WINDOW_SECONDS: u64 = 15 * 60;
/// A table can be exported up to about five minutes ago (DescribeContinuousBackups, `LatestRestorableDateTime`).
const EXPORTABLE_AFTER_SECONDS: u64 = 5 * 60;

/// The repairs of the log that take part in the merge.
pub(super) struct Repaired {
    windows: Vec<Range<u64>>,
    /// The time of the newest complete snapshot: a repair that begins before takes no part.
    pub(super) since: u64,
}

impl Repaired {
    pub(super) fn new(complete: &[Completion]) -> Self {
        let rule = MergeRule::new(complete, u64::MAX);
        let windows = complete.iter().filter_map(|done| {
            let window = done.window_start?..done.time;
            takes_part(&rule, &window).then_some(window)
        });
        Self {
            windows: windows.collect(),
            since: rule.snapshot().map_or(0, |(time, _)| time),
        }
    }

    /// Whether whatever the stream's part of the hour lacks is made good: two repairs hold the hour, the first of which begins
    /// two minutes or more before the other and ends no later (`docs/SEMANTICS.md`).
    pub(super) fn hour(&self, hour: u64) -> bool {
        let holds = |window: &&Range<u64>| {
            window.start + SETTLED_SECONDS <= hour * SECONDS_PER_HOUR
                && (hour + 1) * SECONDS_PER_HOUR + SETTLED_SECONDS <= window.end
        };
        let holding = || self.windows.iter().filter(holds);
        holding().any(|first| {
            holding().any(|second| {
                first.start + APART_SECONDS <= second.start && first.end <= second.end
            })
        })
    }

    /// Whether the log has the lines of an export of just this window, which the merge goes by.
    pub(super) fn window(&self, window: &Range<u64>) -> bool {
        self.windows.contains(window)
    }
}

/// Whether the merge goes by the lines of a repair, as it says itself of one that could be there.
fn takes_part(rule: &MergeRule, window: &Range<u64>) -> bool {
    let line = ChangeLine {
        event_id: Cow::Borrowed(""),
        kind: ChangeKind::Modify,
        seconds: window.start,
        origin: Origin::Repair {
            start: window.start,
            end: window.end,
        },
        keys: Item::new(),
        new_image: None,
        old_image: None,
    };
    rule.rank(&line).is_some()
}

/// The seconds that an export of a table can be of and its repair take part.
pub(super) fn exportable(created: Timestamp, repaired: &Repaired, now: Timestamp) -> Range<u64> {
    let end = (now.0 / 1_000).saturating_sub(EXPORTABLE_AFTER_SECONDS);
    created.0.div_ceil(1_000).max(repaired.since)..end
}

/// Windows of incremental exports, two for each run of the given hours, that make good what was lost in them, as far as exports
/// can be made.
pub(super) fn windows(
    hours: impl IntoIterator<Item = u64>,
    exportable: &Range<u64>,
) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for hour in hours {
        match runs.last_mut() {
            Some(run) if run.end == hour && run.end - run.start < HOURS_OF_A_WINDOW => {
                run.end += 1;
            }
            _ => runs.push(hour..hour + 1),
        }
    }
    runs.iter()
        .filter_map(|run| pair(run, exportable))
        .flatten()
        .collect()
}

/// Nothing where what is left of the hours is too short or not there.
fn pair(hours: &Range<u64>, exportable: &Range<u64>) -> Option<[Range<u64>; 2]> {
    let (start, end) = (hours.start * SECONDS_PER_HOUR, hours.end * SECONDS_PER_HOUR);
    let first = start
        .saturating_sub(SETTLED_SECONDS + APART_SECONDS)
        .max(exportable.start);
    let second = start
        .saturating_sub(SETTLED_SECONDS)
        .max(first + APART_SECONDS);
    let end_of_both = (end + SETTLED_SECONDS)
        .max(second + SHORTEST_WINDOW_SECONDS)
        .min(exportable.end);
    let left = first < end && second + SHORTEST_WINDOW_SECONDS <= end_of_both;
    left.then_some([first..end_of_both, second..end_of_both])
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
    use records::changes::SnapshotSource;

    fn completion(window_start: Option<u64>, time: u64) -> Completion {
        Completion {
            source: SnapshotSource::Export,
            time,
            end: time,
            window_start,
        }
    }

    #[test]
    fn an_hour_is_made_good_by_two_repairs_that_begin_apart() {
        let hour = |repairs: &[(u64, u64)]| {
            let complete: Vec<_> = repairs
                .iter()
                .map(|(start, end)| completion(Some(*start), *end))
                .collect();
            Repaired::new(&complete).hour(1)
        };
        assert!(hour(&[(3_420, 7_260), (3_540, 7_260)]));
        assert!(hour(&[(3_540, 9_000), (3_000, 9_000), (0, 90)]));
        for not in [
            // One, or twice the same.
            &[(3_420, 7_260)][..],
            &[(3_540, 7_260), (3_540, 7_260)],
            // Less than two minutes apart.
            &[(3_421, 7_260), (3_540, 7_260)],
            // The core of one begins too late or ends too early.
            &[(3_420, 7_260), (3_541, 7_260)],
            &[(3_420, 7_259), (3_540, 7_259)],
            // The first ends after the other.
            &[(3_420, 7_261), (3_540, 7_260)],
        ] {
            assert!(!hour(not), "{not:?}");
        }
    }

    #[test]
    fn what_the_merge_ignores_makes_nothing_good() {
        let repairs = [
            completion(Some(3_420), 7_260),
            completion(Some(3_540), 7_260),
        ];
        let with =
            |snapshot: u64| Repaired::new(&[&repairs[..], &[completion(None, snapshot)]].concat());
        assert!(with(3_420).hour(1) && with(3_420).window(&(3_420..7_260)));
        let one = with(3_421);
        assert!(!one.hour(1) && !one.window(&(3_420..7_260)));
        assert!(one.window(&(3_540..7_260)) && !one.window(&(3_541..7_260)));
    }

    const ALWAYS: Range<u64> = 0..u64::MAX;

    #[test]
    fn there_are_two_windows_with_a_margin_shorter_than_a_day() {
        assert_eq!(
            windows([1, 2, 5], &ALWAYS),
            [3_420..10_860, 3_540..10_860, 17_820..21_660, 17_940..21_660]
        );
        let long = windows(1..31, &ALWAYS);
        assert_eq!(long.len(), 4);
        assert!(
            long.iter()
                .all(|window| window.end - window.start <= 86_400)
        );
        // As exports they make good what they were made for.
        let complete: Vec<_> = long
            .iter()
            .map(|window| completion(Some(window.start), window.end))
            .collect();
        let repaired = Repaired::new(&complete);
        assert!((1..31).all(|hour| repaired.hour(hour)) && !repaired.hour(31));
    }

    #[test]
    fn windows_lie_where_exports_can_be_made() {
        assert_eq!(windows([1], &(4_000..7_000)), [4_000..7_000, 4_120..7_000]);
        // A window that is too short is longer if it can be.
        assert_eq!(windows([1], &(7_100..9_000)), [7_100..8_120, 7_220..8_120]);
        for nothing in [7_100..8_119, 7_200..9_000, 0..3_600, 0..0] {
            assert_eq!(windows([1], &nothing), [], "{nothing:?}");
        }
        let repaired = Repaired::new(&[completion(None, 3_000)]);
        let now = Timestamp(10_000_999);
        assert_eq!(
            exportable(Timestamp(4_000_001), &repaired, now),
            4_001..9_700
        );
        assert_eq!(exportable(Timestamp(0), &repaired, now), 3_000..9_700);
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
