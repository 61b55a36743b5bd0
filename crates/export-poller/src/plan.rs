//! Verified manifests, and one part in the ledger for each data file.

use export_jobs::hold::{ExecutionArn, Hold};
use export_jobs::names::file_part;
use export_jobs::{
    DataFiles, EXPORT_PART, JobRow, Manifest, ManifestError, PartRow, SchemaMode, Span, Status,
    change, create,
};
use futures_util::future::try_join_all;
use lambda_support::{Failure, FailureKind};
use records::export::{DataFile, ExportKind};
use serde::Serialize;
use storage::{Clock, Ledger, ObjectStore, StorageError, Timestamp, Workflows};

use crate::handler::{Dependencies, deleted, invalid, job_row};
use crate::hold;
use crate::pace::{BATCH, Pace};

/// What there is to transform, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum PlanAnswer {
    /// These files, by whoever asked.
    Planned {
        /// The bucket of the list of files.
        bucket: String,
        /// The key of `manifest-files.json`.
        key: String,
        /// Data files.
        files: u64,
        /// Items in them.
        items: u64,
        /// Whether a schema has to be inferred first.
        infer: bool,
    },
    /// Another execution works on them, and nothing has been planned.
    Elsewhere {
        /// Its ARN.
        execution: String,
        /// One sentence for whoever reads the execution.
        message: String,
    },
    /// All of them have been transformed, and the window is whole.
    Completed,
}

/// The files of an export that is complete: what planning them and merging their schema begin with.
pub struct Exported<'a> {
    /// The job's row.
    pub row: JobRow,
    /// The manifests, verified.
    pub manifest: Manifest,
    /// The files, in the manifest's order.
    pub files: DataFiles<'a>,
}

/// Takes the files for whoever asks, verifies and records them. Parts that are there stay as they are.
pub async fn plan<O, T, E, L, W, C>(
    job: &str,
    execution: Option<&ExecutionArn>,
    deadline: Timestamp,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<PlanAnswer, Failure>
where
    O: ObjectStore,
    L: Ledger,
    W: Workflows,
    C: Clock,
{
    let Dependencies { ledger, clock, .. } = dependencies;
    if let Some(execution) = execution {
        match hold::take(job, execution, dependencies).await? {
            Hold::Taken => {}
            Hold::Completed => return Ok(PlanAnswer::Completed),
            Hold::Elsewhere { execution, message } => {
                return Ok(PlanAnswer::Elsewhere { execution, message });
            }
        }
    }
    let Exported {
        row,
        manifest,
        mut files,
    } = exported(job, dependencies).await?;
    let mut pace = Pace::new(clock, deadline);
    loop {
        let some = files
            .batch(BATCH)
            .await
            .map_err(|error| manifest_failure(&error))?;
        if some.is_empty() {
            break;
        }
        pace.next_batch().await;
        let bucket = &row.bucket;
        let seeds = some
            .iter()
            .map(|file| pace.patiently(async move || seed(ledger, clock, job, bucket, file).await));
        try_join_all(seeds)
            .await
            .map_err(|error| Failure::from(&error))?;
    }
    let summary = &manifest.summary;
    let row = change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |stored, _| {
        let stored = stored.as_mut()?;
        if stored.export_arn == row.export_arn {
            stored.files_key = Some(summary.files_key.clone());
            stored.file_count = manifest.file_count;
            stored.item_count = summary.item_count;
        }
        Some(stored.clone())
    })
    .await
    .map_err(|error| Failure::from(&error))?
    .ok_or_else(|| deleted(job))?;
    Ok(PlanAnswer::Planned {
        bucket: row.bucket,
        key: summary.files_key.clone(),
        files: manifest.file_count,
        items: summary.item_count,
        infer: row.settings.schema == Some(SchemaMode::Inferred) && row.schema_key.is_none(),
    })
}

/// Verifies the manifests of a job's export, and records it if they can never be used.
pub async fn exported<'a, O, T, E, L, W, C>(
    job: &str,
    dependencies: &'a Dependencies<O, T, E, L, W, C>,
) -> Result<Exported<'a>, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let Dependencies {
        objects,
        ledger,
        clock,
        ..
    } = dependencies;
    let row = job_row(ledger, &dependencies.config.table, job).await?;
    let manifest = match verified(objects, &row, job).await {
        Ok(manifest) => manifest,
        Err(failure) => {
            // An export that is not complete yet may come to be.
            if failure.kind == FailureKind::Invalid && row.manifest_key.is_some() {
                record_failure(ledger, clock, job, &row, &failure.message)
                    .await
                    .map_err(|error| Failure::from(&error))?;
            }
            return Err(failure);
        }
    };
    let files = manifest
        .files(objects)
        .await
        .map_err(|error| manifest_failure(&error))?;
    Ok(Exported {
        row,
        manifest,
        files,
    })
}

/// The manifests of a job's export, if they are whole and of this job.
pub async fn verified<O: ObjectStore>(
    objects: &O,
    row: &JobRow,
    job: &str,
) -> Result<Manifest, Failure> {
    let Some(key) = &row.manifest_key else {
        return Err(invalid(format!(
            "the export of {job} is not known to be complete: expected the action poll first"
        )));
    };
    let manifest = Manifest::open(objects, &row.bucket, key)
        .await
        .map_err(|error| manifest_failure(&error))?;
    let summary = &manifest.summary;
    let kind = match row.span {
        Span::Full { export_time } => ExportKind::Full { time: export_time },
        Span::Incremental {
            from_time, to_time, ..
        } => ExportKind::Incremental {
            from: from_time,
            to: to_time,
        },
    };
    let name = format!("s3://{}/{key}", row.bucket);
    let other = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        invalid(format!(
            "{name} is of the {what} {found:?}: expected {expected:?}, as {job} asked for"
        ))
    };
    if summary.table_arn != row.table_arn {
        return Err(other("table", &summary.table_arn, &row.table_arn));
    }
    if Some(&summary.export_arn) != row.export_arn.as_ref() {
        return Err(other("export", &summary.export_arn, &row.export_arn));
    }
    if summary.kind != kind {
        return Err(other("window", &summary.kind, &kind));
    }
    if summary.bucket != row.bucket {
        return Err(other("bucket", &summary.bucket, &row.bucket));
    }
    Ok(manifest)
}

/// What a failure to use manifests is to whoever invoked the function.
pub fn manifest_failure(error: &ManifestError) -> Failure {
    match error {
        ManifestError::Store(store) => Failure {
            kind: Failure::from(store).kind,
            message: lambda_support::error_chain(error),
        },
        _ => Failure::new(FailureKind::Invalid, error),
    }
}

async fn seed<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    bucket: &str,
    file: &DataFile,
) -> Result<(), StorageError> {
    let row = PartRow {
        kind: "export-file".to_owned(),
        file_id: file_part(&file.key).to_owned(),
        s3_location: format!("s3://{bucket}/{}", file.key),
        item_count: file.item_count,
        md5_checksum: file.md5_checksum.clone(),
        ..PartRow::default()
    };
    create(ledger, clock, job, file_part(&file.key), row)
        .await
        .map(drop)
}

async fn record_failure<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    planned: &JobRow,
    message: &str,
) -> Result<(), StorageError> {
    change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, now| {
        let ours = row
            .as_mut()
            .filter(|row| row.export_arn.is_some() && row.export_arn == planned.export_arn);
        if let Some(row) = ours {
            row.processing_status = Status::Failed;
            row.end_time = Some(now.iso());
            row.error_message = Some(message.to_owned());
        }
    })
    .await
}
