//! `transload ingest`: a CSV file into a table.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulk_writer::WriterSettings;
use clap::builder::NonEmptyStringValueParser;
use csv_ingester::InputError;
use indicatif::{
    HumanBytes, HumanCount, ProgressBar, ProgressFinish, ProgressState, ProgressStyle,
};
use records::{MappingError, RowMapping};
use storage::{Clock, StorageError, SystemClock, Timestamp};

use crate::Surroundings;
use crate::ingest::{
    Load, LoadError, LoadProgress, Loaded, LocalFile, LocalFileError, ingest_file,
};

/// How often the text of the progress bar changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

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
    #[arg(long, value_name = "URL", value_parser = parse_endpoint)]
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

fn parse_endpoint(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
            Ok(text.to_owned())
        }
        _ => Err("expected an address such as http://127.0.0.1:4566".to_owned()),
    }
}

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
    #[error(
        "AWS_ENDPOINT_URL {0:?} cannot be used: expected an address such as http://127.0.0.1:4566"
    )]
    Endpoint(String),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error("cannot connect")]
    Connect(#[source] StorageError),
    /// The load failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The input broke; what came before is loaded.
    #[error(
        "{path:?} is not whole: the {rows} rows before the break are loaded; get the whole file and run the command again"
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
    let endpoint = endpoint(args, surroundings)?;
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

fn endpoint(args: &IngestArgs, surroundings: &Surroundings) -> Result<Option<String>, IngestError> {
    let named = match (&args.endpoint_url, &surroundings.endpoint_url) {
        (Some(url), _) => return Ok(Some(url.clone())),
        (None, named) => named.as_deref(),
    };
    named
        .map(|url| parse_endpoint(url).map_err(|_| IngestError::Endpoint(url.to_owned())))
        .transpose()
}

fn print(outcome: &Outcome<'_>) -> Result<(), IngestError> {
    let text = if outcome.args.json {
        outcome.json()
    } else {
        outcome.text()
    };
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(IngestError::Stdout(error)),
        _ => Ok(()),
    }
}

/// A progress bar on the standard error, drawn only where that is a terminal.
struct Bar<C> {
    bar: ProgressBar,
    clock: C,
    next: Timestamp,
}

impl<C: Clock> Bar<C> {
    fn new(bytes: u64, clock: C) -> Self {
        let style = ProgressStyle::with_template(
            "{bar:20} {percent}% {bytes} of {total_bytes}, {msg}, {left} left",
        )
        .expect("the template is constant and tested")
        .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let left = indicatif::HumanDuration(state.eta());
            // A bar that cannot be drawn is no reason to stop.
            let _ = write!(out, "{left:#}");
        });
        let bar = ProgressBar::new(bytes)
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        Self {
            bar,
            clock,
            next: Timestamp(0),
        }
    }

    fn show(&mut self, progress: &LoadProgress) {
        let now = self.clock.now();
        if self.bar.is_hidden() || now < self.next {
            return;
        }
        self.next = now.plus(PROGRESS_EVERY);
        self.bar.set_position(progress.bytes_settled());
        let rows = rate(progress.settled.read, self.bar.elapsed());
        self.bar.set_message(progress_text(rows, progress));
    }
}

fn progress_text(rows_per_second: u64, progress: &LoadProgress) -> String {
    let mut text = format!(
        "{} rows/s, {} rejected, {} throttled",
        HumanCount(rows_per_second),
        HumanCount(progress.settled.rejected),
        HumanCount(progress.writer.throttled),
    );
    if progress.writer.unanswered > 0 {
        text.push_str(&format!(
            ", {} calls without an answer (their rows wait {} s)",
            HumanCount(progress.writer.unanswered),
            WriterSettings::default().settle.as_secs(),
        ));
    }
    text
}

/// Rows a second, over the whole time.
fn rate(rows: u64, took: Duration) -> u64 {
    let per_second = u128::from(rows) * 1000 / took.as_millis().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

struct Outcome<'a> {
    args: &'a IngestArgs,
    bytes: u64,
    loaded: &'a Loaded,
    took: Duration,
}

