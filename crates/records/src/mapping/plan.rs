use super::format::ShardFormat;
use super::parse::{ColumnRule, ColumnType, RowMapping, ShardRule};
use crate::json::write_string;
use crate::table::{KeyType, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, TableShape};
use crate::value::Value;

/// Why the rows of a file cannot become items of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The header has no columns.
    #[error("the header is empty: expected a first line with the names of the columns")]
    NoColumns,
    /// A column has no name.
    #[error(
        "the header's column {column} has no name: expected a name for every column (columns: {columns})"
    )]
    UnnamedColumn {
        /// Counted from 1.
        column: usize,
        /// The header.
        columns: String,
    },
    /// Two columns have one name.
    #[error(
        "the header has the column {name:?} twice, as columns {first} and {second}: expected a name once"
    )]
    DuplicateColumn {
        /// The name.
        name: String,
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
    },
    /// The mapping speaks of a column that the file has not.
    #[error(
        "the row mapping's {member} needs the column {name:?}, which the header has not: expected one of {columns}"
    )]
    UnknownColumn {
        /// Where the mapping speaks of it.
        member: String,
        /// The column.
        name: String,
        /// The header.
        columns: String,
    },
    /// An attribute would be written twice.
    #[error("the attribute {name:?} comes from two places, {first} and {second}: expected one")]
    TwoSources {
        /// The attribute.
        name: String,
        /// One place.
        first: String,
        /// The other one.
        second: String,
    },
    /// Nothing gives the table's key.
    #[error(
        "the {key} {name:?} (type {kind}) of table {table} has no source: expected a column, constant or shard of that name (columns: {columns})"
    )]
    NoKey {
        /// Which key.
        key: &'static str,
        /// The key attribute.
        name: String,
        /// Its type.
        kind: KeyType,
        /// The table.
        table: String,
        /// The header.
        columns: String,
    },
    /// What gives a key has a type that the key has not.
    #[error("{place} gives {role} {name:?} the type {given}: expected {kind}")]
    KeyType {
        /// Which key.
        role: String,
        /// The key attribute.
        name: String,
        /// Its type.
        kind: KeyType,
        /// What gives it.
        place: String,
        /// The type that it gives.
        given: String,
    },
    /// A constant cannot be a key.
    #[error("{role} {name:?} cannot be the constant that the row mapping gives it: {reason}")]
    KeyConstant {
        /// Which key.
        role: String,
        /// The key attribute.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The mapping cannot be used with this table.
    #[error("the row mapping's {member}: {reason}")]
    Member {
        /// The member, such as `columns.price`.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How the rows of one file become items of one table.
#[derive(Debug)]
pub struct RowPlan {
    pub(crate) columns: Vec<Column>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) constants_size: usize,
    pub(crate) shards: Vec<Shard>,
    pub(crate) partition: KeySource,
    pub(crate) sort: Option<KeySource>,
}

/// What happens to a column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) delimiter: String,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    /// None if the column is dropped.
    pub(crate) attribute: Option<Attribute>,
}

/// An attribute of the items.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// `,"name":`
    pub(crate) member: Vec<u8>,
    /// `,"name":{"S":`, where the value's type is known.
    pub(crate) tagged_member: Vec<u8>,
    pub(crate) name_len: usize,
    pub(crate) key: Option<KeyRule>,
}

/// What a key asks of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRule {
    pub(crate) kind: KeyType,
    /// The narrowest limit of the keys that the attribute is a part of.
    pub(crate) max_bytes: usize,
    /// Whether it is a part of the table's key, which every item has.
    pub(crate) of_table: bool,
    /// `the partition key`, `a key of index pending`
    pub(crate) role: String,
}

/// A constant in both JSON forms, each with the comma before it.
#[derive(Debug)]
pub(crate) struct Constant {
    pub(crate) item: Vec<u8>,
    pub(crate) plain: Vec<u8>,
}

/// A shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) attribute: Attribute,
    pub(crate) from: usize,
    pub(crate) count: u32,
    pub(crate) format: ShardFormat,
}

