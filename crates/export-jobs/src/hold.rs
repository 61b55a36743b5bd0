//! Which execution of a state machine works on a job.
//!
//! Two executions that are started for one window of exports, or for one scan, would both call a function for every file or segment
//! of it. What comes of that is right, but its time is paid twice; and two workers that take a segment from each other, over and
//! over, come to no end. So whoever comes first has the job's row name its execution, and another execution leaves the work to that
//! one as long as it runs.
//!
//! A row that says FAILED is the work of no execution that runs: taking it for work opens it again ([`take`]), and whoever does not
//! have it says FAILED of it only if the one who has it has ended ([`at_work`]). So a job that FAILED may be begun again, or anew,
//! without asking for anybody.

use std::fmt;

use lambda_support::{Failure, FailureKind, error_chain};
use serde::Deserialize;
use storage::{Clock, ErrorKind, ExecutionStatus, Ledger, Workflows};
use tracing::info;

use crate::job::{EXPORT_PART, JobRow, SCAN_PART, ScanRow};
use crate::part::Status;
use crate::row::{Row, change};

/// The ARN of an execution of a standard state machine, such as
/// `arn:aws:states:us-east-1:123456789012:execution:transload-export:weekly`.
///
/// No other is taken: an express execution cannot be described (API reference, "DescribeExecution"), and a child of a Distributed
/// Map (`…:execution:machine/label:name`) ends before the work does that its parent leads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExecutionArn(String);

impl ExecutionArn {
    /// Whether a row names this execution.
    pub fn is(&self, arn: &str) -> bool {
        self.0 == arn
    }
}

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

/// A row of the ledger that names the execution which works on its job.
pub trait HeldRow: Row {
    /// Its `part`.
    const PART: &'static str;
    /// What the execution works on, for messages: `files`.
    const WORK: &'static str;

    /// The name of its table.
    fn table(&self) -> &str;

    /// The ARN of the execution that works on it, or did.
    fn execution(&mut self) -> &mut Option<String>;

    /// Whether it ended FAILED.
    fn is_failed(&self) -> bool;

    /// Takes back what failing left, so that it is IN_PROGRESS.
    fn reopen(&mut self);
}

impl HeldRow for JobRow {
    const PART: &'static str = EXPORT_PART;
    const WORK: &'static str = "files";

    fn table(&self) -> &str {
        &self.table
    }

    fn execution(&mut self) -> &mut Option<String> {
        &mut self.execution
    }

    fn is_failed(&self) -> bool {
        self.processing_status == Status::Failed
    }

    fn reopen(&mut self) {
        self.processing_status = Status::InProgress;
        self.end_time = None;
        self.error_message = None;
        self.failed_files = Vec::new();
    }
}

impl HeldRow for ScanRow {
    const PART: &'static str = SCAN_PART;
    const WORK: &'static str = "segments";

    fn table(&self) -> &str {
        &self.table
    }

    fn execution(&mut self) -> &mut Option<String> {
        &mut self.execution
    }

    fn is_failed(&self) -> bool {
        self.processing_status == Status::Failed
    }

    fn reopen(&mut self) {
        self.processing_status = Status::InProgress;
        self.end_time = None;
        self.error_message = None;
    }
}

/// Who works on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The one who asked, from now on or already.
    Taken,
    /// Another one, which runs.
    Elsewhere {
        /// Its ARN.
        execution: String,
        /// The same in one sentence, for whoever reads the execution that asked.
        message: String,
    },
    /// Nobody has to any more: the job is COMPLETED.
    Completed,
}

/// Takes a job's work for an execution, unless another one that runs has it. A job that FAILED is IN_PROGRESS then. Nothing if the
/// ledger has no such job of the table.
///
/// The row is written on condition that it is as it was read, so of several that take over from one that has ended, one does, and
/// the others find it. Nothing is asked again without end: for each turn another execution has to have taken the job, and ended,
/// since the last one.
///
/// # Errors
/// If the ledger fails, or it cannot be told whether the other one runs.
pub async fn take<R: HeldRow, L: Ledger, W: Workflows, C: Clock>(
    ledger: &L,
    workflows: &W,
    clock: &C,
    table: &str,
    job: &str,
    execution: &ExecutionArn,
) -> Result<Option<Hold>, Failure> {
    let mut ended: Option<String> = None;
    loop {
        let found = change::<R, _, _, _>(ledger, clock, job, R::PART, |row, _| {
            let row = row.as_mut().filter(|row| row.table() == table)?;
            if row.is_completed() {
                return Some(Err(Hold::Completed));
            }
            if let Some(holder) = row.execution()
                && !execution.is(holder)
                && ended.as_ref() != Some(holder)
            {
                return Some(Ok(holder.clone()));
            }
            *row.execution() = Some(execution.0.clone());
            // Somebody works on it from now on: left FAILED, it would be nobody's to the next one that begins.
            if row.is_failed() {
                row.reopen();
            }
            Some(Err(Hold::Taken))
        });
        let found = found.await.map_err(|error| Failure::from(&error))?;
        let holder = match found {
            None => return Ok(None),
            Some(Err(hold)) => return Ok(Some(hold)),
            Some(Ok(holder)) => holder,
        };
        if runs::<R, W>(workflows, job, &holder).await? {
            let message = at_work_message::<R>(job, &holder);
            return Ok(Some(Hold::Elsewhere {
                execution: holder,
                message,
            }));
        }
        info!(job, holder, "the execution that had the job has ended");
        ended = Some(holder);
    }
}

/// Whether another execution than the one that asks has a job and still runs, as a sentence for whoever asked: nobody else may say
/// then that the job FAILED. Whoever does say so, on condition that `holder` still has it, has the row name nobody.
///
/// # Errors
/// If it cannot be told whether the other one runs.
pub async fn at_work<R: HeldRow, W: Workflows>(
    workflows: &W,
    job: &str,
    holder: Option<&str>,
    execution: Option<&ExecutionArn>,
) -> Result<Option<String>, Failure> {
    let Some(holder) = holder else {
        return Ok(None);
    };
    // Whoever asks runs, and need not be asked for.
    if execution.is_some_and(|execution| execution.is(holder)) {
        return Ok(None);
    }
    let is_at_work = runs::<R, W>(workflows, job, holder).await?;
    Ok(is_at_work.then(|| at_work_message::<R>(job, holder)))
}

fn at_work_message<R: HeldRow>(job: &str, holder: &str) -> String {
    format!(
        "the execution {holder} works on the {} of {job}, and goes on",
        R::WORK
    )
}

/// Whether an execution runs. Step Functions forgets one 90 days after its end.
async fn runs<R: HeldRow, W: Workflows>(
    workflows: &W,
    job: &str,
    execution: &str,
) -> Result<bool, Failure> {
    match workflows.execution(execution).await {
        Ok(found) => Ok(found.status == ExecutionStatus::Running),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(false),
            ErrorKind::Denied => Err(Failure {
                kind: FailureKind::Invalid,
                message: format!(
                    "whether the execution {execution}, which has the {} of {job}, still runs cannot be asked ({}): expected the permission states:DescribeExecution on it",
                    R::WORK,
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
