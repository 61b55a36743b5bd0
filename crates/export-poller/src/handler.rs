//! The handler: one step of the state machine in, its answer out.

use export_jobs::{EXPORT_PART, JobRow, read};
use lambda_support::{Failure, FailureKind};
use serde::Serialize;
use serde_json::Value;
use storage::{
    Clock, ItemStore, Ledger, ObjectStore, TableExports, TableStore, Timestamp, Workflows,
};
use tracing::info;

use crate::begin::{self, BeginAnswer};
use crate::chain;
use crate::config::Config;
use crate::finish::{self, FinishAnswer};
use crate::plan::{self, PlanAnswer};
use crate::poll::{self, PollAnswer};
use crate::request::Request;
use crate::schema::{self, SchemaAnswer};

/// What the handler borrows from `main`, or from a test.
pub struct Dependencies<O, T, E, L, W, C> {
    /// The lake.
    pub objects: O,
    /// The table.
    pub tables: T,
    /// Its exports.
    pub exports: E,
    /// The ledger.
    pub ledger: L,
    /// The state machine's executions.
    pub workflows: W,
    /// Wall-clock time.
    pub clock: C,
    /// The environment's settings.
    pub config: Config,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// See [`Request::Begin`].
    Begin(BeginAnswer),
    /// See [`Request::Poll`].
    Poll(PollAnswer),
    /// See [`Request::Plan`].
    Plan(PlanAnswer),
    /// See [`Request::MergeSchema`].
    Schema(SchemaAnswer),
    /// See [`Request::Finish`].
    Finish(FinishAnswer),
    /// See [`Request::Pause`] and [`Request::Resume`].
    Chain {
        /// Whether no window begins.
        paused: bool,
    },
}

/// Does one step. `deadline` is when the function will be killed.
///
/// # Errors
/// `Invalid` for an event, a configuration, a table or an export that cannot be used. A service's failure as it is.
pub async fn handle<O, T, E, L, W, C>(
    event: &Value,
    deadline: Timestamp,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<Answer, Failure>
where
    O: ObjectStore,
    T: TableStore + ItemStore,
    E: TableExports,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    let request =
        Request::read(event).map_err(|error| Failure::new(FailureKind::Invalid, &error))?;
    let answer = match &request {
        Request::Begin(request) => Answer::Begin(begin::begin(request, dependencies).await?),
        Request::Poll { job } => Answer::Poll(poll::poll(job, dependencies).await?),
        Request::Plan { job, execution } => {
            Answer::Plan(plan::plan(job, execution.as_ref(), deadline, dependencies).await?)
        }
        Request::MergeSchema { job } => {
            Answer::Schema(schema::merge_schema(job, dependencies).await?)
        }
        Request::Finish { job, execution } => {
            Answer::Finish(finish::finish(job, execution.as_ref(), deadline, dependencies).await?)
        }
        Request::Pause => Answer::Chain {
            paused: chain::set_paused(true, dependencies).await?,
        },
        Request::Resume => Answer::Chain {
            paused: chain::set_paused(false, dependencies).await?,
        },
    };
    log(&answer);
    Ok(answer)
}

fn log(answer: &Answer) {
    match answer {
        Answer::Begin(begun) => {
            info!(job = begun.job, state = ?begun.state, message = begun.message, "begin");
        }
        Answer::Poll(polled) => info!(status = ?polled.status, message = polled.message, "poll"),
        Answer::Plan(plan) => info!(answer = ?plan, "plan"),
        Answer::Schema(schema) => info!(conflicts = schema.conflicts, "schema merged"),
        Answer::Finish(end) => info!(
            status = ?end.status,
            files = end.files,
            items = end.items,
            rows_written = end.rows_written,
            message = end.message,
            "finish"
        ),
        Answer::Chain { paused } => info!(paused, "incremental windows"),
    }
}

/// The row of a job that has been begun.
pub(crate) async fn job_row<L: Ledger>(
    ledger: &L,
    table: &str,
    job: &str,
) -> Result<JobRow, Failure> {
    let stored = read::<JobRow, L>(ledger, job, EXPORT_PART)
        .await
        .map_err(|error| Failure::from(&error))?;
    let row = stored.map(|stored| stored.row);
    row.filter(|row| row.table == table)
        .ok_or_else(|| unknown(job, table))
}

/// The failure of a step whose job nobody began.
pub(crate) fn unknown(job: &str, table: &str) -> Failure {
    invalid(format!(
        "the ledger has no export {job:?} of the table {table}: expected the job that the action begin answered"
    ))
}

/// The failure of a step whose row went while it was at work.
pub(crate) fn deleted(job: &str) -> Failure {
    invalid(format!(
        "the row of {job} has been deleted: expected it to stay"
    ))
}

pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        message: message.into(),
    }
}
