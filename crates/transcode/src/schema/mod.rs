//! What the columns of a Parquet file are: declared by a person, or inferred from lines.

mod athena;
mod infer;
mod json;
mod observed;
mod parse;
mod resolve;

use std::collections::BTreeMap;

pub use athena::AthenaTable;
pub use infer::{Inference, Inferred};
pub use resolve::{Conflict, ConflictReason};

/// The entity of items that have no discriminator, or one that the schema lacks; all that its items have is in `_extra`. It is a
/// plain name: what Hive calls a partition without a value is null to Trino and Spark, so no query would find it by its name.
pub const DEFAULT_ENTITY: &str = "tl_other";
/// The one entity of a schema without a discriminator.
pub const SINGLE_ENTITY: &str = "item";
/// The column of what fits no other: a JSON object of DynamoDB JSON by attribute name, or null.
pub const EXTRA_COLUMN: &str = "_extra";
/// Columns whose names begin so are ours.
pub(crate) const RESERVED_PREFIX: &str = "tl_";
/// Columns that an entity may have.
pub const MAX_COLUMNS: usize = 2_000;
/// Entities that a schema may have.
pub const MAX_ENTITIES: usize = 200;
/// Bytes of a column's name: what the Glue Data Catalog takes (Glue API reference, `Column`).
pub const MAX_NAME_BYTES: usize = 255;
/// Levels of lists, maps and structs inside one another: as deep as DynamoDB nests.
pub(crate) const MAX_DEPTH: usize = records::MAX_DEPTH;

/// The columns of each entity of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    discriminator: Option<String>,
    entities: BTreeMap<String, EntitySchema>,
    /// What items of no entity have: no column but `_extra`.
    default: EntitySchema,
}

/// The columns of one entity, in their order in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntitySchema {
    columns: Vec<Column>,
}

/// A column, or a member of a struct: the attribute that it holds and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name of the column and of the attribute.
    pub name: String,
    /// What fits it.
    pub kind: ColumnKind,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// S.
    String,
    /// N without a fraction that fits 64 bits.
    Integer,
    /// N with at most `precision - scale` digits before the point and `scale` behind it.
    Decimal {
        /// Digits, 1 to 38.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: u8,
    },
    /// N that is the shortest text of a binary64 number.
    Double,
    /// BOOL.
    Boolean,
    /// B.
    Binary,
    /// Anything, as DynamoDB JSON.
    Json,
    /// L.
    List(Box<ColumnKind>),
    /// SS, NS or BS.
    Set(Box<ColumnKind>),
    /// M with these members and no others.
    Struct(Vec<Column>),
    /// M with any members of one kind.
    Map(Box<ColumnKind>),
}

/// Why a schema, or a partial inference, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The text is no JSON.
    #[error(
        "the schema cannot be read ({0}): expected a JSON object with version, discriminator and entities"
    )]
    NotJson(#[source] serde_json::Error),
    /// A member is there that has no meaning.
    #[error("{path} has a member {member:?}: expected {expected}")]
    UnknownMember {
        /// Where the object is.
        path: String,
        /// The member's name.
        member: String,
        /// What there may be.
        expected: &'static str,
    },
    /// A value is something else.
    #[error("{path} is {found}: expected {expected}")]
    Unexpected {
        /// Where the value is, such as `entities.order.columns[1].type`.
        path: String,
        /// What was found.
        found: String,
        /// What there may be.
        expected: String,
    },
    /// The text is no inference.
    #[error("the inference cannot be read ({0}): expected what an inference was written as")]
    NotInference(#[source] serde_json::Error),
    /// The parts of an inference do not belong together.
    #[error("the discriminators of two inferences are {left} and {right}: expected the same")]
    OtherDiscriminator {
        /// That of the one.
        left: String,
        /// That of the other.
        right: String,
    },
}

impl Schema {
    /// The name of the attribute that tells entities apart.
    pub fn discriminator(&self) -> Option<&str> {
        self.discriminator.as_deref()
    }

    /// All entities by name, without the default one.
    pub fn entities(&self) -> impl Iterator<Item = (&str, &EntitySchema)> {
        self.entities
            .iter()
            .map(|(name, entity)| (name.as_str(), entity))
    }

    /// The entity of an item by the text of its discriminator: its name in paths, and its columns.
    ///
    /// Without a discriminator in the schema there is one entity whatever the text is.
    pub fn entity(&self, text: Option<&str>) -> (&str, &EntitySchema) {
        let name = match self.discriminator {
            Some(_) => text,
            None => Some(SINGLE_ENTITY),
        };
        name.and_then(|name| self.entities.get_key_value(name))
            .map_or((DEFAULT_ENTITY, &self.default), |(name, entity)| {
                (name.as_str(), entity)
            })
    }
}

impl EntitySchema {
    /// The columns in their order; `_extra` and those of incremental exports are not among them.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// Whether a column may not be called so because it is a name of ours, in any case of letters.
pub(crate) fn is_reserved(name: &str) -> bool {
    let folded = folded(name);
    folded == EXTRA_COLUMN || folded.starts_with(RESERVED_PREFIX)
}

/// The name as Hive, Glue, Athena and DuckDB compare it.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}
