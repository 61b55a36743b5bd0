//! The JSON of a line, read just as far as needed: one pass over a record, and no copy of its images.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::ChangeFault;
use super::line::{ChangeKind, Completion, SnapshotSource};
use super::place::{MAX_EVENT_ID_BYTES, MAX_SECONDS};
use crate::number::Number;
use crate::table::MAX_PARTITION_KEY_BYTES;
use crate::value::{Item, Value, item_from_dynamodb_json};

/// What a faulty value is cut to in a message.
const SHOWN_CHARS: usize = 60;

#[derive(Deserialize)]
pub(super) struct RawLine<'a> {
    #[serde(rename = "eventID", borrow)]
    pub(super) event_id: Option<Text<'a>>,
    #[serde(rename = "eventName", borrow)]
    pub(super) event_name: Option<Text<'a>>,
    #[serde(rename = "eventSource", borrow)]
    pub(super) event_source: Option<Text<'a>>,
    #[serde(rename = "eventSourceARN", borrow)]
    pub(super) event_source_arn: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) source: Option<Text<'a>>,
    #[serde(rename = "snapshotTime", borrow)]
    pub(super) snapshot_time: Option<&'a RawValue>,
    #[serde(rename = "snapshotEnd", borrow)]
    pub(super) snapshot_end: Option<&'a RawValue>,
    #[serde(rename = "windowStart", borrow)]
    pub(super) window_start: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) dynamodb: Option<RawChange<'a>>,
}

#[derive(Deserialize)]
pub(super) struct RawChange<'a> {
    #[serde(rename = "ApproximateCreationDateTime", borrow)]
    pub(super) time: Option<&'a RawValue>,
    #[serde(rename = "Keys", borrow)]
    pub(super) keys: Option<&'a RawValue>,
    #[serde(rename = "NewImage", borrow)]
    pub(super) new_image: Option<&'a RawValue>,
    #[serde(rename = "OldImage", borrow)]
    pub(super) old_image: Option<&'a RawValue>,
    #[serde(rename = "SequenceNumber", borrow)]
    pub(super) sequence: Option<Text<'a>>,
}

/// A member that should be a text.
#[derive(Clone)]
pub(super) enum Text<'a> {
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
    pub(super) fn read(json: &'a str) -> Result<Self, ChangeFault> {
        serde_json::from_str(json).map_err(|error| ChangeFault::Unreadable(error.to_string()))
    }

    pub(super) fn event_id(&self) -> Result<Cow<'a, str>, ChangeFault> {
        const EXPECTED: &str = "1 to 200 letters, digits, '-', '_' and '.'";
        let id = text("eventID", &self.event_id, EXPECTED)?;
        let good = (1..=MAX_EVENT_ID_BYTES).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match good {
            true => Ok(id),
            false => Err(malformed_text("eventID", &self.event_id, EXPECTED)),
        }
    }

    pub(super) fn kind(&self) -> Result<ChangeKind, ChangeFault> {
        const EXPECTED: &str = "INSERT, MODIFY or REMOVE";
        match &*text("eventName", &self.event_name, EXPECTED)? {
            "INSERT" => Ok(ChangeKind::Insert),
            "MODIFY" => Ok(ChangeKind::Modify),
            "REMOVE" => Ok(ChangeKind::Remove),
            _ => Err(malformed_text("eventName", &self.event_name, EXPECTED)),
        }
    }

    pub(super) fn change(&self) -> Result<&RawChange<'a>, ChangeFault> {
        self.dynamodb.as_ref().ok_or(ChangeFault::Missing {
            member: "dynamodb",
            expected: "the change",
        })
    }

    pub(super) fn snapshot_source(&self) -> Result<Option<SnapshotSource>, ChangeFault> {
        const EXPECTED: &str = "export or scan";
        if self.source.is_none() {
            return Ok(None);
        }
        match &*text("source", &self.source, EXPECTED)? {
            "export" => Ok(Some(SnapshotSource::Export)),
            "scan" => Ok(Some(SnapshotSource::Scan)),
            _ => Err(malformed_text("source", &self.source, EXPECTED)),
        }
    }

    pub(super) fn completion(&self, source: SnapshotSource) -> Result<Completion, ChangeFault> {
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
    pub(super) fn keys(&self) -> Result<Item, ChangeFault> {
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

/// `arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>`
pub(super) fn table_and_label<'a>(
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
    let (table, stream) = parts(&name).ok_or_else(|| malformed_text(MEMBER, arn, EXPECTED))?;
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
pub(super) fn seconds(member: &'static str, raw: Option<&RawValue>) -> Result<u64, ChangeFault> {
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

pub(super) fn text<'a>(
    member: &'static str,
    found: &Option<Text<'a>>,
    expected: &'static str,
) -> Result<Cow<'a, str>, ChangeFault> {
    match found {
        Some(Text::Is(text)) => Ok(text.clone()),
        Some(Text::IsNot(_)) => Err(malformed_text(member, found, expected)),
        None => Err(ChangeFault::Missing { member, expected }),
    }
}

pub(super) fn malformed_text(
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
