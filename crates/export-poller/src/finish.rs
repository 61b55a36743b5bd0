//! Reconciling: a window is whole when every data file of the manifest is, and nothing else lies beside what they made.

use std::collections::BTreeMap;

use bytes::Bytes;
use export_jobs::hold::{ExecutionArn, at_work};
use export_jobs::names::{file_part, success_object, window_folder};
use export_jobs::{
    EXPORT_PART, Folder, FolderError, Format, JobRow, PartRow, Status, change, compare_folder, read,
};
use futures_util::future::try_join_all;
use lambda_support::Failure;
use records::changes::{Completion, SnapshotSource, completion_object, hour_folder};
use serde::Serialize;
use serde_json::json;
use storage::{
    Clock, ErrorKind, ItemStore, Ledger, ObjectStore, StorageError, TableExports, Timestamp,
    Workflows,
};
use tracing::warn;

use crate::begin::reach;
use crate::chain;
use crate::handler::{Dependencies, deleted, job_row};
use crate::pace::{BATCH, Pace};
use crate::plan::{manifest_failure, verified};

/// Files that a row names when they are not COMPLETED.
const RECORDED_FILES: usize = 100;
/// Files that an answer names: it has to stay far below 256 KiB.
const ANSWERED_FILES: usize = 20;
/// Bytes of a file's reason that an answer has.
const REASON_BYTES: usize = 300;

/// How a window ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FinishAnswer {
    /// COMPLETED or FAILED.
    pub status: Status,
    /// Items of the manifest.
    pub items: u64,
    /// Data files of the manifest.
    pub files: u64,
    /// Rows in the lake.
    pub rows_written: u64,
    /// Rows that the filter left out.
    pub rows_filtered: u64,
    /// Data files that are not COMPLETED, with their reasons: the first twenty.
    pub failed_files: Vec<String>,
    /// Whether another incremental window is due.
    pub more: bool,
    /// One sentence for whoever reads the execution.
    pub message: String,
}

/// What the parts say together.
#[derive(Default)]
struct Sums {
    items: u64,
    rows_read: u64,
    rows_written: u64,
    rows_filtered: u64,
    /// Sizes of the objects by key.
    objects: BTreeMap<String, u64>,
    /// Names of files that are not COMPLETED.
    open: Vec<String>,
    /// The first of them with their reasons.
    told: Vec<String>,
}

/// Reconciles a window and says that it is whole, or what is not.
pub async fn finish<O, T, E, L, W, C>(
    job: &str,
    execution: Option<&ExecutionArn>,
    deadline: Timestamp,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<FinishAnswer, Failure>
where
    O: ObjectStore,
    T: ItemStore,
    E: TableExports,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    let failed = |error: StorageError| Failure::from(&error);
    let Dependencies {
        objects,
        ledger,
        workflows,
        clock,
        ..
    } = dependencies;
    let mut row = job_row(ledger, &dependencies.config.table, job).await?;
    if row.processing_status != Status::Completed {
        let manifest = verified(objects, &row, job).await?;
        let sums = add_up(objects, ledger, job, &manifest, Pace::new(clock, deadline)).await?;
        let fault = match fault_of(&sums, manifest.file_count) {
            None => foreign(objects, &row, &sums.objects).await?,
            fault => fault,
        };
        if let Some(mut message) = fault {
            let holder = &row.execution;
            let other = at_work::<JobRow, _>(workflows, job, holder.as_deref(), execution).await?;
            if let Some(other) = &other {
                message = format!("{message}; {other}");
            }
            let row = end(ledger, clock, job, &row, |row, now| {
                // What is open is open since somebody works on it: that one says what became of the window.
                if other.is_some() || row.execution != *holder {
                    return;
                }
                row.processing_status = Status::Failed;
                row.execution = None;
                row.end_time = Some(now);
                row.error_message = Some(message.clone());
                row.failed_files = sums.open.iter().take(RECORDED_FILES).cloned().collect();
            })
            .await?;
            // Somebody else may have found it whole meanwhile, after what was open here was done.
            if row.processing_status != Status::Completed {
                return Ok(FinishAnswer {
                    status: Status::Failed,
                    items: sums.items,
                    files: manifest.file_count,
                    rows_written: sums.rows_written,
                    rows_filtered: sums.rows_filtered,
                    failed_files: sums.told,
                    more: false,
                    message,
                });
            }
        } else {
            say_that_it_is_whole(objects, &row, &sums, manifest.file_count)
                .await
                .map_err(failed)?;
        }
        row = end(ledger, clock, job, &row, |row, now| {
            row.processing_status = Status::Completed;
            row.end_time = Some(now);
            row.error_message = None;
            row.failed_files = Vec::new();
            row.rows_written = sums.rows_written;
            row.rows_filtered = sums.rows_filtered;
        })
        .await?;
    }
    let end = row.span.snapshot_time();
    let is_of_the_chain = match row.restarts_chain {
        true if !is_of_the_table(dependencies, &row).await? => false,
        true => {
            chain::restart(ledger, clock, &row.table, &row.table_id, end)
                .await
                .map_err(failed)?;
            false
        }
        false => chain::advance(ledger, clock, &row.table, &row.window, end)
            .await
            .map_err(failed)?,
    };
    let more = is_of_the_chain && another_is_due(dependencies, &row).await;
    Ok(FinishAnswer {
        status: Status::Completed,
        items: row.item_count,
        files: row.file_count,
        rows_written: row.rows_written,
        rows_filtered: row.rows_filtered,
        failed_files: Vec::new(),
        more,
        message: format!(
            "{} items in {} files: {} rows in the lake",
            row.item_count, row.file_count, row.rows_written
        ),
    })
}

