use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encode::check_cell;
use super::format::ShardFormat;
use crate::table::TableShape;
use crate::value::Value;

/// What parts the elements of a set in a cell, unless the mapping says otherwise.
const SET_DELIMITER: &str = "|";

/// What the text of a cell becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ColumnType {
    /// Text.
    S,
    /// A number.
    N,
    /// `true`, `false`, `1` or `0`, in any case.
    #[serde(rename = "BOOL")]
    Bool,
    /// The null value, where the cell is `null` or `true`, in any case.
    #[serde(rename = "NULL")]
    Null,
    /// Bytes, as standard base64.
    B,
    /// A set of texts.
    #[serde(rename = "SS")]
    Ss,
    /// A set of numbers.
    #[serde(rename = "NS")]
    Ns,
    /// Any value, as plain JSON.
    #[serde(rename = "JSON")]
    Json,
}

impl ColumnType {
    pub(crate) const fn is_set(self) -> bool {
        matches!(self, Self::Ss | Self::Ns)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::S => "S",
            Self::N => "N",
            Self::Bool => "BOOL",
            Self::Null => "NULL",
            Self::B => "B",
            Self::Ss => "SS",
            Self::Ns => "NS",
            Self::Json => "JSON",
        })
    }
}

/// Why a row mapping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The text is not JSON, or has a member or a value that no mapping has; the message says where.
    #[error("expected a JSON object with the members columns, constants and shards")]
    Json(#[from] serde_json::Error),
    /// A member contradicts itself or another one.
    #[error("the row mapping's {member}: {reason}")]
    Member {
        /// The member, such as `columns.price`.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How rows become items, where they are not just texts: types, defaults, other names, constants and shards.
///
/// The default is the empty mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowMapping {
    pub(crate) columns: Vec<(String, ColumnRule)>,
    pub(crate) constants: Vec<(String, Value)>,
    pub(crate) shards: Vec<(String, ShardRule)>,
}

/// What the mapping says about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnRule {
    pub(crate) kind: Option<ColumnType>,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) rename: Option<String>,
    pub(crate) drop: bool,
    pub(crate) delimiter: String,
}

impl Default for ColumnRule {
    fn default() -> Self {
        Self {
            kind: None,
            required: false,
            default: None,
            rename: None,
            drop: false,
            delimiter: SET_DELIMITER.to_owned(),
        }
    }
}

