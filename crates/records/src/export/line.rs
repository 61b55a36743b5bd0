//! The lines of data files.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ExportFault;
use crate::value::{Item, item_from_dynamodb_json};

/// A line of an incremental export: what a window did to one item. Changes that undid one another are not told, and an item
/// that was inserted and removed within the window has no line.
#[derive(Debug, Clone)]
pub struct ChangedItem<'a> {
    /// When it was written last, in microseconds from 1970.
    pub write_micros: u64,
    /// Its key attributes.
    pub keys: Item,
    /// The item at the window's end, as DynamoDB JSON; nothing if it was removed.
    pub new_image: Option<&'a RawValue>,
    /// The item at the window's start, likewise, where the export has it (NEW_AND_OLD_IMAGES); nothing if it was not there.
    pub old_image: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawChange<'a> {
    #[serde(rename = "Metadata")]
    metadata: RawMetadata,
    #[serde(rename = "Keys", borrow)]
    keys: &'a RawValue,
    #[serde(rename = "NewImage", borrow)]
    new_image: Option<&'a RawValue>,
    #[serde(rename = "OldImage", borrow)]
    old_image: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawMetadata {
    #[serde(rename = "WriteTimestampMicros")]
    write_micros: RawMicros,
}

/// Real exports have a number of DynamoDB JSON; AWS's guides show a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawMicros {
    Number {
        #[serde(rename = "N")]
        digits: String,
    },
    Text(String),
}

impl<'a> ChangedItem<'a> {
    /// Reads a line of an incremental export.
    ///
    /// # Errors
    /// If it is none. Images are not looked into.
    pub fn parse(json: &'a str) -> Result<Self, ExportFault> {
        let raw: RawChange<'a> =
            serde_json::from_str(json).map_err(|source| ExportFault::Unreadable {
                what: "the line",
                expected: "a line of an incremental export with Metadata and Keys",
                source,
            })?;
        let (RawMicros::Number { digits } | RawMicros::Text(digits)) = raw.metadata.write_micros;
        let write_micros = digits.parse().map_err(|_| ExportFault::Malformed {
            member: "WriteTimestampMicros",
            found: digits,
            expected: "microseconds since 1970",
        })?;
        Ok(Self {
            write_micros,
            keys: item_from_dynamodb_json(raw.keys.get()).map_err(ExportFault::Keys)?,
            new_image: raw.new_image,
            old_image: raw.old_image,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = include_str!("../../fixtures/export/incremental.jsonl");

    #[test]
    fn insertions_updates_and_removals_are_told_by_their_images() {
        let told: Vec<_> = LINES
            .lines()
            .map(|line| {
                let item = ChangedItem::parse(line).unwrap();
                let mut key = Vec::new();
                item.keys["id"].write_plain_json(&mut key);
                (
                    String::from_utf8(key).unwrap(),
                    item.write_micros,
                    item.old_image.map(RawValue::get),
                    item.new_image.map(RawValue::get),
                )
            })
            .collect();
        let [old, new] = [
            r#"{"id":{"S":"b"},"n":{"N":"1"}}"#,
            r#"{"n":{"N":"2.0"},"id":{"S":"b"}}"#,
        ];
        let inserted = r#"{"id":{"S":"a"},"u":{"S":"é\"\n"}}"#;
        assert_eq!(
            told,
            [
                (
                    r#""a""#.to_owned(),
                    1_790_000_100_000_001,
                    None,
                    Some(inserted)
                ),
                (
                    r#""b""#.to_owned(),
                    1_790_000_100_000_002,
                    Some(old),
                    Some(new)
                ),
                (r#""c""#.to_owned(), 1_790_000_100_000_003, None, None),
            ]
        );
    }

    #[test]
    fn what_is_no_line_says_what_was_expected() {
        let line = LINES.lines().next().unwrap();
        let cases = [
            (
                ("\"Keys\"", "\"Key\""),
                "the line cannot be read (missing field `Keys`",
            ),
            (
                ("1790000100000001", "1.7e15"),
                "WriteTimestampMicros is \"1.7e15\": expected microseconds since 1970",
            ),
            (
                ("{\"S\":\"a\"}", "\"a\""),
                "Keys cannot be read (invalid type: string",
            ),
        ];
        for ((old, new), expected) in cases {
            let json = line.replacen(old, new, 1);
            assert_ne!(json, line, "{old}");
            let message = ChangedItem::parse(&json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