/// Whether the table of a window is the one that has its name now: the chain is that one's, and another one's times are nothing to it.
async fn is_of_the_table<O, T: ItemStore, E, L, W, C>(
    dependencies: &Dependencies<O, T, E, L, W, C>,
    row: &JobRow,
) -> Result<bool, Failure> {
    match dependencies.tables.identity(&row.table).await {
        Ok(identity) => Ok(identity.id == row.table_id),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::from(&error)),
    }
}

/// That it cannot be known now is no reason to call a window anything else than whole: the schedule asks again.
async fn another_is_due<O, T, E, L, W, C>(
    dependencies: &Dependencies<O, T, E, L, W, C>,
    row: &JobRow,
) -> bool
where
    E: TableExports,
    L: Ledger,
    C: Clock,
{
    let due = async {
        let reach = reach(dependencies, &row.table_id).await?;
        chain::is_due(&dependencies.ledger, &row.table, &reach)
            .await
            .map_err(|error| Failure::from(&error))
    };
    due.await.unwrap_or_else(|failure| {
        warn!(error = %failure, "whether another window is due is not known");
        false
    })
}

async fn add_up<O: ObjectStore, L: Ledger, C: Clock>(
    objects: &O,
    ledger: &L,
    job: &str,
    manifest: &export_jobs::Manifest,
    mut pace: Pace<'_, C>,
) -> Result<Sums, Failure> {
    let mut sums = Sums::default();
    let mut files = manifest
        .files(objects)
        .await
        .map_err(|error| manifest_failure(&error))?;
    loop {
        let some = files
            .batch(BATCH)
            .await
            .map_err(|error| manifest_failure(&error))?;
        if some.is_empty() {
            return Ok(sums);
        }
        pace.next_batch().await;
        let rows = some.iter().map(|file| {
            pace.patiently(async move || {
                read::<PartRow, L>(ledger, job, file_part(&file.key)).await
            })
        });
        let rows = try_join_all(rows)
            .await
            .map_err(|error| Failure::from(&error))?;
        for (file, stored) in some.iter().zip(rows) {
            sums.items += file.item_count;
            let row = stored.map(|stored| stored.row);
            // A row of other bytes than the manifest's says nothing of this file.
            let row = row.filter(|row| {
                row.md5_checksum == file.md5_checksum && row.item_count == file.item_count
            });
            sums.add(file_part(&file.key), row);
        }
    }
}

