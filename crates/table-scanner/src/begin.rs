//! Beginning a scan: what it is, recorded once.

use export_jobs::hold::{self, HeldRow, Hold};
use export_jobs::names::{scan_job, segment_part};
use export_jobs::{PartRow, SCAN_PART, ScanRow, Status, change, read};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use storage::{Clock, ItemStore, Ledger, ObjectStore, StorageError, TableStore, Workflows};
use tracing::info;

use crate::error::ScanError;
use crate::handler::{Dependencies, Invocation};
use crate::progress::pending_row;
use crate::report::Begun;
use crate::request::BeginRequest;
use crate::second::take_second;
use crate::settings::{Resolved, resolve};

/// Rows of the ledger that are read or written at the same time.
pub const LEDGER_CONCURRENCY: usize = 32;

/// Records a scan, or finds it recorded: the same id is the same scan. It is taken for the execution that asks, unless another one
/// that runs has it.
pub async fn begin<O, T, L, W, C>(
    request: &BeginRequest,
    invocation: Invocation,
    dependencies: &Dependencies<O, T, L, W, C>,
) -> Result<Begun, ScanError>
where
    O: ObjectStore,
    T: ItemStore + TableStore,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    let (ledger, clock) = (&dependencies.ledger, &dependencies.clock);
    let config = &dependencies.config;
    let job = scan_job(&config.table, &request.scan);
    let recorded = read::<ScanRow, _>(ledger, &job, SCAN_PART).await?;
    let recorded = recorded.map(|stored| stored.row);
    let shape = dependencies.tables.describe(&config.table).await?;
    let identity = dependencies.tables.identity(&config.table).await?;
    let Resolved {
        settings,
        schema_key,
    } = resolve(request, recorded.as_ref(), config, &dependencies.objects).await?;
    let known = recorded.as_ref();
    let asked = ScanRow {
        kind: "scan".to_owned(),
        processing_status: Status::InProgress,
        table: config.table.clone(),
        table_id: identity.id,
        key_names: shape.keys().map(|key| key.name.clone()).collect(),
        scan: request.scan.clone(),
        snapshot_time: match known {
            Some(row) => row.snapshot_time,
            None => take_second(ledger, clock, &config.table, invocation.deadline).await?,
        },
        snapshot_end: None,
        segments: request
            .segments
            .unwrap_or(known.map_or(config.segments, |row| row.segments)),
        read_units: request
            .read_units
            .unwrap_or(known.map_or(config.read_units, |row| row.read_units)),
        consistent: request
            .consistent
            .unwrap_or(known.is_some_and(|row| row.consistent)),
        bucket: known.map_or(&config.lake_bucket, |row| &row.bucket).clone(),
        settings,
        schema_key,
        execution: None,
        rows_written: 0,
        start_time: clock.now().iso(),
        end_time: None,
        error_message: None,
        last_updated: String::new(),
    };
    let row = change(ledger, clock, &job, SCAN_PART, |stored, _| {
        let Some(found) = stored else {
            *stored = Some(asked.clone());
            return Ok(asked.clone());
        };
        check_same(found, &asked)?;
        if found.is_failed() {
            // Nobody works on a scan that FAILED: whoever had it said so, or has ended.
            found.execution = None;
            found.reopen();
        }
        Ok::<_, ScanError>(found.clone())
    })
    .await??;
    if let Some(execution) = &request.execution {
        let Dependencies { workflows, .. } = dependencies;
        let table = &config.table;
        let found =
            hold::take::<ScanRow, _, _, _>(ledger, workflows, clock, table, &job, execution);
        match found.await? {
            None => return Err(ScanError::NoJob(job)),
            Some(Hold::Taken | Hold::Completed) => {}
            Some(Hold::Elsewhere { execution, message }) => {
                info!(job, execution, "another execution works on the scan");
                return Ok(Begun::Elsewhere {
                    job,
                    execution,
                    message,
                });
            }
        }
    }
    if row.processing_status != Status::Completed {
        record_segments(dependencies, &job, row.segments).await?;
    }
    info!(
        job,
        segments = row.segments,
        read_units_per_second = row.read_units,
        consistent = row.consistent,
        snapshot_time = row.snapshot_time,
        was_known = recorded.is_some(),
        "a scan was begun"
    );
    Ok(Begun::Begun {
        job,
        segments: (0..row.segments).collect(),
    })
}

/// Refuses an event that asks for something else than what was recorded.
fn check_same(found: &ScanRow, asked: &ScanRow) -> Result<(), ScanError> {
    if found.table_id != asked.table_id {
        return Err(ScanError::OtherTable {
            scan: found.scan.clone(),
            table: found.table.clone(),
            recorded: found.table_id.clone(),
            found: asked.table_id.clone(),
        });
    }
    let said = |row: &ScanRow| {
        let settings = &row.settings;
        [
            format!("{} segments", row.segments),
            format!("{} read units a second", row.read_units),
            match row.consistent {
                true => "consistent reads".to_owned(),
                false => "eventually consistent reads".to_owned(),
            },
            format!("the bucket {}", row.bucket),
            format!("the format {}", settings.format.name()),
            format!("the codec {}", settings.codec),
            format!("splits of {} bytes", settings.split_bytes),
            format!("the shaping {:?}", settings.shaping),
            format!("the schema {:?}", row.schema_key),
            format!("the discriminator {:?}", settings.discriminator),
        ]
    };
    let (recorded, wanted) = (said(found), said(asked));
    match recorded
        .into_iter()
        .zip(wanted)
        .find(|(one, other)| one != other)
    {
        None => Ok(()),
        Some((recorded, asked)) => Err(ScanError::OtherSettings {
            scan: found.scan.clone(),
            table: found.table.clone(),
            recorded,
            asked,
        }),
    }
}

/// Records the segments as PENDING, so that whoever looks into the ledger sees what is to come.
async fn record_segments<O, T, L: Ledger, W, C: Clock>(
    dependencies: &Dependencies<O, T, L, W, C>,
    job: &str,
    segments: u32,
) -> Result<(), StorageError> {
    let (ledger, clock) = (&dependencies.ledger, &dependencies.clock);
    stream::iter(0..segments)
        .map(|segment| async move {
            let part = segment_part(segment);
            change(ledger, clock, job, &part, |row: &mut Option<PartRow>, _| {
                row.get_or_insert_with(|| pending_row(segment));
            })
            .await
        })
        .buffer_unordered(LEDGER_CONCURRENCY)
        .try_collect()
        .await
}
