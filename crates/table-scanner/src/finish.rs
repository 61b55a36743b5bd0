//! The end of a scan: it is whole, or segments are missing.

use bytes::Bytes;
use export_jobs::names::{segment_part, success_object};
use export_jobs::{Format, PartRow, SCAN_PART, ScanRow, Status, change, read};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use records::changes::{Completion, SnapshotSource, completion_object};
use serde_json::json;
use storage::{Clock, Ledger, ObjectStore, StorageError};
use tracing::info;

use crate::begin::LEDGER_CONCURRENCY;
use crate::error::ScanError;
use crate::handler::Dependencies;
use crate::progress::Progress;
use crate::report::Finished;

/// Segments that the answer names, and the scan's row.
const MAX_NAMED: usize = 20;
/// What a scan is not.
const NO_SNAPSHOT: &str = "A scan is no snapshot: an item that was changed between snapshot_time and snapshot_end is in it as it was before the change or after it.";

/// What the segments come to.
#[derive(Debug, Default)]
struct Sum {
    rows: u64,
    rows_filtered: u64,
    objects: u64,
    bytes: u64,
    read_until: u64,
    /// Those that are not COMPLETED, with what their rows say.
    missing: Vec<(u32, String)>,
}

/// Says that the scan is whole, in the lake and then in the ledger, or what is missing.
pub async fn finish<O, T, L, C>(
    job: &str,
    dependencies: &Dependencies<O, T, L, C>,
) -> Result<Finished, ScanError>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let ledger = &dependencies.ledger;
    let stored = read::<ScanRow, _>(ledger, job, SCAN_PART).await?;
    let scan = stored.ok_or_else(|| ScanError::NoJob(job.to_owned()))?.row;
    let sum = sum_up(ledger, job, scan.segments).await?;
    let error = (!sum.missing.is_empty()).then(|| describe_missing(&sum.missing, scan.segments));
    // A scan that has ended for good stays so, and what says so is in the lake.
    if scan.processing_status != Status::Completed {
        if error.is_none() {
            put_success(&dependencies.objects, &scan, &sum).await?;
        }
        record(dependencies, job, &sum, error.as_deref()).await?;
    }
    let finished = Finished {
        status: match &error {
            None => "COMPLETED",
            Some(_) => "FAILED",
        },
        snapshot: false,
        rows: sum.rows,
        rows_filtered: sum.rows_filtered,
        objects: sum.objects,
        failed_segments: (sum.missing.iter().take(MAX_NAMED))
            .map(|(segment, _)| *segment)
            .collect(),
        more: sum.missing.len() > MAX_NAMED,
        message: error.unwrap_or_else(|| {
            format!(
                "{} rows are in {} objects. {NO_SNAPSHOT}",
                sum.rows, sum.objects
            )
        }),
    };
    info!(
        job,
        status = finished.status,
        rows_written = sum.rows,
        rows_filtered = sum.rows_filtered,
        objects = sum.objects,
        output_bytes = sum.bytes,
        segments_missing = sum.missing.len(),
        "a scan was finished"
    );
    Ok(finished)
}

async fn sum_up<L: Ledger>(ledger: &L, job: &str, segments: u32) -> Result<Sum, StorageError> {
    let rows: Vec<Option<PartRow>> = stream::iter(0..segments)
        .map(async |segment| {
            let stored = read::<PartRow, _>(ledger, job, &segment_part(segment)).await?;
            Ok::<_, StorageError>(stored.map(|stored| stored.row))
        })
        .buffered(LEDGER_CONCURRENCY)
        .try_collect()
        .await?;
    let mut sum = Sum::default();
    for (segment, row) in (0..).zip(rows) {
        let row = row.unwrap_or_default();
        if row.processing_status != Status::Completed {
            let why = row
                .error_message
                .unwrap_or_else(|| format!("{} rows were read", row.rows_read));
            sum.missing.push((segment, why));
            continue;
        }
        let progress = Progress::of(&row)?;
        sum.rows += row.rows_written;
        sum.rows_filtered += row.rows_filtered;
        sum.objects += progress.objects;
        sum.bytes += progress.bytes;
        sum.read_until = sum.read_until.max(progress.read_until);
    }
    Ok(sum)
}

fn describe_missing(missing: &[(u32, String)], segments: u32) -> String {
    let named: Vec<String> = missing
        .iter()
        .take(MAX_NAMED)
        .map(|(segment, _)| segment.to_string())
        .collect();
    let more = match missing.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (first, why) = &missing[0];
    format!(
        "of {segments} segments, these are not completed: {}{more} (segment {first}: {why}): expected all; scan them again, then finish again",
        named.join(", ")
    )
}

/// Puts what says that the scan is whole: a function of the rows of its segments, so that a repeat puts the same.
async fn put_success<O: ObjectStore>(
    objects: &O,
    scan: &ScanRow,
    sum: &Sum,
) -> Result<(), StorageError> {
    let (key, body) = match scan.settings.format {
        Format::Changes => {
            let completion = Completion {
                source: SnapshotSource::Scan,
                time: scan.snapshot_time,
                end: sum.read_until,
                window_start: None,
            };
            let key = completion_object(
                &scan.table,
                SnapshotSource::Scan,
                scan.snapshot_time,
                &scan.scan,
            );
            (key, completion.line(&format!("scan-{}", scan.scan)))
        }
        Format::JsonLines | Format::Parquet => {
            let success = json!({
                "table": scan.table,
                "scan": scan.scan,
                "format": scan.settings.format.name(),
                "rows": sum.rows,
                "rows_filtered": sum.rows_filtered,
                "objects": sum.objects,
                "snapshot": false,
                "snapshot_time": scan.snapshot_time,
                "snapshot_end": sum.read_until,
                "message": NO_SNAPSHOT,
            });
            let key = success_object(&scan.table, &format!("scan-{}", scan.scan));
            (key, format!("{success}\n").into_bytes())
        }
    };
    objects.put(&scan.bucket, &key, Bytes::from(body)).await
}

/// Writes the scan's row.
async fn record<O, T, L: Ledger, C: Clock>(
    dependencies: &Dependencies<O, T, L, C>,
    job: &str,
    sum: &Sum,
    error: Option<&str>,
) -> Result<(), StorageError> {
    let (ledger, clock) = (&dependencies.ledger, &dependencies.clock);
    change(
        ledger,
        clock,
        job,
        SCAN_PART,
        |row: &mut Option<ScanRow>, now| {
            let Some(row) = row else {
                return;
            };
            row.end_time = Some(now.iso());
            row.error_message = error.map(str::to_owned);
            row.processing_status = match error {
                Some(_) => Status::Failed,
                None => Status::Completed,
            };
            if error.is_none() {
                row.rows_written = sum.rows;
                row.snapshot_end = Some(sum.read_until);
            }
        },
    )
    .await
}
