//! The benchmarks' front; scripts/bench builds what it needs and calls it.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bench::report::{self, Figure, Goal};
use bench::{ingest, reprocess, stream, transform};
use clap::{Parser, Subcommand};

/// What gsi-reprocessor takes at most in one run.
const MAX_ITEMS_OF_A_RUN: u64 = 5_000;

/// Measure Transload against what else there is
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// A CSV object into a table
    Ingest(IngestArguments),
    /// Batches of a stream into a change log
    Stream(StreamArguments),
    /// Pending items of a table into objects
    Reprocess(ReprocessArguments),
    /// An export of a table into JSON Lines or Parquet
    Transform(TransformArguments),
}

#[derive(clap::Args)]
struct CommonArguments {
    /// Print one JSON object a line instead of tables
    #[arg(long)]
    json: bool,
    /// Measure each case once, and with less work
    #[arg(long)]
    quick: bool,
    /// A Python that has what peers/requirements.txt pins
    #[arg(long, default_value = ".venv/bench/bin/python")]
    python: PathBuf,
    /// The folder of the Python subjects
    #[arg(long, default_value = "crates/bench/peers")]
    peers: PathBuf,
    /// The folder for generated files and logs
    #[arg(long, default_value = "target/bench")]
    work: PathBuf,
}

#[derive(clap::Args)]
struct IngestArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Rows of the file in the cases with a delay; the Python subjects get 100000 of them at most
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Add a case in which a tenth of the items is handed back as unprocessed
    #[arg(long)]
    throttled: bool,
    /// Measure only this subject (may be given again)
    #[arg(long, value_name = "SUBJECT")]
    only: Vec<ingest::Subject>,
    /// The release bootstrap of csv-ingester
    #[arg(long, default_value = "target/lambda/csv-ingester/bootstrap")]
    bootstrap: PathBuf,
}

#[derive(clap::Args)]
struct StreamArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Measure only this subject (may be given again)
    #[arg(long, value_name = "SUBJECT")]
    only: Vec<stream::Subject>,
    /// The release bootstrap of stream-writer
    #[arg(long, default_value = "target/lambda/stream-writer/bootstrap")]
    bootstrap: PathBuf,
}

#[derive(clap::Args)]
struct ReprocessArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Measure only this subject (may be given again)
    #[arg(long, value_name = "SUBJECT")]
    only: Vec<reprocess::Subject>,
    /// The release bootstrap of gsi-reprocessor
    #[arg(long, default_value = "target/lambda/gsi-reprocessor/bootstrap")]
    bootstrap: PathBuf,
}

#[derive(clap::Args)]
struct TransformArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Measure only this subject (may be given again)
    #[arg(long, value_name = "SUBJECT")]
    only: Vec<transform::Subject>,
    /// The release bootstrap of export-transformer
    #[arg(long, default_value = "target/lambda/export-transformer/bootstrap")]
    bootstrap: PathBuf,
}

impl CommonArguments {
    fn repeats(&self) -> u32 {
        if self.quick { 1 } else { 3 }
    }
}

fn main() -> ExitCode {
    let measured = match Arguments::parse().bench {
        Bench::Ingest(arguments) => bench_ingest(arguments),
        Bench::Stream(arguments) => bench_stream(arguments),
        Bench::Reprocess(arguments) => bench_reprocess(arguments),
        Bench::Transform(arguments) => bench_transform(arguments),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench_ingest(arguments: IngestArguments) -> Result<(), Box<dyn Error>> {
    let common = arguments.common;
    let extent = ingest::Extent {
        rows: arguments.rows,
        repeats: common.repeats(),
        with_2_gb: !common.quick,
        with_throttling: arguments.throttled,
        only: arguments.only,
    };
    let places = ingest::Places {
        bootstrap: arguments.bootstrap,
        generator: beside("transload")?,
        endpoint: beside("bench-endpoint")?,
        bare_sdk: beside("bench-bare-sdk")?,
        python: common.python,
        peers: common.peers,
        work: common.work,
    };
    let figures = ingest::measure(&extent, &places, now, &tell)?;
    print(common.json, &figures, &ingest::goals(&figures))
}

fn bench_stream(arguments: StreamArguments) -> Result<(), Box<dyn Error>> {
    let common = arguments.common;
    let extent = stream::Extent {
        batches: if common.quick { 20 } else { 60 },
        repeats: common.repeats(),
        only: arguments.only,
    };
    let places = stream::Places {
        bootstrap: arguments.bootstrap,
        endpoint: beside("bench-endpoint")?,
        floor: beside("bench-gzip-floor")?,
        python: common.python,
        peers: common.peers,
        work: common.work,
    };
    let figures = stream::measure(&extent, &places, now, &tell)?;
    print(common.json, &figures, &stream::goals(&figures))
}

fn bench_reprocess(arguments: ReprocessArguments) -> Result<(), Box<dyn Error>> {
    let common = arguments.common;
    let extent = reprocess::Extent {
        items: MAX_ITEMS_OF_A_RUN,
        peer_items: if common.quick {
            500
        } else {
            MAX_ITEMS_OF_A_RUN
        },
        repeats: common.repeats(),
        only: arguments.only,
    };
    let places = reprocess::Places {
        bootstrap: arguments.bootstrap,
        endpoint: beside("bench-endpoint")?,
        floor: beside("bench-reprocess-floor")?,
        python: common.python,
        peers: common.peers,
        work: common.work,
    };
    let figures = reprocess::measure(&extent, &places, now, &tell)?;
    print(common.json, &figures, &reprocess::goals(&figures))
}

fn bench_transform(arguments: TransformArguments) -> Result<(), Box<dyn Error>> {
    let common = arguments.common;
    let extent = transform::Extent {
        bytes: if common.quick {
            50_000_000
        } else {
            250_000_000
        },
        repeats: common.repeats(),
        only: arguments.only,
    };
    let places = transform::Places {
        bootstrap: arguments.bootstrap,
        endpoint: beside("bench-endpoint")?,
        floor: beside("bench-transform-floor")?,
        checker: beside("bench-transform-check")?,
        python: common.python,
        peers: common.peers,
        work: common.work,
    };
    let figures = transform::measure(&extent, &places, now, &tell)?;
    print(common.json, &figures, &transform::goals(&figures))
}

/// A program that comes out of the same build as this one.
fn beside(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn tell(line: &str) {
    eprintln!("bench: {line}");
}

fn print(json: bool, figures: &[Figure], goals: &[Goal]) -> Result<(), Box<dyn Error>> {
    let text = match json {
        true => report::json_lines(figures),
        false => format!(
            "\n{}\n{}",
            report::table(figures),
            report::goal_table(goals)
        ),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a main may read the clock")]
fn now() -> Instant {
    Instant::now()
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
