//! What every bench does: its subjects run in turns, each run is checked, and figures are made of the runs.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::endpoint::{LAKE_BUCKET, TABLE};
use crate::process::{DoneWhen, EndpointCommand, Run, run};
use crate::report::Figure;

/// Name of the figure for memory.
pub const PEAK: &str = "peak_rss_mb";

/// Why a bench says nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Something is missing that has to be built first.
    #[error("{} is not there: run scripts/bench, which builds what is needed", .0.display())]
    Missing(PathBuf),
    /// No input could be made.
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

/// Says what is missing of the work that a run was to do, if anything is.
pub type Check<'a> = Box<dyn Fn(&Run) -> Result<(), String> + 'a>;

/// One subject in one case.
pub struct Task<'a> {
    /// The name of the subject.
    pub subject: &'static str,
    /// The name of the case.
    pub case: &'static str,
    /// How much work it is, for a person.
    pub amount: String,
    /// How often it is measured.
    pub repeats: u32,
    /// What it runs against.
    pub endpoint: EndpointCommand,
    /// The program that is run.
    pub program: PathBuf,
    /// How it is started against the endpoint at an address.
    pub command: Box<dyn Fn(&str) -> Command + 'a>,
    /// When it is done.
    pub done_when: DoneWhen,
    /// Where what it prints goes.
    pub log: PathBuf,
    /// Whether it did its work.
    pub check: Check<'a>,
}

impl Task<'_> {
    fn run(&self, now: fn() -> Instant) -> Result<Run, BenchError> {
        let failed = |error: Box<dyn Error>| BenchError::Run {
            subject: self.subject,
            case: self.case,
            error,
        };
        if !self.program.exists() {
            return Err(BenchError::Missing(self.program.clone()));
        }
        let run = run(
            &self.endpoint,
            &self.command,
            self.done_when,
            &self.log,
            now,
        )
        .map_err(|error| failed(error.into()))?;
        (self.check)(&run).map_err(|fault| failed(fault.into()))?;
        Ok(run)
    }
}

/// The runs of each task, in the order of the tasks. They take turns, so that whatever else the machine does hits them alike.
/// `tell` gets a line for a person as each run begins.
///
/// # Errors
/// The first run that failed, or that did not do its work: its figures would mean nothing.
pub fn take_turns(
    tasks: &[Task<'_>],
    now: fn() -> Instant,
    tell: &dyn Fn(&str),
) -> Result<Vec<Vec<Run>>, BenchError> {
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); tasks.len()];
    let most = tasks.iter().map(|task| task.repeats).max().unwrap_or(0);
    for repeat in 0..most {
        for (task, runs) in tasks.iter().zip(&mut runs) {
            if repeat < task.repeats {
                tell(&format!("{}, {}: {}", task.case, task.subject, task.amount));
                runs.push(task.run(now)?);
            }
        }
    }
    Ok(runs)
}

/// The least of a value over all runs.
pub fn least(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(value).fold(f64::INFINITY, f64::min)
}

/// The most memory of all runs, in millions of bytes.
pub fn most_memory_mb(runs: &[Run]) -> f64 {
    let peaks = runs.iter().map(|run| run.subject.peak_rss_bytes);
    peaks.max().unwrap_or(0) as f64 / 1e6
}

/// A figure of a task, to a thousandth.
pub fn figure(bench: &str, task: &Task<'_>, metric: &str, value: f64) -> Figure {
    Figure {
        bench: bench.to_owned(),
        subject: task.subject.to_owned(),
        case: task.case.to_owned(),
        metric: metric.to_owned(),
        value: (value * 1000.0).round() / 1000.0,
    }
}

/// A subject's command with all of its environment: nothing of this process's is in it.
pub fn subject_command(program: &Path, address: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .env("TABLE_NAME", TABLE);
    command
}

/// Adds what Lambda tells a function.
pub fn as_function(command: &mut Command, name: &str, address: &str) {
    command
        .env("LAKE_BUCKET", LAKE_BUCKET)
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench");
}
