//! `transload touch`: a small write to every item of a table.

mod bar;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use indicatif::HumanCount;
use records::{Number, Value};
use serde_json::json;
use storage::{StorageError, SystemClock};

use super::endpoint::{self, UnusableEndpoint};
use super::print_line;
use crate::Surroundings;
use crate::touch::{Job, TouchError, Touched, touch};
use crate::wording::count_line;
use bar::Bar;

/// Write one attribute of every item, so that each item appears on the table's stream
///
/// An export is better wherever it will do: it holds every item as of one second, writes nothing, takes nothing of the table's
/// capacity and costs a fraction. Touch a table where something that reads its stream has to see
/// every item.
///
/// What it costs: each item is written, which takes one write unit for each KB of the whole item, rounded up, and as much
/// again for each index that holds the attribute; the scan takes half a read unit for each 4 KB; and everything that reads the
/// stream gets a record for each item. One million items of 1 KB are about 0.63 dollars and, at the default pace, three hours.
///
/// Items are written at an even pace of --rate a second at the most (and read at as many read units a second). Beside
/// other traffic a table notices that little if --rate times the size of an item in KB is far below what it has to spare; no
/// partition takes more than 1,000 write units a second. A table that throttles stops the command.
///
/// Never name the table's TTL attribute: with a number in it that is a time in the past, DynamoDB deletes every item.
///
/// An item that is gone when its turn comes stays gone, and one that holds the value already is not written. Run again, the
/// command goes on from the checkpoint. A new value touches every item anew.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct TouchArgs {
    /// The table, which has a stream
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// The attribute that is written; no key of the table or of an index, best one that nothing reads
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    attribute: String,

    /// What it is set to; items that hold it already are not written
    #[arg(long, allow_hyphen_values = true)]
    value: String,

    /// The type of the value
    #[arg(long, value_name = "TYPE", default_value = "S")]
    value_type: ValueType,

    /// The most writes a second, up to 1000
    #[arg(long, value_name = "WRITES", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,

    /// Into how many segments the table is cut, which are written by turns: more of them spread a high rate over the partitions
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    segments: u32,

    /// Where it is kept how far this has come; removed at the end [default: TABLE.touch.json]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// Where DynamoDB is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

/// The type of a value that is given as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
enum ValueType {
    /// Text
    S,
    /// A number
    N,
}

const EXAMPLES: &str = "\
Region and credentials come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and so on.

Examples:
  transload touch --table offers --attribute touched --value 2026-11-20
  transload touch --table offers --attribute touched --value 7 --value-type N --rate 500 --segments 16";

/// Why a table was not touched.
#[derive(Debug, thiserror::Error)]
pub enum TouchCommandError {
    /// The value is not of its type.
    #[error("--value {text:?} cannot be used with --value-type N: {source}")]
    Value {
        /// The value.
        text: String,
        /// What is wrong with it.
        source: records::NumberError,
    },
    /// The environment names an unusable endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnusableEndpoint),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error(transparent)]
    Connect(StorageError),
    /// The touch failed.
    #[error(transparent)]
    Touch(#[from] TouchError),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl TouchCommandError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Value { .. } | Self::Endpoint(_) => true,
            Self::Touch(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// Touches the table and prints what became of its items.
///
/// # Errors
/// Unusable arguments, or whatever stopped the touch.
pub fn run(args: &TouchArgs, surroundings: &Surroundings) -> Result<(), TouchCommandError> {
    let value = value(args)?;
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let checkpoint = match &args.checkpoint {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.touch.json", args.table)),
    };
    let job = Job {
        table: &args.table,
        attribute: &args.attribute,
        value: &value,
        per_second: args.rate,
        segments: args.segments,
        checkpoint: &checkpoint,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TouchCommandError::Runtime)?;
    let touched = runtime.block_on(async {
        let clients = storage::aws::connect(endpoint.as_deref())
            .await
            .map_err(TouchCommandError::Connect)?;
        let mut bar = Bar::new(SystemClock);
        let on_progress = |progress: &_| bar.show(progress);
        let touched = touch(&job, &clients.tables(), &SystemClock, on_progress).await?;
        Ok::<_, TouchCommandError>(touched)
    })?;
    let took = surroundings.started.elapsed();
    let text = match args.json {
        true => json_text(args, &touched, took),
        false => text(args, &touched, took),
    };
    print_line(&text).map_err(TouchCommandError::Stdout)?;
    if let Some(reason) = &touched.first_refusal {
        eprintln!(
            "warning: {} items were not touched, as DynamoDB refused it; the reason for the first: {reason}",
            HumanCount(touched.counts.refused)
        );
    }
    Ok(())
}

fn value(args: &TouchArgs) -> Result<Value, TouchCommandError> {
    let text = &args.value;
    match args.value_type {
        ValueType::S => Ok(Value::S(text.clone())),
        ValueType::N => {
            Number::parse(text)
                .map(Value::N)
                .map_err(|source| TouchCommandError::Value {
                    text: text.clone(),
                    source,
                })
        }
    }
}

fn json_text(args: &TouchArgs, touched: &Touched, took: Duration) -> String {
    let counts = touched.counts;
    json!({
        "command": "touch",
        "table": args.table,
        "attribute": args.attribute,
        "value": args.value,
        "resumed": touched.resumed,
        "seen": counts.seen,
        "touched": counts.touched,
        "held_already": counts.held,
        "gone": counts.gone,
        "refused": counts.refused,
        "seconds": took.as_millis() as f64 / 1000.0,
    })
    .to_string()
}

fn text(args: &TouchArgs, touched: &Touched, took: Duration) -> String {
    let counts = touched.counts;
    let mut text = format!(
        "{} of {} in {}.{:03} s{}:",
        args.attribute,
        args.table,
        took.as_secs(),
        took.subsec_millis(),
        if touched.resumed {
            " (an earlier try was gone on with, and its items are counted)"
        } else {
            ""
        },
    );
    for (count, what) in [
        (counts.seen, "items seen"),
        (counts.touched, "touched"),
        (counts.held, "held the value already"),
        (counts.gone, "gone meanwhile"),
        (counts.refused, "refused by DynamoDB"),
    ] {
        text.push_str(&format!("\n{}", count_line(count, what)));
    }
    text
}
