//! `transload schema check`: how much of an export fits a schema.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::NonEmptyStringValueParser;
use indicatif::HumanCount;
use serde_json::json;
use storage::SystemClock;

use super::{Bar, Places, SchemaArgsError, runtime, shaping};
use crate::Surroundings;
use crate::commands::{endpoint, print_line, threads};
use crate::schema::{CheckTask, Checked, Misfit, MisfitReason, check};
use crate::wording::counted;

/// Attributes that a person is shown.
const SHOWN: usize = 50;

/// Say how much of an export fits a schema
///
/// Reads an export, or files of the same lines, makes the rows that a Parquet file of the schema would have, and counts what these
/// hold in _extra: attributes without a column, and values that do not fit their column as a whole. Nothing of either is lost in
/// such a file; it is only harder to query. Names of attributes are printed, and nothing else of any item.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// The schema: a file or s3://BUCKET/KEY
    #[arg(value_name = "SCHEMA", value_parser = NonEmptyStringValueParser::new())]
    schema: String,

    /// The export, as for `schema infer`
    #[arg(required = true, value_name = "SOURCE", value_parser = NonEmptyStringValueParser::new())]
    source: Vec<String>,

    /// Read so many files, evenly spread over all
    #[arg(long, value_name = "FILES", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,

    /// What is renamed, dropped and filtered before, as the export is transformed with: a JSON file
    #[arg(long, value_name = "FILE")]
    shaping: Option<PathBuf>,

    /// End with 1 if any item does not fit whole
    #[arg(long)]
    strict: bool,

    /// Where S3 is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Checksums and counts are verified where there are manifests. An export in S3 needs s3:GetObject and s3:ListBucket; files of this
machine need no credentials.

Examples:
  transload schema check schema.json s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/
  transload schema check schema.json items.jsonl.gz --strict";

pub(super) fn run(args: &CheckArgs, surroundings: &Surroundings) -> Result<(), SchemaArgsError> {
    let shaping = shaping(args.shaping.as_ref())?;
    let mut places = Places::new(args.endpoint_url.as_deref(), surroundings)?;
    let checked = runtime()?.block_on(async {
        let schema = Arc::new(places.schema(&args.schema).await?);
        let source = places.source(&args.source).await?;
        let task = CheckTask {
            source: &source,
            schema,
            sample: args.sample.map(|files| files as usize),
            shaping,
            threads: threads(),
        };
        let mut bar = Bar::new(SystemClock);
        let checked = check(&task, |progress| bar.show(progress)).await?;
        Ok::<_, SchemaArgsError>(checked)
    })?;
    let text = match args.json {
        true => json_text(&checked),
        false => text(&checked),
    };
    print_line(&text).map_err(SchemaArgsError::Stdout)?;
    match checked.rows - checked.whole {
        0 => Ok(()),
        _ if !args.strict => Ok(()),
        misfits => Err(SchemaArgsError::Misfits(format!(
            "{} not fit the schema whole; the standard output says in what",
            match misfits {
                1 => "1 item does".to_owned(),
                _ => format!("{} items do", HumanCount(misfits)),
            }
        ))),
    }
}

fn json_text(checked: &Checked) -> String {
    let entities = checked.entities.iter();
    let entities = entities
        .map(|(name, count)| json!({"entity": name, "rows": count.rows, "whole": count.whole}));
    let misfits = by_count(checked).into_iter().map(|(misfit, count)| {
        json!({
            "entity": misfit.entity,
            "attribute": misfit.attribute,
            "reason": match misfit.reason {
                MisfitReason::NoColumn => "no_column",
                MisfitReason::OtherType => "other_type",
            },
            "found": misfit.found,
            "count": count,
        })
    });
    json!({
        "command": "schema check",
        "files": checked.files,
        "rows": checked.rows,
        "whole": checked.whole,
        "filtered": checked.filtered,
        "entities": entities.collect::<Vec<_>>(),
        "misfits": misfits.collect::<Vec<_>>(),
        "other_misfits": checked.other_misfits,
    })
    .to_string()
}

fn text(checked: &Checked) -> String {
    let mut text = format!(
        "{} of {} in {} fit the schema whole.",
        HumanCount(checked.whole),
        counted(checked.rows, "item"),
        counted(checked.files, "file")
    );
    if checked.filtered > 0 {
        text.push_str(&format!(
            " {} more are not kept by the shaping.",
            HumanCount(checked.filtered)
        ));
    }
    for (name, count) in &checked.entities {
        text.push_str(&format!(
            "\n{name}: {} of {}",
            HumanCount(count.whole),
            counted(count.rows, "item")
        ));
    }
    let misfits = by_count(checked);
    if !misfits.is_empty() {
        text.push_str("\nIn _extra, as often as it is there:");
    }
    for (misfit, count) in misfits.iter().take(SHOWN) {
        let Misfit {
            entity,
            attribute,
            reason,
            found,
        } = misfit;
        let reason = match reason {
            MisfitReason::NoColumn => format!("there is no such column ({found})"),
            MisfitReason::OtherType => format!("{found} does not fit the column's type"),
        };
        text.push_str(&format!(
            "\n  {:>13}  {entity}, {attribute:?}: {reason}",
            HumanCount(*count).to_string()
        ));
    }
    let more: u64 = misfits.iter().skip(SHOWN).map(|(_, count)| count).sum();
    let more = more + checked.other_misfits;
    if more > 0 {
        text.push_str(&format!(
            "\n  {:>13}  of other attributes",
            HumanCount(more).to_string()
        ));
    }
    text
}

/// The most frequent first.
fn by_count(checked: &Checked) -> Vec<(&Misfit, u64)> {
    let mut misfits: Vec<(&Misfit, u64)> = checked
        .misfits
        .iter()
        .map(|(misfit, count)| (misfit, *count))
        .collect();
    misfits.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    misfits
}
