//! The mapping for one file and one table: checked against the header and the keys.

use std::collections::HashMap;

use super::parse::{ColumnMapping, ColumnType, RowMapping};
use super::shard::Shard;
use crate::number::Number;
use crate::table::{KeyAttribute, KeyType, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, TableShape, check_key};
use crate::value::{Value, write_string};

/// How each row of a file becomes an item.
#[derive(Debug, Clone)]
pub struct RowPlan {
    pub(super) columns: Vec<Column>,
    pub(super) constants: Vec<Constant>,
    pub(super) shards: Vec<ShardColumn>,
    /// Types of the table's partition and sort key, in this order.
    pub(super) keys: Vec<KeyType>,
}

/// What an attribute is for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct KeyRole {
    /// 0 for the partition key, 1 for the sort key of the table.
    pub(super) table_key: Option<usize>,
    /// Most bytes, if it is a key of the table or of an index.
    pub(super) max_bytes: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) name: String,
    /// `"name":`, escaped.
    pub(super) prefix: Vec<u8>,
    pub(super) role: KeyRole,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its name in the header.
    pub(super) name: String,
    /// Nothing if the column is dropped.
    pub(super) attribute: Option<Attribute>,
    pub(super) kind: ColumnType,
    pub(super) required: bool,
    pub(super) default: Option<String>,
    pub(super) delimiter: String,
}

#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) attribute: Attribute,
    pub(super) item: Vec<u8>,
    pub(super) plain: Vec<u8>,
    pub(super) size: usize,
    /// Its bytes in the canonical key, if it is a key of the table.
    pub(super) key: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct ShardColumn {
    pub(super) attribute: Attribute,
    pub(super) column: usize,
    pub(super) shard: Shard,
}

/// Why a file cannot be read into a table with a mapping. One message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A column has no name.
    #[error("column {0} of the header has no name: expected a name for every column")]
    EmptyName(usize),
    /// Two columns have one name.
    #[error("columns {first} and {second} of the header are both called {name:?}: expected different names")]
    DuplicateName {
        /// The name.
        name: String,
        /// Number of the first column, from 1.
        first: usize,
        /// Number of the second column, from 1.
        second: usize,
    },
    /// The mapping speaks of a column that the file does not have.
    #[error("the row mapping names the column {column:?}, which the file does not have: expected one of {header}")]
    UnknownColumn {
        /// The column that the mapping names.
        column: String,
        /// The columns of the file.
        header: String,
    },
    /// Two columns, constants or shards make one attribute.
    #[error("the attribute {0:?} has two sources: expected each attribute to come from one column, constant or shard")]
    TwoSources(String),
    /// Nothing makes a key attribute.
    #[error("the key attribute {name:?} (type {kind}) of the table {table} has no column: expected one of that name, or a row mapping that makes it; the file has {header}", kind = .kind.letter())]
    MissingKey {
        /// Attribute name.
        name: String,
        /// Its type.
        kind: KeyType,
        /// Table name.
        table: String,
        /// The columns of the file.
        header: String,
    },
    /// A column's type cannot be a key's.
    #[error("the attribute {name:?} is a key of {owner} with type {kind}: expected a row mapping that gives it that type", kind = .kind.letter())]
    KeyType {
        /// Attribute name.
        name: String,
        /// The table or index.
        owner: String,
        /// The type that it has to have.
        kind: KeyType,
    },
    /// A default that no cell could have.
    #[error("the default of the column {column:?}: {reason}")]
    Default {
        /// Column name.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A key attribute of the table or of an index.
struct KeyUse<'a> {
    attribute: &'a KeyAttribute,
    owner: String,
    role: KeyRole,
}

impl RowPlan {
    /// Plans the rows of a file with this header.
    pub fn new(mapping: &RowMapping, header: &[&str], table: &TableShape) -> Result<Self, PlanError> {
        let numbers = numbered_columns(header)?;
        let listed = header.join(", ");
        let unknown = |column: &str| PlanError::UnknownColumn {
            column: column.to_owned(),
            header: listed.clone(),
        };
        if let Some(column) = mapping.columns.keys().find(|name| !numbers.contains_key(name.as_str())) {
            return Err(unknown(column));
        }
        let uses = key_uses(table);
        let columns: Result<Vec<Column>, PlanError> = header
            .iter()
            .map(|name| plan_column(name, mapping.columns.get(*name), &uses))
            .collect();
        let columns = columns?;
        let constants: Result<Vec<Constant>, PlanError> = mapping
            .constants
            .iter()
            .map(|(name, value)| plan_constant(name, value, &uses))
            .collect();
        let shards: Result<Vec<ShardColumn>, PlanError> = mapping
            .shards
            .iter()
            .map(|(name, shard)| {
                let column = numbers.get(shard.from.as_str()).ok_or_else(|| unknown(&shard.from))?;
                plan_shard(name, shard, *column, &uses)
            })
            .collect();
        let plan = Self {
            columns,
            constants: constants?,
            shards: shards?,
            keys: table.keys().map(|key| key.kind).collect(),
        };
        plan.check_sources(table, &listed)?;
        plan.check_defaults()?;
        Ok(plan)
    }

    fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        let columns = self.columns.iter().filter_map(|column| column.attribute.as_ref());
        let constants = self.constants.iter().map(|constant| &constant.attribute);
        columns.chain(constants).chain(self.shards.iter().map(|shard| &shard.attribute))
    }

    fn check_sources(&self, table: &TableShape, header: &str) -> Result<(), PlanError> {
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = self.attributes().find(|attribute| !names.insert(attribute.name.as_str())) {
            return Err(PlanError::TwoSources(twice.name.clone()));
        }
        match table.keys().find(|key| !names.contains(key.name.as_str())) {
            Some(key) => Err(PlanError::MissingKey {
                name: key.name.clone(),
                kind: key.kind,
                table: table.name.clone(),
                header: header.to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn check_defaults(&self) -> Result<(), PlanError> {
        for column in &self.columns {
            if let Some(default) = &column.default {
                column.check_cell(default).map_err(|reason| PlanError::Default {
                    column: column.name.clone(),
                    reason,
                })?;
            }
        }
        Ok(())
    }
}

fn numbered_columns<'a>(header: &[&'a str]) -> Result<HashMap<&'a str, usize>, PlanError> {
    let mut numbers = HashMap::new();
    for (index, name) in header.iter().enumerate() {
        if name.is_empty() {
            return Err(PlanError::EmptyName(index + 1));
        }
        if let Some(first) = numbers.insert(*name, index) {
            return Err(PlanError::DuplicateName {
                name: (*name).to_owned(),
                first: first + 1,
                second: index + 1,
            });
        }
    }
    Ok(numbers)
}

fn key_uses(table: &TableShape) -> Vec<KeyUse<'_>> {
    let limits = [MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES];
    let of_table = table.keys().zip(limits).enumerate().map(|(index, (attribute, limit))| KeyUse {
        attribute,
        owner: format!("the table {}", table.name),
        role: KeyRole {
            table_key: Some(index),
            max_bytes: Some(limit),
        },
    });
    let of_indexes = table.indexes.iter().flat_map(|index| {
        let partition = index.partition.iter().map(|attribute| (attribute, MAX_PARTITION_KEY_BYTES));
        let sort = index.sort.iter().map(|attribute| (attribute, MAX_SORT_KEY_BYTES));
        partition.chain(sort).map(|(attribute, limit)| KeyUse {
            attribute,
            owner: format!("the index {}", index.name),
            role: KeyRole {
                table_key: None,
                max_bytes: Some(limit),
            },
        })
    });
    of_table.chain(of_indexes).collect()
}

/// The role of an attribute that is a key more than once is the strictest of them.
fn role_of(name: &str, uses: &[KeyUse<'_>]) -> KeyRole {
    let mut role = KeyRole::default();
    for key in uses.iter().filter(|key| key.attribute.name == name) {
        role.table_key = role.table_key.or(key.role.table_key);
        role.max_bytes = match (role.max_bytes, key.role.max_bytes) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    role
}

fn attribute(name: &str, uses: &[KeyUse<'_>]) -> Attribute {
    let mut prefix = Vec::new();
    write_string(name, &mut prefix);
    prefix.push(b':');
    Attribute {
        name: name.to_owned(),
        prefix,
        role: role_of(name, uses),
    }
}

fn key_use<'a>(name: &str, uses: &'a [KeyUse<'a>]) -> Option<&'a KeyUse<'a>> {
    uses.iter().find(|key| key.attribute.name == name)
}

fn wrong_type(key: &KeyUse<'_>) -> PlanError {
    PlanError::KeyType {
        name: key.attribute.name.clone(),
        owner: key.owner.clone(),
        kind: key.attribute.kind,
    }
}

fn column_type(kind: KeyType) -> ColumnType {
    match kind {
        KeyType::S => ColumnType::S,
        KeyType::N => ColumnType::N,
        KeyType::B => ColumnType::B,
    }
}

fn plan_column(
    name: &str,
    mapping: Option<&ColumnMapping>,
    uses: &[KeyUse<'_>],
) -> Result<Column, PlanError> {
    let default_mapping = ColumnMapping::default();
    let mapping = mapping.unwrap_or(&default_mapping);
    let attribute_name = mapping.rename.as_deref().unwrap_or(name);
    let key = key_use(attribute_name, uses);
    let kind = match (mapping.kind, key) {
        (Some(kind), Some(key)) if kind != column_type(key.attribute.kind) => return Err(wrong_type(key)),
        (Some(kind), _) => kind,
        (None, Some(key)) => column_type(key.attribute.kind),
        (None, None) => ColumnType::S,
    };
    Ok(Column {
        name: name.to_owned(),
        attribute: (!mapping.drop).then(|| attribute(attribute_name, uses)),
        kind,
        required: mapping.required,
        default: mapping.default.clone(),
        delimiter: mapping.set_delimiter().to_owned(),
    })
}

fn plan_constant(name: &str, value: &Value, uses: &[KeyUse<'_>]) -> Result<Constant, PlanError> {
    let attribute = attribute(name, uses);
    if let Some(key) = key_use(name, uses) {
        let limit = attribute.role.max_bytes.unwrap_or(MAX_PARTITION_KEY_BYTES);
        check_key(key.attribute, value, limit).map_err(|_| wrong_type(key))?;
    }
    let (mut item, mut plain) = (Vec::new(), Vec::new());
    value.write_dynamodb_json(&mut item);
    value.write_plain_json(&mut plain);
    Ok(Constant {
        size: name.len() + value.size(),
        key: match value {
            Value::S(text) => text.clone().into_bytes(),
            Value::N(number) => Number::as_str(number).as_bytes().to_vec(),
            _ => Vec::new(),
        },
        attribute,
        item,
        plain,
    })
}

fn plan_shard(
    name: &str,
    shard: &Shard,
    column: usize,
    uses: &[KeyUse<'_>],
) -> Result<ShardColumn, PlanError> {
    match key_use(name, uses) {
        Some(key) if key.attribute.kind != KeyType::S => Err(wrong_type(key)),
        _ => Ok(ShardColumn {
            attribute: attribute(name, uses),
            column,
            shard: shard.clone(),
        }),
    }
}
