//! The handler: an event in, a report out.

use export_jobs::names::file_part;
use export_jobs::{EXPORT_PART, JobRow, read};
use lambda_support::{Failure, FailureKind};
use serde_json::Value;
use storage::{Clock, Ledger, ObjectStore, ResumePolicy, Timestamp};

use crate::config::Config;
use crate::infer::infer;
use crate::part::Part;
use crate::request::{Action, Report, Request};
use crate::transform::transform;

/// What the handler borrows from `main`, or from a test.
pub struct Dependencies<O, L, C> {
    /// The lake.
    pub objects: O,
    /// The ledger.
    pub ledger: L,
    /// Wall-clock time.
    pub clock: C,
    /// The environment's settings.
    pub config: Config,
}

/// What one invocation works with.
pub(crate) struct Work<'a, O, L, C> {
    pub(crate) objects: &'a O,
    pub(crate) job: &'a JobRow,
    pub(crate) part: Part<'a, L, C>,
    /// Bytes of output that are held back.
    pub(crate) held_bytes: usize,
    /// How the data file is read.
    pub(crate) policy: ResumePolicy,
    /// When the function will be killed.
    pub(crate) deadline: Timestamp,
}

/// Does with a data file what the event asks for. `deadline` is when the function will be killed; `random` tells invocations
/// apart.
///
/// # Errors
/// `Invalid` for an event, a job or a file that can never be right; the file's row is FAILED then, with the same message.
/// `Transient` if a service failed: the same event goes on.
pub async fn handle<O, L, C>(
    event: &Value,
    deadline: Timestamp,
    random: u64,
    dependencies: &Dependencies<O, L, C>,
) -> Result<Report, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let Dependencies {
        objects,
        ledger,
        clock,
        config,
    } = dependencies;
    let request =
        Request::read(event).map_err(|error| Failure::new(FailureKind::Invalid, &error))?;
    let job = read::<JobRow, L>(ledger, &request.job, EXPORT_PART)
        .await
        .map_err(|error| Failure::from(&error))?
        .ok_or_else(|| {
            invalid(format!(
                "the ledger has no job {}: expected one that export-poller began",
                request.job
            ))
        })?
        .row;
    if job.bucket != config.lake_bucket {
        return Err(invalid(format!(
            "the job {} writes to the bucket {}: expected {}, as LAKE_BUCKET says",
            request.job, job.bucket, config.lake_bucket
        )));
    }
    let work = Work {
        objects,
        job: &job,
        part: Part {
            ledger,
            clock,
            job: &request.job,
            name: file_part(&request.file.data_file_s3_key),
            bucket: &config.lake_bucket,
            file: &request.file,
        },
        held_bytes: config.held_bytes,
        policy: ResumePolicy {
            seed: random,
            ..ResumePolicy::default()
        },
        deadline,
    };
    match request.action {
        Action::Transform => transform(&work).await,
        Action::Infer => infer(&work).await,
    }
}

pub(crate) fn invalid(message: String) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        message,
    }
}
