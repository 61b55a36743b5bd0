//! The bench `transform`: the data files of a table's export into plain JSON Lines or Parquet.

mod attribute;
mod canonical;
mod check;
mod export;
pub mod floor;
mod goals;
mod items;
mod job;
pub mod outputs;
mod subject;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;

use crate::digest::Digest;
use crate::endpoint::Work;
use crate::process::{EndpointCommand, Run};
use crate::report::Figure;
use crate::turns::{BenchError, PEAK, Task, figure, least, most_memory_mb, take_turns};
use check::{Left, check, rows_in};
use export::{Export, generate};

pub use goals::goals;
pub use items::Shape;
pub use subject::{Places, Subject};

const NAME: &str = "transform";
const CPU: &str = "cpu_seconds";
/// Millions of bytes of lines, inflated, that a second of CPU time is enough for.
const SPEED: &str = "mb_per_cpu_second";

/// What is made of the lines; with the shape of the items, it is a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain JSON Lines, zstd at level 1.
    #[value(name = "json-zstd1")]
    Zstd,
    /// Plain JSON Lines, gzip at level 6.
    #[value(name = "json-gzip6")]
    Gzip,
    /// Parquet, zstd at level 1.
    #[value(name = "parquet-zstd1")]
    Parquet,
}

impl Format {
    const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Parquet];

    /// Its name in cases and for subjects.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "json-zstd1",
            Self::Gzip => "json-gzip6",
            Self::Parquet => "parquet-zstd1",
        }
    }

    /// What compresses lines adds this to the names of their files.
    fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Gzip => "gz",
            Self::Parquet => "parquet",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// About how many bytes the lines of each export have.
    pub bytes: u64,
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
        match subject.is_python() {
            true => 1,
            false => self.repeats,
        }
    }
}

/// Measures every case and subject. `tell` gets a line for a person as each thing begins.
///
/// # Errors
/// The first run that failed, or whose rows are not all there: its figures would mean nothing.
pub fn measure(
    extent: &Extent,
    places: &Places,
    now: fn() -> Instant,
    tell: &dyn Fn(&str),
) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for shape in Shape::ALL {
        let folder = places.work.join("transform").join(shape.name());
        tell(&format!("generating {}", folder.display()));
        let export = generate(&folder, shape, extent.bytes)
            .map_err(|error| BenchError::File(folder.clone(), error.into()))?;
        for format in Format::ALL {
            figures.extend(measure_case(&export, format, extent, places, now, tell)?);
        }
    }
    Ok(figures)
}

fn measure_case(
    export: &Export,
    format: Format,
    extent: &Extent,
    places: &Places,
    now: fn() -> Instant,
    tell: &dyn Fn(&str),
) -> Result<Vec<Figure>, BenchError> {
    let case = export.shape.case(format);
    let runs = Place::new(places, export, format)?;
    let mut tasks = Vec::new();
    for subject in extent.subjects() {
        match subject.leaves_out(format) {
            Some(why) => tell(&format!("{case}, {}: left out, {why}", subject.name())),
            None => tasks.push(runs.task(subject, extent.repeats(subject))),
        }
    }
    let mut figures = Vec::new();
    for (task, runs) in tasks.iter().zip(take_turns(&tasks, now, tell)?) {
        let cpu = least(&runs, |run| run.subject.cpu.as_secs_f64());
        let wall = least(&runs, |run| run.wall.as_secs_f64());
        let endpoint_cpu = least(&runs, |run| run.endpoint.cpu.as_secs_f64());
        tell(&format!(
            "{case}, {}: {wall:.1} s; the endpoint used {endpoint_cpu:.2} CPU-s",
            task.subject
        ));
        figures.push(figure(NAME, task, CPU, cpu));
        let speed = export.bytes as f64 / 1e6 / cpu;
        figures.push(figure(NAME, task, SPEED, speed));
        figures.push(figure(NAME, task, PEAK, most_memory_mb(&runs)));
    }
    Ok(figures)
}

/// Where the runs of a case take place.
struct Place<'a> {
    places: &'a Places,
    export: &'a Export,
    format: Format,
    /// What the endpoint is told of the export.
    work: PathBuf,
    /// Where outputs go. Each run finds it empty.
    output: PathBuf,
}

impl<'a> Place<'a> {
    fn new(places: &'a Places, export: &'a Export, format: Format) -> Result<Self, BenchError> {
        let folder = places.work.join("transform");
        let (work, output) = (folder.join("work.json"), folder.join("output"));
        job::write_work(&work, export, format, &output)
            .map_err(|error| BenchError::File(work.clone(), error.into()))?;
        Ok(Self {
            places,
            export,
            format,
            work,
            output,
        })
    }

    fn task(&self, subject: Subject, repeats: u32) -> Task<'_> {
        let log = self
            .places
            .work
            .join(format!("transform-{}.log", subject.name()));
        Task {
            subject: subject.name(),
            case: self.export.shape.case(self.format),
            amount: format!(
                "{} items, {} MB",
                self.export.rows.items,
                self.export.bytes / 1_000_000
            ),
            repeats,
            endpoint: EndpointCommand {
                program: self.places.endpoint.clone(),
                work: Work::Export(self.work.clone()),
                delay_ms: 0,
                hand_back_percent: 0,
            },
            program: subject.program(self.places).to_owned(),
            command: Box::new(move |address| {
                // Where it cannot be emptied, what is in it makes the run an error.
                let _ = emptied(&self.output);
                subject.command(address, self.export, self.format, &self.output, self.places)
            }),
            done_when: subject.done_when(),
            check: {
                let log = log.clone();
                Box::new(move |run| self.check(subject, run, &log))
            },
            log,
        }
    }

    fn check(&self, subject: Subject, run: &Run, log: &Path) -> Result<(), String> {
        let left = Left {
            // Nothing is written where the floor of Parquet is all that is known of it.
            rows: match (subject, self.format) {
                (Subject::Floor, Format::Parquet) => Digest::default(),
                _ => rows_in(&self.output, &self.places.checker)?,
            },
            counts: &run.counts,
            said: &fs::read_to_string(log).unwrap_or_default(),
        };
        check(subject, self.format, self.export, &left)
    }
}

fn emptied(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    }
}
