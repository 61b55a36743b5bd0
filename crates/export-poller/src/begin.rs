//! Beginning an export once per window.
//!
//! The window, its time and the token are recorded on condition that nobody else has; only then is DynamoDB asked. Whoever comes
//! later finds the row, and, if the export's ARN is not in it, looks for the export before asking again with the same token:
//! DynamoDB forgets a token eight hours after the export's end, but lists the export for 90 days.

use export_jobs::names::export_job;
use export_jobs::{EXPORT_PART, JobRow, Span, Status, compact_time, full_window, read};
use lambda_support::{Failure, FailureKind, error_chain};
use serde::Serialize;
use storage::{
    Clock, ErrorKind, ExportDescription, ExportRequest, ExportStatus, ExportView, ItemStore,
    Ledger, ObjectStore, StorageError, TableExports, TableStore,
};
use tracing::warn;

use crate::chain::{self, Next, OpenWindow, Reach};
use crate::finish::objects_of;
use crate::handler::{Dependencies, invalid};
use crate::record::{Proposal, Recorded, Table, fail_attempt, record_export, record_window};
use crate::request::{BeginRequest, ExportType};
use crate::settings::{check_same, resolve};

/// Windows that one call looks at: more than one only if those before turn out to be whole or out of reach.
const MAX_WINDOWS_LOOKED_AT: u32 = 4;

/// What became of a begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BeginAnswer {
    /// What the machine does next.
    pub state: BeginState,
    /// The ledger's `job`; empty if there is none.
    pub job: String,
    /// The window's name; empty if there is none.
    pub window: String,
    /// One sentence for whoever reads the execution.
    pub message: String,
}

/// How a begin ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BeginState {
    /// The export runs, or is there; what follows is to be done.
    Running,
    /// No window is due.
    Nothing,
    /// The chain is paused.
    Paused,
    /// Everything has been done before.
    Completed,
}

/// A window that has been begun, now or before.
struct Begun {
    state: BeginState,
    row: JobRow,
}

impl Begun {
    fn answer(&self) -> BeginAnswer {
        let row = &self.row;
        let message = match self.state {
            BeginState::Completed => format!(
                "the window {} is whole: {} rows in the lake",
                row.window, row.rows_written
            ),
            _ => format!(
                "attempt {} of the window {}, export {}",
                row.attempt,
                row.window,
                row.export_id().unwrap_or("unknown")
            ),
        };
        BeginAnswer {
            state: self.state,
            job: export_job(&row.table, &row.window),
            window: row.window.clone(),
            message,
        }
    }
}

