//! The merge rule: what a table holds, as the log tells it. `docs/SEMANTICS.md` has the same rule as SQL, and the reasons.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::value::RawValue;

use super::line::{
    ChangeKind, ChangeLine, Completion, Origin, SequenceNumber, SnapshotSource,
    canonical_key_of_any,
};
use crate::value::Item;

/// How far the time of a stream record may be from the time of its write, in seconds, with much to spare: stream times are
/// whole seconds, and say when the record was made.
pub const SETTLED_SECONDS: u64 = 60;

/// Which lines of a log take part, from the snapshots and repairs that are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRule {
    snapshot: Option<(u64, SnapshotSource)>,
    repairs: Vec<Repair>,
    until: u64,
}

/// The part of a repair's window in which it has the only word: not its first and last minute, in which a record may be of a
/// write outside of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repair {
    core_start: u64,
    core_end: u64,
}

impl Repair {
    fn of(start: u64, end: u64) -> Self {
        Self {
            core_start: start + SETTLED_SECONDS,
            core_end: end.saturating_sub(SETTLED_SECONDS),
        }
    }
}

/// The order of the changes of one key: the greatest is its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A row of the snapshot: whatever else there is comes later.
    Snapshot,
    /// What came after the end of a repair's core (in seconds from 1970; 0: of none), or speaks of it.
    Repaired(u64, Step),
}

/// The order of what has the same repair before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Something that lies in the repair's core. It says that its key was written there, and no more: if the repair has no line
    /// of the key, it was inserted and removed again.
    Replaced,
    /// The repair's own line.
    Line,
    /// A record of the stream from afterwards: the label of its stream, and its number there.
    Record(String, SequenceNumber),
}

impl MergeRule {
    /// The rule for a log with these complete snapshots and repairs, for its state before the second `until`.
    pub fn new(complete: &[Completion], until: u64) -> Self {
        // A scan's rows are of any time up to its end.
        let complete = || complete.iter().filter(|done| done.end <= until);
        let snapshot = complete()
            .filter(|done| done.window_start.is_none())
            .map(|done| (done.time, done.source))
            .max();
        let since = snapshot.map_or(0, |(time, _)| time);
        let repairs = complete()
            .filter_map(|done| Some((done.window_start?, done.time)))
            .filter(|(start, _)| *start >= since)
            .map(|(start, end)| Repair::of(start, end))
            .collect();
        Self {
            snapshot,
            repairs,
            until,
        }
    }

    /// The time and source of the snapshot that the state begins with.
    pub fn snapshot(&self) -> Option<(u64, SnapshotSource)> {
        self.snapshot
    }

    /// The first second of the stream that takes part.
    pub fn since(&self) -> u64 {
        self.snapshot
            .map_or(0, |(time, _)| time.saturating_sub(SETTLED_SECONDS))
    }

    /// The rank of a change among those of its key; nothing if it takes no part.
    pub fn rank(&self, change: &ChangeLine<'_>) -> Option<Rank> {
        let time = change.seconds;
        let own = match &change.origin {
            Origin::Snapshot { source, time } => {
                return (self.snapshot == Some((*time, *source))).then_some(Rank::Snapshot);
            }
            Origin::Repair { start, end } => {
                let own = Repair::of(*start, *end);
                self.repairs.contains(&own).then_some(Some(own.core_end))?
            }
            Origin::Stream { .. } => (time < self.until).then_some(None)?,
        };
        if time < self.since() {
            return None;
        }
        let replacing = self
            .repairs
            .iter()
            .filter(|repair| (repair.core_start..repair.core_end).contains(&time))
            .map(|repair| repair.core_end)
            .max()
            .filter(|end| own.is_none_or(|own| own < *end));
        if let Some(end) = replacing {
            return Some(Rank::Repaired(end, Step::Replaced));
        }
        Some(match (&change.origin, own) {
            (Origin::Stream { label, sequence }, _) => {
                let ends = self.repairs.iter().map(|repair| repair.core_end);
                Rank::Repaired(
                    ends.filter(|end| *end <= time).max().unwrap_or(0),
                    Step::Record(label.to_string(), sequence.clone()),
                )
            }
            (_, own) => Rank::Repaired(own.unwrap_or(0), Step::Line),
        })
    }
}

/// The state of some keys, from changes in any order and any number of times.
#[derive(Debug)]
pub struct Merge {
    rule: MergeRule,
    /// By canonical key.
    states: BTreeMap<Vec<u8>, (Rank, KeyState)>,
}

