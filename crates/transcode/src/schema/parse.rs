//! The schema file, read and written.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as JsonValue, json};

use super::json::{At, Json, Path, member};
use super::{
    Column, ColumnKind, DEFAULT_ENTITY, EntitySchema, MAX_COLUMNS, MAX_DEPTH, MAX_ENTITIES,
    MAX_NAME_BYTES, SINGLE_ENTITY, Schema, SchemaError, folded, is_reserved,
};

/// The version of the file's form.
const VERSION: u64 = 1;
/// Digits of a decimal that Parquet readers, Athena and DynamoDB all have.
pub(super) const MAX_PRECISION: u8 = 38;

const SCHEMA_MEMBERS: &str = "an object with version, discriminator and entities";
const ENTITY_MEMBERS: &str = "an object with columns";
const COLUMN_MEMBERS: &str = "an object with name and type";
const COLUMNS: &str = "an array of objects with name and type";
const TYPES: &str = "string, integer, decimal(p,s), double, boolean, binary, json, {\"list\":T}, {\"set\":T}, {\"struct\":[…]} or {\"map\":T}";
const ELEMENTS: &str =
    "string, binary, integer, decimal(p,s) or double, since a set has texts, bytes or numbers";

impl Schema {
    /// A schema of these entities; without a discriminator there is one, called [`SINGLE_ENTITY`].
    pub(super) fn new(
        discriminator: Option<String>,
        entities: BTreeMap<String, EntitySchema>,
    ) -> Self {
        Self {
            discriminator,
            entities,
            default: EntitySchema::default(),
        }
    }

    /// Reads a schema file.
    ///
    /// # Errors
    /// If it is no JSON, has members that mean nothing, names or types that cannot be, or more than [`MAX_ENTITIES`]
    /// entities or [`MAX_COLUMNS`] columns in one.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let json: Json = serde_json::from_str(json).map_err(SchemaError::NotJson)?;
        let root = At::root(&json);
        let members = root.members(&["version", "discriminator", "entities"], SCHEMA_MEMBERS)?;
        check_version(root, members)?;
        let discriminator = match member(members, "discriminator") {
            None | Some(Json::Null) => None,
            Some(Json::Text(name)) if !name.is_empty() => Some(name.clone()),
            Some(other) => {
                return Err(At::new(other, &Path::Member(root.path(), "discriminator"))
                    .unexpected("the name of an attribute"));
            }
        };
        let value = root.required(members, "entities", "an object of entities by name")?;
        let path = Path::Member(root.path(), "entities");
        let at = At::new(value, &path);
        let Json::Object(named) = value else {
            return Err(at.unexpected("an object of entities by name"));
        };
        if named.len() > MAX_ENTITIES {
            return Err(SchemaError::Unexpected {
                path: path.to_string(),
                found: format!("an object with {} entities", named.len()),
                expected: format!("at most {MAX_ENTITIES}"),
            });
        }
        let mut entities = BTreeMap::new();
        for (name, entity) in named {
            let good = match discriminator {
                Some(_) => !name.is_empty() && name != DEFAULT_ENTITY,
                None => name == SINGLE_ENTITY,
            };
            if !good {
                return Err(SchemaError::Unexpected {
                    path: path.to_string(),
                    found: entity_found(name),
                    expected: entity_expected(discriminator.is_some()),
                });
            }
            let path = Path::Member(&path, name);
            entities.insert(
                name.clone(),
                read_entity(At::new(entity, &path), &["columns"])?,
            );
        }
        Ok(Self::new(discriminator, entities))
    }

    /// The schema as a file that [`Schema::parse`] reads; equal schemas have equal texts.
    pub fn to_json(&self) -> String {
        let entities: serde_json::Map<String, JsonValue> = self
            .entities
            .iter()
            .map(|(name, entity)| {
                (
                    name.clone(),
                    json!({ "columns": columns_json(&entity.columns) }),
                )
            })
            .collect();
        let mut schema = json!({ "version": VERSION, "entities": entities });
        if let Some(name) = &self.discriminator {
            schema["discriminator"] = json!(name);
        }
        schema.to_string()
    }
}

impl EntitySchema {
    /// Reads what [`EntitySchema::to_json`] writes: `{"version":1,"columns":[…]}`.
    ///
    /// # Errors
    /// As [`Schema::parse`].
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let json: Json = serde_json::from_str(json).map_err(SchemaError::NotJson)?;
        let root = At::root(&json);
        let members = root.members(&["version", "columns"], ENTITY_MEMBERS)?;
        check_version(root, members)?;
        read_entity(root, &["version", "columns"])
    }

    /// The columns as JSON, as they are in the metadata `transload.schema` of a Parquet file.
    pub fn to_json(&self) -> String {
        json!({ "version": VERSION, "columns": columns_json(&self.columns) }).to_string()
    }
}

fn entity_found(name: &str) -> String {
    format!("an object with the entity {name:?}")
}

fn entity_expected(discriminated: bool) -> String {
    match discriminated {
        true => format!(
            "entities by the text of the discriminator, which is not empty and not {DEFAULT_ENTITY}"
        ),
        false => {
            format!("one entity, {SINGLE_ENTITY:?}, where there is no discriminator")
        }
    }
}

fn check_version(root: At<'_>, members: &[(String, Json)]) -> Result<(), SchemaError> {
    let version = root.required(members, "version", "1")?;
    match version {
        Json::Number(VERSION) => Ok(()),
        other => Err(At::new(other, &Path::Member(root.path(), "version")).unexpected("1")),
    }
}

