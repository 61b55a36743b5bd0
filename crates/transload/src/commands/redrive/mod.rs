//! `transload redrive`: items that were set aside become pending again.

mod bar;
#[cfg(test)]
mod tests;

use std::io;

use clap::builder::NonEmptyStringValueParser;
use gsi_reprocessor::{DoneBy, Markers, Redrive, Redriven, check_index, redrive};
use indicatif::HumanCount;
use serde_json::json;
use storage::{StorageError, SystemClock, TableStore};

use super::endpoint::{self, UnusableEndpoint};
use super::print_line;
use crate::Surroundings;
use crate::advice::Advice;
use bar::Bar;

/// Items that are changed at the same time.
const CONCURRENCY: usize = 32;

const ADVICE: Advice = Advice {
    option: "--table",
    rights: "dynamodb:DescribeTable and UpdateItem on it and Query on its index",
    throttled: ": wait, and run the command again, which goes on with the items that are left",
};

/// Make items pending again that gsi-reprocessor has set aside
///
/// An item whose processing failed MAX_TRIES times carries the failed marker, and the lake's
/// unprocessed/reprocess/table=TABLE/KEY.json says why. Mend what was wrong, in the item or in the process, then put the items back:
/// each gets the pending marker and all its tries. The next run, or the drain, takes them. The object with the reason is deleted
/// when its item is done.
///
/// An item that somebody else has changed meanwhile, so that it is not set aside any more, is left alone. The command can be run
/// again at any time.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RedriveArgs {
    /// The table
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// The index of the marker, as the function has it
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    index: String,

    /// The marker attribute
    #[arg(long, value_name = "ATTRIBUTE", default_value = "processed", value_parser = NonEmptyStringValueParser::new())]
    marker: String,

    /// The marker of pending items; with several lanes as in false#{shard:02}
    #[arg(long, value_name = "TEXT", default_value = "false", value_parser = NonEmptyStringValueParser::new())]
    pending: String,

    /// The marker of items that were set aside; with several lanes as in failed#{shard:02}
    #[arg(long, value_name = "TEXT", default_value = "failed", value_parser = NonEmptyStringValueParser::new())]
    failed: String,

    /// How many lanes there are
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    lanes: u32,

    /// Only count the items
    #[arg(long)]
    dry_run: bool,

    /// Where DynamoDB is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Region and credentials come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and so on.

Examples:
  transload redrive --table offers --index processed-index --dry-run
  transload redrive --table offers --index processed-index
  transload redrive --table offers --index marker-index --marker marker --pending 'false#{shard:02}' --failed 'failed#{shard:02}' --lanes 16";

/// Why items were not put back.
#[derive(Debug, thiserror::Error)]
pub enum RedriveCommandError {
    /// The markers cannot be told apart, or are none.
    #[error("{option} {value:?}: expected {expected}")]
    Markers {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What was expected.
        expected: &'static str,
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
    /// The index cannot find items by this marker.
    #[error("{0}")]
    Index(String),
    /// The table cannot be read or written.
    #[error("{advice}")]
    Table {
        /// What can be done about it.
        advice: String,
        /// The store's error.
        source: StorageError,
    },
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl RedriveCommandError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Markers { .. } | Self::Endpoint(_) | Self::Index(_)
        )
    }
}

/// Puts the items back and prints how many.
///
/// # Errors
/// Unusable arguments, or whatever the table could not do.
pub fn run(args: &RedriveArgs, surroundings: &Surroundings) -> Result<(), RedriveCommandError> {
    let markers = markers(args)?;
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RedriveCommandError::Runtime)?;
    let redriven = runtime.block_on(async {
        let clients = storage::aws::connect(endpoint.as_deref())
            .await
            .map_err(RedriveCommandError::Connect)?;
        put_back(args, &markers, &clients.tables()).await
    })?;
    let text = match args.json {
        true => json_text(args, redriven),
        false => text(args, redriven),
    };
    print_line(&text).map_err(RedriveCommandError::Stdout)
}

async fn put_back<T: TableStore + storage::ItemStore>(
    args: &RedriveArgs,
    markers: &Markers,
    tables: &T,
) -> Result<Redriven, RedriveCommandError> {
    let refused = |source: StorageError| RedriveCommandError::Table {
        advice: ADVICE.about(&args.table, source.kind()),
        source,
    };
    let table = tables.describe(&args.table).await.map_err(refused)?;
    check_index(&table, &args.index, &args.marker).map_err(RedriveCommandError::Index)?;
    let order = |dry_run| Redrive {
        table: &table,
        index: &args.index,
        markers,
        concurrency: CONCURRENCY,
        dry_run,
    };
    // Counted first, so that the bar knows how many there are.
    let found = redrive(tables, order(true), |_| {})
        .await
        .map_err(refused)?;
    if args.dry_run || found.found == 0 {
        return Ok(found);
    }
    let mut bar = Bar::new(found.found, SystemClock);
    redrive(tables, order(false), |redriven| bar.show(redriven))
        .await
        .map_err(refused)
}

fn markers(args: &RedriveArgs) -> Result<Markers, RedriveCommandError> {
    // What becomes of an item that is done plays no part here.
    let done = DoneBy::Remove;
    Markers::new(
        &args.marker,
        &args.pending,
        "done",
        &args.failed,
        done,
        args.lanes,
    )
    .map_err(|fault| RedriveCommandError::Markers {
        option: match fault.variable {
            "PENDING_MARKER" => "--pending",
            _ => "--failed",
        },
        value: fault.value,
        expected: fault.expected,
    })
}

fn json_text(args: &RedriveArgs, redriven: Redriven) -> String {
    json!({
        "command": "redrive",
        "table": args.table,
        "index": args.index,
        "dry_run": args.dry_run,
        "found": redriven.found,
        "put_back": redriven.put_back,
        "changed_meanwhile": redriven.changed,
    })
    .to_string()
}

fn text(args: &RedriveArgs, redriven: Redriven) -> String {
    let found = HumanCount(redriven.found);
    let table = &args.table;
    if redriven.found == 0 {
        return format!("No item of {table} is set aside.");
    }
    if args.dry_run {
        return format!(
            "{found} items of {table} are set aside; without --dry-run they become pending again."
        );
    }
    let mut text = format!(
        "{} of {found} items of {table} are pending again; the next run or the drain takes them.",
        HumanCount(redriven.put_back)
    );
    if redriven.changed > 0 {
        text.push_str(&format!(
            "\n{} were not set aside any more when their turn came, and were left alone.",
            HumanCount(redriven.changed)
        ));
    }
    text
}
