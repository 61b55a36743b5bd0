//! How far DynamoDB is with an export.

use export_jobs::{EXPORT_PART, JobRow, Status, change};
use lambda_support::Failure;
use serde::Serialize;
use storage::{Clock, ExportStatus, Ledger, StorageError, TableExports};

use crate::handler::{Dependencies, invalid, job_row};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PollAnswer {
    /// IN_PROGRESS, COMPLETED or FAILED.
    pub status: PollStatus,
    /// One sentence for whoever reads the execution; DynamoDB's reason if it failed.
    pub message: String,
}

/// What DynamoDB says of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PollStatus {
    /// Ask again later.
    InProgress,
    /// All of it is in the bucket.
    Completed,
    /// It failed; a new begin is a new attempt.
    Failed,
}

/// Asks DynamoDB, and records how the export ended.
pub async fn poll<O, T, E, L, W, C>(
    job: &str,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<PollAnswer, Failure>
where
    E: TableExports,
    L: Ledger,
    C: Clock,
{
    let failed = |error: StorageError| Failure::from(&error);
    let Dependencies { ledger, clock, .. } = dependencies;
    let row = job_row(ledger, &dependencies.config.table, job).await?;
    let Some(arn) = &row.export_arn else {
        return match row.processing_status {
            // Another execution has seen it fail.
            Status::Failed => Ok(PollAnswer {
                status: PollStatus::Failed,
                message: row.error_message.unwrap_or_default(),
            }),
            _ => Err(invalid(format!(
                "the export of {job} has not been begun: expected the action begin first"
            ))),
        };
    };
    if let Some(manifest_key) = &row.manifest_key {
        // DynamoDB forgets exports after 90 days; what it wrote is still there.
        return Ok(PollAnswer {
            status: PollStatus::Completed,
            message: format!("s3://{}/{manifest_key}", row.bucket),
        });
    }
    let export = dependencies.exports.export(arn).await.map_err(failed)?;
    match export.status {
        ExportStatus::InProgress => Ok(PollAnswer {
            status: PollStatus::InProgress,
            message: format!("DynamoDB is writing {arn}"),
        }),
        ExportStatus::Completed => {
            let Some(manifest_key) = export.manifest_key else {
                return Err(invalid(format!(
                    "the export {arn} is complete without a manifest: expected the key of its manifest-summary.json"
                )));
            };
            change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, _| {
                let ours = row
                    .as_mut()
                    .filter(|row| row.export_arn.as_ref() == Some(arn));
                if let Some(row) = ours {
                    row.manifest_key = Some(manifest_key.clone());
                }
            })
            .await
            .map_err(failed)?;
            Ok(PollAnswer {
                status: PollStatus::Completed,
                message: format!("s3://{}/{manifest_key}", row.bucket),
            })
        }
        ExportStatus::Failed => {
            let (code, reason) = export.failure.unwrap_or_default();
            let message = format!("DynamoDB failed the export {arn} ({code}): {reason}");
            change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |row, now| {
                let ours = row
                    .as_mut()
                    .filter(|row| row.export_arn.as_ref() == Some(arn));
                if let Some(row) = ours {
                    row.processing_status = Status::Failed;
                    row.end_time = Some(now.iso());
                    row.error_message = Some(message.clone());
                    // There is nothing in it to go on with.
                    row.export_arn = None;
                }
            })
            .await
            .map_err(failed)?;
            Ok(PollAnswer {
                status: PollStatus::Failed,
                message,
            })
        }
    }
}
