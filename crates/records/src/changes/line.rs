//! The lines of the log, read just as far as needed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::place::{MAX_EVENT_ID_BYTES, MAX_SECONDS};
use crate::json::write_string;
use crate::number::Number;
use crate::table::{MAX_PARTITION_KEY_BYTES, push_value};
use crate::value::{Item, Value, item_from_dynamodb_json};

/// Digits of a sequence number at most (DynamoDB Streams API, `StreamRecord.SequenceNumber`: 21 to 40).
const MAX_SEQUENCE_DIGITS: usize = 40;
/// What a faulty value is cut to in a message.
const SHOWN_CHARS: usize = 60;

/// Why a record cannot be placed in the log, or a line of it not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// It is no JSON object of the right shape.
    #[error("the record cannot be read ({0}): expected a JSON object as DynamoDB Streams sends it")]
    Unreadable(String),
    /// A member is not there, or null.
    #[error("{member} is missing: expected {expected}")]
    Missing {
        /// The member's name with those around it.
        member: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A member holds something else.
    #[error("{member} is {found}: expected {expected}")]
    Malformed {
        /// The member's name with those around it.
        member: &'static str,
        /// The beginning of what it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// It belongs to another table than the log.
    #[error("the record is of the table {found}: expected one of {expected}")]
    OtherTable {
        /// Its table.
        found: String,
        /// The log's table.
        expected: String,
    },
    /// Another record of the batch has the same id and is not the same.
    #[error("another record has the event id {0} as well: expected an id of its own")]
    TwiceTheId(String),
}

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

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(rename = "eventID", borrow)]
    event_id: Option<Text<'a>>,
    #[serde(rename = "eventName", borrow)]
    event_name: Option<Text<'a>>,
    #[serde(rename = "eventSource", borrow)]
    event_source: Option<Text<'a>>,
    #[serde(rename = "eventSourceARN", borrow)]
    event_source_arn: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(rename = "snapshotTime", borrow)]
    snapshot_time: Option<&'a RawValue>,
    #[serde(rename = "snapshotEnd", borrow)]
    snapshot_end: Option<&'a RawValue>,
    #[serde(rename = "windowStart", borrow)]
    window_start: Option<&'a RawValue>,
    #[serde(borrow)]
    dynamodb: Option<RawChange<'a>>,
}

#[derive(Deserialize)]
struct RawChange<'a> {
    #[serde(rename = "ApproximateCreationDateTime", borrow)]
    time: Option<&'a RawValue>,
    #[serde(rename = "Keys", borrow)]
    keys: Option<&'a RawValue>,
    #[serde(rename = "NewImage", borrow)]
    new_image: Option<&'a RawValue>,
    #[serde(rename = "OldImage", borrow)]
    old_image: Option<&'a RawValue>,
    #[serde(rename = "SequenceNumber", borrow)]
    sequence: Option<Text<'a>>,
}

