//! The handler: an event in, an answer out.

use lambda_support::Failure;
use serde_json::Value;
use storage::{Clock, ItemStore, Ledger, ObjectStore, TableStore, Timestamp, Workflows};

use crate::begin::begin;
use crate::config::Config;
use crate::error::ScanError;
use crate::finish::finish;
use crate::report::Report;
use crate::request::Request;
use crate::segment::scan_segment;

/// What the handler borrows from `main`, or from a test.
pub struct Dependencies<O, T, L, W, C> {
    /// The lake.
    pub objects: O,
    /// The table.
    pub tables: T,
    /// The ledger.
    pub ledger: L,
    /// The state machine's executions.
    pub workflows: W,
    /// Wall-clock time.
    pub clock: C,
    /// The environment's settings.
    pub config: Config,
}

/// What is different in each invocation.
#[derive(Debug, Clone, Copy)]
pub struct Invocation {
    /// When the function will be killed.
    pub deadline: Timestamp,
    /// Tells workers apart.
    pub random: u64,
}

/// Does one step of a scan.
///
/// # Errors
/// `Invalid` for an event, settings or a table that cannot be used, and for rows that can never be written; `Transient` if the
/// same call can succeed later, also if another worker has taken the segment over.
pub async fn handle<O, T, L, W, C>(
    event: &Value,
    invocation: Invocation,
    dependencies: &Dependencies<O, T, L, W, C>,
) -> Result<Report, Failure>
where
    O: ObjectStore,
    T: ItemStore + TableStore,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    act(event, invocation, dependencies)
        .await
        .map_err(|error| Failure::from(&error))
}

async fn act<O, T, L, W, C>(
    event: &Value,
    invocation: Invocation,
    dependencies: &Dependencies<O, T, L, W, C>,
) -> Result<Report, ScanError>
where
    O: ObjectStore,
    T: ItemStore + TableStore,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    Ok(match Request::read(event, &dependencies.config.table)? {
        Request::Begin(request) => Report::Begun(begin(&request, invocation, dependencies).await?),
        Request::Scan {
            job,
            segment,
            execution,
        } => {
            let execution = execution.as_ref();
            Report::Segment(scan_segment(&job, segment, execution, invocation, dependencies).await?)
        }
        Request::Finish { job, execution } => {
            Report::Finished(finish(&job, execution.as_ref(), dependencies).await?)
        }
    })
}