/// Where a part of the canonical key comes from.
#[derive(Debug)]
pub(crate) enum KeySource {
    Column(usize),
    /// The part as it is.
    Constant(Vec<u8>),
    Shard(usize),
}

impl RowPlan {
    /// Plans the rows of a file with this header.
    ///
    /// Fails if the header is not good, if the mapping does not fit it, or if the table's keys have no good source.
    pub fn new(
        mapping: &RowMapping,
        header: &[&str],
        table: &TableShape,
    ) -> Result<Self, PlanError> {
        check_header(header)?;
        check_columns_exist(mapping, header)?;
        check_sources(mapping, header)?;
        let columns: Vec<Column> = header
            .iter()
            .map(|name| plan_column(name, mapping, table))
            .collect::<Result<_, _>>()?;
        let mut constants = Vec::new();
        let mut constants_size = 0;
        for (name, value) in &mapping.constants {
            if let Some(rule) = key_rule(table, name) {
                check_key_constant(&rule, name, value)?;
            }
            constants.push(plan_constant(name, value));
            constants_size += name.len() + value.size();
        }
        let shards: Vec<Shard> = mapping
            .shards
            .iter()
            .map(|(name, rule)| plan_shard(name, rule, &columns, table))
            .collect::<Result<_, _>>()?;
        let source = |key: &'static str, name: &str, kind: KeyType| {
            key_source(name, mapping, header).ok_or_else(|| PlanError::NoKey {
                key,
                name: name.to_owned(),
                kind,
                table: table.name.clone(),
                columns: list(header),
            })
        };
        let partition = source("partition key", &table.partition.name, table.partition.kind)?;
        let sort = match &table.sort {
            Some(key) => Some(source("sort key", &key.name, key.kind)?),
            None => None,
        };
        Ok(Self {
            columns,
            constants,
            constants_size,
            shards,
            partition,
            sort,
        })
    }

    /// Number of columns of the file.
    pub fn fields(&self) -> usize {
        self.columns.len()
    }

    /// The name of a column, counted from 0; none if there is no such column.
    pub fn column_name(&self, index: usize) -> Option<&str> {
        self.columns.get(index).map(|column| column.name.as_str())
    }
}

fn check_header(header: &[&str]) -> Result<(), PlanError> {
    if header.is_empty() {
        return Err(PlanError::NoColumns);
    }
    let mut seen = std::collections::HashMap::new();
    for (index, name) in header.iter().enumerate() {
        if name.is_empty() {
            return Err(PlanError::UnnamedColumn {
                column: index + 1,
                columns: list(header),
            });
        }
        if let Some(first) = seen.insert(*name, index) {
            return Err(PlanError::DuplicateColumn {
                name: (*name).to_owned(),
                first: first + 1,
                second: index + 1,
            });
        }
    }
    Ok(())
}

fn check_columns_exist(mapping: &RowMapping, header: &[&str]) -> Result<(), PlanError> {
    let columns = mapping
        .columns
        .iter()
        .map(|(name, _)| (format!("columns.{name}"), name));
    let shards = mapping
        .shards
        .iter()
        .map(|(name, rule)| (format!("shards.{name}"), &rule.from));
    match columns
        .chain(shards)
        .find(|(_, name)| !header.contains(&name.as_str()))
    {
        None => Ok(()),
        Some((member, name)) => Err(PlanError::UnknownColumn {
            member,
            name: name.clone(),
            columns: list(header),
        }),
    }
}

fn check_sources(mapping: &RowMapping, header: &[&str]) -> Result<(), PlanError> {
    let columns = header
        .iter()
        .filter_map(|column| Some((attribute_of(column, mapping)?, format!("column {column:?}"))));
    let constants = mapping
        .constants
        .iter()
        .map(|(name, _)| (name.as_str(), format!("constants.{name}")));
    let shards = mapping
        .shards
        .iter()
        .map(|(name, _)| (name.as_str(), format!("shards.{name}")));
    let mut seen = std::collections::HashMap::new();
    for (name, place) in columns.chain(constants).chain(shards) {
        if let Some(first) = seen.insert(name, place.clone()) {
            return Err(PlanError::TwoSources {
                name: name.to_owned(),
                first,
                second: place,
            });
        }
    }
    Ok(())
}

