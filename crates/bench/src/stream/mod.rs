//! The bench `stream`: batches of a table's stream into its change log.

pub mod batches;
pub(crate) mod changes;
mod check;
pub mod floor;
mod goals;
mod subject;

use std::path::PathBuf;
use std::time::Instant;

use crate::endpoint::Work;
use crate::process::EndpointCommand;
use crate::report::Figure;
use crate::turns::{BenchError, PEAK, Task, figure, least, most_memory_mb, take_turns};
use batches::{Contents, generate};
use check::check;

pub use goals::goals;
pub use subject::{Places, Subject};

const NAME: &str = "stream";
const CPU: &str = "cpu_seconds";
/// Cases, and how many records a batch has in each.
const CASES: [(&str, u64); 2] = [("records-1000", 1_000), ("records-10000", 10_000)];

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Batches that a subject gets one after the other.
    pub batches: u64,
    /// How often each case is measured (Python: once).
    pub repeats: u32,
    /// Who is measured; empty means everybody.
    pub only: Vec<Subject>,
}

impl Extent {
    fn subjects(&self) -> impl Iterator<Item = Subject> {
        Subject::ALL
            .into_iter()
            .filter(|subject| self.only.is_empty() || self.only.contains(subject))
    }

    fn repeats(&self, subject: Subject) -> u32 {
        match subject {
            Subject::PythonHandler => 1,
            Subject::Transload | Subject::Floor => self.repeats,
        }
    }
}

/// A file of batches and what must come of it.
struct Input {
    path: PathBuf,
    contents: Contents,
}

/// Measures every case and subject. `tell` gets a line for a person as each thing begins.
///
/// # Errors
/// The first run that failed, or whose records did not all arrive: its figures would mean nothing.
pub fn measure(
    extent: &Extent,
    places: &Places,
    now: fn() -> Instant,
    tell: &dyn Fn(&str),
) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for (case, records_each) in CASES {
        let input = input(extent.batches, records_each, places, tell)?;
        let tasks: Vec<_> = extent
            .subjects()
            .map(|subject| task(subject, case, &input, extent.repeats(subject), places))
            .collect();
        let runs = take_turns(&tasks, now, tell)?;
        for (task, runs) in tasks.iter().zip(&runs) {
            let cpu = least(runs, |run| run.subject.cpu.as_secs_f64());
            let wall = least(runs, |run| run.wall.as_secs_f64());
            let endpoint_cpu = least(runs, |run| run.endpoint.cpu.as_secs_f64());
            let uploaded = runs.last().map_or(0, |run| run.counts.uploaded_bytes);
            tell(&format!(
                "{case}, {}: {wall:.1} s; {:.1} MB were stored; the endpoint used {endpoint_cpu:.2} CPU-s",
                task.subject,
                uploaded as f64 / 1e6
            ));
            figures.push(figure(NAME, task, CPU, cpu));
            figures.push(figure(NAME, task, PEAK, most_memory_mb(runs)));
        }
    }
    Ok(figures)
}

fn input(
    batches: u64,
    records_each: u64,
    places: &Places,
    tell: &dyn Fn(&str),
) -> Result<Input, BenchError> {
    let path = places.work.join(format!("stream-{records_each}.batches"));
    tell(&format!("generating {}", path.display()));
    let contents = std::fs::create_dir_all(&places.work)
        .and_then(|()| generate(&path, batches, records_each))
        .map_err(|error| BenchError::File(path.clone(), error.into()))?;
    Ok(Input { path, contents })
}

fn task<'a>(
    subject: Subject,
    case: &'static str,
    input: &'a Input,
    repeats: u32,
    places: &'a Places,
) -> Task<'a> {
    let log = places.work.join(format!("stream-{}.log", subject.name()));
    Task {
        subject: subject.name(),
        case,
        amount: format!(
            "{} batches, {} MB",
            input.contents.batches,
            input.contents.bytes / 1_000_000
        ),
        repeats,
        endpoint: EndpointCommand {
            program: places.endpoint.clone(),
            work: Work::Batches(input.path.clone()),
            delay_ms: 0,
            hand_back_percent: 0,
        },
        program: subject.program(places).to_owned(),
        command: Box::new(move |address| subject.command(address, &input.path, places)),
        done_when: subject.done_when(),
        check: {
            let log = log.clone();
            Box::new(move |run| check(subject, &input.contents, &run.counts, &log))
        },
        log,
    }
}
