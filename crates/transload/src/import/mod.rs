//! Imports: a source into a new table by ImportTable, through the state machine `infra/import.asl.json`, which switches on
//! afterwards what ImportTable cannot: recovery, stream and deletion protection.
//!
//! What an execution is called and the import's client token are functions of the table, the request and the content of the
//! source: whoever starts the same import joins it.

mod follow;
mod request;
#[cfg(test)]
mod tests;
mod upload;

use storage::{
    ErrorKind, Execution, ExecutionStatus, ObjectStore, StorageError, TableStore, Workflows,
};

use crate::advice::Advice;
use crate::ingest::LocalFile;
use crate::preflight::{Effect, Finding, Kind, Preflight, SourceError, SourceSet};

pub use follow::{Ending, Following, Report, Stage, follow};
pub use request::{Machine, Order, OtherRegion};
pub use upload::UploadError;

use follow::Failure;
use request::Try;
use upload::{Placed, place};

/// What is taken although an import loses it, or may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Rows that share a key.
    pub duplicates: bool,
    /// Rows with a line break between quotes.
    pub line_breaks: bool,
}

/// Why nothing was imported, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not in the bucket.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The objects changed after they were checked.
    #[error("the objects changed after they were checked: run the command again")]
    Replaced,
    /// The objects cannot be listed again.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is a table of that name.
    #[error(
        "the table {0} is there already, and an import makes new tables only: choose another --table, or write into it with transload ingest (CSV) or aws dynamodb start-bulk-put-items (DynamoDB JSON)"
    )]
    TableExists(String),
    /// An earlier import of the same source left a part.
    #[error(
        "an earlier import of the same source into {table} failed, and the table holds a part of the items: delete the table and run the command again with a source that is mended; or keep it, load what is missing with transload ingest, and switch recovery, stream and protection on yourself. It failed like this: {message}"
    )]
    PartialTable {
        /// The table.
        table: String,
        /// What was said of it.
        message: String,
    },
    /// The table cannot be looked up.
    #[error("{}", ADVICE.about(table, source.kind()))]
    Table {
        /// The table.
        table: String,
        /// Why not.
        source: StorageError,
    },
    /// The state machine cannot be asked.
    #[error("{}", about_machine(machine, source.kind()))]
    Machine {
        /// Its ARN.
        machine: String,
        /// Why not.
        source: StorageError,
    },
    /// The execution says nothing of an import.
    #[error(
        "{machine} ended without the report of an import: check --state-machine, which expects output ImportMachineArn of the stack"
    )]
    OtherMachine {
        /// Its ARN.
        machine: String,
    },
    /// The execution ended otherwise than it should.
    #[error("the import did not succeed: {message}{}", log_hint(log))]
    Failed {
        /// What was said of it.
        message: String,
        /// The command that shows what is wrong with the items.
        log: Option<String>,
    },
    /// Nobody could say for a while how far it is.
    #[error(
        "it cannot be found out how far the import is; it goes on, and the same command joins it again"
    )]
    Lost(#[source] StorageError),
}

impl ImportError {
    /// Whether other arguments are needed, or the table in the way has to go, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::TableExists(_) | Self::PartialTable { .. } | Self::OtherMachine { .. } => true,
            Self::Upload(error) => matches!(
                error,
                UploadError::NoBucket { .. } | UploadError::Neighbour { .. }
            ),
            Self::Source(error) => error.is_usage(),
            Self::Machine { source, .. } => source.kind() == ErrorKind::NotFound,
            Self::Replaced | Self::Table { .. } | Self::Failed { .. } | Self::Lost(_) => false,
        }
    }
}

const ADVICE: Advice = Advice {
    option: "--table",
    rights: "dynamodb:DescribeTable on it",
    throttled: ": try again later",
};

/// What can be done about an answer of the state machine.
fn about_machine(machine: &str, kind: ErrorKind) -> String {
    match kind {
        ErrorKind::NotFound | ErrorKind::Refused => format!(
            "there is no state machine {machine} that could be started: check --state-machine (output ImportMachineArn of the stack), the region and --endpoint-url"
        ),
        ErrorKind::Denied => format!(
            "access to the state machine {machine} is denied: check the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID), which need states:StartExecution on it and states:DescribeExecution on its executions"
        ),
        _ => format!(
            "the state machine {machine} does not answer; running the command again is safe"
        ),
    }
}

fn log_hint(log: &Option<String>) -> String {
    log.as_ref()
        .map_or_else(String::new, |log| format!("; what was refused: {log}"))
}

/// What of the findings keeps an import from being begun.
pub fn refusals(preflight: &Preflight, accepted: Accepted) -> Vec<&Finding> {
    refused_of(&preflight.findings, accepted)
}

fn refused_of(findings: &[Finding], accepted: Accepted) -> Vec<&Finding> {
    let is_refused = |finding: &&Finding| match finding.kind {
        Kind::DuplicateKey => !accepted.duplicates,
        Kind::LineBreak => !accepted.line_breaks,
        kind => kind.effect() != Effect::Changes,
    };
    findings.iter().filter(is_refused).collect()
}

