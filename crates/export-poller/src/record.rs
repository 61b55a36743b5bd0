//! What the ledger says of a window that is begun: its time, its token, the number of its attempt, and its export once that is known.
//!
//! Everything is decided by the row as it is, in one conditional write, so of several that begin at once one is the first.

use export_jobs::{EXPORT_PART, JobRow, Settings, Span, Status, change, hex};
use lambda_support::Failure;
use sha2::{Digest, Sha256};
use storage::{Clock, Ledger, StorageError, Timestamp};

use crate::chain::Reach;
use crate::config::Config;
use crate::handler::deleted;

/// The table as it is now.
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The id that DynamoDB gave it.
    pub id: String,
    /// The names of its key attributes, the partition key first.
    pub key_names: Vec<String>,
}

/// What is recorded of a window that nobody has begun yet.
pub struct Proposal {
    /// The window's name.
    pub window: String,
    /// What the export holds.
    pub span: Span,
    /// Whether the chain begins anew with its end.
    pub restarts_chain: bool,
    /// What is made of the lines.
    pub settings: Settings,
    /// The declared schema as it is kept.
    pub schema_key: Option<String>,
    /// Whether a window that FAILED is begun anew, with these settings.
    pub anew: bool,
}

/// How a window stands in the ledger.
pub enum Recorded {
    /// By this call, now, for the first time or after a failure.
    Fresh(JobRow),
    /// By another one.
    Known(JobRow),
    /// It is whole.
    Completed(JobRow),
    /// It cannot be exported any more.
    OutOfReach,
    /// It is of a table that had this name before.
    OtherTable,
}

/// Records a window, or finds it recorded.
pub async fn record_window<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    proposal: &Proposal,
    table: &Table,
    reach: &Reach,
    config: &Config,
) -> Result<Recorded, StorageError> {
    change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, now| match row {
        Some(row) if row.table_id != table.id => Recorded::OtherTable,
        Some(row) => match row.processing_status {
            Status::Completed => Recorded::Completed(row.clone()),
            Status::Pending | Status::InProgress => Recorded::Known(row.clone()),
            Status::Failed => again(row, job, proposal, reach),
        },
        None if !reach.holds(proposal.span) => Recorded::OutOfReach,
        None => {
            let row = row.insert(first(now, proposal, table, config));
            row.client_token = token(job, row);
            Recorded::Fresh(row.clone())
        }
    })
    .await
}

/// The row of a window that nobody has begun yet.
fn first(now: Timestamp, proposal: &Proposal, table: &Table, config: &Config) -> JobRow {
    JobRow {
        kind: "export".to_owned(),
        processing_status: Status::Pending,
        table: table.name.clone(),
        table_arn: table.arn.clone(),
        table_id: table.id.clone(),
        key_names: table.key_names.clone(),
        window: proposal.window.clone(),
        span: proposal.span,
        bucket: config.lake_bucket.clone(),
        prefix: config.prefix.clone(),
        restarts_chain: proposal.restarts_chain,
        attempt: 1,
        client_token: String::new(),
        export_arn: None,
        execution: None,
        manifest_key: None,
        files_key: None,
        file_count: 0,
        item_count: 0,
        rows_written: 0,
        rows_filtered: 0,
        settings: proposal.settings.clone(),
        schema_key: proposal.schema_key.clone(),
        start_time: now.iso(),
        end_time: None,
        error_message: None,
        failed_files: Vec::new(),
        retry_count: 0,
        last_updated: String::new(),
    }
}

/// A window that FAILED goes on, with the export that it has or as another attempt.
fn again(row: &mut JobRow, job: &str, proposal: &Proposal, reach: &Reach) -> Recorded {
    if proposal.anew {
        row.export_arn = None;
        row.manifest_key = None;
        row.files_key = None;
        row.restarts_chain = proposal.restarts_chain;
        row.settings = proposal.settings.clone();
        row.schema_key.clone_from(&proposal.schema_key);
    }
    if row.export_arn.is_none() && !reach.holds(row.span) {
        // A full export of a later time serves as well; a window is what it is.
        let is_full = matches!(row.span, Span::Full { .. });
        if !is_full || !reach.holds(proposal.span) {
            return Recorded::OutOfReach;
        }
        row.span = proposal.span;
    }
    // Nobody works on a window that FAILED: whoever had its files said so, or has ended.
    row.execution = None;
    row.retry_count += 1;
    row.end_time = None;
    row.error_message = None;
    row.failed_files = Vec::new();
    if row.export_arn.is_some() {
        row.processing_status = Status::InProgress;
        return Recorded::Known(row.clone());
    }
    row.attempt += 1;
    row.client_token = token(job, row);
    row.processing_status = Status::Pending;
    Recorded::Fresh(row.clone())
}

/// Records the export of an attempt, unless somebody did; the row as it is then.
pub async fn record_export<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    attempt: u32,
    arn: &str,
) -> Result<JobRow, Failure> {
    change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, _| {
        let row = row.as_mut()?;
        if is_open(row, attempt) {
            row.export_arn = Some(arn.to_owned());
            row.processing_status = Status::InProgress;
        }
        Some(row.clone())
    })
    .await
    .map_err(|error| Failure::from(&error))?
    .ok_or_else(|| deleted(job))
}

/// The export could not be begun: the next begin is another attempt.
pub async fn fail_attempt<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    attempt: u32,
    reason: String,
) -> Result<(), StorageError> {
    change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, now| {
        if let Some(row) = row.as_mut().filter(|row| is_open(row, attempt)) {
            row.processing_status = Status::Failed;
            row.end_time = Some(now.iso());
            row.error_message = Some(reason.clone());
        }
    })
    .await
}

/// Whether the attempt is the window's last one, and nobody has recorded what came of it.
fn is_open(row: &JobRow, attempt: u32) -> bool {
    row.attempt == attempt && row.export_arn.is_none() && row.processing_status == Status::Pending
}

/// The same call of the same attempt has the same token, which has 1 to 64 letters, digits and hyphens. Everything that is asked
/// for is in it: of a token that comes with another request, as another stack for the same table may make it, DynamoDB says
/// that it is a conflict.
fn token(job: &str, row: &JobRow) -> String {
    let JobRow {
        table_id,
        attempt,
        bucket,
        prefix,
        span,
        ..
    } = row;
    let digest = Sha256::digest(format!(
        "{job}\n{table_id}\n{bucket}\n{prefix}\n{span:?}\n{attempt}"
    ));
    hex(&digest[..16])
}
