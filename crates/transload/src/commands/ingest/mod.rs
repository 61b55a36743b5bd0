//! `transload ingest`: a CSV file into a table.

mod bar;
mod outcome;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use csv_ingester::InputError;
use records::{MappingError, RowMapping};
use storage::{StorageError, SystemClock};

use bar::Bar;
use outcome::Outcome;

use super::endpoint::{self, UnusableEndpoint};
use super::print_line;
use crate::Surroundings;
use crate::ingest::{Load, LoadError, LocalFile, LocalFileError, ingest_file};

/// Load a CSV file into a DynamoDB table
///
/// The first line names the columns; the table's keys must be among them. Commas, semicolons, tabs or bars, UTF-8 or UTF-16,
/// plain, gzip or zstd are found out by themselves. Of two rows with one key the later one wins. Beside the file appear
/// FILE.json-copy.jsonl with the accepted rows and FILE.unprocessed.jsonl with the rejected ones and why. Loading a file
/// again is safe.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct IngestArgs {
    /// The CSV file
    file: PathBuf,

    /// The table, which exists already
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// A row mapping (JSON): types, renamed, dropped and constant columns
    #[arg(long, value_name = "FILE.json")]
    mapping: Option<PathBuf>,

    /// Where DynamoDB is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Region and credentials come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and so on.
The exit code is 0 when every row is written, superseded or rejected, 1 when the load failed, 2 when the arguments cannot
be used.

Examples:
  transload ingest data.csv --table offers
  transload ingest flights.csv.gz --table flights --mapping flights-mapping.json
  transload ingest data.csv --table offers --endpoint-url http://127.0.0.1:4566 --json";

/// Why a file was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// FILE cannot be an input.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// The row mapping cannot be read.
    #[error("cannot read the row mapping {path:?}: expected a file with a JSON object")]
    UnreadMapping {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The row mapping is no row mapping.
    #[error("the row mapping {path:?} is wrong")]
    WrongMapping {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: MappingError,
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
    /// The load failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The input broke; what came before is loaded.
    #[error(
        "{path:?} is not whole: only the {rows} rows before the break were read; get the whole file and run the command again"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Rows that were read.
        rows: u64,
        /// Where it broke.
        source: InputError,
    },
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl IngestError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::File(error) => !matches!(error, LocalFileError::Unopened { .. }),
            Self::UnreadMapping { .. } | Self::WrongMapping { .. } | Self::Endpoint(_) => true,
            _ => false,
        }
    }
}

/// Loads the file and prints what became of its rows.
///
/// # Errors
/// Unusable arguments, or whatever stopped the load.
pub fn run(args: &IngestArgs, surroundings: &Surroundings) -> Result<(), IngestError> {
    let input = LocalFile::open(&args.file)?;
    let mapping = row_mapping(args.mapping.as_deref())?;
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let load = Load {
        input: &input,
        table: &args.table,
        mapping: &mapping,
        seed: surroundings.random_seed.into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(IngestError::Runtime)?;
    let loaded = runtime.block_on(async {
        let clients = storage::aws::connect(endpoint.as_deref())
            .await
            .map_err(IngestError::Connect)?;
        let tables = clients.tables();
        let mut bar = Bar::new(input.bytes(), SystemClock);
        let loaded = ingest_file(&load, &tables, &SystemClock, |progress| bar.show(progress));
        Ok::<_, IngestError>(loaded.await?)
    })?;
    let outcome = Outcome {
        args,
        bytes: input.bytes(),
        loaded: &loaded,
        took: surroundings.started.elapsed(),
    };
    print(&outcome)?;
    if let Some(text) = outcome.warning() {
        eprintln!("{text}");
    }
    match loaded.broken {
        Some(source) => Err(IngestError::Broken {
            path: args.file.clone(),
            rows: loaded.counts.read,
            source,
        }),
        None => Ok(()),
    }
}

fn row_mapping(path: Option<&Path>) -> Result<RowMapping, IngestError> {
    let Some(path) = path else {
        return Ok(RowMapping::default());
    };
    let text = fs::read_to_string(path).map_err(|source| IngestError::UnreadMapping {
        path: path.to_owned(),
        source,
    })?;
    RowMapping::parse(&text).map_err(|source| IngestError::WrongMapping {
        path: path.to_owned(),
        source,
    })
}

fn print(outcome: &Outcome<'_>) -> Result<(), IngestError> {
    let text = if outcome.args.json {
        outcome.json()
    } else {
        outcome.text()
    };
    print_line(&text).map_err(IngestError::Stdout)
}
