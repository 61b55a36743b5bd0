use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    ContinuousBackupsDescription, ExportDescription as DynamoExport, ExportFormat,
    ExportStatus as DynamoStatus, ExportSummary, ExportType, ExportViewType,
    IncrementalExportSpecification, PointInTimeRecoveryStatus,
};
use aws_smithy_types::DateTime;

use super::errors::storage_error;
use crate::{
    ErrorKind, ExportDescription, ExportRequest, ExportSpan, ExportStatus, ExportView,
    ListedExport, RecoveryWindow, StorageError, TableExports,
};

const BEGIN: &str = "ExportTableToPointInTime";
const DESCRIBE: &str = "DescribeExport";
const LIST: &str = "ListExports";
const RECOVERY: &str = "DescribeContinuousBackups";

/// DynamoDB's exports. The SDK retries (standard mode, 3 attempts), also the begin of an export: its token makes that one.
#[derive(Debug, Clone)]
pub struct AwsExports {
    client: Client,
}

impl AwsExports {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        let mut builder = aws_sdk_dynamodb::config::Builder::from(config)
            .retry_config(super::standard_retries())
            .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
            .stalled_stream_protection(super::no_stream_protection());
        builder.set_endpoint_url(endpoint);
        Self {
            client: Client::from_conf(builder.build()),
        }
    }
}

impl TableExports for AwsExports {
    async fn begin_export(
        &self,
        request: &ExportRequest,
    ) -> Result<ExportDescription, StorageError> {
        let table_arn = &request.table_arn;
        let unreadable = |fault| unreadable(BEGIN, table_arn, fault);
        let prefix = Some(request.prefix.clone()).filter(|prefix| !prefix.is_empty());
        let begin = self
            .client
            .export_table_to_point_in_time()
            .table_arn(table_arn)
            .s3_bucket(&request.bucket)
            .set_s3_prefix(prefix)
            .client_token(&request.client_token)
            .export_format(ExportFormat::DynamodbJson);
        let begin = match request.span {
            ExportSpan::Full { time } => begin
                .export_type(ExportType::FullExport)
                .export_time(date_time(time).map_err(unreadable)?),
            ExportSpan::Incremental { from, to, view } => begin
                .export_type(ExportType::IncrementalExport)
                .incremental_export_specification(
                    IncrementalExportSpecification::builder()
                        .export_from_time(date_time(from).map_err(unreadable)?)
                        .export_to_time(date_time(to).map_err(unreadable)?)
                        .export_view_type(match view {
                            ExportView::NewImage => ExportViewType::NewImage,
                            ExportView::NewAndOldImages => ExportViewType::NewAndOldImages,
                        })
                        .build(),
                ),
        };
        let answer = begin
            .send()
            .await
            .map_err(|error| storage_error(BEGIN, table_arn, error))?;
        description_of(answer.export_description).map_err(unreadable)
    }

    async fn export(&self, arn: &str) -> Result<ExportDescription, StorageError> {
        let answer = self
            .client
            .describe_export()
            .export_arn(arn)
            .send()
            .await
            .map_err(|error| storage_error(DESCRIBE, arn, error))?;
        description_of(answer.export_description).map_err(|fault| unreadable(DESCRIBE, arn, fault))
    }

    async fn exports(&self, table_arn: &str) -> Result<Vec<ListedExport>, StorageError> {
        let (mut exports, mut next) = (Vec::new(), None);
        loop {
            let page = self
                .client
                .list_exports()
                .table_arn(table_arn)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| storage_error(LIST, table_arn, error))?;
            for summary in page.export_summaries.into_iter().flatten() {
                let listed = listed(summary).map_err(|fault| unreadable(LIST, table_arn, fault))?;
                exports.push(listed);
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(exports);
            }
        }
    }

    async fn recovery(&self, table: &str) -> Result<Option<RecoveryWindow>, StorageError> {
        let answer = self
            .client
            .describe_continuous_backups()
            .table_name(table)
            .send()
            .await
            .map_err(|error| storage_error(RECOVERY, table, error))?;
        answer
            .continuous_backups_description
            .ok_or_else(|| "the answer describes nothing".to_owned())
            .and_then(window_of)
            .map_err(|fault| unreadable(RECOVERY, table, fault))
    }
}

