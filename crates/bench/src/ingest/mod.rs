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
use crate::endpoint::Work;
use crate::process::{EndpointCommand, Run};
use crate::report::Figure;
use crate::rows::digest_of_file;
use crate::turns::{BenchError, PEAK, Task, figure, least, most_memory_mb, take_turns};
use check::check;
use extent::Case;

pub use extent::Extent;
pub use goals::goals;
pub use subject::{Places, Subject};

const NAME: &str = "ingest";
const CPU: &str = "cpu_seconds_per_million_rows";
const RATE: &str = "rows_per_second";
const SIZE_100_MB: &str = "size-100mb";
const SIZE_2_GB: &str = "size-2gb";

/// Rows that the Python subjects get at most: a million would take them ten minutes.
const PEER_ROWS: u64 = 100_000;

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
        let inputs = inputs(&case, &subjects, places, tell)?;
        let tasks: Vec<_> = subjects
            .iter()
            .zip(&inputs)
            .map(|(subject, input)| {
                let repeats = extent.repeats(&case, *subject);
                task(*subject, &case, input, repeats, places)
            })
            .collect();
        let runs = take_turns(&tasks, now, tell)?;
        for ((task, input), runs) in tasks.iter().zip(&inputs).zip(&runs) {
            figures.extend(figures_of(task, input.expected.items, runs, tell));
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

fn task<'a>(
    subject: Subject,
    case: &Case,
    input: &'a Input,
    repeats: u32,
    places: &'a Places,
) -> Task<'a> {
    Task {
        subject: subject.name(),
        case: case.name,
        amount: format!("{} rows", input.expected.items),
        repeats,
        endpoint: EndpointCommand {
            program: places.endpoint.clone(),
            work: Work::Object(input.path.clone()),
            delay_ms: case.delay_ms,
            hand_back_percent: case.hand_back_percent,
        },
        program: subject.program(places).to_owned(),
        command: Box::new(move |address| subject.command(address, &input.path, places)),
        done_when: subject.done_when(),
        log: places.work.join(format!("{}.log", subject.name())),
        check: Box::new(move |run| check(subject, input.expected, &run.counts)),
    }
}

/// The least CPU, the most rows a second and the most memory of all runs.
fn figures_of(task: &Task<'_>, rows: u64, runs: &[Run], tell: &dyn Fn(&str)) -> Vec<Figure> {
    let millions = rows as f64 / 1e6;
    let cpu = least(runs, |run| run.subject.cpu.as_secs_f64() / millions);
    let wall = least(runs, |run| run.wall.as_secs_f64());
    let endpoint_cpu = least(runs, |run| run.endpoint.cpu.as_secs_f64() / millions);
    tell(&format!(
        "{}, {}: {wall:.1} s; the endpoint used {endpoint_cpu:.2} CPU-s per million rows",
        task.case, task.subject
    ));
    vec![
        figure(NAME, task, CPU, cpu),
        figure(NAME, task, RATE, rows as f64 / wall),
        figure(NAME, task, PEAK, most_memory_mb(runs)),
    ]
}
