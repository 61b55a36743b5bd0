//! Which execution of the state machine works on a window's files.
//!
//! Two executions that are started for one window find one export, and each would call the transformer for every file of it. What
//! comes of that is right, since each file is decided once, but its time is paid twice. So whoever plans the files first has the
//! window's row name its execution, and another execution leaves them to that one as long as it runs.
//!
//! Only planning asks. What an execution does that lost the window while it was stopped, and was redriven, is as harmless as it ever
//! was; and merging a schema, or finishing, reads what the ledger has and makes the same of it, whoever asks.

use std::fmt;

use export_jobs::{EXPORT_PART, JobRow, Status, change};
use lambda_support::{Failure, FailureKind, error_chain};
use serde::Deserialize;
use storage::{Clock, ErrorKind, ExecutionStatus, Ledger, Workflows};
use tracing::info;

use crate::handler::{Dependencies, unknown};

/// The ARN of an execution of a standard state machine, such as
/// `arn:aws:states:us-east-1:123456789012:execution:transload-export:weekly`.
///
/// No other is taken: an express execution cannot be described (API reference, "DescribeExecution"), and a child of a Distributed
/// Map (`…:execution:machine/label:name`) ends before the work does that its parent leads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExecutionArn(String);

/// A text that is no ARN of an execution.
#[derive(Debug, thiserror::Error)]
#[error(
    "the execution is {0:?}: expected the ARN of a standard execution that is no child of a map, such as arn:aws:states:us-east-1:123456789012:execution:transload-export:weekly"
)]
pub struct ExecutionArnError(String);

impl TryFrom<String> for ExecutionArn {
    type Error = ExecutionArnError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_one = match parts[..] {
            [
                "arn",
                partition,
                "states",
                region,
                account,
                "execution",
                machine,
                name,
            ] => {
                let all = [partition, region, account, machine, name];
                all.iter().all(|part| !part.is_empty()) && !machine.contains('/')
            }
            _ => false,
        };
        match is_one {
            true => Ok(Self(text)),
            false => Err(ExecutionArnError(text)),
        }
    }
}

impl fmt::Display for ExecutionArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who works on a window's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The one who asked, from now on or already.
    Taken,
    /// This other execution, which runs.
    Elsewhere(String),
    /// Nobody has to any more: the window is COMPLETED.
    Completed,
}

/// Takes a window's files for an execution, unless another one that runs has them.
///
/// The row is written on condition that it is as it was read, so of several that take over from one that has ended, one does, and
/// the others find it. Nothing is asked again without end: for each turn another execution has to have taken the window, and
/// ended, since the last one.
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
    let mut ended: Option<String> = None;
    loop {
        let found = change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, _| {
            let row = row.as_mut().filter(|row| row.table == config.table)?;
            if row.processing_status == Status::Completed {
                return Some(Hold::Completed);
            }
            Some(match &row.execution {
                Some(holder) if *holder == execution.0 => Hold::Taken,
                Some(holder) if Some(holder) != ended.as_ref() => Hold::Elsewhere(holder.clone()),
                _ => {
                    row.execution = Some(execution.0.clone());
                    Hold::Taken
                }
            })
        });
        let found = found
            .await
            .map_err(|error| Failure::from(&error))?
            .ok_or_else(|| unknown(job, &config.table))?;
        match found {
            Hold::Elsewhere(holder) if !runs(workflows, job, &holder).await? => {
                info!(
                    job,
                    holder, "the execution that had the window's files has ended"
                );
                ended = Some(holder);
            }
            found => return Ok(found),
        }
    }
}

/// Whether an execution runs. Step Functions forgets one 90 days after its end.
async fn runs<W: Workflows>(workflows: &W, job: &str, execution: &str) -> Result<bool, Failure> {
    match workflows.execution(execution).await {
        Ok(found) => Ok(found.status == ExecutionStatus::Running),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(false),
            ErrorKind::Denied => Err(Failure {
                kind: FailureKind::Invalid,
                message: format!(
                    "whether the execution {execution}, which has the files of {job}, still runs cannot be asked ({}): expected the permission states:DescribeExecution on it",
                    error_chain(&error)
                ),
            }),
            _ => Err(Failure::from(&error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_of_a_standard_machine_is_named_and_nothing_else() {
        for good in [
            "arn:aws:states:us-east-1:123456789012:execution:transload-export:weekly",
            "arn:aws-cn:states:cn-north-1:123456789012:execution:e:0d6ac7a8-7b5c-4b8f-9d0e-6b8f0a1c2d3e_5f",
        ] {
            let arn = ExecutionArn::try_from(good.to_owned()).expect("it is one");
            assert_eq!(arn.to_string(), good);
        }
        for wrong in [
            "",
            "weekly",
            // A machine, an express execution, a child of a Distributed Map, and the run of one.
            "arn:aws:states:us-east-1:123456789012:stateMachine:transload-export",
            "arn:aws:states:us-east-1:123456789012:express:transload-export:weekly:1-2",
            "arn:aws:states:us-east-1:123456789012:execution:transload-export/Files:1-2",
            "arn:aws:states:us-east-1:123456789012:mapRun:transload-export/Files:1-2",
            "arn:aws:states:us-east-1:123456789012:execution:transload-export:",
            "arn:aws:lambda:us-east-1:123456789012:execution:transload-export:weekly",
        ] {
            let error = ExecutionArn::try_from(wrong.to_owned()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(": expected the ARN of a standard execution"));
            assert!(text.contains(&format!("{wrong:?}")), "{text}");
        }
    }
}
