//! `transload schema infer`: the columns that the items of an export need.

use std::io::Write;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value as Json, json};
use storage::SystemClock;

use super::{Bar, Places, SchemaArgsError, runtime, shaping};
use crate::Surroundings;
use crate::commands::{endpoint, note, print_line, threads};
use crate::output::write_file;
use crate::schema::{InferTask, InferredFrom, infer};
use crate::wording::counted;

/// Infer the columns that the items of an export need
///
/// Reads an export, or files of the same lines, and writes a schema as JSON: for each entity its columns, with types in which all
/// that was read fits. Where an attribute has several types the column becomes json, and nothing is lost; each such conflict is
/// told on the standard error, with how often each type was there. The result does not depend on the order of files or items.
///
/// Look it through before using it: a column that should be a decimal may have had whole numbers so far.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InferArgs {
    /// The export: its folder s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID/ or manifest-summary.json, a copy of it, or files and folders of DynamoDB JSON lines (.json, .jsonl, plain, .gz or .zst)
    #[arg(required = true, value_name = "SOURCE", value_parser = NonEmptyStringValueParser::new())]
    source: Vec<String>,

    /// Read so many files, evenly spread over all
    #[arg(long, value_name = "FILES", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,

    /// The attribute (S or N) that tells kinds of items apart, each with columns of its own
    #[arg(long, value_name = "ATTRIBUTE", value_parser = NonEmptyStringValueParser::new())]
    discriminator: Option<String>,

    /// What is renamed, dropped and filtered before, as the export is transformed with: a JSON file
    #[arg(long, value_name = "FILE")]
    shaping: Option<PathBuf>,

    /// Where the schema is written [default: the standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Where S3 is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print counts, conflicts and the schema as one line of JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

const EXAMPLES: &str = "\
Checksums and counts are verified where there are manifests. An export in S3 needs s3:GetObject and s3:ListBucket; files of this
machine need no credentials.

Examples:
  transload schema infer s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/ -o schema.json
  transload schema infer s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/ --sample 10 --discriminator kind
  transload schema infer items.jsonl.gz more/ --shaping shaping.json";

pub(super) fn run(args: &InferArgs, surroundings: &Surroundings) -> Result<(), SchemaArgsError> {
    let shaping = shaping(args.shaping.as_ref())?;
    let mut places = Places::new(args.endpoint_url.as_deref(), surroundings)?;
    let inferred = runtime()?.block_on(async {
        let source = places.source(&args.source).await?;
        let task = InferTask {
            source: &source,
            sample: args.sample.map(|files| files as usize),
            discriminator: args.discriminator.as_deref(),
            shaping,
            threads: threads(),
        };
        let mut bar = Bar::new(SystemClock);
        let inferred = infer(&task, |progress| bar.show(progress)).await?;
        Ok::<_, SchemaArgsError>(inferred)
    })?;
    let schema = inferred.inferred.schema.to_json();
    match &args.output {
        Some(output) => {
            write_file(output, |out| writeln!(out, "{schema}"))?;
        }
        None if args.json => {
            print_line(&json_text(&inferred, &schema)).map_err(SchemaArgsError::Stdout)?;
        }
        None => print_line(&schema).map_err(SchemaArgsError::Stdout)?,
    }
    tell(&inferred);
    Ok(())
}

/// Says beside the schema what a person may want to decide otherwise.
fn tell(inferred: &InferredFrom) {
    let InferredFrom {
        inferred: schema,
        files,
        items,
        filtered,
    } = inferred;
    let filtered = match filtered {
        0 => String::new(),
        _ => format!(" ({} not kept)", indicatif::HumanCount(*filtered)),
    };
    let columns: usize = schema
        .schema
        .entities()
        .map(|(_, entity)| entity.columns().len())
        .sum();
    note(format_args!(
        "{} in {} read{filtered}: {} of {}, {}",
        counted(*items, "item"),
        counted(*files, "file"),
        counted(columns as u64, "column"),
        match schema.schema.entities().count() {
            1 => "1 entity".to_owned(),
            entities => format!("{entities} entities"),
        },
        counted(schema.conflicts.len() as u64, "conflict"),
    ));
    for conflict in &schema.conflicts {
        note(format_args!("conflict: {conflict}"));
    }
}

fn json_text(inferred: &InferredFrom, schema: &str) -> String {
    let conflicts = inferred.inferred.conflicts.iter().map(|conflict| {
        json!({
            "entity": conflict.entity,
            "path": conflict.path,
            "reason": conflict.reason.to_string(),
        })
    });
    json!({
        "command": "schema infer",
        "files": inferred.files,
        "items": inferred.items,
        "filtered": inferred.filtered,
        "conflicts": conflicts.collect::<Vec<_>>(),
        "schema": serde_json::from_str::<Json>(schema).expect("a schema is written as JSON"),
    })
    .to_string()
}