/// The attribute that a column becomes; none if it is dropped.
fn attribute_of<'a>(column: &'a str, mapping: &'a RowMapping) -> Option<&'a str> {
    match rule_of(column, mapping) {
        Some(rule) if rule.drop => None,
        Some(rule) => Some(rule.rename.as_deref().unwrap_or(column)),
        None => Some(column),
    }
}

fn rule_of<'a>(column: &str, mapping: &'a RowMapping) -> Option<&'a ColumnRule> {
    mapping
        .columns
        .iter()
        .find(|(name, _)| name == column)
        .map(|(_, rule)| rule)
}

fn key_source(attribute: &str, mapping: &RowMapping, header: &[&str]) -> Option<KeySource> {
    if let Some(index) = header
        .iter()
        .position(|column| attribute_of(column, mapping) == Some(attribute))
    {
        return Some(KeySource::Column(index));
    }
    if let Some((_, value)) = mapping.constants.iter().find(|(name, _)| name == attribute) {
        let part = TableShape::canonical_key_of_values(value, None);
        return Some(KeySource::Constant(part));
    }
    mapping
        .shards
        .iter()
        .position(|(name, _)| name == attribute)
        .map(KeySource::Shard)
}

/// What the keys of a table and its indexes ask of an attribute; none if it is in no key.
fn key_rule(table: &TableShape, attribute: &str) -> Option<KeyRule> {
    let table_keys = std::iter::once((
        &table.partition,
        MAX_PARTITION_KEY_BYTES,
        true,
        "the partition key".to_owned(),
    ))
    .chain(
        table
            .sort
            .as_ref()
            .map(|key| (key, MAX_SORT_KEY_BYTES, true, "the sort key".to_owned())),
    );
    let index_keys = table.indexes.iter().flat_map(|index| {
        let role = format!("a key of index {}", index.name);
        let partition = index
            .partition
            .iter()
            .map(|key| (key, MAX_PARTITION_KEY_BYTES));
        let sort = index.sort.iter().map(|key| (key, MAX_SORT_KEY_BYTES));
        partition
            .chain(sort)
            .map(move |(key, max_bytes)| (key, max_bytes, false, role.clone()))
    });
    let mut rule: Option<KeyRule> = None;
    for (key, max_bytes, of_table, role) in table_keys.chain(index_keys) {
        if key.name != attribute {
            continue;
        }
        let rule = rule.get_or_insert(KeyRule {
            kind: key.kind,
            max_bytes,
            of_table,
            role,
        });
        rule.max_bytes = rule.max_bytes.min(max_bytes);
    }
    rule
}

fn plan_column(name: &str, mapping: &RowMapping, table: &TableShape) -> Result<Column, PlanError> {
    let no_rule = ColumnRule::default();
    let rule = rule_of(name, mapping).unwrap_or(&no_rule);
    let attribute_name = attribute_of(name, mapping);
    let key = attribute_name.and_then(|attribute| key_rule(table, attribute));
    let kind = match (rule.kind, &key) {
        (Some(kind), _) => kind,
        (None, Some(key)) => column_type(key.kind),
        (None, None) => ColumnType::S,
    };
    if let (Some(key), Some(attribute)) = (&key, attribute_name) {
        check_key_type(key, attribute, kind == column_type(key.kind), || {
            (
                format!("the row mapping's columns.{name}"),
                kind.to_string(),
            )
        })?;
    }
    rule.check_default(Some(kind))
        .map_err(|reason| PlanError::Member {
            member: format!("columns.{name}"),
            reason,
        })?;
    Ok(Column {
        name: name.to_owned(),
        kind,
        delimiter: rule.delimiter.clone(),
        required: rule.required,
        default: rule.default.clone(),
        attribute: attribute_name.map(|attribute| plan_attribute(attribute, kind, key)),
    })
}

