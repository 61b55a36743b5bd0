//! `transload replay`: the merged state of a change log into a table.

mod bar;
mod outcome;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use storage::{StorageError, SystemClock};

use super::endpoint::{self, UnusableEndpoint};
use super::print_line;
use crate::Surroundings;
use crate::change_log::Log;
use crate::replay::{Mode, Replay, ReplayError, Replayed, replay, replay_into_file};
use bar::Bar;
use outcome::Outcome;

/// Writes a second into a table that lives, unless told otherwise.
const DEFAULT_RATE: u32 = 1_000;

/// Write the state of a table, as its change log in the lake tells it, into a table
///
/// The state is that of the newest complete snapshot in the log, and of everything after it, before --until: each item as it
/// was last, and none of those that were removed. Everything is read and merged before the first item is written; a line that
/// cannot be read stops the command before that.
///
/// Without --version-attribute the table must be empty, and nobody else may write it meanwhile. A replay that was stopped is
/// repeated with --again. The file --marker says which it was, the same table, log and --until; what else is in the table is not
/// looked at. The log must have been complete up to --until at the first try (or, without it, when it was read): what has come
/// in since of the time before may have removed items that the first try put, and they stay.
///
/// With --version-attribute the table may be in use: an item is put only where the table has none or one with a smaller version,
/// and a removed item is deleted only where the table's version is not greater than its last one. The attribute must grow with
/// each write of an item, also when it is made anew after a removal; numbers are compared as numbers, texts by their bytes. An
/// item that is absent from the table is put, even if somebody deleted it after --until or, as the log lags by a minute to hours,
/// after the log's last record of it: the table keeps no trace of that. Where the table throttles, the command waits, up to two
/// minutes without any progress. Running the command again is safe.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// The lake bucket, which the log is in: output LakeBucket of the stack
    #[arg(long, value_parser = super::bucket_name)]
    bucket: String,

    /// The table that the log is of
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// The table that is written, unless --dry-run; it exists already, with the same keys
    #[arg(long, value_name = "TABLE", value_parser = NonEmptyStringValueParser::new(), required_unless_present = "dry_run", conflicts_with = "dry_run")]
    into: Option<String>,

    /// The state before this time, in whole seconds, such as 2026-11-20T10:00:00Z [default: all that the log has]
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Timestamp>,

    /// Write into a table in use: only over items in which this attribute is smaller
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["again", "dry_run"])]
    version_attribute: Option<String>,

    /// The most writes a second with --version-attribute [default: 1000]
    #[arg(long, value_name = "WRITES", value_parser = clap::value_parser!(u32).range(1..=40_000), requires = "version_attribute")]
    rate: Option<u32>,

    /// Go on with a replay that was stopped: its marker is there, and the table holds nothing but what it has put
    #[arg(long, conflicts_with = "dry_run")]
    again: bool,

    /// Where it is kept which replay fills the table; removed at the end [default: INTO.replay.json in the current folder]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["version_attribute", "dry_run"])]
    marker: Option<PathBuf>,

    /// Write the items into a file, one line of DynamoDB JSON each, and nothing into a table
    #[arg(long, requires = "output")]
    dry_run: bool,

    /// The file of --dry-run
    #[arg(
        long,
        short,
        value_name = "FILE",
        requires = "dry_run",
        conflicts_with = "into"
    )]
    output: Option<PathBuf>,

    /// Where the items go that DynamoDB refuses, with the reasons [default: INTO.unprocessed.jsonl]
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    unprocessed: Option<PathBuf>,

    /// Where S3 and DynamoDB are, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Region and credentials come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and so on.
The lines that take part are kept in the folder for temporary files (TMPDIR) while the command runs, compressed.

Examples:
  transload replay --bucket my-lake --table offers --into offers-restored
  transload replay --bucket my-lake --table offers --into offers-restored --until 2026-11-20T10:00:00Z
  transload replay --bucket my-lake --table offers --into offers-restored --again
  transload replay --bucket my-lake --table offers --into offers --until 2026-11-20T10:00:00Z --version-attribute version
  transload replay --bucket my-lake --table offers --dry-run -o offers.jsonl";

fn parse_until(text: &str) -> Result<Timestamp, String> {
    text.parse::<Timestamp>()
        .ok()
        .filter(|time| time.subsec_nanosecond() == 0 && time.as_second() >= 0)
        .ok_or_else(|| {
            "expected an ISO time with an offset and without parts of a second, such as 2026-11-20T10:00:00Z"
                .to_owned()
        })
}

/// Why a log was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayCommandError {
    /// The environment names an unusable endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnusableEndpoint),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error(transparent)]
    Connect(StorageError),
    /// The replay failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl ReplayCommandError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Endpoint(_) => true,
            Self::Replay(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// Replays the log and prints what became of its keys.
///
/// # Errors
/// Unusable arguments, or whatever stopped the replay.
pub fn run(args: &ReplayArgs, surroundings: &Surroundings) -> Result<(), ReplayCommandError> {
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ReplayCommandError::Runtime)?;
    let replayed = runtime.block_on(work(args, endpoint.as_deref(), surroundings.random_seed))?;
    let outcome = Outcome {
        args,
        replayed: &replayed,
        took: surroundings.started.elapsed(),
    };
    let text = match args.json {
        true => outcome.json(),
        false => outcome.text(),
    };
    print_line(&text).map_err(ReplayCommandError::Stdout)?;
    if let Some(text) = outcome.warning() {
        eprintln!("{text}");
    }
    Ok(())
}

async fn work(
    args: &ReplayArgs,
    endpoint: Option<&str>,
    seed: u32,
) -> Result<Replayed, ReplayCommandError> {
    let clients = storage::aws::connect(endpoint)
        .await
        .map_err(ReplayCommandError::Connect)?;
    let log = Log::new(Rc::new(clients.objects()), &args.bucket, &args.table);
    let until = args
        .until
        .map(|time| time.as_second().try_into().unwrap_or_default());
    let mut bar = Bar::new(SystemClock);
    let on_progress = |progress: &_| bar.show(progress);
    let Some(table) = &args.into else {
        let output = args.output.as_deref().expect("--dry-run requires --output");
        return Ok(replay_into_file(&log, until, output, on_progress).await?);
    };
    let unprocessed = match &args.unprocessed {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{table}.unprocessed.jsonl")),
    };
    let marker = match &args.marker {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{table}.replay.json")),
    };
    let job = Replay {
        table,
        until,
        mode: mode(args),
        marker: &marker,
        unprocessed: &unprocessed,
        seed: seed.into(),
    };
    Ok(replay(&job, &log, &clients.tables(), &SystemClock, on_progress).await?)
}

fn mode(args: &ReplayArgs) -> Mode<'_> {
    match (&args.version_attribute, args.again) {
        (Some(version), _) => Mode::Living {
            version,
            per_second: args.rate.unwrap_or(DEFAULT_RATE),
        },
        (None, true) => Mode::Again,
        (None, false) => Mode::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_whole_second_with_an_offset() {
        for good in ["2026-11-20T10:00:00Z", "2026-11-20T12:00:00+02:00"] {
            let time = parse_until(good).unwrap();
            assert_eq!(time.as_second(), 1_795_168_800);
        }
        for bad in [
            "2026-11-20T10:00:00",
            "2026-11-20",
            "yesterday",
            "2026-11-20T10:00:00.5Z",
            "1969-01-01T00:00:00Z",
        ] {
            assert!(parse_until(bad).is_err(), "{bad}");
        }
    }
}
