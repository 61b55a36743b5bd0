//! `transload import`: a source into a new table, by ImportTable.

mod bar;
mod outcome;

use std::io;
use std::rc::Rc;

use clap::ValueEnum;
use records::TableShape;
use storage::aws::AwsClients;
use storage::{StorageError, SystemClock};

use super::endpoint::{self, UnusableEndpoint};
use super::reading_bar::ReadingBar;
use super::{note, print_line};
use crate::Surroundings;
use crate::import::{
    Accepted, Begun, Ending, Following, ImportError, Machine, Order, OtherRegion, Report, begin,
    follow, key_of, place_file, refusals, table_exists,
};
use crate::ingest::{LocalFile, LocalFileError};
use crate::plan::{Prices, Target, compare};
use crate::preflight::{
    Address, Format, IndexSpec, KeySpec, Preflight, PreflightError, Progress, Projection,
    SourceError, SourceSet, is_name, preflight, table_shape,
};
use bar::{ImportBar, UploadBar};
use outcome::Outcome;

/// Import rows into a new table
///
/// Reads the source first and says what is in it. Whatever would make the import fail, or lose rows without a word, keeps it
/// from being begun. A file of this machine is put into the bucket, under imports/TABLE/. Then the state machine of the stack
/// imports it (ImportTable: a new table on demand, indexes with keys only) and switches on point-in-time recovery, a stream and
/// deletion protection. The import goes on when this command is stopped; the same command joins it again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// A CSV file or lines of DynamoDB JSON, plain, gzip or zstd: a path, s3://BUCKET/KEY or s3://BUCKET/PREFIX/
    #[arg(value_name = "FILE", value_parser = Address::parse)]
    source: Address,

    /// The table that is to be made
    #[arg(long, value_parser = table_name)]
    table: String,

    /// Its keys, such as id:S or account:S,offer:N
    #[arg(long, value_name = "KEY[:TYPE][,SORT[:TYPE]]", value_parser = KeySpec::parse)]
    key: KeySpec,

    /// A global secondary index, with keys only; may be there more than once
    #[arg(long, value_name = "NAME:KEY[:TYPE][,SORT[:TYPE]]", value_parser = IndexSpec::parse)]
    index: Vec<IndexSpec>,

    /// The lake bucket, which a file is put into: output LakeBucket of the stack
    #[arg(long, value_parser = super::bucket_name, required_unless_present = "dry_run")]
    bucket: Option<String>,

    /// The state machine: output ImportMachineArn of the stack
    #[arg(long, value_name = "ARN", value_parser = Machine::parse, required_unless_present = "dry_run")]
    state_machine: Option<Machine>,

    /// What the records of the table's stream hold
    #[arg(long, value_name = "VIEW", default_value = "NEW_AND_OLD_IMAGES")]
    stream: StreamChoice,

    /// Import although rows share a key: one row of each key stays, at random
    #[arg(long)]
    accept_duplicates: bool,

    /// Import although there are line breaks between quotes, of which AWS's guides do not say what becomes
    #[arg(long)]
    accept_line_breaks: bool,

    /// Say what is in the source and what the import costs, and stop
    #[arg(long)]
    dry_run: bool,

    /// Where AWS is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

/// The view of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
enum StreamChoice {
    /// The item before and after the change
    NewAndOldImages,
    /// The item after the change
    NewImage,
    /// The item before the change
    OldImage,
    /// The keys alone
    KeysOnly,
    /// No stream
    None,
}

impl StreamChoice {
    fn view(self) -> Option<&'static str> {
        match self {
            Self::NewAndOldImages => Some("NEW_AND_OLD_IMAGES"),
            Self::NewImage => Some("NEW_IMAGE"),
            Self::OldImage => Some("OLD_IMAGE"),
            Self::KeysOnly => Some("KEYS_ONLY"),
            Self::None => None,
        }
    }
}

const EXAMPLES: &str = "\
Credentials need s3:ListBucket and s3:GetObject on the source, for a file s3:PutObject and s3:AbortMultipartUpload on the
bucket's imports/*, dynamodb:DescribeTable, dynamodb:ListImports and dynamodb:DescribeImport on the table, and
states:StartExecution and states:DescribeExecution on the state machine.
The exit code is 0 when the table is imported and protected, 1 when not, 2 when the arguments or the source cannot be used,
130 when the command was stopped and the import goes on.

