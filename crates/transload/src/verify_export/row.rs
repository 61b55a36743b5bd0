//! What a line of an export says of one key.

use records::export::{ChangedItem, ExportFault};
use records::{Item, JsonValueError, item_from_dynamodb_json};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::digest::{Fingerprint, of_item, of_key};

/// A key and the item under it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The key attributes.
    pub(super) key: Item,
    /// The whole item; nothing if an incremental export says that it was removed.
    pub(super) item: Option<Item>,
}

/// Why a line says nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum RowFault {
    /// It is no line of a full export.
    #[error("the line cannot be read ({0}): expected {{\"Item\":{{…}}}} as DynamoDB JSON")]
    Full(#[source] serde_json::Error),
    /// It is no line of an incremental export.
    #[error(transparent)]
    Incremental(#[from] ExportFault),
    /// An image is no item.
    #[error("the item cannot be read ({0}): expected DynamoDB JSON")]
    Item(#[from] JsonValueError),
    /// The item has no key.
    #[error("the item has no key attribute {0:?}: expected it in every item")]
    NoKey(String),
}

/// How the lines of an export are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// `{"Item":{…}}`, with the names of the table's key attributes.
    Full(Vec<String>),
    /// With `Keys` and images.
    Incremental,
}

#[derive(Deserialize)]
struct FullLine<'a> {
    #[serde(rename = "Item", borrow)]
    item: &'a RawValue,
}

impl Rows {
    pub(super) fn read(&self, line: &str) -> Result<Row, RowFault> {
        match self {
            Self::Full(key_names) => {
                let line: FullLine<'_> = serde_json::from_str(line).map_err(RowFault::Full)?;
                Row::of_item(item_from_dynamodb_json(line.item.get())?, key_names)
            }
            Self::Incremental => {
                let changed = ChangedItem::parse(line)?;
                let item = changed.new_image;
                let item = item.map(|image| item_from_dynamodb_json(image.get()));
                Ok(Row {
                    key: changed.keys,
                    item: item.transpose()?,
                })
            }
        }
    }
}

impl Row {
    pub(super) fn of_item(item: Item, key_names: &[String]) -> Result<Self, RowFault> {
        let key = key_names.iter().map(|name| match item.get(name) {
            Some(value) => Ok((name.clone(), value.clone())),
            None => Err(RowFault::NoKey(name.clone())),
        });
        Ok(Self {
            key: key.collect::<Result<_, _>>()?,
            item: Some(item),
        })
    }

    /// What stands for the key and for its state: equal for equal values, however numbers, sets and attributes are written and
    /// ordered.
    pub(super) fn digests(&self) -> RowDigests {
        RowDigests {
            key: of_key(&self.key),
            state: of_item(&self.key, self.item.as_ref()),
        }
    }
}

/// What stands for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowDigests {
    pub(super) key: Fingerprint,
    /// Of the key and the item.
    pub(super) state: Fingerprint,
}
