//! `transload verify changes`: what can be known of gaps in the change log; `transload verify export` is in a module of its own.

mod bar;
mod export;
mod export_outcome;
mod outcome;

use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;

use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use storage::{StorageError, SystemClock};

use bar::Bar;
use export::{ExportArgs, VerifyExportCommandError};
use outcome::Outcome;

use super::endpoint::{self, UnusableEndpoint};
use crate::Surroundings;
use crate::change_log::Log;
use crate::verify_changes::{self, Export, ExportError, Task, VerifyError};
use records::changes::SECONDS_PER_HOUR;

/// Hours that are verified unless others are named: Lambda gives records up when they are 20 hours old, and somebody who looks
/// every other day should find out.
const LAST_HOURS: u64 = 72;

/// Say what can be known of gaps and faults in a change log, or whether an export is whole and what differs from it
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Changes(ChangesArgs),
    Export(ExportArgs),
}

/// Verify a range of a table's change log, the last 72 hours unless another is named
///
/// Counts per hour (UTC) what stream-writer wrote, and looks for what is missing: records that the event source mapping gave
/// up in the range (these are from 20 hours before) or of it, hours before the stream was enabled, records that were read shortly
/// before the stream forgot them, records that were set aside, and, with an incremental export of the table, changes that the log does not have. With each comes what to run.
///
/// An export makes a gap good only once its lines and its completion are in the log. Those of exports begun by hand do not come
/// there; a full export by the export machine does, with the format changes, and is a fresh state of the table.
///
/// What cannot be known: sequence numbers have holes by design, so a hole is no gap and no hole proves anything; and an hour
/// without records may be idle or lost. Only an export tells.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ChangesArgs {
    /// The lake bucket, which the log is in: output LakeBucket of the stack
    #[arg(long, value_parser = super::bucket_name)]
    bucket: String,

    /// The table whose log it is
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    table: String,

    /// Where the range begins, such as 2026-11-20T00:00Z; its hour is verified as a whole [default: 72 hours before its end]
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "export")]
    from: Option<Timestamp>,

    /// Where the range ends, likewise [default: the time now]
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "export")]
    to: Option<Timestamp>,

    /// Compare with an incremental export in DYNAMODB_JSON, by its folder; the range is the export's
    #[arg(long, value_name = "s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID/")]
    export: Option<String>,

    /// Where in the lake the event source mapping leaves what it gave up
    #[arg(long, value_name = "PREFIX", default_value = "aws/lambda/", value_parser = NonEmptyStringValueParser::new())]
    failures_prefix: String,

    /// Where AWS is, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL, else AWS in the region that is set]
    #[arg(long, value_name = "URL", value_parser = endpoint::parse)]
    endpoint_url: Option<String>,

    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Nothing is written. Region and credentials come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and so on;
they need s3:ListBucket and s3:GetObject on the lake and dynamodb:DescribeTable on the table.
The exit code is 0 when nothing is wrong, 1 when there are gaps or faults, 2 when the log could not be verified or the
arguments cannot be used.

Examples:
  transload verify changes --bucket my-lake --table offers
  transload verify changes --bucket my-lake --table offers --from 2026-11-20T00:00Z --to 2026-11-21T00:00Z --json
  transload verify changes --bucket my-lake --table offers --export s3://my-lake/exports/AWSDynamoDB/01790000900000-0b2d4f68/";

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time: Option<Timestamp> = text.parse().ok();
    time.filter(|time| time.as_second() >= 0)
        .ok_or_else(|| "expected an ISO time with an offset, such as 2026-11-20T00:00Z".to_owned())
}

/// Why nothing was verified, or what came of it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyCommandError {
    /// The log was verified, and something is wrong.
    #[error("gaps or faults in the log: {0}; the standard output says what to run for each")]
    Found(usize),
    /// `transload verify export` failed, or found something.
    #[error(transparent)]
    Export(#[from] Box<VerifyExportCommandError>),
    /// The range has no hour.
    #[error("the range is empty: expected a --to that is later than --from")]
    EmptyRange,
    /// The environment names an unusable endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnusableEndpoint),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error(transparent)]
    Connect(StorageError),
    /// A store failed, or the export cannot be used.
    #[error("the log could not be verified")]
    Verify(#[from] Box<VerifyError>),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl VerifyCommandError {
    /// 1 when something is wrong with the log or the export, 2 when nothing can be said of it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Found(_) => 1,
            Self::Export(error) => error.exit_code(),
            _ => 2,
        }
    }
}

