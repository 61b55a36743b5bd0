//! `transload schema show`: a schema as a person reads it, or as a table of Athena.

use std::fmt::Write;

use clap::builder::NonEmptyStringValueParser;
use transcode::schema::{AthenaTable, Column, ColumnKind, DEFAULT_ENTITY, EntitySchema, Schema};

use super::{Places, SchemaArgsError, runtime};
use crate::Surroundings;
use crate::commands::{endpoint, print_line};
use crate::wording::{counted, quoted};

/// Show a schema, or the table that Athena or Glue makes of its files
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// The schema: a file or s3://BUCKET/KEY
    #[arg(value_name = "SCHEMA", value_parser = NonEmptyStringValueParser::new())]
    schema: String,

    /// Print the statement that makes an external table in Athena
    #[arg(long, requires_all = ["location", "table"], conflicts_with = "glue")]
    athena: bool,

    /// Print the table as JSON for `aws glue create-table --table-input`
    #[arg(long, requires_all = ["location", "table"])]
    glue: bool,

    /// Where the Parquet files are, up to before tl_export=
    #[arg(long, value_name = "s3://BUCKET/tables/TABLE/", value_parser = parse_location)]
    location: Option<String>,

    /// The name of the table that is made; for Athena maybe with its database, as in lake.orders
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    table: Option<String>,

    /// The entity, where the schema has several; tl_other is that of items of no other one
    #[arg(long, value_name = "ENTITY", value_parser = NonEmptyStringValueParser::new())]
    entity: Option<String>,

    /// The files are of incremental exports: with tl_change, tl_write_micros and tl_old_image
    #[arg(long)]
    incremental: bool,

    /// Where S3 is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the schema as one line of JSON
    #[arg(long, conflicts_with_all = ["athena", "glue"])]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  transload schema show schema.json
  transload schema show s3://my-lake/schemas/table=offers/full-20261121T040000Z.json --athena --location s3://my-lake/tables/offers/ --table offers
  transload schema show schema.json --entity order --glue --location s3://my-lake/tables/offers/ --table orders";

fn parse_location(text: &str) -> Result<String, String> {
    let bucket = text
        .strip_prefix("s3://")
        .and_then(|rest| rest.split('/').next());
    match bucket {
        Some(bucket) if !bucket.is_empty() => Ok(text.to_owned()),
        _ => Err("expected s3://BUCKET/PREFIX/, such as s3://my-lake/tables/offers/".to_owned()),
    }
}

pub(super) fn run(args: &ShowArgs, surroundings: &Surroundings) -> Result<(), SchemaArgsError> {
    let mut places = Places::new(args.endpoint_url.as_deref(), surroundings)?;
    let schema = runtime()?.block_on(places.schema(&args.schema))?;
    let text = match (args.athena || args.glue, args.json) {
        (true, _) => table(args, &schema)?,
        (false, true) => schema.to_json(),
        (false, false) => text(&schema, args.entity.as_deref())?,
    };
    print_line(text.trim_end()).map_err(SchemaArgsError::Stdout)
}

/// The statement or the table input.
fn table(args: &ShowArgs, schema: &Schema) -> Result<String, SchemaArgsError> {
    let entity = match (
        &args.entity,
        schema.entities().next(),
        schema.entities().nth(1),
    ) {
        (Some(entity), ..) => entity,
        (None, Some((entity, _)), None) => entity,
        (None, ..) => {
            let names = quoted(schema.entities().map(|(name, _)| name));
            return Err(SchemaArgsError::Entity(format!(
                "each entity has a table of its own: expected --entity with one of {names}"
            )));
        }
    };
    let in_paths = export_jobs::names::entity_in_paths(entity);
    let table = AthenaTable {
        entity,
        entity_in_paths: &in_paths,
        table: args.table.as_deref().unwrap_or_default(),
        location: args.location.as_deref().unwrap_or_default(),
        incremental: args.incremental,
    };
    let made = match args.athena {
        true => schema.athena_ddl(&table),
        false => schema.glue_table_input(&table),
    };
    made.ok_or_else(|| no_entity(schema, entity))
}

fn no_entity(schema: &Schema, entity: &str) -> SchemaArgsError {
    let names = quoted(schema.entities().map(|(name, _)| name));
    SchemaArgsError::Entity(format!(
        "the schema has no entity {entity:?}: expected one of {names}"
    ))
}

fn text(schema: &Schema, only: Option<&str>) -> Result<String, SchemaArgsError> {
    let mut text = match schema.discriminator() {
        Some(name) => format!("Entities by the attribute {name:?}\n"),
        None => String::new(),
    };
    let chosen: Vec<(&str, &EntitySchema)> = schema
        .entities()
        .filter(|(name, _)| only.is_none_or(|only| only == *name))
        .collect();
    if let (Some(only), true) = (only, chosen.is_empty()) {
        return Err(no_entity(schema, only));
    }
    for (name, entity) in chosen {
        let columns = entity.columns();
        let width = columns.iter().map(|column| column.name.chars().count());
        let width = width.max().unwrap_or(0).min(40);
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name}: {}", counted(columns.len() as u64, "column"));
        for column in columns {
            let _ = writeln!(
                text,
                "  {:<width$}  {}",
                column.name,
                type_text(&column.kind)
            );
        }
    }
    if schema.discriminator().is_some() && only.is_none() {
        let _ = writeln!(
            text,
            "{DEFAULT_ENTITY}: items of no other entity, whole in _extra"
        );
    }
    Ok(text)
}

/// A type in words.
fn type_text(kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::String => "string".to_owned(),
        ColumnKind::Integer => "integer".to_owned(),
        ColumnKind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnKind::Double => "double".to_owned(),
        ColumnKind::Boolean => "boolean".to_owned(),
        ColumnKind::Binary => "binary".to_owned(),
        ColumnKind::Json => "json".to_owned(),
        ColumnKind::List(element) => format!("list of {}", type_text(element)),
        ColumnKind::Set(element) => format!("set of {}", type_text(element)),
        ColumnKind::Map(value) => format!("map of {}", type_text(value)),
        ColumnKind::Struct(members) => {
            let members: Vec<String> = members.iter().map(member_text).collect();
            format!("struct ({})", members.join(", "))
        }
    }
}

fn member_text(member: &Column) -> String {
    format!("{} {}", member.name, type_text(&member.kind))
}
