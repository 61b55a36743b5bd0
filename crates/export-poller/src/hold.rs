//! Which execution of the state machine works on a window's files.
//!
//! Planning asks for it, and so does finishing a window that is not whole. What an execution does besides that lost the window while
//! it was stopped, and was redriven, is as harmless as it ever was: merging a schema reads what the ledger has and makes the same of
//! it, whoever asks.

use export_jobs::hold::{ExecutionArn, Hold};
use export_jobs::{JobRow, hold};
use lambda_support::Failure;
use storage::{Clock, Ledger, Workflows};

use crate::handler::{Dependencies, unknown};

/// Takes a window's files for an execution, unless another one that runs has them.
pub async fn take<O, T, E, L, W, C>(
    job: &str,
    execution: &ExecutionArn,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<Hold, Failure>
where
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    let Dependencies {
        ledger,
        workflows,
        clock,
        config,
        ..
    } = dependencies;
    hold::take::<JobRow, _, _, _>(ledger, workflows, clock, &config.table, job, execution)
        .await?
        .ok_or_else(|| unknown(job, &config.table))
}