/// Verifies and prints what was found.
///
/// # Errors
/// Unusable arguments, whatever stopped it, or something wrong with the log.
pub fn run(args: &VerifyArgs, surroundings: &Surroundings) -> Result<(), VerifyCommandError> {
    match &args.what {
        What::Changes(args) => run_changes(args, surroundings),
        What::Export(args) => Ok(export::run(args, surroundings).map_err(Box::new)?),
    }
}

fn run_changes(args: &ChangesArgs, surroundings: &Surroundings) -> Result<(), VerifyCommandError> {
    let endpoint = endpoint::choose(args.endpoint_url.as_deref(), surroundings)?;
    let given = hours(args, surroundings.now)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(VerifyCommandError::Runtime)?;
    let (hours, report) = runtime.block_on(async {
        let clients = storage::aws::connect(endpoint.as_deref())
            .await
            .map_err(VerifyCommandError::Connect)?;
        let store = Rc::new(clients.objects());
        let tables = clients.tables();
        let export = match &args.export {
            Some(address) => Some(open(&store, address, &args.table).await.map_err(Box::new)?),
            None => None,
        };
        let hours = export.as_ref().map_or(given, Export::hours);
        let log = Log::new(store, &args.bucket, &args.table);
        let task = Task {
            log: &log,
            items: &tables,
            hours: hours.clone(),
            failures_prefix: &args.failures_prefix,
            export: export.as_ref(),
            now: storage::Timestamp(u64::try_from(surroundings.now.as_millisecond()).unwrap_or(0)),
        };
        let mut bar = Bar::new(hours.end - hours.start, SystemClock);
        let verified = verify_changes::verify(&task, |progress| bar.show(progress)).await;
        Ok::<_, VerifyCommandError>((hours, verified.map_err(Box::new)?))
    })?;
    let outcome = Outcome {
        bucket: &args.bucket,
        table: &args.table,
        hours,
        report: &report,
    };
    let text = match args.json {
        true => outcome.json(),
        false => outcome.text(),
    };
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(VerifyCommandError::Stdout(error));
        }
        _ => {}
    }
    match report.findings.len() {
        0 => Ok(()),
        found => Err(VerifyCommandError::Found(found)),
    }
}

async fn open<O: storage::ObjectStore + 'static>(
    store: &Rc<O>,
    address: &str,
    table: &str,
) -> Result<Export<O>, VerifyError> {
    let opened: Result<_, ExportError> = Export::open(Rc::clone(store), address, table).await;
    Ok(opened?)
}

/// The hours that the range touches.
fn hours(args: &ChangesArgs, now: Timestamp) -> Result<Range<u64>, VerifyCommandError> {
    let seconds = |time: Timestamp| u64::try_from(time.as_second()).unwrap_or(0);
    let end = seconds(args.to.unwrap_or(now)).div_ceil(SECONDS_PER_HOUR);
    let start = match args.from {
        Some(from) => seconds(from) / SECONDS_PER_HOUR,
        None => end.saturating_sub(LAST_HOURS),
    };
    match start < end {
        true => Ok(start..end),
        false => Err(VerifyCommandError::EmptyRange),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    #[test]
    fn what_was_given_up_yesterday_is_in_the_default_range() {
        let matches = ChangesArgs::augment_args(clap::Command::new("x"))
            .get_matches_from(["x", "--bucket", "b", "--table", "t"]);
        let args = ChangesArgs::from_arg_matches(&matches).unwrap();
        let now: Timestamp = "1970-01-11T00:00:01Z".parse().unwrap();
        assert_eq!(hours(&args, now).unwrap(), 169..241);
    }

    #[test]
    fn times_need_an_offset_and_nothing_below_minutes() {
        assert!(parse_time("2026-11-20T00:00Z").is_ok());
        assert!(parse_time("2026-11-20T00:00:30+02:00").is_ok());
        for bad in ["", "2026-11-20", "2026-11-20T00:00", "1969-12-31T00:00Z"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
