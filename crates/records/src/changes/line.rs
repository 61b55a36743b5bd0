//! The lines of the log: what each of them says.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fault::ChangeFault;
use super::raw::{RawLine, malformed_text, seconds, table_and_label, text};
use crate::json::write_string;
use crate::table::push_value;
use crate::value::Item;

/// Digits of a sequence number at most (DynamoDB Streams API, `StreamRecord.SequenceNumber`: 21 to 40).
const MAX_SEQUENCE_DIGITS: usize = 40;

/// What a change did to its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there before.
    Insert,
    /// It was there before.
    Modify,
    /// It is not there any more, whether a user or its time to live removed it.
    Remove,
}

/// The place of a record in its stream shard, and so of a change among those of its key: 40 digits, whose order as texts is that
/// of the numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SequenceNumber(String);

impl SequenceNumber {
    /// From 1 to 40 digits.
    pub fn parse(digits: &str) -> Option<Self> {
        are_digits(digits).then(|| Self(format!("{digits:0>MAX_SEQUENCE_DIGITS$}")))
    }

    /// Forty digits.
    pub fn padded(&self) -> &str {
        &self.0
    }
}

fn are_digits(text: &str) -> bool {
    (1..=MAX_SEQUENCE_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A record of DynamoDB Streams that has its place in the log.
#[derive(Debug, Clone)]
pub struct StreamRecord<'a> {
    /// AWS's id of the record, the same each time that it is delivered.
    pub event_id: Cow<'a, str>,
    /// What happened.
    pub kind: ChangeKind,
    /// When, in seconds from 1970, rounded down (DynamoDB Streams API, `StreamRecord.ApproximateCreationDateTime`).
    pub seconds: u64,
    /// Its place in the stream: 1 to 40 digits, as they stand there.
    pub sequence: Cow<'a, str>,
    /// The name of its table.
    pub table: Cow<'a, str>,
    /// When its stream was enabled, as AWS writes it. A later stream of the same table has a later label.
    pub stream_label: Cow<'a, str>,
    /// The item's key attributes.
    pub keys: Item,
    /// The item after the change, as DynamoDB JSON, where there is one and the stream's view has it.
    pub new_image: Option<&'a RawValue>,
    /// The item before the change, likewise.
    pub old_image: Option<&'a RawValue>,
}

/// What made a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotSource {
    /// A scan of the table. It is less than an export of the same second.
    Scan,
    /// A point-in-time export.
    Export,
}

impl SnapshotSource {
    /// As in names and lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Export => "export",
        }
    }
}

/// Where a change comes from, and with that its rank among those of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The table's stream.
    Stream {
        /// See [`StreamRecord::stream_label`].
        label: Cow<'a, str>,
        /// See [`StreamRecord::sequence`].
        sequence: SequenceNumber,
    },
    /// A row of a snapshot: what the table held at a time (an export), or at some time from then on (a scan).
    Snapshot {
        /// What made it.
        source: SnapshotSource,
        /// Seconds from 1970.
        time: u64,
    },
    /// The state at its end of an item that changed in a window (an incremental export).
    Repair {
        /// Its first second.
        start: u64,
        /// The first second after it.
        end: u64,
    },
}

/// One change of one item, whatever it comes from.
#[derive(Debug, Clone)]
pub struct ChangeLine<'a> {
    /// Unique in the log.
    pub event_id: Cow<'a, str>,
    /// What happened; a row of a snapshot is an insert.
    pub kind: ChangeKind,
    /// When, in seconds from 1970.
    pub seconds: u64,
    /// Where it comes from.
    pub origin: Origin<'a>,
    /// The item's key attributes.
    pub keys: Item,
    /// The item after the change, as DynamoDB JSON.
    pub new_image: Option<&'a RawValue>,
    /// The item before the change, likewise.
    pub old_image: Option<&'a RawValue>,
}

