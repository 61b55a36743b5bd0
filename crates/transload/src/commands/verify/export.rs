//! `transload verify export`: whether an export is whole, and what differs from it.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use clap::builder::NonEmptyStringValueParser;
use records::TableShape;
use storage::aws::{AwsClients, AwsObjects, AwsTables};
use storage::{Clock, StorageError, SystemClock, TableStore};

use super::export_outcome::Outcome;
use crate::Surroundings;
use crate::advice::Advice;
use crate::commands::endpoint::{self, UnusableEndpoint};
use crate::commands::paced_bar::PacedBar;
use crate::commands::{note, print_line, threads};
use crate::export_source::{ExportSource, ExportSourceError, ReadProgress};
use crate::verify_export::{Against, Report, ScanOptions, Stage, Task, VerifyExportError, verify};

const ADVICE: Advice = Advice {
    option: "--table",
    rights: "dynamodb:DescribeTable and Scan (with --sample GetItem) on it",
    throttled: ": wait, and run the command again with a lower --read-units",
};

/// Verify that an export is whole, and say what differs from it in a table or in another export
///
/// Verifies the checksums (MD5) and item counts of an export's manifests and files. With --table it then compares every item with
/// those of the live table, with OTHER with those of a second export. Numbers are compared as numbers, sets and attributes in any
/// order: 1 and 1.0 are equal. Nothing is written anywhere.
///
/// Both sides are read once and summed up by the hash of the key, in memory that does not grow with them; only where sums differ
/// they are read again, to name the keys. So a table that differs is scanned twice, and paid for twice.
///
/// A table lives on: items that were written since the time of the export differ by right.
///
/// Of incremental exports, keys and new images are compared; these cannot be compared with a table.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The export in DYNAMODB_JSON: its folder s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID/ or manifest-summary.json, or a copy of it on this machine
    #[arg(value_name = "EXPORT", value_parser = NonEmptyStringValueParser::new())]
    export: String,

    /// Another export, which it is compared with
    #[arg(value_name = "OTHER", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "table")]
    other: Option<String>,

    /// The table that it is compared with
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    table: Option<String>,

    /// Verify the manifests and look for the files, but do not read these
    #[arg(long, conflicts_with_all = ["table", "other"])]
    quick: bool,

    /// Read so many items of the export from the table one by one (GetItem), in place of scanning it: the same ones in every run
    #[arg(long, value_name = "ITEMS", requires = "table", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: Option<u32>,

    /// Scan with consistent reads, at twice the price
    #[arg(long, requires = "table", conflicts_with = "sample")]
    consistent: bool,

    /// The most read units a second of the scan, or reads a second of the sample [default: all that the table gives]
    #[arg(long, value_name = "UNITS", requires = "table", value_parser = clap::value_parser!(u32).range(1..))]
    read_units: Option<u32>,

    /// Segments of the table that are scanned at a time
    #[arg(long, default_value = "8", requires = "table", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    segments: u32,

    /// The key attributes of the items, where two full exports are compared [default: those of the export's table]
    #[arg(long, value_name = "NAME[,SORT]", value_delimiter = ',', num_args = 1..=2, value_parser = NonEmptyStringValueParser::new(), conflicts_with = "table")]
    key: Option<Vec<String>>,

    /// The most differing keys that are shown
    #[arg(long, value_name = "KEYS", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    max_differences: u32,

    /// Show the values of attributes that differ, and not only their names
    #[arg(long)]
    values: bool,

    /// Where AWS is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Region and credentials come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and so on; they need s3:GetObject
(and s3:ListBucket, so that what is missing is told from what is denied), and for --table dynamodb:DescribeTable and
dynamodb:Scan (with --sample dynamodb:GetItem).
The exit code is 0 when the export is whole and nothing differs, 1 when it is not or something does, 2 when it could not be
verified or the arguments cannot be used.

Examples:
  transload verify export s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/
  transload verify export s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/ --table offers --read-units 500
  transload verify export s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/ --table offers --sample 1000
  transload verify export copies/01790000000000-0a1c3e57 s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/ --key id";

/// Why nothing was verified, or what came of it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyExportCommandError {
    /// The export was verified, and something differs.
    #[error("the export and {0} differ; the standard output says in what")]
    Differs(String),
    /// The environment names an unusable endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnusableEndpoint),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error(transparent)]
    Connect(StorageError),
    /// The table cannot be described or read.
    #[error("{advice}")]
    Table {
        /// What can be done about it.
        advice: String,
        /// The store's error.
        source: StorageError,
    },
    /// The export is not whole, or cannot be verified or compared.
    #[error(transparent)]
    Verify(#[from] VerifyExportError),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl VerifyExportCommandError {
    /// 1 when the export is not whole or something differs, 2 when nothing can be said.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Differs(_) => 1,
            Self::Verify(VerifyExportError::Export(error)) if error.is_fault_of_export() => 1,
            _ => 2,
        }
    }
}

/// Verifies and prints what was found.
///
/// # Errors
/// Unusable arguments, whatever stopped it, or something that is wrong or differs.
pub(super) fn run(
    args: &ExportArgs,
    surroundings: &Surroundings,
) -> Result<(), VerifyExportCommandError> {
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(VerifyExportCommandError::Runtime)?;
    let (a, b, report) = runtime.block_on(compare(args, endpoint.as_deref()))?;
    let outcome = Outcome {
        a: &a,
        b: b.as_ref(),
        table: args.table.as_deref(),
        sample: args.sample,
        consistent: args.consistent,
        values: args.values,
        report: &report,
    };
    for name in outcome.without_checksum() {
        note(format_args!(
            "warning: {name} has no checksum beside it, so only its counts were verified: expected one, as DynamoDB writes it"
        ));
    }
    let text = match args.json {
        true => outcome.json(),
        false => outcome.text(),
    };
    print_line(&text).map_err(VerifyExportCommandError::Stdout)?;
    match report.is_equal() {
        true => Ok(()),
        false => Err(VerifyExportCommandError::Differs(outcome.other())),
    }
}