const fn column_type(kind: KeyType) -> ColumnType {
    match kind {
        KeyType::S => ColumnType::S,
        KeyType::N => ColumnType::N,
        KeyType::B => ColumnType::B,
    }
}

fn check_key_type(
    key: &KeyRule,
    attribute: &str,
    fits: bool,
    given: impl FnOnce() -> (String, String),
) -> Result<(), PlanError> {
    if fits {
        return Ok(());
    }
    let (place, given) = given();
    Err(PlanError::KeyType {
        role: key.role.clone(),
        name: attribute.to_owned(),
        kind: key.kind,
        place,
        given,
    })
}

fn plan_attribute(name: &str, kind: ColumnType, key: Option<KeyRule>) -> Attribute {
    let member = member(name);
    let mut tagged_member = member.clone();
    if kind != ColumnType::Json {
        tagged_member.extend_from_slice(format!("{{\"{kind}\":").as_bytes());
    }
    Attribute {
        member,
        tagged_member,
        name_len: name.len(),
        key,
    }
}

/// `,"name":`
fn member(name: &str) -> Vec<u8> {
    let mut member = vec![b','];
    write_string(name, &mut member);
    member.push(b':');
    member
}

fn plan_constant(name: &str, value: &Value) -> Constant {
    let mut item = member(name);
    let mut plain = item.clone();
    value.write_dynamodb_json(&mut item);
    value.write_plain_json(&mut plain);
    Constant { item, plain }
}

fn check_key_constant(key: &KeyRule, name: &str, value: &Value) -> Result<(), PlanError> {
    let refuse = |reason: String| PlanError::KeyConstant {
        role: key.role.clone(),
        name: name.to_owned(),
        reason,
    };
    match (key.kind, value) {
        (KeyType::N, Value::N(_)) => Ok(()),
        (KeyType::S, Value::S(text)) if text.is_empty() => Err(refuse("it is empty".to_owned())),
        (KeyType::S, Value::S(text)) if text.len() > key.max_bytes => Err(refuse(format!(
            "it has {} bytes; at most {} are allowed",
            text.len(),
            key.max_bytes
        ))),
        (KeyType::S, Value::S(_)) => Ok(()),
        (kind, _) => Err(refuse(format!("it is not of the type {kind}"))),
    }
}

fn plan_shard(
    name: &str,
    rule: &ShardRule,
    columns: &[Column],
    table: &TableShape,
) -> Result<Shard, PlanError> {
    let from = columns
        .iter()
        .position(|column| column.name == rule.from)
        .expect("the header was checked for the columns of the mapping");
    let kind = columns[from].kind;
    if !matches!(kind, ColumnType::S | ColumnType::N) {
        return Err(PlanError::Member {
            member: format!("shards.{name}"),
            reason: format!(
                "a shard is computed from a column of type S or N, and {:?} has the type {kind}",
                rule.from
            ),
        });
    }
    let key = key_rule(table, name);
    if let Some(key) = &key {
        check_key_type(key, name, key.kind == KeyType::S, || {
            (
                format!("the row mapping's shards.{name}"),
                ColumnType::S.to_string(),
            )
        })?;
    }
    Ok(Shard {
        attribute: plan_attribute(name, ColumnType::S, key),
        from,
        count: rule.count,
        format: rule.format.clone(),
    })
}

/// The beginning of the header, for a message: enough to recognise it, and not a whole row where the file has no header.
fn list(header: &[&str]) -> String {
    const MAX_NAMES: usize = 12;
    let mut names: Vec<&str> = header
        .iter()
        .take(MAX_NAMES)
        .map(|name| shortened(name))
        .collect();
    if header.len() > MAX_NAMES {
        names.push("…");
    }
    names.join(", ")
}

fn shortened(name: &str) -> &str {
    const MAX_BYTES: usize = 40;
    &name[..name.floor_char_boundary(MAX_BYTES)]
}