/// All rows of a snapshot, or of a repair, are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// What made it.
    pub source: SnapshotSource,
    /// The snapshot's time, or the first second after the window.
    pub time: u64,
    /// When the last row was read: later than `time` for a scan alone.
    pub end: u64,
    /// The window's first second, for a repair.
    pub window_start: Option<u64>,
}

/// A line of the log.
#[derive(Debug, Clone)]
pub enum LogLine<'a> {
    /// A change.
    Change(Box<ChangeLine<'a>>),
    /// The end of a snapshot or repair.
    Complete(Completion),
}

impl<'a> StreamRecord<'a> {
    /// Reads a record as the event source mapping delivers it, or as it stands in the log.
    ///
    /// # Errors
    /// What keeps it from having a place in the log of a table; nothing is checked that its place does not depend on.
    pub fn parse(json: &'a str) -> Result<Self, ChangeFault> {
        Self::of(RawLine::read(json)?)
    }

    /// Its place in the stream, to be compared.
    pub fn sequence_number(&self) -> SequenceNumber {
        SequenceNumber(format!("{:0>MAX_SEQUENCE_DIGITS$}", self.sequence))
    }

    /// Fails if the record is of another table than the log.
    pub fn check_table(&self, table: &str) -> Result<(), ChangeFault> {
        match self.table == table {
            true => Ok(()),
            false => Err(ChangeFault::OtherTable {
                found: self.table.to_string(),
                expected: table.to_owned(),
            }),
        }
    }

    fn of(line: RawLine<'a>) -> Result<Self, ChangeFault> {
        const SOURCE: &str = "aws:dynamodb";
        const DIGITS: &str = "a text of 1 to 40 digits";
        const SEQUENCE: &str = "dynamodb.SequenceNumber";
        if text("eventSource", &line.event_source, SOURCE)? != SOURCE {
            return Err(malformed_text("eventSource", &line.event_source, SOURCE));
        }
        let change = line.change()?;
        let sequence = text(SEQUENCE, &change.sequence, DIGITS)?;
        if !are_digits(&sequence) {
            return Err(malformed_text(SEQUENCE, &change.sequence, DIGITS));
        }
        let (table, stream_label) = table_and_label(&line.event_source_arn)?;
        Ok(Self {
            event_id: line.event_id()?,
            kind: line.kind()?,
            seconds: seconds("dynamodb.ApproximateCreationDateTime", change.time)?,
            sequence,
            table,
            stream_label,
            keys: change.keys()?,
            new_image: change.new_image,
            old_image: change.old_image,
        })
    }
}

impl<'a> LogLine<'a> {
    /// Reads a line of the log.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn parse(json: &'a str) -> Result<Self, ChangeFault> {
        let line = RawLine::read(json)?;
        let Some(source) = line.snapshot_source()? else {
            return StreamRecord::of(line).map(|record| Self::Change(Box::new(record.into())));
        };
        let completion = line.completion(source)?;
        if text("eventName", &line.event_name, "what happened")? == "COMPLETE" {
            return Ok(Self::Complete(completion));
        }
        let change = line.change()?;
        Ok(Self::Change(Box::new(ChangeLine {
            event_id: line.event_id()?,
            kind: line.kind()?,
            seconds: seconds("dynamodb.ApproximateCreationDateTime", change.time)?,
            origin: match completion.window_start {
                Some(start) => Origin::Repair {
                    start,
                    end: completion.time,
                },
                None => Origin::Snapshot {
                    source,
                    time: completion.time,
                },
            },
            keys: change.keys()?,
            new_image: change.new_image,
            old_image: change.old_image,
        })))
    }
}

impl<'a> From<StreamRecord<'a>> for ChangeLine<'a> {
    fn from(record: StreamRecord<'a>) -> Self {
        Self {
            origin: Origin::Stream {
                sequence: record.sequence_number(),
                label: record.stream_label,
            },
            event_id: record.event_id,
            kind: record.kind,
            seconds: record.seconds,
            keys: record.keys,
            new_image: record.new_image,
            old_image: record.old_image,
        }
    }
}

