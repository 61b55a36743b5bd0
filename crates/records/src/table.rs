//! Keys of a table and of its indexes.

use crate::value::{Item, Value};

/// Most bytes of a partition key's value.
pub const MAX_PARTITION_KEY_BYTES: usize = 2_048;
/// Most bytes of a sort key's value.
pub const MAX_SORT_KEY_BYTES: usize = 1_024;

/// The types that a key attribute can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// String.
    S,
    /// Number.
    N,
    /// Binary.
    B,
}

impl KeyType {
    /// DynamoDB's letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// A key attribute: its name and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Attribute name.
    pub name: String,
    /// Attribute type.
    pub kind: KeyType,
}

/// An index, with up to four attributes in each part of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexShape {
    /// Index name.
    pub name: String,
    /// Attributes of the partition key.
    pub partition: Vec<KeyAttribute>,
    /// Attributes of the sort key.
    pub sort: Vec<KeyAttribute>,
}

/// The keys of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Table name.
    pub name: String,
    /// Partition key.
    pub partition: KeyAttribute,
    /// Sort key, if the table has one.
    pub sort: Option<KeyAttribute>,
    /// Global and local indexes.
    pub indexes: Vec<IndexShape>,
}

/// Why an item has no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key attribute is not there.
    #[error("the key attribute {0} is missing")]
    Missing(String),
    /// A key attribute has another type.
    #[error("the key attribute {name} has another type: expected {expected}", expected = .kind.letter())]
    WrongType {
        /// Attribute name.
        name: String,
        /// The type that the table wants.
        kind: KeyType,
    },
    /// A key attribute is empty.
    #[error("the key attribute {0} is empty")]
    Empty(String),
    /// A key attribute is too long.
    #[error("the key attribute {name} has {bytes} bytes: expected {limit} at most")]
    TooLong {
        /// Attribute name.
        name: String,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl TableShape {
    /// The key attributes, partition key first.
    pub fn keys(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.partition).chain(&self.sort)
    }

    /// The key of an item in one spelling: equal for equal keys.
    pub fn canonical_key(&self, item: &Item) -> Result<Vec<u8>, KeyError> {
        let mut key = Vec::new();
        for (attribute, limit) in self.keys().zip([MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES]) {
            let value = item
                .get(&attribute.name)
                .ok_or_else(|| KeyError::Missing(attribute.name.clone()))?;
            check_key(attribute, value, limit)?;
            let bytes = key_bytes(value).unwrap_or_default();
            write_canonical_part(attribute.kind, bytes, &mut key);
        }
        Ok(key)
    }
}

/// Checks a value against the key attribute that it is to be.
pub(crate) fn check_key(attribute: &KeyAttribute, value: &Value, limit: usize) -> Result<(), KeyError> {
    let name = || attribute.name.clone();
    let matches = matches!(
        (attribute.kind, value),
        (KeyType::S, Value::S(_)) | (KeyType::N, Value::N(_)) | (KeyType::B, Value::B(_))
    );
    if !matches {
        return Err(KeyError::WrongType {
            name: name(),
            kind: attribute.kind,
        });
    }
    check_key_len(&attribute.name, key_bytes(value).map_or(0, <[u8]>::len), limit)
}

/// Checks the length of a key attribute's value.
pub(crate) fn check_key_len(name: &str, bytes: usize, limit: usize) -> Result<(), KeyError> {
    match bytes {
        0 => Err(KeyError::Empty(name.to_owned())),
        bytes if bytes > limit => Err(KeyError::TooLong {
            name: name.to_owned(),
            bytes,
            limit,
        }),
        _ => Ok(()),
    }
}

fn key_bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::S(text) => Some(text.as_bytes()),
        Value::N(number) => Some(number.as_str().as_bytes()),
        Value::B(bytes) => Some(bytes),
        _ => None,
    }
}

/// One attribute of a canonical key: its type, the length, the bytes.
pub(crate) fn write_canonical_part(kind: KeyType, bytes: &[u8], key: &mut Vec<u8>) {
    key.extend_from_slice(kind.letter().as_bytes());
    key.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    key.extend_from_slice(bytes);
}
