//! The bench `ingest`: a CSV object into a table.

mod check;
mod extent;
mod goals;
mod subject;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::digest::Digest;
use crate::process::{EndpointCommand, Run, run};
use crate::report::Figure;
use crate::rows::digest_of_file;
use check::check;
use extent::Case;

pub use extent::Extent;
pub use goals::goals;
pub use subject::{Places, Subject};

const NAME: &str = "ingest";
const CPU: &str = "cpu_seconds_per_million_rows";
const RATE: &str = "rows_per_second";
const PEAK: &str = "peak_rss_mb";
const SIZE_100_MB: &str = "size-100mb";
const SIZE_2_GB: &str = "size-2gb";

/// Rows that the Python subjects get at most: a million would take them ten minutes.
const PEER_ROWS: u64 = 100_000;

/// Why the bench says nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Something is missing that has to be built first.
    #[error("{} is not there: run scripts/bench, which builds what is needed", .0.display())]
    Missing(PathBuf),
    /// No file to load could be made.
    #[error("cannot make {}", .0.display())]
    File(PathBuf, #[source] Box<dyn Error>),
    /// A run failed.
    #[error("{subject} in {case} failed")]
    Run {
        /// Who.
        subject: &'static str,
        /// In which case.
        case: &'static str,
        /// Why.
        #[source]
        error: Box<dyn Error>,
    },
}

/// A file to load and what must come of it.
struct Input {
    path: PathBuf,
    expected: Digest,
}

/// Measures every case and subject. `tell` gets a line for a person as each thing begins.
///
/// # Errors
/// The first run that failed, or whose rows did not all arrive: its figures would mean nothing.
pub fn measure(
    extent: &Extent,
    places: &Places,
    now: fn() -> Instant,
    tell: &dyn Fn(&str),
) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for case in extent.cases() {
        let subjects = extent.subjects(&case);
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); subjects.len()];
        let inputs = inputs(&case, &subjects, places, tell)?;
        // Subjects take turns, so that whatever else the machine does hits them alike.
        for repeat in 0..extent.repeats {
            for (at, subject) in subjects.iter().enumerate() {
                if repeat >= extent.repeats(&case, *subject) {
                    continue;
                }
                let input = &inputs[at];
                tell(&format!(
                    "{}, {}: {} rows",
                    case.name,
                    subject.name(),
                    input.expected.items
                ));
                runs[at].push(one_run(*subject, &case, input, places, now)?);
            }
        }
        for ((subject, input), runs) in subjects.iter().zip(&inputs).zip(&runs) {
            figures.extend(figures_of(
                *subject,
                &case,
                input.expected.items,
                runs,
                tell,
            ));
        }
    }
    Ok(figures)
}

/// The file for each subject.
fn inputs(
    case: &Case,
    subjects: &[Subject],
    places: &Places,
    tell: &dyn Fn(&str),
) -> Result<Vec<Input>, BenchError> {
    let for_rows = |rows| input(rows, places, tell);
    subjects
        .iter()
        .map(|subject| match subject.is_peer() {
            true => for_rows(case.rows.min(PEER_ROWS)),
            false => for_rows(case.rows),
        })
        .collect()
}

/// Generates the file unless an earlier run has: the same rows make the same file.
fn input(rows: u64, places: &Places, tell: &dyn Fn(&str)) -> Result<Input, BenchError> {
    let path = places.work.join(format!("offers-{rows}.csv"));
    let failed = |error: Box<dyn Error>| BenchError::File(path.clone(), error);
    std::fs::create_dir_all(&places.work).map_err(|error| failed(error.into()))?;
    if !path.exists() {
        tell(&format!("generating {rows} rows into {}", path.display()));
        generate(rows, &path, &places.generator).map_err(|error| failed(error.into()))?;
    }
    let expected = digest_of_file(&path).map_err(|error| failed(error.into()))?;
    if expected.items != rows {
        let message = format!(
            "it has {} rows instead of {rows}: remove it",
            expected.items
        );
        return Err(failed(message.into()));
    }
    Ok(Input { path, expected })
}

fn generate(rows: u64, path: &Path, generator: &Path) -> io::Result<()> {
    let output = Command::new(generator)
        .args([
            "generate",
            "--accounts",
            "20",
            "--seed",
            "1",
            "--now",
            "2026-01-31T12:00:00+00:00",
        ])
        .args(["--rows", &rows.to_string(), "--output"])
        .arg(path)
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )),
    }
}

fn one_run(
    subject: Subject,
    case: &Case,
    input: &Input,
    places: &Places,
    now: fn() -> Instant,
) -> Result<Run, BenchError> {
    let failed = |error: Box<dyn Error>| BenchError::Run {
        subject: subject.name(),
        case: case.name,
        error,
    };
    let endpoint = EndpointCommand {
        program: places.endpoint.clone(),
        object: input.path.clone(),
        delay_ms: case.delay_ms,
        hand_back_percent: case.hand_back_percent,
    };
    let program = subject.program(places);
    if !program.exists() {
        return Err(BenchError::Missing(program.to_owned()));
    }
    let log = places.work.join(format!("{}.log", subject.name()));
    let command = |address: &str| subject.command(address, &input.path, places);
    let run = run(&endpoint, command, subject.done_when(), &log, now)
        .map_err(|error| failed(error.into()))?;
    check(subject, input.expected, &run.counts).map_err(|fault| failed(fault.into()))?;
    Ok(run)
}

/// The least CPU, the most rows a second and the most memory of all runs.
fn figures_of(
    subject: Subject,
    case: &Case,
    rows: u64,
    runs: &[Run],
    tell: &dyn Fn(&str),
) -> Vec<Figure> {
    let millions = rows as f64 / 1e6;
    let least =
        |values: &dyn Fn(&Run) -> f64| runs.iter().map(values).fold(f64::INFINITY, f64::min);
    let cpu = least(&|run| run.subject.cpu.as_secs_f64() / millions);
    let wall = least(&|run| run.wall.as_secs_f64());
    let peak = runs
        .iter()
        .map(|run| run.subject.peak_rss_bytes)
        .max()
        .unwrap_or(0);
    let endpoint_cpu = least(&|run| run.endpoint.cpu.as_secs_f64() / millions);
    tell(&format!(
        "{}, {}: {wall:.1} s; the endpoint used {endpoint_cpu:.2} CPU-s per million rows",
        case.name,
        subject.name()
    ));
    let figure = |metric: &str, value: f64| Figure {
        bench: NAME.to_owned(),
        subject: subject.name().to_owned(),
        case: case.name.to_owned(),
        metric: metric.to_owned(),
        value: (value * 1000.0).round() / 1000.0,
    };
    vec![
        figure(CPU, cpu),
        figure(RATE, rows as f64 / wall),
        figure(PEAK, peak as f64 / 1e6),
    ]
}