fn unreadable(operation: &'static str, target: &str, fault: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, operation, target, fault)
}

fn description_of(described: Option<DynamoExport>) -> Result<ExportDescription, String> {
    let export = described.ok_or("the answer describes no export")?;
    let arn = export.export_arn.ok_or("the export has no ARN")?;
    let in_export = |fault: &str| format!("{fault} (export {arn})");
    let full = export.export_time.as_ref();
    let window = export.incremental_export_specification.as_ref();
    let span = match (window, full) {
        (Some(window), _) => incremental(window).map_err(|fault| in_export(&fault))?,
        (None, Some(time)) => Some(ExportSpan::Full {
            time: second(time).map_err(|fault| in_export(&fault))?,
        }),
        (None, None) => None,
    };
    let failure = export.failure_code.map(|code| {
        let message = export.failure_message.unwrap_or_default();
        (code, message)
    });
    let count = |count: i64| u64::try_from(count).map_err(|error| in_export(&error.to_string()));
    Ok(ExportDescription {
        status: status_of(export.export_status).map_err(|fault| in_export(&fault))?,
        span,
        bucket: export
            .s3_bucket
            .ok_or_else(|| in_export("the export has no bucket"))?,
        prefix: export.s3_prefix.filter(|prefix| !prefix.is_empty()),
        client_token: export.client_token,
        table_id: export.table_id,
        manifest_key: export.export_manifest,
        item_count: export.item_count.map(count).transpose()?,
        failure,
        arn,
    })
}

/// The window of an incremental export, where both of its ends are given.
fn incremental(window: &IncrementalExportSpecification) -> Result<Option<ExportSpan>, String> {
    let (Some(from), Some(to)) = (&window.export_from_time, &window.export_to_time) else {
        return Ok(None);
    };
    let view = match &window.export_view_type {
        Some(ExportViewType::NewImage) => ExportView::NewImage,
        // The default (API reference, "IncrementalExportSpecification").
        Some(ExportViewType::NewAndOldImages) | None => ExportView::NewAndOldImages,
        Some(other) => return Err(format!("an export of the unknown view {other}")),
    };
    Ok(Some(ExportSpan::Incremental {
        from: second(from)?,
        to: second(to)?,
        view,
    }))
}

fn listed(summary: ExportSummary) -> Result<ListedExport, String> {
    Ok(ListedExport {
        arn: summary.export_arn.ok_or("a listed export has no ARN")?,
        status: status_of(summary.export_status)?,
        // Exports from before there were incremental ones may have no type.
        incremental: summary.export_type == Some(ExportType::IncrementalExport),
    })
}

fn status_of(status: Option<DynamoStatus>) -> Result<ExportStatus, String> {
    match status {
        Some(DynamoStatus::InProgress) => Ok(ExportStatus::InProgress),
        Some(DynamoStatus::Completed) => Ok(ExportStatus::Completed),
        Some(DynamoStatus::Failed) => Ok(ExportStatus::Failed),
        other => Err(format!("an export of the unknown status {other:?}")),
    }
}

/// The times to which a table can be restored. The whole seconds within them: the earliest is rounded up, the latest down.
fn window_of(backups: ContinuousBackupsDescription) -> Result<Option<RecoveryWindow>, String> {
    let Some(recovery) = backups.point_in_time_recovery_description else {
        return Ok(None);
    };
    if recovery.point_in_time_recovery_status != Some(PointInTimeRecoveryStatus::Enabled) {
        return Ok(None);
    }
    let (Some(earliest), Some(latest)) = (
        recovery.earliest_restorable_date_time,
        recovery.latest_restorable_date_time,
    ) else {
        return Ok(None);
    };
    Ok(Some(RecoveryWindow {
        earliest: second(&earliest)? + u64::from(earliest.subsec_nanos() > 0),
        latest: second(&latest)?,
    }))
}

/// Seconds from 1970, rounded down.
fn second(time: &DateTime) -> Result<u64, String> {
    u64::try_from(time.secs()).map_err(|_| format!("{time} is no time that an export can have"))
}

fn date_time(second: u64) -> Result<DateTime, String> {
    let seconds = i64::try_from(second);
    seconds
        .map(DateTime::from_secs)
        .map_err(|_| format!("{second} is no second that an export can have"))
}

#[cfg(test)]
mod tests;
