//! The end of a scan: it is whole, or segments are missing, or something else lies where they are.

use std::collections::BTreeMap;
use std::pin::pin;

use bytes::Bytes;
use export_jobs::hold::{ExecutionArn, at_work};
use export_jobs::names::{
    change_object, segment_part, success_object, table_object, window_folder,
};
use export_jobs::{
    Folder, FolderError, Format, PartRow, SCAN_PART, ScanRow, Status, change, compare_folder, read,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use records::changes::{Completion, SnapshotSource, completion_object, hour_folder};
use serde_json::json;
use storage::{Clock, Ledger, ObjectStore, StorageError, Workflows};
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
    /// The objects by their keys, with their bytes as far as the segments' rows still have them.
    made: BTreeMap<String, Option<u64>>,
    read_until: u64,
    /// Those that are not COMPLETED, with what their rows say.
    missing: Vec<(u32, String)>,
}

/// Says that the scan is whole, in the lake and then in the ledger, or what is missing.
pub async fn finish<O, T, L, W, C>(
    job: &str,
    execution: Option<&ExecutionArn>,
    dependencies: &Dependencies<O, T, L, W, C>,
) -> Result<Finished, ScanError>
where
    O: ObjectStore,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    let ledger = &dependencies.ledger;
    let stored = read::<ScanRow, _>(ledger, job, SCAN_PART).await?;
    let scan = stored.ok_or_else(|| ScanError::NoJob(job.to_owned()))?.row;
    let sum = sum_up(ledger, job, &scan).await?;
    let mut error =
        (!sum.missing.is_empty()).then(|| describe_missing(&sum.missing, scan.segments));
    // A scan that has ended for good stays so, and what says so is in the lake.
    if scan.processing_status != Status::Completed {
        if error.is_none() {
            error = foreign(&dependencies.objects, &scan, &sum).await?;
        }
        let mut other = None;
        match &mut error {
            None => put_success(&dependencies.objects, &scan, &sum).await?,
            Some(error) => {
                let (workflows, holder) = (&dependencies.workflows, scan.execution.as_deref());
                other = at_work::<ScanRow, _>(workflows, job, holder, execution).await?;
                if let Some(other) = &other {
                    *error = format!("{error}; {other}");
                }
            }
        }
        // What is missing is missing since somebody works on it: that one says what became of the scan.
        if other.is_none() {
            record(dependencies, job, &sum, &scan, error.as_deref()).await?;
        }
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

async fn sum_up<L: Ledger>(ledger: &L, job: &str, scan: &ScanRow) -> Result<Sum, StorageError> {
    // A row may have 400 KB, so not more of them are in memory than are read at the same time.
    let mut rows = pin!(
        stream::iter(0..scan.segments)
            .map(async |segment| {
                let stored = read::<PartRow, _>(ledger, job, &segment_part(segment)).await?;
                let row = stored.map(|stored| stored.row).unwrap_or_default();
                Ok::<_, StorageError>((segment, row))
            })
            .buffered(LEDGER_CONCURRENCY)
    );
    let mut sum = Sum::default();
    while let Some((segment, row)) = rows.try_next().await? {
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
        for (entity, mark) in &progress.entities {
            let keys = (0..mark.split).map(|split| object_of(scan, segment, entity, split));
            sum.made.extend(keys.map(|key| (key, None)));
        }
        let listed = row.objects.into_iter();
        sum.made
            .extend(listed.map(|object| (object.key, Some(object.bytes))));
    }
    Ok(sum)
}

/// The key of a segment's object.
fn object_of(scan: &ScanRow, segment: u32, entity: &str, split: u32) -> String {
    let part = segment_part(segment);
    match scan.settings.format {
        Format::Changes => change_object(
            &scan.table,
            SnapshotSource::Scan,
            scan.snapshot_time,
            &scan.scan,
            &part,
            split,
            &scan.settings,
        ),
        Format::JsonLines | Format::Parquet => table_object(
            &scan.table,
            &window_of(scan),
            entity,
            &part,
            split,
            &scan.settings,
        ),
    }
}

/// What a scan is called where exports have their windows.
fn window_of(scan: &ScanRow) -> String {
    format!("scan-{}", scan.scan)
}

/// Objects that no segment made, or that are not there, or of another size: a reader of the folder would see other rows.
async fn foreign<O: ObjectStore>(
    objects: &O,
    scan: &ScanRow,
    sum: &Sum,
) -> Result<Option<String>, StorageError> {
    let success = success_object(&scan.table, &window_of(scan));
    let prefix = match scan.settings.format {
        Format::JsonLines | Format::Parquet => window_folder(&scan.table, &window_of(scan)),
        Format::Changes => format!(
            "{}{}-segment-",
            hour_folder(&scan.table, SnapshotSource::Scan.name(), scan.snapshot_time),
            scan.scan
        ),
    };
    let folder = Folder {
        bucket: &scan.bucket,
        prefix: &prefix,
        part: "segment of this scan",
    };
    let made = sum.made.iter().map(|(key, bytes)| (key.as_str(), *bytes));
    let counts = |key: &str| match scan.settings.format {
        Format::JsonLines | Format::Parquet => key != success,
        Format::Changes => is_of_segment(&key[prefix.len()..]),
    };
    match compare_folder(objects, folder, made, counts).await {
        Ok(bytes) if bytes == sum.bytes => Ok(None),
        // The rows do not have the sizes of all objects any more, but their sum.
        Ok(bytes) => Ok(Some(format!(
            "the objects s3://{}/{prefix}* have {bytes} bytes together: expected {}, as they were written",
            scan.bucket, sum.bytes
        ))),
        Err(FolderError::Store(error)) => Err(error),
        Err(fault) => Ok(Some(fault.to_string())),
    }
}

/// Whether an object whose key goes on like this after `<id>-segment-` is, by its name, of that scan. The objects of the scans
/// `x-segment` and `x-segment-y` lie beside those of the scan `x`, and no key of theirs goes on so.
fn is_of_segment(rest: &str) -> bool {
    let is_number = |text: &str, digits: usize| {
        text.len() >= digits && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    [".jsonl.gz", ".jsonl.zst", ".jsonl"]
        .iter()
        .find_map(|ending| rest.strip_suffix(ending))
        .and_then(|numbers| numbers.split_once('-'))
        .is_some_and(|(segment, split)| is_number(segment, 4) && is_number(split, 5))
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
            let key = success_object(&scan.table, &window_of(scan));
            (key, format!("{success}\n").into_bytes())
        }
    };
    objects.put(&scan.bucket, &key, Bytes::from(body)).await
}

/// Writes how the scan ended; that it FAILED only while its row names whom it named when it was read, and nobody from then on.
async fn record<O, T, L: Ledger, W, C: Clock>(
    dependencies: &Dependencies<O, T, L, W, C>,
    job: &str,
    sum: &Sum,
    seen: &ScanRow,
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
            if error.is_some() {
                if row.execution != seen.execution {
                    return;
                }
                row.execution = None;
            }
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
