//! What has to be known about a table: its keys and those of its indexes.

use std::fmt;

use crate::value::{Item, Value};

/// Bytes that a partition key may have, in a table or an index.
pub const MAX_PARTITION_KEY_BYTES: usize = 2_048;
/// Bytes that a sort key may have, in a table or an index.
pub const MAX_SORT_KEY_BYTES: usize = 1_024;

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Text.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

impl KeyType {
    /// The byte that begins an attribute of this type in a canonical key.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::S => b'S',
            Self::N => b'N',
            Self::B => b'B',
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// An attribute that is a part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// The attribute's name.
    pub name: String,
    /// Its type.
    pub kind: KeyType,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexShape {
    /// The index's name.
    pub name: String,
    /// One to four attributes.
    pub partition: Vec<KeyAttribute>,
    /// None to four attributes.
    pub sort: Vec<KeyAttribute>,
}

/// A table's keys and indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// The table's name.
    pub name: String,
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key, where the table has one.
    pub sort: Option<KeyAttribute>,
    /// Global and local secondary indexes.
    pub indexes: Vec<IndexShape>,
}

/// Why an item has no good key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The attribute is not there.
    #[error("the key attribute {name:?} is missing")]
    Missing {
        /// The attribute's name.
        name: String,
    },
    /// The attribute has another type than the key.
    #[error("the key attribute {name:?} is not of the table's type {kind}")]
    WrongType {
        /// The attribute's name.
        name: String,
        /// The type in the table.
        kind: KeyType,
    },
    /// The attribute is an empty text or has no bytes.
    #[error("the key attribute {name:?} is empty")]
    Empty {
        /// The attribute's name.
        name: String,
    },
    /// The attribute is longer than DynamoDB takes.
    #[error("the key attribute {name:?} has {bytes} bytes; at most {max_bytes} are allowed")]
    TooLong {
        /// The attribute's name.
        name: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max_bytes: usize,
    },
}

impl TableShape {
    /// The item's canonical key: equal for equal keys, whatever their spelling.
    ///
    /// Each key attribute is a byte for its type, its length as four bytes, big end first, and the bytes of its text or
    /// value; partition key first. Fails if a key attribute is missing, empty, too long or of another type.
    pub fn canonical_key(&self, item: &Item) -> Result<Vec<u8>, KeyError> {
        let mut key = Vec::new();
        push_checked(&self.partition, item, MAX_PARTITION_KEY_BYTES, &mut key)?;
        if let Some(sort) = &self.sort {
            push_checked(sort, item, MAX_SORT_KEY_BYTES, &mut key)?;
        }
        Ok(key)
    }

    /// The canonical key of key values that are known to be good.
    ///
    /// A value of a type that no key can have gets a tag of its own and its DynamoDB JSON.
    pub fn canonical_key_of_values(partition: &Value, sort: Option<&Value>) -> Vec<u8> {
        let mut key = Vec::new();
        push_value(partition, &mut key);
        if let Some(sort) = sort {
            push_value(sort, &mut key);
        }
        key
    }

    /// The table's key attributes, partition key first.
    pub fn keys(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.partition).chain(&self.sort)
    }
}

/// Appends one key attribute to a canonical key.
pub(crate) fn push_part(kind: KeyType, bytes: &[u8], key: &mut Vec<u8>) {
    push_tagged(kind.tag(), bytes, key);
}

fn push_tagged(tag: u8, bytes: &[u8], key: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).expect("a value is far below 4 GiB");
    key.push(tag);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(bytes);
}

pub(crate) fn push_value(value: &Value, key: &mut Vec<u8>) {
    match value {
        Value::S(text) => push_part(KeyType::S, text.as_bytes(), key),
        Value::N(number) => push_part(KeyType::N, number.as_str().as_bytes(), key),
        Value::B(bytes) => push_part(KeyType::B, bytes, key),
        other => {
            let mut json = Vec::new();
            other.write_dynamodb_json(&mut json);
            push_tagged(b'?', &json, key);
        }
    }
}

