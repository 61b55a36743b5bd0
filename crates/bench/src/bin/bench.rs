//! The benchmarks' front; scripts/bench builds what it needs and calls it.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bench::ingest::{self, Extent, Places, Subject};
use bench::report;
use clap::{Parser, Subcommand};

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
}

#[derive(clap::Args)]
struct IngestArguments {
    /// Print one JSON object a line instead of tables
    #[arg(long)]
    json: bool,
    /// Measure each case once, and leave out the 2 GB file
    #[arg(long)]
    quick: bool,
    /// Rows of the file in the cases with a delay; the Python subjects get 100000 of them at most
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Add a case in which a tenth of the items is handed back as unprocessed
    #[arg(long)]
    throttled: bool,
    /// Measure only this subject (may be given again)
    #[arg(long, value_name = "SUBJECT")]
    only: Vec<Subject>,
    /// The release bootstrap of csv-ingester
    #[arg(long, default_value = "target/lambda/csv-ingester/bootstrap")]
    bootstrap: PathBuf,
    /// A Python that has boto3
    #[arg(long, default_value = ".venv/bench/bin/python")]
    python: PathBuf,
    /// The folder of the Python subjects
    #[arg(long, default_value = "crates/bench/peers")]
    peers: PathBuf,
    /// The folder for generated files and logs
    #[arg(long, default_value = "target/bench")]
    work: PathBuf,
}

fn main() -> ExitCode {
    let Bench::Ingest(arguments) = Arguments::parse().bench;
    match bench_ingest(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn bench_ingest(arguments: IngestArguments) -> Result<(), Box<dyn Error>> {
    let extent = Extent {
        rows: arguments.rows,
        repeats: if arguments.quick { 1 } else { 3 },
        with_2_gb: !arguments.quick,
        with_throttling: arguments.throttled,
        only: arguments.only,
    };
    let own = std::env::current_exe()?;
    let places = Places {
        bootstrap: arguments.bootstrap,
        generator: own.with_file_name("transload"),
        endpoint: own.with_file_name("bench-endpoint"),
        bare_sdk: own.with_file_name("bench-bare-sdk"),
        python: arguments.python,
        peers: arguments.peers,
        work: arguments.work,
    };
    let figures = ingest::measure(&extent, &places, now, &|line| eprintln!("bench: {line}"))?;
    let text = match arguments.json {
        true => report::json_lines(&figures),
        false => format!(
            "\n{}\n{}",
            report::table(&figures),
            report::goal_table(&ingest::goals(&figures))
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
