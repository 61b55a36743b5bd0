//! Following an import to its end.

use std::pin::pin;
use std::time::Duration;

use serde_json::Value;
use storage::{
    ErrorKind, Execution, ExecutionStatus, ImportStatus, StorageError, TableImports, Workflows,
};

use super::{ImportError, Machine};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Looks in a row that may fail for a moment's reason: five minutes.
const MAX_FAILED_LOOKS: u32 = 30;

/// Whom to ask how far it is.
#[derive(Debug, Clone, Copy)]
pub struct Following<'a, W, T> {
    /// The state machines.
    pub workflows: &'a W,
    /// The imports.
    pub imports: &'a T,
    /// The execution's ARN.
    pub execution: &'a str,
    /// The machine, whose account and region the table is in.
    pub machine: &'a Machine,
    /// The table.
    pub table: &'a str,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The import has not been seen yet.
    Waiting,
    /// It reads the source.
    Importing {
        /// Uncompressed bytes that were read.
        bytes: u64,
        /// Items that were read.
        items: u64,
        /// Errors that were met.
        errors: u64,
    },
    /// Everything is imported; the protections are being switched on.
    Finishing,
}

/// What a finished import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The table.
    pub table: String,
    /// Items that were written.
    pub imported: u64,
    /// Items that were read.
    pub processed: u64,
    /// Items that were refused.
    pub errors: u64,
    /// Uncompressed bytes that were read.
    pub bytes: u64,
    /// The command that shows what is in the import's log.
    pub log: Option<String>,
    /// What the state machine says besides.
    pub message: Option<String>,
}

/// How the following ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The import is done.
    Done(Report),
    /// It was left running.
    Left,
}

impl Report {
    /// Reads the output of the state machine.
    ///
    /// # Errors
    /// An output of another state machine.
    pub(super) fn of(
        execution: &Execution,
        machine: &Machine,
        table: &str,
    ) -> Result<Self, ImportError> {
        let output = execution.output.as_deref().unwrap_or_default();
        let output: Value = serde_json::from_str(output).unwrap_or_default();
        if output["import_arn"].is_null() {
            return Err(ImportError::OtherMachine {
                machine: machine.arn().to_owned(),
            });
        }
        let count = |name: &str| output[name].as_u64().unwrap_or(0);
        Ok(Self {
            table: table.to_owned(),
            imported: count("imported"),
            processed: count("processed"),
            errors: count("errors"),
            bytes: count("bytes"),
            log: log_command(&output),
            message: output["message"].as_str().map(str::to_owned),
        })
    }
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// `Import.Failed`, `Import.Refused`, `Import.StillRunning`, `Import.NotReady`, or Step Functions' own.
    pub(super) error: String,
    pub(super) message: String,
    pub(super) log: Option<String>,
}

impl Failure {
    /// Nothing if it runs or succeeded.
    pub(super) fn of(execution: &Execution) -> Option<Self> {
        let what = match execution.status {
            ExecutionStatus::Running | ExecutionStatus::Succeeded => return None,
            ExecutionStatus::Failed => "the execution failed",
            ExecutionStatus::TimedOut => {
                "the execution took too long; the import may still be running, and the same command looks for it again"
            }
            ExecutionStatus::Aborted => {
                "somebody stopped the execution; the import may still be running, and the same command looks for it again"
            }
        };
        let cause = execution.cause.as_deref().unwrap_or_default();
        let report: Value = serde_json::from_str(cause).unwrap_or_default();
        let mut message = match (report["message"].as_str(), cause) {
            (Some(message), _) => message.to_owned(),
            (None, "") => what.to_owned(),
            (None, cause) => format!("{what}: {cause}"),
        };
        for (name, words) in [("failure_code", "code"), ("failure_message", "message")] {
            if let Some(text) = report[name].as_str() {
                message.push_str(&format!(" ({words}: {text})"));
            }
        }
        Some(Self {
            error: execution.error.clone().unwrap_or_default(),
            message,
            log: log_command(&report),
        })
    }
}

/// The command that reads an import's lines in its log group: each of them names the import's ARN.
fn log_command(report: &Value) -> Option<String> {
    let arn = report["log_group"].as_str()?;
    let (_, group) = arn.split_once(":log-group:")?;
    let group = group.strip_suffix(":*").unwrap_or(group);
    let import = report["import_arn"]
        .as_str()
        .and_then(|arn| arn.rsplit('/').next());
    let filter = import.map_or_else(String::new, |import| {
        format!(" --filter-pattern '\"{import}\"'")
    });
    Some(format!(
        "aws logs filter-log-events --log-group-name {group}{filter}"
    ))
}

/// Looks every ten seconds until the execution has ended, or `stop` has.
///
/// # Errors
/// An import that did not succeed, or of which nothing can be found out for five minutes.
pub async fn follow<W: Workflows, T: TableImports>(
    following: &Following<'_, W, T>,
    stop: impl Future<Output = ()>,
    mut on_progress: impl FnMut(Stage),
) -> Result<Ending, ImportError> {
    let mut stop = pin!(stop);
    let mut failed_looks = 0;
    loop {
        match following.workflows.execution(following.execution).await {
            Ok(execution) => {
                failed_looks = 0;
                if execution.status == ExecutionStatus::Succeeded {
                    let report = Report::of(&execution, following.machine, following.table)?;
                    return Ok(Ending::Done(report));
                }
                if let Some(failure) = Failure::of(&execution) {
                    return Err(ImportError::Failed {
                        message: failure.message,
                        log: failure.log,
                    });
                }
            }
            Err(error) if error.kind().is_transient() && failed_looks < MAX_FAILED_LOOKS => {
                failed_looks += 1;
            }
            Err(error) => return Err(ImportError::Lost(error)),
        }
        on_progress(following.stage().await?);
        tokio::select! {
            biased;
            () = &mut stop => return Ok(Ending::Left),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

impl<W, T: TableImports> Following<'_, W, T> {
    async fn stage(&self) -> Result<Stage, ImportError> {
        let arn = self.machine.table_arn(self.table);
        match self.imports.newest_import(&arn).await {
            Ok(Some(import)) => Ok(match import.status {
                ImportStatus::Running => Stage::Importing {
                    bytes: import.processed_bytes,
                    items: import.processed_items,
                    errors: import.errors,
                },
                ImportStatus::Completed => Stage::Finishing,
                // One of an earlier table of this name, or this one's end, which the execution is about to tell.
                ImportStatus::Cancelled | ImportStatus::Failed => Stage::Waiting,
            }),
            Ok(None) => Ok(Stage::Waiting),
            Err(error) if is_harmless(&error) => Ok(Stage::Waiting),
            Err(error) => Err(ImportError::Lost(error)),
        }
    }
}

/// The execution says how it ends; without the right to look at imports only the bar stays empty.
fn is_harmless(error: &StorageError) -> bool {
    error.kind().is_transient() || matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound)
}