fn push_checked(
    attribute: &KeyAttribute,
    item: &Item,
    max_bytes: usize,
    key: &mut Vec<u8>,
) -> Result<(), KeyError> {
    let name = || attribute.name.clone();
    let value = item
        .get(&attribute.name)
        .ok_or_else(|| KeyError::Missing { name: name() })?;
    let bytes = match (attribute.kind, value) {
        (KeyType::S, Value::S(text)) => text.len(),
        (KeyType::N, Value::N(number)) => number.as_str().len(),
        (KeyType::B, Value::B(bytes)) => bytes.len(),
        (kind, _) => return Err(KeyError::WrongType { name: name(), kind }),
    };
    if bytes == 0 {
        return Err(KeyError::Empty { name: name() });
    }
    if bytes > max_bytes {
        return Err(KeyError::TooLong {
            name: name(),
            bytes,
            max_bytes,
        });
    }
    push_value(value, key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::item_from_dynamodb_json;

    fn shape(partition: KeyType, sort: Option<KeyType>) -> TableShape {
        let key = |name: &str, kind| KeyAttribute {
            name: name.to_owned(),
            kind,
        };
        TableShape {
            name: "offers".to_owned(),
            partition: key("p", partition),
            sort: sort.map(|kind| key("s", kind)),
            indexes: Vec::new(),
        }
    }

    fn key(shape: &TableShape, json: &str) -> Result<Vec<u8>, KeyError> {
        shape.canonical_key(&item_from_dynamodb_json(json).unwrap())
    }

    #[test]
    fn equal_keys_have_equal_bytes() {
        let shape = shape(KeyType::S, Some(KeyType::N));
        let wanted = b"S\0\0\0\x02idN\0\0\0\x0210";
        for number in ["10", "10.0", "1e1"] {
            let json = format!(r#"{{"s":{{"N":"{number}"}},"p":{{"S":"id"}},"x":{{"S":""}}}}"#);
            assert_eq!(key(&shape, &json).unwrap(), wanted);
        }
        let values = (
            Value::S("id".to_owned()),
            Value::N(crate::Number::parse("10").unwrap()),
        );
        assert_eq!(
            TableShape::canonical_key_of_values(&values.0, Some(&values.1)),
            wanted
        );
        let names: Vec<_> = shape.keys().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["p", "s"]);
    }

    #[test]
    fn different_keys_have_different_bytes() {
        let texts = shape(KeyType::S, Some(KeyType::S));
        let bytes = shape(KeyType::B, None);
        let keys = [
            key(&texts, r#"{"p":{"S":"ab"},"s":{"S":"c"}}"#),
            key(&texts, r#"{"p":{"S":"a"},"s":{"S":"bc"}}"#),
            key(&shape(KeyType::S, None), r#"{"p":{"S":"1"}}"#),
            key(&shape(KeyType::N, None), r#"{"p":{"N":"1"}}"#),
            key(&bytes, r#"{"p":{"B":"MQ=="}}"#),
        ]
        .map(Result::unwrap);
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn refuses_keys_that_dynamodb_refuses() {
        let shape = shape(KeyType::S, Some(KeyType::B));
        let long = |len: usize| "x".repeat(len);
        let json = |p: &str, s: usize| {
            let blob = crate::base64_text(long(s).as_bytes());
            format!(r#"{{"p":{{"S":"{p}"}},"s":{{"B":"{blob}"}}}}"#)
        };
        assert!(key(&shape, &json(&long(2_048), 1_024)).is_ok());
        let cases = [
            (
                json(&long(2_049), 1),
                "the key attribute \"p\" has 2049 bytes; at most 2048 are allowed",
            ),
            (
                json("a", 1_025),
                "the key attribute \"s\" has 1025 bytes; at most 1024 are allowed",
            ),
            (json("", 1), "the key attribute \"p\" is empty"),
            (json("a", 0), "the key attribute \"s\" is empty"),
            (
                r#"{"p":{"S":"a"}}"#.to_owned(),
                "the key attribute \"s\" is missing",
            ),
            (
                r#"{"p":{"N":"1"}}"#.to_owned(),
                "the key attribute \"p\" is not of the table's type S",
            ),
        ];
        for (json, message) in cases {
            assert_eq!(key(&shape, &json).unwrap_err().to_string(), message);
        }
    }
}