Examples:
  transload import ids.csv --table my-stack-ids --key id:S --index processed-index:processed:S \\
    --bucket my-lake --state-machine arn:aws:states:us-east-1:123456789012:stateMachine:my-stack-import
  transload import s3://my-lake/rows/ --table my-stack-offers --key account:S,offer:N --dry-run";

fn table_name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("expected 3 to 255 of a-z, A-Z, 0-9, '_', '-' and '.'".to_owned()),
    }
}

/// Why nothing was imported, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportCommandError {
    /// The state machine is elsewhere.
    #[error(transparent)]
    OtherRegion(#[from] OtherRegion),
    /// Keys and indexes contradict one another.
    #[error("--key and --index cannot be used together like this: {0}")]
    Shape(String),
    /// An import would fail or lose rows.
    #[error(
        "nothing was imported: the import would fail, or lose rows without a word ({0}); above is where, and what can be done"
    )]
    Refused(String),
    /// Nothing in the source can be imported.
    #[error("nothing was imported: there is no row in the source that could be an item")]
    NoRows,
    /// The command was stopped.
    #[error("stopped; the import goes on, and the same command joins it again (execution {0})")]
    Left(String),
    /// The environment names an unusable endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnusableEndpoint),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error(transparent)]
    Connect(StorageError),
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source could not be read.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The import could not be done.
    #[error(transparent)]
    Import(Box<ImportError>),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl From<ImportError> for ImportCommandError {
    fn from(error: ImportError) -> Self {
        Self::Import(Box::new(error))
    }
}

impl ImportCommandError {
    /// 2 where other arguments or another source are needed, 130 for a command that was stopped, and else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Left(_) => 130,
            Self::OtherRegion(_)
            | Self::Shape(_)
            | Self::Refused(_)
            | Self::NoRows
            | Self::Endpoint(_) => 2,
            Self::File(error) if error.is_usage() => 2,
            Self::Source(error) if error.is_usage() => 2,
            Self::Import(error) if error.is_usage() => 2,
            _ => 1,
        }
    }
}

/// Checks the source, imports it and prints what came of it.
///
/// # Errors
/// Unusable arguments, a source that an import would fail on, or whatever stopped it.
pub fn run(args: &ImportArgs, surroundings: &Surroundings) -> Result<(), ImportCommandError> {
    let shape =
        table_shape(&args.table, &args.key, &args.index).map_err(ImportCommandError::Shape)?;
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ImportCommandError::Runtime)?;
    runtime.block_on(async {
        let needs_aws = !args.dry_run || matches!(args.source, Address::Objects { .. });
        let clients = match needs_aws {
            true => Some(
                storage::aws::connect(endpoint.as_deref())
                    .await
                    .map_err(ImportCommandError::Connect)?,
            ),
            false => None,
        };
        if let (Some(clients), Some(machine)) = (&clients, &args.state_machine) {
            machine.check_region(clients.region())?;
        }
        let file = match &args.source {
            Address::File(path) => Some(LocalFile::open(path)?),
            Address::Objects { .. } => None,
        };
        let found = look(args, file.as_ref(), &shape, clients.as_ref()).await?;
        let target = Target {
            exists: false,
            upload: matches!(args.source, Address::File(_)),
        };
        let prices = Prices::built_in();
        let plan = compare(&found, target, &prices);
        let outcome = Outcome {
            args,
            preflight: &found,
            plan: &plan,
            prices: &prices,
        };
        if !args.json {
            print_line(&outcome.before()).map_err(ImportCommandError::Stdout)?;
        }
        let accepted = Accepted {
            duplicates: args.accept_duplicates,
            line_breaks: args.accept_line_breaks,
        };
        let refused: Vec<String> = refusals(&found, accepted)
            .into_iter()
            .map(|finding| finding.kind.said(finding.count))
            .collect();
        let format = found.format.filter(|_| found.items > 0);
        let (true, Some(format)) = (refused.is_empty(), format) else {
            if args.json {
                print_line(&outcome.json(None)).map_err(ImportCommandError::Stdout)?;
            }
            return Err(match refused.is_empty() {
                true => ImportCommandError::NoRows,
                false => ImportCommandError::Refused(refused.join("; ")),
            });
        };
        let report = match (args.dry_run, &clients, &args.bucket, &args.state_machine) {
            (false, Some(clients), Some(bucket), Some(machine)) => {
                let job = Job {
                    args,
                    file: file.as_ref(),
                    shape: &shape,
                    clients,
                    bucket,
                    machine,
                };
                Some(job.import(&found, format).await?)
            }
            _ => None,
        };
        let text = match (args.json, &report) {
            (true, report) => outcome.json(report.as_ref()),
            (false, Some(report)) => outcome.after(report),
            (false, None) => "dry run: nothing was uploaded or started".to_owned(),
        };
        print_line(&text).map_err(ImportCommandError::Stdout)?;
        if let Some(warning) = report.as_ref().and_then(|report| outcome.warning(report)) {
            note(warning);
        }
        Ok(())
    })
}