/// A member that should be a text.
#[derive(Clone)]
enum Text<'a> {
    Is(Cow<'a, str>),
    /// What is there instead.
    IsNot(&'static str),
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text::Is(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text::Is(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
        Ok(Text::IsNot("true or false"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
        Ok(Text::IsNot("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
        Ok(Text::IsNot("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
        Ok(Text::IsNot("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::IsNot("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Text<'de>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::IsNot("an object"))
    }
}

impl<'a> RawLine<'a> {
    fn read(json: &'a str) -> Result<Self, ChangeFault> {
        serde_json::from_str(json).map_err(|error| ChangeFault::Unreadable(error.to_string()))
    }

    fn event_id(&self) -> Result<Cow<'a, str>, ChangeFault> {
        const EXPECTED: &str = "1 to 200 letters, digits, '-', '_' and '.'";
        let id = text("eventID", &self.event_id, EXPECTED)?;
        let good = (1..=MAX_EVENT_ID_BYTES).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match good {
            true => Ok(id),
            false => Err(not_the_text("eventID", &self.event_id, EXPECTED)),
        }
    }

    fn kind(&self) -> Result<ChangeKind, ChangeFault> {
        const EXPECTED: &str = "INSERT, MODIFY or REMOVE";
        match &*text("eventName", &self.event_name, EXPECTED)? {
            "INSERT" => Ok(ChangeKind::Insert),
            "MODIFY" => Ok(ChangeKind::Modify),
            "REMOVE" => Ok(ChangeKind::Remove),
            _ => Err(not_the_text("eventName", &self.event_name, EXPECTED)),
        }
    }

    fn change(&self) -> Result<&RawChange<'a>, ChangeFault> {
        self.dynamodb.as_ref().ok_or(ChangeFault::Missing {
            member: "dynamodb",
            expected: "the change",
        })
    }

    fn snapshot_source(&self) -> Result<Option<SnapshotSource>, ChangeFault> {
        const EXPECTED: &str = "export or scan";
        if self.source.is_none() {
            return Ok(None);
        }
        match &*text("source", &self.source, EXPECTED)? {
            "export" => Ok(Some(SnapshotSource::Export)),
            "scan" => Ok(Some(SnapshotSource::Scan)),
            _ => Err(not_the_text("source", &self.source, EXPECTED)),
        }
    }

    fn completion(&self, source: SnapshotSource) -> Result<Completion, ChangeFault> {
        let time = seconds("snapshotTime", self.snapshot_time)?;
        let optional = |member, raw: Option<&RawValue>| match raw {
            Some(_) => seconds(member, raw).map(Some),
            None => Ok(None),
        };
        let end = optional("snapshotEnd", self.snapshot_end)?;
        Ok(Completion {
            source,
            time,
            end: end.unwrap_or(time).max(time),
            window_start: optional("windowStart", self.window_start)?,
        })
    }
}

impl<'a> RawChange<'a> {
    fn keys(&self) -> Result<Item, ChangeFault> {
        const MEMBER: &str = "dynamodb.Keys";
        const EXPECTED: &str = "the item's one or two key attributes";
        const SHORT: &str = "key attributes of at most 2,048 bytes";
        let raw = present(MEMBER, self.keys, EXPECTED)?;
        let keys = item_from_dynamodb_json(raw.get())
            .map_err(|_| malformed(MEMBER, self.keys, EXPECTED))?;
        let is_key = |value: &Value| matches!(value, Value::S(_) | Value::N(_) | Value::B(_));
        if !(1..=2).contains(&keys.len()) || !keys.values().all(is_key) {
            return Err(malformed(MEMBER, self.keys, EXPECTED));
        }
        match keys
            .values()
            .all(|key| key.size() <= MAX_PARTITION_KEY_BYTES)
        {
            true => Ok(keys),
            false => Err(malformed(MEMBER, self.keys, SHORT)),
        }
    }
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
            return Err(not_the_text("eventSource", &line.event_source, SOURCE));
        }
        let change = line.change()?;
        let sequence = text(SEQUENCE, &change.sequence, DIGITS)?;
        if !are_digits(&sequence) {
            return Err(not_the_text(SEQUENCE, &change.sequence, DIGITS));
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

/// `arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>`
fn table_and_label<'a>(
    arn: &Option<Text<'a>>,
) -> Result<(Cow<'a, str>, Cow<'a, str>), ChangeFault> {
    const MEMBER: &str = "eventSourceARN";
    const EXPECTED: &str = "the ARN of a table's stream";
    let name = text(MEMBER, arn, EXPECTED)?;
    let parts = |name: &str| -> Option<(usize, usize)> {
        let table = name.find(":table/")? + ":table/".len();
        let stream = table + name[table..].find("/stream/")?;
        Some((table, stream))
    };
    let (table, stream) = parts(&name).ok_or_else(|| not_the_text(MEMBER, arn, EXPECTED))?;
    let label = stream + "/stream/".len();
    Ok(match name {
        Cow::Borrowed(name) => (name[table..stream].into(), name[label..].into()),
        Cow::Owned(name) => (
            name[table..stream].to_owned().into(),
            name[label..].to_owned().into(),
        ),
    })
}

/// Whole seconds from 1970 to the year 9998. AWS writes them as a floating-point number, which is read as decimal text.
fn seconds(member: &'static str, raw: Option<&RawValue>) -> Result<u64, ChangeFault> {
    const EXPECTED: &str = "seconds since 1970";
    let text = present(member, raw, EXPECTED)?.get();
    // Most are written so that nothing has to be counted.
    let plain = text.strip_suffix(".0").unwrap_or(text).parse().ok();
    plain
        .or_else(|| {
            let number = Number::parse(text).ok()?;
            number.as_str().split('.').next()?.parse().ok()
        })
        .filter(|seconds| *seconds <= MAX_SECONDS)
        .ok_or_else(|| malformed(member, raw, EXPECTED))
}

fn text<'a>(
    member: &'static str,
    found: &Option<Text<'a>>,
    expected: &'static str,
) -> Result<Cow<'a, str>, ChangeFault> {
    match found {
        Some(Text::Is(text)) => Ok(text.clone()),
        Some(Text::IsNot(_)) => Err(not_the_text(member, found, expected)),
        None => Err(ChangeFault::Missing { member, expected }),
    }
}

fn not_the_text(
    member: &'static str,
    found: &Option<Text<'_>>,
    expected: &'static str,
) -> ChangeFault {
    let found = match found {
        Some(Text::Is(text)) => format!("\"{}\"", shown(text)),
        Some(Text::IsNot(what)) => (*what).to_owned(),
        None => "null".to_owned(),
    };
    ChangeFault::Malformed {
        member,
        found,
        expected,
    }
}

/// As much of a faulty value as a message holds.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn present<'a>(
    member: &'static str,
    raw: Option<&'a RawValue>,
    expected: &'static str,
) -> Result<&'a RawValue, ChangeFault> {
    raw.ok_or(ChangeFault::Missing { member, expected })
}

fn malformed(member: &'static str, raw: Option<&RawValue>, expected: &'static str) -> ChangeFault {
    ChangeFault::Malformed {
        member,
        found: shown(raw.map_or("null", RawValue::get)),
        expected,
    }
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