impl Completion {
    /// The line that says so. `id` makes its event id: the export's id, say.
    pub fn line(&self, id: &str) -> Vec<u8> {
        let mut line = b"{\"eventID\":".to_vec();
        write_string(&format!("complete-{id}"), &mut line);
        let source = self.source.name();
        line.extend_from_slice(
            format!(
                ",\"eventName\":\"COMPLETE\",\"source\":\"{source}\",\"snapshotTime\":{}",
                self.time
            )
            .as_bytes(),
        );
        if self.end > self.time {
            line.extend_from_slice(format!(",\"snapshotEnd\":{}", self.end).as_bytes());
        }
        if let Some(start) = self.window_start {
            line.extend_from_slice(format!(",\"windowStart\":{start}").as_bytes());
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

/// The event id of a line, whatever else is wrong with it.
pub fn event_id_of(json: &str) -> Option<Cow<'_, str>> {
    let line = RawLine::read(json).ok()?;
    text("eventID", &line.event_id, "").ok()
}

/// When a record's change happened, in seconds from 1970, whatever else is wrong with the record.
pub fn seconds_of(json: &str) -> Option<u64> {
    let time = RawLine::read(json).ok()?.dynamodb?.time;
    seconds("", time).ok()
}

/// The sequence number of a record as it stands there, whatever else is wrong with it; never empty.
pub fn sequence_text_of(json: &str) -> Option<Cow<'_, str>> {
    let line = RawLine::read(json).ok()?;
    let sequence = text("", &line.dynamodb?.sequence, "").ok()?;
    (!sequence.is_empty()).then_some(sequence)
}

/// A canonical key where the table is not known: by the order of the attributes' names.
pub fn canonical_key_of_any(keys: &Item) -> Vec<u8> {
    let mut key = Vec::new();
    for (name, value) in keys {
        write_string(name, &mut key);
        push_value(value, &mut key);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> String {
        r#"{"eventID":"c9fbe7d0261a5163fcb6940593e41797","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","dynamodb":{"ApproximateCreationDateTime":1.664559083E9,"Keys":{"SK":{"S":"a"},"PK":{"N":"1"}},"NewImage":{"SK":{"S":"a"},"PK":{"N":"1"},"x":{"M":{}}},"SequenceNumber":"700000000000888747038","StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":"arn:aws:dynamodb:us-east-2:111122223333:table/offers/stream/2022-09-30T17:05:53.209"}"#.to_owned()
    }

    #[test]
    fn a_record_is_read_as_far_as_its_place_depends_on_it() {
        let json = record();
        let record = StreamRecord::parse(&json).unwrap();
        assert_eq!(record.event_id, "c9fbe7d0261a5163fcb6940593e41797");
        assert_eq!(record.kind, ChangeKind::Insert);
        assert_eq!(record.seconds, 1_664_559_083);
        assert_eq!(
            record.sequence_number().padded(),
            "0000000000000000000700000000000888747038"
        );
        assert_eq!(
            (&*record.table, &*record.stream_label),
            ("offers", "2022-09-30T17:05:53.209")
        );
        assert_eq!(record.keys.len(), 2);
        assert_eq!(
            record.new_image.map(RawValue::get),
            Some(r#"{"SK":{"S":"a"},"PK":{"N":"1"},"x":{"M":{}}}"#)
        );
        assert!(record.check_table("offers").is_ok());
        assert_eq!(
            record.check_table("other").unwrap_err().to_string(),
            "the record is of the table offers: expected one of other"
        );
    }

    #[test]
    fn seconds_are_rounded_down_in_any_spelling() {
        for (spelling, expected) in [
            ("1768386096", 1_768_386_096),
            ("1768386096.0", 1_768_386_096),
            ("1768386096.999", 1_768_386_096),
            ("1.768386096E9", 1_768_386_096),
            ("0", 0),
            ("0.5", 0),
        ] {
            let json = record().replace("1.664559083E9", spelling);
            assert_eq!(
                StreamRecord::parse(&json).unwrap().seconds,
                expected,
                "{spelling}"
            );
        }
    }

    #[test]
    fn what_has_no_place_says_what_was_expected() {
        let long = "k".repeat(2_049);
        let cases = [
            (
                ("{\"eventID\"", "[\"eventID\""),
                "the record cannot be read",
            ),
            (
                ("\"dynamodb\":", "\"kinesis\":"),
                "dynamodb is missing: expected the change",
            ),
            (
                ("\"dynamodb\":", "\"dynamodb\":null,\"x\":"),
                "dynamodb is missing: expected the change",
            ),
            (
                ("\"SequenceNumber\":\"700000000000888747038\",", ""),
                "dynamodb.SequenceNumber is missing: expected a text of 1 to 40 digits",
            ),
            (
                ("700000000000888747038", "7e5"),
                "dynamodb.SequenceNumber is \"7e5\": expected a text of 1 to 40 digits",
            ),
            (
                ("INSERT", "UPSERT"),
                "eventName is \"UPSERT\": expected INSERT, MODIFY or REMOVE",
            ),
            (
                ("aws:dynamodb", "aws:kinesis"),
                "eventSource is \"aws:kinesis\": expected aws:dynamodb",
            ),
            (
                ("1.664559083E9", "1664559083000"),
                "dynamodb.ApproximateCreationDateTime is 1664559083000: expected seconds since 1970",
            ),
            (
                ("1.664559083E9", "-1"),
                "dynamodb.ApproximateCreationDateTime is -1: expected seconds since 1970",
            ),
            (
                ("\"ApproximateCreationDateTime\":1.664559083E9,", ""),
                "dynamodb.ApproximateCreationDateTime is missing: expected seconds since 1970",
            ),
            (
                ("c9fbe7d0261a5163fcb6940593e41797", "a/b"),
                "eventID is \"a/b\": expected 1 to 200 letters, digits, '-', '_' and '.'",
            ),
            (
                (":table/offers/stream/", ":stream/offers/"),
                "eventSourceARN is \"arn:aws:dynamodb:us-east-2:111122223333:stream/offers/2022-0…\": expected the ARN of a table's stream",
            ),
            (
                (
                    "\"Keys\":{\"SK\":{\"S\":\"a\"},\"PK\":{\"N\":\"1\"}}",
                    "\"Keys\":{}",
                ),
                "dynamodb.Keys is {}: expected the item's one or two key attributes",
            ),
            (
                (
                    "\"Keys\":{\"SK\":{\"S\":\"a\"}",
                    "\"Keys\":{\"SK\":{\"BOOL\":true}",
                ),
                "dynamodb.Keys is {\"SK\":{\"BOOL\":true},\"PK\":{\"N\":\"1\"}}: expected the item's one or two key attributes",
            ),
        ];
        for ((old, new), expected) in cases {
            let json = record().replacen(old, new, 1);
            assert_ne!(json, record(), "{old}");
            let message = StreamRecord::parse(&json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let json = record().replacen(
            "\"SK\":{\"S\":\"a\"}",
            &format!("\"SK\":{{\"S\":\"{long}\"}}"),
            1,
        );
        let message = StreamRecord::parse(&json).unwrap_err().to_string();
        assert!(
            message.ends_with("…: expected key attributes of at most 2,048 bytes"),
            "{message}"
        );
    }

    #[test]
    fn a_completion_is_read_as_it_was_written() {
        for (end, window_start) in [
            (1_768_386_096, None),
            (1_768_386_099, None),
            (1_768_386_096, Some(1_768_386_000)),
        ] {
            let written = Completion {
                source: SnapshotSource::Scan,
                time: 1_768_386_096,
                end,
                window_start,
            };
            let line = String::from_utf8(written.line("x\"y")).unwrap();
            let Ok(LogLine::Complete(read)) = LogLine::parse(line.trim_end()) else {
                panic!("no completion: {line}");
            };
            assert_eq!(read, written);
        }
    }
}