/// What the log says of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The key attributes.
    pub keys: Item,
    /// What happened last.
    pub kind: ChangeKind,
    /// The item as DynamoDB JSON; nothing if it is removed, or if its line has no image of it.
    pub new_image: Option<Box<str>>,
    /// The item before that change, where its line has it.
    pub old_image: Option<Box<str>>,
}

impl KeyState {
    fn of(change: ChangeLine<'_>, rank: &Rank) -> Self {
        if matches!(rank, Rank::Repaired(_, Step::Replaced)) {
            return Self {
                keys: change.keys,
                kind: ChangeKind::Remove,
                new_image: None,
                old_image: None,
            };
        }
        let owned = |image: Option<&RawValue>| image.map(|image| image.get().into());
        Self {
            keys: change.keys,
            kind: change.kind,
            new_image: owned(change.new_image),
            old_image: owned(change.old_image),
        }
    }
}

impl Merge {
    /// No key is known yet.
    pub fn new(rule: MergeRule) -> Self {
        Self {
            rule,
            states: BTreeMap::new(),
        }
    }

    /// Takes a change in, unless one of its key is known that came later.
    pub fn push(&mut self, change: ChangeLine<'_>) {
        let Some(rank) = self.rule.rank(&change) else {
            return;
        };
        match self.states.entry(canonical_key_of_any(&change.keys)) {
            Entry::Vacant(free) => {
                let state = KeyState::of(change, &rank);
                free.insert((rank, state));
            }
            Entry::Occupied(mut known) if known.get().0 < rank => {
                let state = KeyState::of(change, &rank);
                known.insert((rank, state));
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Every key that the log speaks of, in order of the canonical keys; those removed among them.
    pub fn finish(self) -> impl Iterator<Item = KeyState> {
        self.states.into_values().map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::changes::LogLine;

    const LABEL: &str = "2026-01-14T00:00:00.000";

    fn stream(key: u8, seconds: u64, sequence: u64, value: Option<u64>) -> String {
        let (name, image) = match value {
            Some(value) => (
                "MODIFY",
                format!(r#","NewImage":{{"v":{{"N":"{value}"}}}}"#),
            ),
            None => ("REMOVE", String::new()),
        };
        format!(
            r#"{{"eventID":"{sequence}","eventName":"{name}","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":{seconds}.0,"Keys":{{"id":{{"N":"{key}"}}}}{image},"SequenceNumber":"{sequence}"}},"eventSourceARN":"arn:aws:dynamodb:r:1:table/t/stream/{LABEL}"}}"#
        )
    }

    fn other(key: u8, members: &str, value: Option<u64>) -> String {
        let (name, image) = match value {
            Some(value) => (
                "INSERT",
                format!(r#","NewImage":{{"v":{{"N":"{value}"}}}}"#),
            ),
            None => ("REMOVE", String::new()),
        };
        format!(
            r#"{{"eventID":"x","eventName":"{name}",{members},"dynamodb":{{"ApproximateCreationDateTime":1,"Keys":{{"id":{{"N":"{key}.0"}}}}{image}}}}}"#
        )
    }

    fn snapshot(key: u8, time: u64, value: u64) -> String {
        let members = format!(r#""source":"export","snapshotTime":{time}"#);
        other(key, &members, Some(value))
    }

    fn repair(key: u8, start: u64, end: u64, value: Option<u64>) -> String {
        let members = format!(r#""source":"export","snapshotTime":{end},"windowStart":{start}"#);
        other(key, &members, value)
    }

    fn whole(time: u64, window_start: Option<u64>) -> Completion {
        Completion {
            source: SnapshotSource::Export,
            time,
            end: time,
            window_start,
        }
    }

    /// The values of the keys that are there.
    fn state(complete: &[Completion], lines: &[String]) -> Vec<(String, String)> {
        let mut merge = Merge::new(MergeRule::new(complete, u64::MAX));
        for line in lines {
            match LogLine::parse(line).unwrap() {
                LogLine::Change(change) => merge.push(*change),
                LogLine::Complete(_) => panic!("no change: {line}"),
            }
        }
        merge
            .finish()
            .filter_map(|state| {
                let mut key = Vec::new();
                state.keys["id"].write_plain_json(&mut key);
                let value = state
                    .new_image?
                    .replace(r#"{"v":{"N":""#, "")
                    .replace("\"}}", "");
                Some((String::from_utf8(key).unwrap(), value))
            })
            .collect()
    }

    fn values(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_last_change_by_sequence_number_is_the_state_and_a_removal_ends_it() {
        let lines = [
            stream(1, 100, 9, Some(1)),
            stream(1, 100, 10, Some(2)),
            stream(2, 100, 11, Some(1)),
            stream(2, 101, 12, None),
        ];
        assert_eq!(state(&[], &lines), values(&[("1", "2")]));
        let backwards: Vec<_> = lines.iter().rev().chain(&lines).cloned().collect();
        assert_eq!(state(&[], &backwards), values(&[("1", "2")]));
    }

    #[test]
    fn a_later_stream_of_the_table_comes_later_whatever_its_numbers() {
        let second = stream(1, 100, 3, Some(2)).replace(LABEL, "2026-02-01T00:00:00.000");
        let lines = [stream(1, 100, 9, Some(1)), second];
        assert_eq!(state(&[], &lines), values(&[("1", "2")]));
    }

    #[test]
    fn a_row_of_the_newest_complete_snapshot_gives_way_to_records_from_a_minute_before_it() {
        let complete = [whole(1_000, None), whole(500, None)];
        let lines = [
            snapshot(1, 1_000, 1),
            snapshot(2, 1_000, 1),
            snapshot(3, 1_000, 1),
            snapshot(4, 500, 1),
            snapshot(5, 2_000, 1),
            stream(1, 939, 1, Some(2)),
            stream(2, 940, 2, Some(2)),
            stream(3, 1_001, 3, None),
            stream(6, 939, 4, Some(2)),
        ];
        let expected = values(&[("1", "1"), ("2", "2")]);
        assert_eq!(state(&complete, &lines), expected);
    }

    #[test]
    fn a_repair_replaces_the_records_inside_its_window() {
        let complete = [whole(2_000, Some(1_000))];
        let lines = [
            // Lost in the stream: a later change, a removal, an insertion.
            stream(1, 1_500, 1, Some(1)),
            repair(1, 1_000, 2_000, Some(2)),
            stream(2, 1_500, 2, Some(1)),
            repair(2, 1_000, 2_000, None),
            repair(3, 1_000, 2_000, Some(2)),
            // Inserted, and its removal lost: the export says nothing of such an item.
            stream(4, 1_500, 3, Some(1)),
            // Inserted in the first minute: its removal in the core is known.
            stream(9, 1_010, 8, Some(1)),
            stream(9, 1_500, 9, None),
            // Before, after, and at the edges, where the log is complete.
            stream(5, 900, 4, Some(1)),
            stream(6, 1_030, 5, Some(1)),
            repair(7, 1_000, 2_000, Some(2)),
            stream(7, 1_950, 6, Some(3)),
            repair(8, 1_000, 2_000, Some(2)),
            stream(8, 1_059, 7, Some(1)),
        ];
        let expected = [
            ("1", "2"),
            ("3", "2"),
            ("5", "1"),
            ("6", "1"),
            ("7", "3"),
            ("8", "2"),
        ];
        assert_eq!(state(&complete, &lines), values(&expected));
        // While it is not complete, it takes no part.
        let expected = [
            ("1", "1"),
            ("2", "1"),
            ("4", "1"),
            ("5", "1"),
            ("6", "1"),
            ("7", "3"),
            ("8", "1"),
        ];
        assert_eq!(state(&[], &lines), values(&expected));
        // Nor if it begins before the snapshot.
        let complete = [whole(2_000, Some(1_000)), whole(1_001, None)];
        let lines = [snapshot(1, 1_001, 1), stream(1, 1_500, 1, Some(2))];
        assert_eq!(state(&complete, &lines), values(&[("1", "2")]));
    }

    #[test]
    fn a_later_repair_has_the_only_word_on_what_an_earlier_one_saw_written_inside_of_it() {
        // Inserted in both windows, and removed after the end of the first: the second has nothing of it.
        let complete = [whole(1_500, Some(1_000)), whole(2_000, Some(1_200))];
        let seen = |time: u64| {
            let line = repair(1, 1_000, 1_500, Some(1));
            line.replace("DateTime\":1,", &format!("DateTime\":{time},"))
        };
        assert_eq!(state(&complete, &[seen(1_300)]), []);
        assert_eq!(state(&complete, &[seen(1_250)]), values(&[("1", "1")]));
        assert_eq!(state(&complete[..1], &[seen(1_300)]), values(&[("1", "1")]));
    }

    #[test]
    fn the_state_before_a_time_knows_nothing_of_what_came_after() {
        let rule = MergeRule::new(&[whole(1_000, None), whole(500, None)], 900);
        assert_eq!(rule.snapshot(), Some((500, SnapshotSource::Export)));
        let scan = Completion {
            source: SnapshotSource::Scan,
            end: 901,
            ..whole(800, None)
        };
        let snapshot = |until| MergeRule::new(&[scan, whole(500, None)], until).snapshot();
        assert_eq!(snapshot(900), Some((500, SnapshotSource::Export)));
        assert_eq!(snapshot(901), Some((800, SnapshotSource::Scan)));
        let mut merge = Merge::new(rule);
        for line in [stream(1, 899, 1, Some(1)), stream(1, 900, 2, Some(2))] {
            let Ok(LogLine::Change(change)) = LogLine::parse(&line) else {
                panic!("no change: {line}");
            };
            merge.push(*change);
        }
        let images: Vec<_> = merge.finish().filter_map(|state| state.new_image).collect();
        assert_eq!(images, [r#"{"v":{"N":"1"}}"#.into()]);
    }

    /// When a key of the model was written, and what it held from then on.
    type Writes = Vec<(u64, Option<u64>)>;

    fn held(writes: &Writes, before: u64) -> Option<u64> {
        let (_, value) = writes.iter().rev().find(|(time, _)| *time < before)?;
        *value
    }

    /// An incremental export: nothing of what was there neither at its start nor at its end.
    fn export(keys: &BTreeMap<u8, Writes>, start: u64, end: u64) -> Vec<String> {
        keys.iter()
            .filter_map(|(key, writes)| {
                let window = start..end;
                let (last, _) = writes.iter().rfind(|(time, _)| window.contains(time))?;
                let (before, after) = (held(writes, start), held(writes, end));
                let line = repair(*key, start, end, after)
                    .replace("DateTime\":1,", &format!("DateTime\":{last},"));
                (before.is_some() || after.is_some()).then_some(line)
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// A table, a stream that loses some records, and two repairs around what is lost, perhaps after a snapshot.
        #[test]
        fn promise_7_the_merged_state_is_the_table(
            steps in vec((0..4_u8, 0..70_u64, any::<bool>(), any::<bool>(), 0..30_u64), 0..100),
            snapshot_after in proptest::option::of(0..2_000_u64),
            first in 0..2_000_u64,
            second in 120..600_u64,
            length in 180..2_000_u64,
            longer in prop_oneof![Just(0), 0..500_u64],
            begin in any::<prop::sample::Index>(),
        ) {
            let zero = 10_000;
            let since = snapshot_after.map(|after| zero + after);
            // What is lost lies in the cores of two repairs.
            let first = since.unwrap_or(zero) + first;
            let second = first + second;
            let end = second + length;
            let lossy = second + SETTLED_SECONDS..end - SETTLED_SECONDS;
            let mut now = zero;
            let mut keys: BTreeMap<u8, Writes> = BTreeMap::new();
            let mut stamps: BTreeMap<u8, u64> = BTreeMap::new();
            let mut lines = Vec::new();
            for (nth, (key, pause, remove, lose, delay)) in (1..).zip(&steps) {
                now += pause;
                let writes = keys.entry(*key).or_default();
                let value = (!*remove).then_some(nth);
                if value.is_none() && held(writes, u64::MAX).is_none() {
                    continue;
                }
                writes.push((now, value));
                // A record is made after its write; those of one key in the order of the writes.
                let stamp = stamps.entry(*key).or_default();
                *stamp = (*stamp).max(now + delay);
                let before_snapshot = since.is_some_and(|since| *stamp + SETTLED_SECONDS < since);
                if !(*lose && (before_snapshot || lossy.contains(stamp))) {
                    lines.push(stream(*key, *stamp, nth, value));
                }
            }
            let mut complete = vec![whole(end, Some(first)), whole(end + longer, Some(second))];
            lines.extend(export(&keys, first, end));
            lines.extend(export(&keys, second, end + longer));
            if let Some(since) = since {
                complete.push(whole(since, None));
                for (key, writes) in &keys {
                    lines.extend(held(writes, since).map(|value| snapshot(*key, since, value)));
                }
            }
            let count = lines.len();
            lines.rotate_left(begin.index(count + 1) % count.max(1));
            let expected: Vec<_> = keys
                .iter()
                .filter_map(|(key, writes)| Some((key.to_string(), held(writes, u64::MAX)?.to_string())))
                .collect();
            prop_assert_eq!(state(&complete, &lines), expected);
        }
    }
}
