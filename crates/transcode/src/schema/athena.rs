//! An entity's table in Athena and the Glue Data Catalog.

use std::fmt::Write as _;

use serde_json::{Value as JsonValue, json};

use super::resolve::is_word;
use super::{Column, ColumnKind, DEFAULT_ENTITY, EXTRA_COLUMN, Schema, folded};

const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const INPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";

/// The partition columns: the export or scan, and the entity.
const PARTITIONS: [&str; 2] = ["tl_export", "tl_type"];

/// A table to be made of the Parquet files of one entity.
#[derive(Debug, Clone, Copy)]
pub struct AthenaTable<'a> {
    /// The entity; [`DEFAULT_ENTITY`] makes a table of what has no other one.
    pub entity: &'a str,
    /// How the entity is spelled in the paths of objects, where `/`, `:` and the like are escaped.
    pub entity_in_paths: &'a str,
    /// The table's name, maybe with its database: `lake.orders`. The Glue input takes no database.
    pub table: &'a str,
    /// Where the files are, up to before `tl_export=`: `s3://bucket/tables/offers/`.
    pub location: &'a str,
    /// Whether the files are of incremental exports, with the columns `tl_change`, `tl_write_micros` and `tl_old_image`.
    pub incremental: bool,
}

impl Schema {
    /// The statement that makes an entity's table in Athena; nothing if the schema has no such entity.
    ///
    /// Partitions are projected, so that none has to be added: a query must say which `tl_export` it reads. Members of structs
    /// whose names Hive cannot spell in a type are left out of it; they stay in the files.
    pub fn athena_ddl(&self, table: &AthenaTable<'_>) -> Option<String> {
        let columns: Vec<String> = self
            .table_columns(table)?
            .iter()
            .map(|(name, hive)| format!("  {} {hive}", quoted_name(name)))
            .collect();
        let name: Vec<String> = table.table.split('.').map(quoted_name).collect();
        let mut ddl = format!(
            "CREATE EXTERNAL TABLE {} (\n{}\n)\nPARTITIONED BY (tl_export string, tl_type string)\nSTORED AS PARQUET\nLOCATION {}\nTBLPROPERTIES (",
            name.join("."),
            columns.join(",\n"),
            quoted_text(&folder(table.location)),
        );
        for (index, (key, value)) in properties(table).iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                ddl,
                "{comma}\n  {} = {}",
                quoted_text(key),
                quoted_text(value)
            );
        }
        ddl.push_str("\n);\n");
        Some(ddl)
    }

    /// The same table as the JSON that `aws glue create-table --table-input` takes; nothing if the schema has no such entity.
    pub fn glue_table_input(&self, table: &AthenaTable<'_>) -> Option<String> {
        let column = |name: &str, hive: &str| json!({ "Name": folded(name), "Type": hive });
        let columns: Vec<JsonValue> = self
            .table_columns(table)?
            .iter()
            .map(|(name, hive)| column(name, hive))
            .collect();
        let mut parameters: serde_json::Map<String, JsonValue> = properties(table)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        parameters.insert("EXTERNAL".to_owned(), json!("TRUE"));
        parameters.insert("classification".to_owned(), json!("parquet"));
        let input = json!({
            "Name": folded(table.table),
            "TableType": "EXTERNAL_TABLE",
            "Parameters": parameters,
            "PartitionKeys": PARTITIONS.map(|name| column(name, "string")),
            "StorageDescriptor": {
                "Columns": columns,
                "Location": folder(table.location),
                "InputFormat": INPUT_FORMAT,
                "OutputFormat": OUTPUT_FORMAT,
                "SerdeInfo": {
                    "SerializationLibrary": SERDE,
                    "Parameters": { "serialization.format": "1" },
                },
            },
        });
        Some(format!("{input:#}\n"))
    }

    /// The columns of the files, each with its Hive type.
    fn table_columns(&self, table: &AthenaTable<'_>) -> Option<Vec<(String, String)>> {
        let entity = match table.entity == DEFAULT_ENTITY {
            true => &self.default,
            false => self.entities.get(table.entity)?,
        };
        let ours = |name: &str, hive: &str| (name.to_owned(), hive.to_owned());
        let mut columns = Vec::new();
        if table.incremental {
            columns.push(ours("tl_change", "string"));
            columns.push(ours("tl_write_micros", "bigint"));
            columns.push(ours("tl_old_image", "string"));
        }
        for column in entity.columns() {
            if let Some(hive) = hive_type(&column.kind) {
                columns.push((column.name.clone(), hive));
            }
        }
        columns.push(ours(EXTRA_COLUMN, "string"));
        Some(columns)
    }
}

/// The Hive type of a column; nothing for a struct of which no member can be told.
fn hive_type(kind: &ColumnKind) -> Option<String> {
    Some(match kind {
        ColumnKind::String | ColumnKind::Json => "string".to_owned(),
        ColumnKind::Integer => "bigint".to_owned(),
        ColumnKind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnKind::Double => "double".to_owned(),
        ColumnKind::Boolean => "boolean".to_owned(),
        ColumnKind::Binary => "binary".to_owned(),
        ColumnKind::List(element) | ColumnKind::Set(element) => {
            format!("array<{}>", hive_type(element)?)
        }
        ColumnKind::Map(value) => format!("map<string,{}>", hive_type(value)?),
        ColumnKind::Struct(members) => {
            let told: Vec<String> = members.iter().filter_map(hive_member).collect();
            if told.is_empty() {
                return None;
            }
            format!("struct<{}>", told.join(","))
        }
    })
}

fn hive_member(member: &Column) -> Option<String> {
    let hive = is_word(&member.name).then(|| hive_type(&member.kind))??;
    Some(format!("{}:{hive}", folded(&member.name)))
}

/// Partition projection (Athena User Guide, "Partition projection"): the export is told by each query; the entity is one.
fn properties(table: &AthenaTable<'_>) -> Vec<(&'static str, String)> {
    let location = folder(table.location);
    let template = format!("{location}tl_export=${{tl_export}}/tl_type=${{tl_type}}/");
    let mut properties = vec![
        ("projection.enabled", "true".to_owned()),
        ("projection.tl_export.type", "injected".to_owned()),
    ];
    // A value of an enum cannot have a comma in it; then each query tells it.
    if table.entity_in_paths.contains(',') {
        properties.push(("projection.tl_type.type", "injected".to_owned()));
    } else {
        properties.push(("projection.tl_type.type", "enum".to_owned()));
        properties.push((
            "projection.tl_type.values",
            table.entity_in_paths.to_owned(),
        ));
    }
    properties.push(("storage.location.template", template));
    properties
}

fn folder(location: &str) -> String {
    format!("{}/", location.trim_end_matches('/'))
}

fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