/// Where a file is put: `imports/<table>/<file name>`.
pub fn key_of(table: &str, file: &LocalFile) -> String {
    let name = file.path().file_name().unwrap_or_default();
    format!("imports/{table}/{}", name.to_string_lossy())
}

/// Whether there is a table of this name.
///
/// # Errors
/// A store that does not say.
pub async fn table_exists<T: TableStore>(tables: &T, table: &str) -> Result<bool, ImportError> {
    match tables.describe(table).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(ImportError::Table {
            table: table.to_owned(),
            source,
        }),
    }
}

/// Puts a file into the bucket, unless it is there, and gives the fingerprint of its object. With a table of that name there,
/// nothing is uploaded: then only an import that was begun earlier can be joined.
///
/// # Errors
/// A store that fails, an object beside it that an import would take too, or a table in the way.
pub async fn place_file<O: ObjectStore + 'static>(
    store: &std::rc::Rc<O>,
    bucket: &str,
    table: &str,
    file: &LocalFile,
    table_exists: bool,
    mut on_progress: impl FnMut(u64),
) -> Result<[u8; 32], ImportError> {
    let key = key_of(table, file);
    let may_upload = !table_exists;
    let placed = place(
        store.as_ref(),
        bucket,
        &key,
        file,
        may_upload,
        &mut on_progress,
    )
    .await?;
    if placed == Placed::NotThere {
        return Err(ImportError::TableExists(table.to_owned()));
    }
    let object = SourceSet::of_objects(store, bucket, &key).await?;
    let fingerprint = object.fingerprint().await?;
    fingerprint.ok_or(ImportError::Replaced)
}

/// An import that is under way, or has ended well before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// An execution runs.
    Running {
        /// Its ARN.
        execution: String,
        /// Whether this call started it.
        started: bool,
    },
    /// It was done before.
    Done(Report),
}

/// Starts the import, or joins the one that runs. One that ended well is not done again as long as its table is there; one that
/// ended badly is begun anew once its table is gone.
///
/// # Errors
/// A table in the way, or a state machine that cannot be asked.
pub async fn begin<W: Workflows>(
    workflows: &W,
    machine: &Machine,
    order: &Order<'_>,
    table_exists: bool,
) -> Result<Begun, ImportError> {
    let table = &order.shape.name;
    let next = match newest(workflows, machine, order).await? {
        None if table_exists => return Err(ImportError::TableExists(table.clone())),
        None => Try {
            import: 1,
            watch: 1,
        },
        Some((nth, execution)) => {
            let again = Try {
                watch: nth.watch + 1,
                ..nth
            };
            let anew = Try {
                import: nth.import + 1,
                watch: 1,
            };
            match (execution.status, Failure::of(&execution), table_exists) {
                (ExecutionStatus::Running, _, _) => {
                    return Ok(Begun::Running {
                        execution: machine.execution_arn(&order.execution_name(nth)),
                        started: false,
                    });
                }
                (ExecutionStatus::Succeeded, _, true) => {
                    return Ok(Begun::Done(Report::of(&execution, machine, table)?));
                }
                (_, Some(failure), true) if failure.error == "Import.Failed" => {
                    return Err(ImportError::PartialTable {
                        table: table.clone(),
                        message: failure.message,
                    });
                }
                (_, Some(failure), there) if failure.error == "Import.Refused" => {
                    if there {
                        return Err(ImportError::TableExists(table.clone()));
                    }
                    again
                }
                // Nobody watches an import that may go on, or its table is not protected yet.
                (_, _, true) => again,
                (_, _, false) => anew,
            }
        }
    };
    let name = order.execution_name(next);
    let execution = workflows
        .start(machine.arn(), &name, &order.input(next))
        .await
        .map_err(|source| ImportError::Machine {
            machine: machine.arn().to_owned(),
            source,
        })?;
    Ok(Begun::Running {
        execution,
        started: true,
    })
}

/// The newest execution of an order: tries follow one another without gaps.
async fn newest<W: Workflows>(
    workflows: &W,
    machine: &Machine,
    order: &Order<'_>,
) -> Result<Option<(Try, Execution)>, ImportError> {
    let mut newest = None;
    let mut look = Try {
        import: 1,
        watch: 1,
    };
    loop {
        let arn = machine.execution_arn(&order.execution_name(look));
        match workflows.execution(&arn).await {
            Ok(execution) => {
                newest = Some((look, execution));
                look.watch += 1;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if look.watch == 1 {
                    return Ok(newest);
                }
                look = Try {
                    import: look.import + 1,
                    watch: 1,
                };
            }
            Err(source) => {
                return Err(ImportError::Machine {
                    machine: machine.arn().to_owned(),
                    source,
                });
            }
        }
    }
}