/// An attribute that is computed from a column, to spread rows over `count` values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardRule {
    pub(crate) from: String,
    pub(crate) count: u32,
    pub(crate) format: ShardFormat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingText {
    #[serde(default)]
    columns: Members<Object<ColumnText>>,
    #[serde(default)]
    constants: Members<Box<RawValue>>,
    #[serde(default)]
    shards: Members<Object<ShardText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnText {
    #[serde(rename = "type")]
    kind: Option<ColumnType>,
    required: Option<bool>,
    default: Option<String>,
    rename: Option<String>,
    drop: Option<bool>,
    delimiter: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardText {
    from: String,
    count: u32,
    format: String,
}

impl RowMapping {
    /// Parses a mapping's JSON. Refuses members that are unknown, there twice or contradict one another.
    pub fn parse(json: &str) -> Result<Self, MappingError> {
        let Object(text) = serde_json::from_str::<Object<MappingText>>(json)?;
        let columns = each("columns", text.columns, |Object(column)| column.check())?;
        let constants = each("constants", text.constants, |raw| {
            Value::from_plain_json(raw.get()).map_err(|error| error.to_string())
        })?;
        let shards = each("shards", text.shards, |Object(shard)| shard.check())?;
        Ok(Self {
            columns,
            constants,
            shards,
        })
    }

    /// The columns that a file's header must have for this mapping and this table.
    pub fn wanted_columns(&self, table: &TableShape) -> Vec<String> {
        let mut wanted: Vec<String> = Vec::new();
        let mapped = self.columns.iter().map(|(name, _)| name);
        let sharded = self.shards.iter().map(|(_, shard)| &shard.from);
        let keys = table
            .keys()
            .map(|key| &key.name)
            .filter(|name| !self.makes(name));
        for name in mapped.chain(sharded).chain(keys) {
            if !wanted.contains(name) {
                wanted.push(name.clone());
            }
        }
        wanted
    }

    /// Whether the mapping says itself where an attribute comes from.
    fn makes(&self, attribute: &String) -> bool {
        let renamed = |(_, rule): &(String, ColumnRule)| rule.rename.as_ref() == Some(attribute);
        self.columns.iter().any(renamed)
            || self.constants.iter().any(|(name, _)| name == attribute)
            || self.shards.iter().any(|(name, _)| name == attribute)
    }
}

/// Checks the members of an object one by one.
fn each<T, U>(
    object: &str,
    members: Members<T>,
    check: impl Fn(T) -> Result<U, String>,
) -> Result<Vec<(String, U)>, MappingError> {
    let check_member = |(name, member): (String, T)| {
        let checked = match name.is_empty() {
            true => Err("a name is empty".to_owned()),
            false => check(member),
        };
        match checked {
            Ok(rule) => Ok((name, rule)),
            Err(reason) => Err(MappingError::Member {
                member: format!("{object}.{name}"),
                reason,
            }),
        }
    };
    members.0.into_iter().map(check_member).collect()
}

impl ColumnText {
    fn check(self) -> Result<ColumnRule, String> {
        let required = self.required.unwrap_or(false);
        let drop = self.drop.unwrap_or(false);
        let says_more = self.kind.is_some()
            || self.required.is_some()
            || self.default.is_some()
            || self.rename.is_some()
            || self.delimiter.is_some();
        if drop && says_more {
            return Err("a dropped column can have no other member".to_owned());
        }
        if required && self.default.is_some() {
            return Err("a required column can have no default: it is never empty".to_owned());
        }
        if self.rename.as_deref() == Some("") {
            return Err("rename is empty; use drop to leave the column out".to_owned());
        }
        if self.delimiter.is_some() && !self.kind.is_some_and(ColumnType::is_set) {
            return Err("a delimiter needs the type SS or NS".to_owned());
        }
        if self.delimiter.as_deref() == Some("") {
            return Err("the delimiter is empty".to_owned());
        }
        let rule = ColumnRule {
            kind: self.kind,
            required,
            default: self.default,
            rename: self.rename,
            drop,
            delimiter: self.delimiter.unwrap_or_else(|| SET_DELIMITER.to_owned()),
        };
        rule.check_default(rule.kind)?;
        Ok(rule)
    }
}

impl ColumnRule {
    /// Whether the default would be a good cell of this type; without a type there is nothing to say yet.
    pub(crate) fn check_default(&self, kind: Option<ColumnType>) -> Result<(), String> {
        let Some(default) = &self.default else {
            return Ok(());
        };
        if default.is_empty() {
            return Err("the default is empty; leave it out, empty cells are dropped".to_owned());
        }
        let Some(kind) = kind else {
            return Ok(());
        };
        check_cell(kind, &self.delimiter, default)
            .map_err(|reason| format!("the default {default:?}: {reason}"))
    }
}

impl ShardText {
    fn check(self) -> Result<ShardRule, String> {
        if self.count == 0 {
            return Err("count is 0; there must be at least one shard".to_owned());
        }
        Ok(ShardRule {
            format: ShardFormat::parse(&self.format)?,
            from: self.from,
            count: self.count,
        })
    }
}

/// A struct that is an object and nothing else: without this, serde would also take an array of its members.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// The members of an object in their order, none of them twice.
struct Members<T>(Vec<(String, T)>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(MembersVisitor(PhantomData))
            .map(Self)
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, T)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.iter().any(|(earlier, _)| *earlier == name) {
                return Err(A::Error::custom(format_args!("{name:?} is there twice")));
            }
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}
