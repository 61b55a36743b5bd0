//! The mapping as its JSON text says it, before any file or table is known.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::shard::{Shard, ShardError};
use crate::table::TableShape;
use crate::value::{Members, Value, ValueError};

/// What separates the members of a set in a cell, unless the mapping says otherwise.
const SET_DELIMITER: &str = "|";

/// The types that a column can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum ColumnType {
    S,
    N,
    #[serde(rename = "BOOL")]
    Bool,
    #[serde(rename = "NULL")]
    Null,
    B,
    #[serde(rename = "SS")]
    StringSet,
    #[serde(rename = "NS")]
    NumberSet,
    #[serde(rename = "JSON")]
    Json,
}

/// What the mapping says of one column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ColumnMapping {
    pub(crate) kind: Option<ColumnType>,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) rename: Option<String>,
    pub(crate) drop: bool,
    pub(crate) delimiter: Option<String>,
}

impl ColumnMapping {
    pub(crate) fn set_delimiter(&self) -> &str {
        self.delimiter.as_deref().unwrap_or(SET_DELIMITER)
    }
}

/// How the cells of a row become attributes. The default: every column is an attribute of its name, keys have the table's
/// types, everything else is a string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowMapping {
    pub(crate) columns: BTreeMap<String, ColumnMapping>,
    pub(crate) constants: BTreeMap<String, Value>,
    pub(crate) shards: BTreeMap<String, Shard>,
}

/// What is wrong with a mapping: which member, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not JSON, or not an object of `columns`, `constants` and `shards`.
    #[error("{0}: expected a JSON object with the members columns, constants and shards")]
    Form(String),
    /// A column's entry is wrong.
    #[error("columns.{column}: {problem}")]
    Column {
        /// Column name.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A constant is no value that DynamoDB can hold.
    #[error("constants.{name}")]
    Constant {
        /// Attribute name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ValueError,
    },
    /// A shard's entry is wrong.
    #[error("shards.{name}")]
    Shard {
        /// Attribute name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ShardError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingText<'a> {
    #[serde(borrow, default)]
    columns: Members<'a>,
    #[serde(borrow, default)]
    constants: Members<'a>,
    #[serde(borrow, default)]
    shards: Members<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnText {
    #[serde(rename = "type")]
    kind: Option<ColumnType>,
    #[serde(default)]
    required: bool,
    default: Option<String>,
    rename: Option<String>,
    #[serde(default)]
    drop: bool,
    delimiter: Option<String>,
}

impl RowMapping {
    /// Reads a mapping from its JSON text.
    pub fn parse(json: &str) -> Result<Self, MappingError> {
        let text: MappingText<'_> =
            serde_json::from_str(json).map_err(|error| MappingError::Form(error.to_string()))?;
        Ok(Self {
            columns: collect(text.columns, parse_column)?,
            constants: collect(text.constants, parse_constant)?,
            shards: collect(text.shards, parse_shard)?,
        })
    }

    /// The columns that a file has to have for the table's keys.
    pub fn wanted_columns(&self, table: &TableShape) -> Vec<String> {
        table
            .keys()
            .map(|key| &key.name)
            .filter(|name| !self.constants.contains_key(*name) && !self.shards.contains_key(*name))
            .map(|name| {
                let renamed = self
                    .columns
                    .iter()
                    .find(|(_, column)| column.rename.as_ref() == Some(name));
                renamed.map_or(name, |(column, _)| column).clone()
            })
            .collect()
    }
}

fn collect<T>(
    members: Members<'_>,
    parse: impl Fn(&str, &RawValue) -> Result<T, MappingError>,
) -> Result<BTreeMap<String, T>, MappingError> {
    members
        .0
        .into_iter()
        .map(|(name, value)| parse(&name, value).map(|parsed| (name, parsed)))
        .collect()
}

fn parse_column(name: &str, value: &RawValue) -> Result<ColumnMapping, MappingError> {
    let wrong = |problem: String| MappingError::Column {
        column: name.to_owned(),
        problem,
    };
    let text: ColumnText =
        serde_json::from_str(value.get()).map_err(|error| wrong(error.to_string()))?;
    let is_set = matches!(text.kind, Some(ColumnType::StringSet | ColumnType::NumberSet));
    let problem = if text.drop
        && (text.kind.is_some() || text.required || text.default.is_some() || text.rename.is_some() || text.delimiter.is_some())
    {
        Some("drop stands beside other members: expected drop alone, since a dropped column has no attribute")
    } else if text.delimiter.is_some() && !is_set {
        Some("delimiter without a set: expected it with type SS or NS only")
    } else if text.delimiter.as_deref() == Some("") {
        Some("delimiter is empty: expected at least one character")
    } else if text.default.as_deref() == Some("") {
        Some("default is empty: expected a value, since empty cells have no attribute")
    } else if text.default.is_some() && text.required {
        Some("required stands beside default: expected one of them, since a default fills every empty cell")
    } else if text.rename.as_deref() == Some("") {
        Some("rename is empty: expected an attribute name")
    } else {
        None
    };
    match problem {
        Some(problem) => Err(wrong(problem.to_owned())),
        None => Ok(ColumnMapping {
            kind: text.kind,
            required: text.required,
            default: text.default,
            rename: text.rename,
            drop: text.drop,
            delimiter: text.delimiter,
        }),
    }
}

fn parse_constant(name: &str, value: &RawValue) -> Result<Value, MappingError> {
    Value::from_plain_json(value.get()).map_err(|source| MappingError::Constant {
        name: name.to_owned(),
        source,
    })
}

fn parse_shard(name: &str, value: &RawValue) -> Result<Shard, MappingError> {
    Shard::parse(value).map_err(|source| MappingError::Shard {
        name: name.to_owned(),
        source,
    })
}