async fn look(
    args: &ImportArgs,
    file: Option<&LocalFile>,
    shape: &TableShape,
    clients: Option<&AwsClients>,
) -> Result<Preflight, ImportCommandError> {
    let sources = match (&args.source, file, clients) {
        (_, Some(file), _) => SourceSet::of_open_file(file.clone())?,
        (Address::Objects { bucket, prefix }, None, Some(clients)) => {
            SourceSet::of_objects(&Rc::new(clients.objects()), bucket, prefix).await?
        }
        _ => unreachable!("files are open, and for objects it has been connected"),
    };
    let mut bar = ReadingBar::new(SystemClock);
    let show = |at: &Progress| bar.show(at.bytes_done, at.bytes_total, at.rows);
    Ok(preflight(&sources, shape, Projection::KeysOnly, show).await?)
}

struct Job<'a> {
    args: &'a ImportArgs,
    /// The source, where it is a file: open since before it was checked.
    file: Option<&'a LocalFile>,
    shape: &'a TableShape,
    clients: &'a AwsClients,
    bucket: &'a str,
    machine: &'a Machine,
}

impl Job<'_> {
    async fn import(
        &self,
        found: &Preflight,
        format: Format,
    ) -> Result<Report, ImportCommandError> {
        let tables = self.clients.tables();
        let there = table_exists(&tables, &self.shape.name).await?;
        let (bucket, prefix, fingerprint) = match (&self.args.source, self.file) {
            (_, Some(file)) => {
                let store = Rc::new(self.clients.objects());
                let mut bar = UploadBar::new(file.bytes(), SystemClock);
                let table = &self.shape.name;
                let placed = place_file(&store, self.bucket, table, file, there, |bytes| {
                    bar.show(bytes);
                });
                (self.bucket, key_of(table, file), placed.await?)
            }
            (Address::Objects { bucket, prefix }, None) => {
                let fingerprint = found.fingerprint.ok_or(ImportError::Replaced)?;
                (bucket.as_str(), prefix.clone(), fingerprint)
            }
            (Address::File(_), None) => unreachable!("the file was opened before it was checked"),
        };
        let order = Order {
            shape: self.shape,
            bucket,
            prefix: &prefix,
            format,
            compression: found.compression,
            stream_view: self.args.stream.view(),
            fingerprint,
        };
        let workflows = self.clients.workflows();
        let (execution, started) = match begin(&workflows, self.machine, &order, there).await? {
            Begun::Done(report) => {
                note(format_args!(
                    "this source was imported into {} before",
                    self.shape.name
                ));
                return Ok(report);
            }
            Begun::Running { execution, started } => (execution, started),
        };
        note(format_args!(
            "{} execution {execution}; it goes on if this command is stopped, and the same command joins it again",
            if started { "started" } else { "joined" },
        ));
        let following = Following {
            workflows: &workflows,
            imports: &tables,
            execution: &execution,
            machine: self.machine,
            table: &self.shape.name,
        };
        let mut bar = ImportBar::new(found.uncompressed_bytes, SystemClock);
        match follow(&following, stopped(), |stage| bar.show(stage)).await? {
            Ending::Done(report) => Ok(report),
            Ending::Left => Err(ImportCommandError::Left(execution)),
        }
    }
}

/// Ends when somebody stops the command. Where that cannot be noticed, it ends the process, and the import goes on too.
async fn stopped() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