fn read_entity(at: At<'_>, known: &[&str]) -> Result<EntitySchema, SchemaError> {
    let members = at.members(known, ENTITY_MEMBERS)?;
    let value = at.required(members, "columns", COLUMNS)?;
    let path = Path::Member(at.path(), "columns");
    let columns = read_columns(At::new(value, &path), true, MAX_DEPTH)?;
    if columns.len() > MAX_COLUMNS {
        return Err(At::new(value, &path).unexpected(format!("at most {MAX_COLUMNS} columns")));
    }
    Ok(EntitySchema { columns })
}

/// Columns of an entity, or members of a struct with this many levels of nesting around them left.
fn read_columns(at: At<'_>, top: bool, levels: usize) -> Result<Vec<Column>, SchemaError> {
    let Json::Array(elements) = at.json() else {
        return Err(at.unexpected(COLUMNS));
    };
    let mut columns = Vec::with_capacity(elements.len());
    let mut seen: HashMap<String, String> = HashMap::new();
    for (index, element) in elements.iter().enumerate() {
        let path = Path::Element(at.path(), index);
        let element = At::new(element, &path);
        let members = element.members(&["name", "type"], COLUMN_MEMBERS)?;
        let name_at = Path::Member(&path, "name");
        let name = At::new(
            element.required(members, "name", "the name of an attribute")?,
            &name_at,
        );
        let Json::Text(text) = name.json() else {
            return Err(name.unexpected("the name of an attribute"));
        };
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(name.unexpected(format!("1 to {MAX_NAME_BYTES} bytes")));
        }
        if top && is_reserved(text) {
            return Err(name.unexpected(
                "another name, since _extra and what begins with tl_ are columns of Transload's (the attribute is kept in _extra)",
            ));
        }
        if let Some(other) = seen.insert(folded(text), text.clone()) {
            return Err(name.unexpected(format!(
                "names that differ in more than the case of letters, as Athena and DuckDB compare them, and there is {other:?}"
            )));
        }
        let type_at = Path::Member(&path, "type");
        let kind = read_kind(
            At::new(element.required(members, "type", TYPES)?, &type_at),
            levels,
        )?;
        columns.push(Column {
            name: text.clone(),
            kind,
        });
    }
    Ok(columns)
}

fn read_kind(at: At<'_>, levels: usize) -> Result<ColumnKind, SchemaError> {
    if let Json::Text(name) = at.json() {
        return scalar(name, at);
    }
    let Json::Object(members) = at.json() else {
        return Err(at.unexpected(TYPES));
    };
    let [(outer, inner)] = members.as_slice() else {
        return Err(at.unexpected(TYPES));
    };
    let path = Path::Member(at.path(), outer);
    let inner = At::new(inner, &path);
    let levels = levels.checked_sub(1).ok_or_else(|| {
        inner.unexpected(format!(
            "at most {MAX_DEPTH} lists, structs and maps inside one another"
        ))
    });
    match outer.as_str() {
        "list" => Ok(ColumnKind::List(Box::new(read_kind(inner, levels?)?))),
        "map" => Ok(ColumnKind::Map(Box::new(read_kind(inner, levels?)?))),
        "struct" => {
            let members = read_columns(inner, false, levels?)?;
            match members.is_empty() {
                true => {
                    Err(inner.unexpected("at least one member, since Parquet has no empty struct"))
                }
                false => Ok(ColumnKind::Struct(members)),
            }
        }
        "set" => match read_kind(inner, 0)? {
            kind @ (ColumnKind::String
            | ColumnKind::Binary
            | ColumnKind::Integer
            | ColumnKind::Decimal { .. }
            | ColumnKind::Double) => Ok(ColumnKind::Set(Box::new(kind))),
            _ => Err(inner.unexpected(ELEMENTS)),
        },
        _ => Err(at.unexpected(TYPES)),
    }
}

fn scalar(name: &str, at: At<'_>) -> Result<ColumnKind, SchemaError> {
    Ok(match name {
        "string" => ColumnKind::String,
        "integer" => ColumnKind::Integer,
        "double" => ColumnKind::Double,
        "boolean" => ColumnKind::Boolean,
        "binary" => ColumnKind::Binary,
        "json" => ColumnKind::Json,
        _ => {
            let digits = name
                .strip_prefix("decimal(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|inside| inside.split_once(','));
            let Some((precision, scale)) = digits else {
                return Err(at.unexpected(TYPES));
            };
            let number = |text: &str| -> Option<u8> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse().ok()).flatten()
            };
            match (number(precision.trim()), number(scale.trim())) {
                (Some(precision), Some(scale))
                    if (1..=MAX_PRECISION).contains(&precision) && scale <= precision =>
                {
                    ColumnKind::Decimal { precision, scale }
                }
                _ => {
                    return Err(at.unexpected(
                        "decimal(p,s) with p from 1 to 38 digits in all and s from 0 to p of them behind the point",
                    ));
                }
            }
        }
    })
}

fn columns_json(columns: &[Column]) -> JsonValue {
    columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": kind_json(&column.kind) }))
        .collect()
}

fn kind_json(kind: &ColumnKind) -> JsonValue {
    match kind {
        ColumnKind::String => json!("string"),
        ColumnKind::Integer => json!("integer"),
        ColumnKind::Decimal { precision, scale } => json!(format!("decimal({precision},{scale})")),
        ColumnKind::Double => json!("double"),
        ColumnKind::Boolean => json!("boolean"),
        ColumnKind::Binary => json!("binary"),
        ColumnKind::Json => json!("json"),
        ColumnKind::List(element) => json!({ "list": kind_json(element) }),
        ColumnKind::Set(element) => json!({ "set": kind_json(element) }),
        ColumnKind::Struct(members) => json!({ "struct": columns_json(members) }),
        ColumnKind::Map(value) => json!({ "map": kind_json(value) }),
    }
}