/// Begins the export that is asked for, or finds it.
pub async fn begin<O, T, E, L, W, C>(
    request: &BeginRequest,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<BeginAnswer, Failure>
where
    O: ObjectStore,
    T: TableStore + ItemStore,
    E: TableExports,
    L: Ledger,
    C: Clock,
{
    let failed = |error: StorageError| Failure::from(&error);
    let config = &dependencies.config;
    let shape = dependencies
        .tables
        .describe(&config.table)
        .await
        .map_err(failed)?;
    let identity = dependencies
        .tables
        .identity(&config.table)
        .await
        .map_err(failed)?;
    if request.restart_chain && request.export_type == ExportType::Incremental {
        return Err(invalid(
            "an incremental export is asked for with restart_chain: expected it with a full one, at whose time windows begin anew",
        ));
    }
    let table = Table {
        name: config.table.clone(),
        arn: identity.arn,
        id: identity.id,
        key_names: shape.keys().map(|key| key.name.clone()).collect(),
    };
    let reach = reach(dependencies, &table.id).await?;
    let resolved = resolve(request, config, &dependencies.objects).await?;
    let attribute = resolved.settings.discriminator.as_ref();
    if request.export_type == ExportType::Incremental
        && config.view == ExportView::NewImage
        && let Some(name) = attribute.filter(|name| !table.key_names.contains(name))
    {
        return Err(invalid(format!(
            "the discriminator {name:?} is no key attribute, and with NEW_IMAGE a removal has nothing but keys, so nobody knows which data set it belongs to: expected NEW_AND_OLD_IMAGES"
        )));
    }
    let propose = |open: OpenWindow| Proposal {
        window: open.window,
        span: open.span,
        restarts_chain: request.restart_chain,
        settings: resolved.settings.clone(),
        schema_key: resolved.schema_key.clone(),
        anew: request.anew,
    };
    match request.export_type {
        ExportType::Full => {
            let Some(window) = &request.window else {
                return Err(invalid(
                    "a full export is asked for without a window: expected the time for which it is asked, such as 2026-11-21T04:00:00Z, or a label; the same one is the same export",
                ));
            };
            let open = OpenWindow {
                window: full_window(window)
                    .map_err(|error| Failure::new(FailureKind::Invalid, &error))?,
                span: Span::Full {
                    export_time: reach.latest,
                },
            };
            let window = open.window.clone();
            match begin_window(propose(open), request, &table, &reach, dependencies).await? {
                Some(begun) => Ok(begun.answer()),
                None => Err(invalid(format!(
                    "the window {window} of the table {} cannot be exported: point-in-time recovery reaches from {} to {}, and the newest time that is exported is {}: expected to be asked again later",
                    table.name,
                    compact_time(reach.earliest),
                    compact_time(reach.latest.max(reach.earliest)),
                    compact_time(reach.latest),
                ))),
            }
        }
        ExportType::Incremental => {
            if let Some(window) = &request.window {
                return Err(invalid(format!(
                    "an incremental export is asked for with the window {window:?}: expected none, since windows follow one another"
                )));
            }
            for _ in 0..MAX_WINDOWS_LOOKED_AT {
                let Dependencies { ledger, clock, .. } = dependencies;
                let next = chain::next_window(ledger, clock, &table.name, &reach)
                    .await
                    .map_err(failed)?;
                let open = match next {
                    Next::Window(open) => open,
                    Next::Paused => {
                        return Ok(nothing(
                            BeginState::Paused,
                            "incremental exports are paused",
                        ));
                    }
                    Next::NotDue(message) => return Ok(nothing(BeginState::Nothing, &message)),
                };
                let window = open.window.clone();
                match begin_window(propose(open), request, &table, &reach, dependencies).await? {
                    Some(begun) if begun.state == BeginState::Completed => {
                        // Whoever finished it died before it said so to the chain. What the window holds is what its row says,
                        // which another one may have made under this name.
                        let end = begun.row.span.snapshot_time();
                        chain::advance(ledger, clock, &table.name, &window, end)
                            .await
                            .map_err(failed)?;
                    }
                    Some(begun) => return Ok(begun.answer()),
                    None => {
                        warn!(
                            window,
                            "point-in-time recovery does not reach back to the window any more: a full export is next"
                        );
                        chain::give_up(ledger, clock, &table.name, &window)
                            .await
                            .map_err(failed)?;
                    }
                }
            }
            Ok(nothing(
                BeginState::Nothing,
                "others are working on the chain at the same time",
            ))
        }
    }
}

/// Which times can be exported.
pub async fn reach<O, T, E, L, W, C>(
    dependencies: &Dependencies<O, T, E, L, W, C>,
    table_id: &str,
) -> Result<Reach, Failure>
where
    E: TableExports,
    C: Clock,
{
    let config = &dependencies.config;
    let table = &config.table;
    let recovery = dependencies
        .exports
        .recovery(table)
        .await
        .map_err(|error| Failure::from(&error))?;
    let Some(recovery) = recovery else {
        return Err(invalid(format!(
            "point-in-time recovery of the table {table} is off, and an export reads from it: expected it on (aws dynamodb update-continuous-backups --table-name {table} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true); without it, the scan machine reads the table itself"
        )));
    };
    let now = dependencies.clock.now().0 / 1_000;
    Ok(Reach {
        table_id: table_id.to_owned(),
        earliest: recovery.earliest,
        latest: now
            .saturating_sub(config.lag.as_secs())
            .min(recovery.latest),
        window: config.window.as_secs(),
        view: config.view,
    })
}

/// Begins one window; nothing if it cannot be exported.
async fn begin_window<O, T, E, L, W, C>(
    proposal: Proposal,
    request: &BeginRequest,
    table: &Table,
    reach: &Reach,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<Option<Begun>, Failure>
where
    O: ObjectStore,
    E: TableExports,
    L: Ledger,
    C: Clock,
{
    let failed = |error: StorageError| Failure::from(&error);
    let Dependencies {
        ledger,
        clock,
        exports,
        config,
        ..
    } = dependencies;
    let job = export_job(&table.name, &proposal.window);
    // Before anything is written: a begin that is refused changes nothing.
    let known = read::<JobRow, L>(ledger, &job, EXPORT_PART)
        .await
        .map_err(failed)?;
    match known.map(|stored| stored.row) {
        Some(row) if proposal.anew && row.processing_status == Status::Failed => {
            check_unseen(&dependencies.objects, &row).await?;
        }
        Some(row) if row.table_id == table.id => check_same(request, &proposal, &row)?,
        _ => {}
    }
    let recorded = record_window(ledger, clock, &job, &proposal, table, reach, config)
        .await
        .map_err(failed)?;
    let (row, is_known) = match recorded {
        Recorded::Fresh(row) => (row, false),
        Recorded::Known(row) => (row, true),
        Recorded::Completed(row) => {
            check_same(request, &proposal, &row)?;
            return Ok(Some(Begun {
                state: BeginState::Completed,
                row,
            }));
        }
        Recorded::OutOfReach => return Ok(None),
        Recorded::OtherTable => {
            return Err(invalid(format!(
                "the window {} is of a table {} that is not there any more: expected another window",
                proposal.window, table.name
            )));
        }
    };
    check_same(request, &proposal, &row)?;
    let running = |row| {
        Some(Begun {
            state: BeginState::Running,
            row,
        })
    };
    if row.export_arn.is_some() {
        return Ok(running(row));
    }
    let found = match is_known {
        true => adopt(exports, &row).await.map_err(failed)?,
        false => None,
    };
    let description = match found {
        Some(description) => description,
        None if !reach.holds(row.span) => {
            let reason = "point-in-time recovery does not reach back to it any more".to_owned();
            fail_attempt(ledger, clock, &job, row.attempt, reason)
                .await
                .map_err(failed)?;
            return Ok(None);
        }
        None => match exports.begin_export(&asked(&row)).await {
            Ok(description) => description,
            Err(error) => {
                // A conflict is of the token: the next attempt has another one, and looks for the export first.
                if matches!(error.kind(), ErrorKind::Refused | ErrorKind::Conflict) {
                    let reason = error_chain(&error);
                    fail_attempt(ledger, clock, &job, row.attempt, reason)
                        .await
                        .map_err(failed)?;
                }
                return Err(failed(error));
            }
        },
    };
    let row = record_export(ledger, clock, &job, row.attempt, &description.arn).await?;
    if row.export_arn.as_ref() != Some(&description.arn) {
        warn!(
            job,
            begun = description.arn,
            recorded = row.export_arn,
            "another export is recorded for the window"
        );
    }
    Ok(running(row))
}

/// Refuses to begin a window anew of which something can be seen: another export has other files, and what was made of the first
/// one's would be there besides.
async fn check_unseen<O: ObjectStore>(objects: &O, row: &JobRow) -> Result<(), Failure> {
    let failed = |error: StorageError| Failure::from(&error);
    let prefix = objects_of(row);
    let listed = objects.list(&row.bucket, &prefix).await.map_err(failed)?;
    match listed.first() {
        None => Ok(()),
        Some(object) => Err(invalid(format!(
            "the window {} has objects, such as s3://{}/{}: expected none, since another export has other files; move them away first",
            row.window, row.bucket, object.key
        ))),
    }
}

fn asked(row: &JobRow) -> ExportRequest {
    ExportRequest {
        table_arn: row.table_arn.clone(),
        bucket: row.bucket.clone(),
        prefix: row.prefix.clone(),
        span: row.span.asked(),
        client_token: row.client_token.clone(),
    }
}

/// Looks for the export that somebody began for this row and did not live to record.
async fn adopt<E: TableExports>(
    exports: &E,
    row: &JobRow,
) -> Result<Option<ExportDescription>, StorageError> {
    let incremental = matches!(row.span, Span::Incremental { .. });
    let mut listed = exports.exports(&row.table_arn).await?;
    listed.retain(|export| export.incremental == incremental);
    // In whatever order they are listed: an ARN ends in the time at which its export was begun, so the newest ones come first.
    // Nothing but time depends on it.
    listed.sort_unstable_by(|one, other| other.arn.cmp(&one.arn));
    for export in listed {
        let description = exports.export(&export.arn).await?;
        if is_the_same(&description, row) {
            return Ok(Some(description));
        }
    }
    Ok(None)
}

/// One that failed is only this attempt's if it has its token: it is recorded, so that the next attempt has another one.
fn is_the_same(description: &ExportDescription, row: &JobRow) -> bool {
    let is_ours = description.client_token.as_ref() == Some(&row.client_token);
    (is_ours || description.status != ExportStatus::Failed)
        && description.span == Some(row.span.asked())
        && description.bucket == row.bucket
        && description.prefix.as_deref().unwrap_or_default() == row.prefix
        && description
            .table_id
            .as_ref()
            .is_none_or(|id| *id == row.table_id)
}

fn nothing(state: BeginState, message: &str) -> BeginAnswer {
    BeginAnswer {
        state,
        job: String::new(),
        window: String::new(),
        message: message.to_owned(),
    }
}
