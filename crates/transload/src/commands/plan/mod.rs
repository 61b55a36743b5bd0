//! `transload plan`: what is in a source, and which way it had better go into a table.

mod outcome;

pub(super) use outcome::hot_text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::builder::NonEmptyStringValueParser;
use records::TableShape;
use storage::aws::AwsClients;
use storage::{ErrorKind, StorageError, SystemClock, TableStore};

use super::endpoint::{self, UnusableEndpoint};
use super::print_line;
use super::reading_bar::ReadingBar;
use crate::Surroundings;
use crate::advice::Advice;
use crate::plan::{Prices, PricesError, Target, compare};
use crate::preflight::{
    Address, IndexSpec, KeySpec, PreflightError, Projection, SourceError, SourceSet, preflight,
    table_shape,
};
use outcome::Outcome;

/// What a source is planned for where no table has been named: names do not matter for a plan.
const NO_TABLE: &str = "the-table";

const ADVICE: Advice = Advice {
    option: "--table",
    rights: "dynamodb:DescribeTable on it",
    throttled: ": try again later",
};

/// Say what is in a source of rows, and which way it had better go into a table
///
/// Reads the source once, in memory that does not grow with it, and writes nothing. Compares ingest (BatchWriteItem), import
/// (ImportTable, into a new table) and bulk put (StartBulkPutItems, DynamoDB JSON into a table that is there): time, dollars,
/// and what each does to rows with one key and to rows that are no items. Figures that AWS does not state are assumptions, and
/// called so; prices are those of one dated file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// A CSV file or lines of DynamoDB JSON, plain, gzip or zstd: a path, s3://BUCKET/KEY or s3://BUCKET/PREFIX/
    #[arg(value_name = "FILE", value_parser = Address::parse)]
    source: Address,

    /// A table that is there, whose keys and indexes are taken
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), required_unless_present = "key")]
    table: Option<String>,

    /// The keys of a new table, such as id:S or account:S,offer:N
    #[arg(long, value_name = "KEY[:TYPE][,SORT[:TYPE]]", value_parser = KeySpec::parse, conflicts_with = "table")]
    key: Option<KeySpec>,

    /// A global secondary index of a new table, with keys only; may be there more than once
    #[arg(long, value_name = "NAME:KEY[:TYPE][,SORT[:TYPE]]", value_parser = IndexSpec::parse, requires = "key")]
    index: Vec<IndexSpec>,

    /// Prices and assumptions as a JSON file, in place of those that came with the program
    #[arg(long, value_name = "FILE.json")]
    prices: Option<PathBuf>,

    /// Where AWS is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
A file of this machine with --key needs no credentials. s3:// needs s3:ListBucket and s3:GetObject, --table needs
dynamodb:DescribeTable.

Examples:
  transload plan ids.csv --key id:S --index processed-index:processed:S
  transload plan s3://my-lake/rows/ --table offers --json";

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Keys and indexes contradict one another.
    #[error("--key and --index cannot be used together like this: {0}")]
    Shape(String),
    /// The prices cannot be read.
    #[error("cannot read the prices {path:?}: expected a JSON file")]
    UnreadPrices {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The prices are written otherwise.
    #[error("the prices {path:?} cannot be used")]
    WrongPrices {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PricesError,
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
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no such table.
    #[error("there is no table {0}: name its keys, --key id:S, for one that is to be made")]
    NoTable(String),
    /// The table's keys cannot be found out.
    #[error("{}", ADVICE.about(table, source.kind()))]
    Table {
        /// The table.
        table: String,
        /// The store's answer.
        source: StorageError,
    },
    /// The source could not be read.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl PlanError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Shape(_)
            | Self::UnreadPrices { .. }
            | Self::WrongPrices { .. }
            | Self::Endpoint(_)
            | Self::NoTable(_) => true,
            Self::Source(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// Reads the source and prints what was found, and the comparison.
///
/// # Errors
/// Unusable arguments, or a source that cannot be read.
pub fn run(args: &PlanArgs, surroundings: &Surroundings) -> Result<(), PlanError> {
    let prices = prices(args.prices.as_deref())?;
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(PlanError::Runtime)?;
    let (found, target) = runtime.block_on(async {
        let needs_aws = args.table.is_some() || matches!(args.source, Address::Objects { .. });
        let clients = match needs_aws {
            true => Some(
                storage::aws::connect(endpoint.as_deref())
                    .await
                    .map_err(PlanError::Connect)?,
            ),
            false => None,
        };
        let (shape, projection) = shape(args, clients.as_ref()).await?;
        let target = Target {
            exists: args.table.is_some(),
            upload: matches!(args.source, Address::File(_)),
        };
        let mut bar = ReadingBar::new(SystemClock);
        let sources = match (&args.source, &clients) {
            (Address::File(path), _) => SourceSet::of_file(path)?,
            (Address::Objects { bucket, prefix }, Some(clients)) => {
                SourceSet::of_objects(&Rc::new(clients.objects()), bucket, prefix).await?
            }
            (Address::Objects { .. }, None) => unreachable!("it has been connected"),
        };
        let found = preflight(&sources, &shape, projection, |at| {
            bar.show(at.bytes_done, at.bytes_total, at.rows);
        })
        .await?;
        Ok::<_, PlanError>((found, target))
    })?;
    let outcome = Outcome {
        source: &args.source,
        preflight: &found,
        plan: &compare(&found, target, &prices),
        prices: &prices,
    };
    let text = match args.json {
        true => outcome.json(),
        false => outcome.text(),
    };
    print_line(&text).map_err(PlanError::Stdout)
}

fn prices(path: Option<&Path>) -> Result<Prices, PlanError> {
    let Some(path) = path else {
        return Ok(Prices::built_in());
    };
    let text = fs::read_to_string(path).map_err(|source| PlanError::UnreadPrices {
        path: path.to_owned(),
        source,
    })?;
    Prices::parse(&text).map_err(|source| PlanError::WrongPrices {
        path: path.to_owned(),
        source,
    })
}

async fn shape(
    args: &PlanArgs,
    clients: Option<&AwsClients>,
) -> Result<(TableShape, Projection), PlanError> {
    if let Some(key) = &args.key {
        let shape = table_shape(NO_TABLE, key, &args.index).map_err(PlanError::Shape)?;
        return Ok((shape, Projection::KeysOnly));
    }
    let (Some(table), Some(clients)) = (&args.table, clients) else {
        unreachable!("one of --key and --table is demanded");
    };
    match clients.tables().describe(table).await {
        // What its indexes project is not known: an entry counts as the whole item, which is the most that it can be.
        Ok(shape) => Ok((shape, Projection::All)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(PlanError::NoTable(table.clone())),
        Err(source) => Err(PlanError::Table {
            table: table.clone(),
            source,
        }),
    }
}