impl Outcome<'_> {
    fn json(&self) -> String {
        let Loaded { counts, writer, .. } = self.loaded;
        serde_json::json!({
            "command": "ingest",
            "file": self.args.file.to_string_lossy(),
            "table": self.args.table,
            "bytes": self.bytes,
            "complete": self.loaded.broken.is_none(),
            "rows_read": counts.read,
            "rows_written": counts.written,
            "rows_superseded": counts.superseded,
            "rows_rejected": counts.rejected,
            "throttled": writer.throttled,
            "unanswered": writer.unanswered,
            "calls": writer.calls,
            "backup": self.loaded.backup.as_ref().map(|path| path.to_string_lossy()),
            "unprocessed": self.loaded.unprocessed.as_ref().map(|path| path.to_string_lossy()),
            "seconds": self.took.as_millis() as f64 / 1000.0,
            "rows_per_second": rate(counts.read, self.took),
        })
        .to_string()
    }

    fn text(&self) -> String {
        let counts = self.loaded.counts;
        let row =
            |count: u64, what: &str| format!("\n  {:>13} {what}", HumanCount(count).to_string());
        let mut text = format!(
            "{} ({}) into {} in {}.{:03} s, {} rows/s:",
            self.args.file.display(),
            HumanBytes(self.bytes),
            self.args.table,
            self.took.as_secs(),
            self.took.subsec_millis(),
            HumanCount(rate(counts.read, self.took)),
        );
        text.push_str(&row(counts.read, "rows read"));
        text.push_str(&row(counts.written, "written"));
        text.push_str(&row(
            counts.superseded,
            "superseded (a later row has the same key)",
        ));
        text.push_str(&row(counts.rejected, "rejected"));
        let files = [
            ("accepted rows as JSON", &self.loaded.backup),
            ("rejected rows and why", &self.loaded.unprocessed),
        ];
        for (what, path) in files {
            if let Some(path) = path {
                text.push_str(&format!("\n{what}: {}", path.display()));
            }
        }
        text
    }

    /// What must not be missed, whoever reads the result.
    fn warning(&self) -> Option<String> {
        let path = self.loaded.unprocessed.as_ref()?;
        let first = self.loaded.first_reject.as_deref().unwrap_or_default();
        Some(format!(
            "warning: {} of {} rows were rejected and are not in the table; the first is {first}; all with their reasons: {}",
            HumanCount(self.loaded.counts.rejected),
            HumanCount(self.loaded.counts.read),
            path.display(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use bulk_writer::Progress;
    use csv_ingester::RowCounts;

    use super::*;

    #[test]
    fn an_endpoint_is_an_address_with_its_scheme() {
        for good in [
            "http://127.0.0.1:4566",
            "https://dynamodb.eu-west-1.amazonaws.com",
        ] {
            assert_eq!(parse_endpoint(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "127.0.0.1:4566",
            "localhost",
            "http://",
            "ftp://x",
            "http://a b",
        ] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_bar_says_rows_a_second_rejected_and_throttled() {
        let mut progress = LoadProgress {
            bytes_read: 4_000_000,
            rows_read: 40_000,
            settled: RowCounts {
                read: 30_000,
                written: 29_000,
                superseded: 0,
                rejected: 1_000,
            },
            writer: Progress {
                throttled: 75,
                ..Progress::default()
            },
        };
        assert_eq!(progress.bytes_settled(), 3_000_000);
        insta::assert_snapshot!(progress_text(12_345, &progress), @"12,345 rows/s, 1,000 rejected, 75 throttled");
        progress.writer.unanswered = 2;
        insta::assert_snapshot!(progress_text(7, &progress), @"7 rows/s, 1,000 rejected, 75 throttled, 2 calls without an answer (their rows wait 300 s)");
        assert_eq!(LoadProgress::default().bytes_settled(), 0);
    }

    #[test]
    fn the_rate_of_no_time_is_finite() {
        assert_eq!(rate(500, Duration::ZERO), 500_000);
        assert_eq!(rate(500, Duration::from_secs(2)), 250);
    }

    #[test]
    fn the_template_is_one() {
        let bar = Bar::new(1_000, SystemClock);
        assert_eq!(bar.bar.length(), Some(1_000));
    }
}