impl Sums {
    fn add(&mut self, file: &str, row: Option<PartRow>) {
        match row {
            Some(row) if row.processing_status == Status::Completed => {
                self.rows_read += row.rows_read;
                self.rows_written += row.rows_written;
                self.rows_filtered += row.rows_filtered;
                let objects = row.objects.into_iter();
                self.objects
                    .extend(objects.map(|object| (object.key, object.bytes)));
            }
            other => {
                if self.told.len() < ANSWERED_FILES {
                    let reason = other
                        .and_then(|row| row.error_message)
                        .unwrap_or_else(|| "not done yet".to_owned());
                    self.told.push(format!("{file}: {}", shortened(&reason)));
                }
                self.open.push(file.to_owned());
            }
        }
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES)]
}

/// Why the parts are not the manifest's.
fn fault_of(sums: &Sums, files: u64) -> Option<String> {
    if !sums.open.is_empty() {
        return Some(format!(
            "{} of {files} files are not COMPLETED (start the machine again for what is not, once the cause is mended): {}",
            sums.open.len(),
            sums.told.join("; ")
        ));
    }
    (sums.rows_read != sums.items || sums.rows_written + sums.rows_filtered != sums.rows_read)
        .then(|| {
            format!(
                "{} rows were read, {} written and {} filtered out: expected {} items, as the manifest says",
                sums.rows_read, sums.rows_written, sums.rows_filtered, sums.items
            )
        })
}

/// What the keys of all objects of a window begin with, and no other object's.
pub fn objects_of(row: &JobRow) -> String {
    match row.settings.format {
        Format::JsonLines | Format::Parquet => window_folder(&row.table, &row.window),
        Format::Changes => format!(
            "{}{}-",
            hour_folder(
                &row.table,
                SnapshotSource::Export.name(),
                row.span.snapshot_time()
            ),
            row.export_id().unwrap_or_default()
        ),
    }
}

/// Objects in the window's folder that no part made, or that are not there, or of another size: a reader of the folder would
/// see other rows than the table had.
async fn foreign<O: ObjectStore>(
    objects: &O,
    row: &JobRow,
    made: &BTreeMap<String, u64>,
) -> Result<Option<String>, Failure> {
    let success = success_object(&row.table, &row.window);
    let folder = Folder {
        bucket: &row.bucket,
        prefix: &objects_of(row),
        part: "file of this export",
    };
    let made = made.iter().map(|(key, bytes)| (key.as_str(), Some(*bytes)));
    match compare_folder(objects, folder, made, |key| key != success).await {
        Ok(_) => Ok(None),
        Err(FolderError::Store(error)) => Err(Failure::from(&error)),
        Err(fault) => Ok(Some(fault.to_string())),
    }
}

async fn say_that_it_is_whole<O: ObjectStore>(
    objects: &O,
    row: &JobRow,
    sums: &Sums,
    files: u64,
) -> Result<(), StorageError> {
    let id = row.export_id().unwrap_or_default();
    if row.settings.format == Format::Changes {
        let time = row.span.snapshot_time();
        let completion = Completion {
            source: SnapshotSource::Export,
            time,
            end: time,
            window_start: row.span.window_start(),
        };
        let key = completion_object(&row.table, SnapshotSource::Export, time, id);
        let line = Bytes::from(completion.line(id));
        return match objects.put_new(&row.bucket, &key, line).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other,
        };
    }
    let report = json!({
        "table": row.table,
        "window": row.window,
        "span": row.span,
        "export_arn": row.export_arn,
        "format": row.settings.format,
        "items": sums.items,
        "files": files,
        "rows_written": sums.rows_written,
        "rows_filtered": sums.rows_filtered,
        "objects": sums.objects.len(),
        "bytes": sums.objects.values().sum::<u64>(),
        "schema_key": row.schema_key,
        "snapshot": true,
    });
    let key = success_object(&row.table, &row.window);
    objects
        .put(&row.bucket, &key, Bytes::from(format!("{report}\n")))
        .await
}

/// Writes how the window ended, unless it is COMPLETED or another export by now; the row as it is then.
async fn end<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    seen: &JobRow,
    how: impl Fn(&mut JobRow, String),
) -> Result<JobRow, Failure> {
    change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, now| {
        let row = row.as_mut()?;
        if row.processing_status != Status::Completed && row.export_arn == seen.export_arn {
            how(row, now.iso());
        }
        Some(row.clone())
    })
    .await
    .map_err(|error| Failure::from(&error))?
    .ok_or_else(|| deleted(job))
}