type Source = ExportSource<AwsObjects>;

async fn compare(
    args: &ExportArgs,
    endpoint: Option<&str>,
) -> Result<(Source, Option<Source>, Report), VerifyExportCommandError> {
    let mut aws = Aws {
        endpoint,
        clients: None,
    };
    let a = aws.open(&args.export).await?;
    let b = match &args.other {
        Some(other) => Some(aws.open(other).await?),
        None => None,
    };
    let mut key_names = args.key.clone();
    if let (Some(_), None) = (&b, &key_names)
        && !a.is_incremental().await.map_err(VerifyExportError::from)?
    {
        key_names = Some(aws.keys_of(&a).await?);
    }
    let table = match &args.table {
        Some(table) => Some(aws.table(table).await?),
        None => None,
    };
    let against = match (&b, &table, args.sample) {
        (Some(b), ..) => Against::Export(b),
        (None, Some((tables, shape)), Some(items)) => Against::Sample {
            tables,
            shape,
            items: items as usize,
            reads: args.read_units,
        },
        (None, Some((tables, shape)), None) => Against::Table {
            tables,
            shape,
            scan: ScanOptions {
                segments: args.segments,
                consistent: args.consistent,
                read_units: args.read_units,
            },
        },
        (None, None, _) => Against::Manifests { quick: args.quick },
    };
    let task = Task {
        a: &a,
        against,
        key_names,
        max_differences: args.max_differences as usize,
        threads: threads(),
        clock: &SystemClock,
    };
    let mut bar = Bar::new(SystemClock);
    let report = verify(&task, |stage, progress| bar.show(stage, progress)).await;
    let report = report.map_err(|error| match (error, &args.table) {
        (VerifyExportError::Table(source), Some(table)) => VerifyExportCommandError::Table {
            advice: ADVICE.about(table, source.kind()),
            source,
        },
        (error, _) => error.into(),
    })?;
    drop(bar);
    drop(task);
    Ok((a, b, report))
}

/// Connected when it is first needed: exports of this machine need no credentials.
struct Aws<'a> {
    endpoint: Option<&'a str>,
    clients: Option<AwsClients>,
}

impl Aws<'_> {
    async fn clients(&mut self) -> Result<&AwsClients, VerifyExportCommandError> {
        if self.clients.is_none() {
            let connected = storage::aws::connect(self.endpoint).await;
            self.clients = Some(connected.map_err(VerifyExportCommandError::Connect)?);
        }
        Ok(self.clients.as_ref().expect("they are there now"))
    }

    async fn open(&mut self, address: &str) -> Result<Source, VerifyExportCommandError> {
        let opened: Result<Source, ExportSourceError> = match address.starts_with("s3://") {
            true => {
                let objects = Rc::new(self.clients().await?.objects());
                ExportSource::of_objects(objects, address).await
            }
            false => ExportSource::of_paths(&[PathBuf::from(address)]).await,
        };
        Ok(opened.map_err(VerifyExportError::from)?)
    }

    async fn table(
        &mut self,
        table: &str,
    ) -> Result<(AwsTables, TableShape), VerifyExportCommandError> {
        let tables = self.clients().await?.tables();
        match tables.describe(table).await {
            Ok(shape) => Ok((tables, shape)),
            Err(source) => Err(VerifyExportCommandError::Table {
                advice: ADVICE.about(table, source.kind()),
                source,
            }),
        }
    }

    /// The names of the key attributes of the table that was exported.
    async fn keys_of(&mut self, export: &Source) -> Result<Vec<String>, VerifyExportCommandError> {
        let unknown = || VerifyExportError::NoKeys(export.name().to_owned());
        let manifest = export.manifest().ok_or_else(unknown)?;
        // Whatever keeps the table from being described, naming the keys helps.
        let described = self.table(manifest.summary.table()).await;
        let (_, shape) = described.map_err(|_| unknown())?;
        Ok(shape.keys().map(|key| key.name.clone()).collect())
    }
}

struct Bar<C> {
    bar: PacedBar<C>,
    stage: Option<Stage>,
}

impl<C: Clock> Bar<C> {
    fn new(clock: C) -> Self {
        let template = "{msg}: {bar:20} {percent}%, {left} left";
        Self {
            bar: PacedBar::new(template, 1, clock),
            stage: None,
        }
    }

    fn show(&mut self, stage: Stage, progress: ReadProgress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        if self.stage != Some(stage) {
            // What one stage took says nothing of the next.
            bar.set_position(0);
            bar.reset_eta();
            self.stage = Some(stage);
        }
        let reading = match stage {
            Stage::A => "reading the export",
            Stage::B => "reading the other export",
            Stage::Table => "reading the table",
            Stage::Again => "reading again what differs",
        };
        let items = indicatif::HumanCount(progress.items);
        bar.set_message(format!("{reading}, {items} items"));
        bar.set_length(progress.all.max(progress.done));
        bar.set_position(progress.done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert_eq!(Bar::new(SystemClock).bar.length(), Some(1));
    }
}
