use aws_sdk_dynamodb::types::{
    ImportStatus as DynamoStatus, ImportSummary, ImportTableDescription,
};

use super::errors::storage_error;
use super::tables::AwsTables;
use crate::{ErrorKind, ImportProgress, ImportStatus, StorageError, TableImports};

impl TableImports for AwsTables {
    async fn newest_import(&self, table_arn: &str) -> Result<Option<ImportProgress>, StorageError> {
        let summaries = self.imports(table_arn).await?;
        let newest = summaries.into_iter().max_by_key(|import| import.start_time);
        let Some(arn) = newest.and_then(|import| import.import_arn) else {
            return Ok(None);
        };
        let answer = self
            .retrying
            .describe_import()
            .import_arn(&arn)
            .send()
            .await
            .map_err(|error| storage_error("DescribeImport", &arn, error))?;
        let progress = answer
            .import_table_description
            .ok_or_else(|| "the answer describes no import".to_owned())
            .and_then(|description| progress_of(&arn, description));
        progress
            .map(Some)
            .map_err(|fault| StorageError::new(ErrorKind::Internal, "DescribeImport", &arn, fault))
    }
}

impl AwsTables {
    /// All imports into the table that are listed, in whatever order.
    async fn imports(&self, table_arn: &str) -> Result<Vec<ImportSummary>, StorageError> {
        let (mut imports, mut next) = (Vec::new(), None);
        loop {
            let page = self
                .retrying
                .list_imports()
                .table_arn(table_arn)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| storage_error("ListImports", table_arn, error))?;
            imports.extend(page.import_summary_list.into_iter().flatten());
            next = page.next_token;
            if next.is_none() {
                return Ok(imports);
            }
        }
    }
}

fn progress_of(arn: &str, import: ImportTableDescription) -> Result<ImportProgress, String> {
    let status = match import.import_status {
        Some(DynamoStatus::InProgress | DynamoStatus::Cancelling) => ImportStatus::Running,
        Some(DynamoStatus::Completed) => ImportStatus::Completed,
        Some(DynamoStatus::Cancelled) => ImportStatus::Cancelled,
        Some(DynamoStatus::Failed) => ImportStatus::Failed,
        other => return Err(format!("an import of the unknown status {other:?}")),
    };
    let count = |count: i64| u64::try_from(count).map_err(|error| error.to_string());
    let failure = import.failure_code.map(|code| {
        let message = import.failure_message.unwrap_or_default();
        (code, message)
    });
    Ok(ImportProgress {
        arn: arn.to_owned(),
        status,
        processed_bytes: count(import.processed_size_bytes.unwrap_or_default())?,
        processed_items: count(import.processed_item_count)?,
        imported_items: count(import.imported_item_count)?,
        errors: count(import.error_count)?,
        log_group: import.cloud_watch_log_group_arn,
        failure,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::canned::{Answer, Canned};
    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/offers";

    async fn tables(answers: Vec<Answer>) -> (Canned, AwsTables) {
        let server = Canned::start(answers).await;
        let tables = server.clients().await.tables();
        (server, tables)
    }

    fn listed(imports: &[(&str, u32)], more: &str) -> Answer {
        let imports = imports.iter().map(|(arn, start)| {
            json!({"ImportArn": arn, "StartTime": start, "ImportStatus": "COMPLETED"}).to_string()
        });
        let imports: Vec<String> = imports.collect();
        Answer::new(
            200,
            format!(r#"{{"ImportSummaryList":[{}]{more}}}"#, imports.join(",")),
        )
    }

    fn described(members: &str) -> Answer {
        Answer::new(
            200,
            format!(r#"{{"ImportTableDescription":{{"ImportArn":"new"{members}}}}}"#),
        )
    }

    #[tokio::test]
    async fn the_newest_of_all_imports_is_described() {
        let (server, tables) = tables(vec![
            Answer::none(),
            listed(&[("old", 10)], r#","NextToken":"t""#),
            listed(&[("new", 30), ("older", 20)], ""),
            Answer::new(500, "{}"),
            described(
                r#","ImportStatus":"FAILED","ProcessedSizeBytes":1000,"ProcessedItemCount":9,"ImportedItemCount":7,
                    "ErrorCount":2,"CloudWatchLogGroupArn":"logs","FailureCode":"ItemValidationError",
                    "FailureMessage":"Some of the items failed validation checks""#,
            ),
        ])
        .await;
        let progress = tables.newest_import(TABLE).await.unwrap();
        let expected = ImportProgress {
            arn: "new".to_owned(),
            status: ImportStatus::Failed,
            processed_bytes: 1_000,
            processed_items: 9,
            imported_items: 7,
            errors: 2,
            log_group: Some("logs".to_owned()),
            failure: Some((
                "ItemValidationError".to_owned(),
                "Some of the items failed validation checks".to_owned(),
            )),
        };
        assert_eq!(progress, Some(expected));
        let asked = server.asked();
        let bodies: Vec<serde_json::Value> = [1, 2, 4]
            .map(|at: usize| serde_json::from_str(&asked[at].body).unwrap())
            .to_vec();
        assert_eq!(
            bodies,
            [
                json!({"TableArn": TABLE}),
                json!({"TableArn": TABLE, "NextToken": "t"}),
                json!({"ImportArn": "new"}),
            ]
        );
    }

    #[tokio::test]
    async fn a_table_may_have_no_import_and_one_that_has_begun_no_counts() {
        let one = || listed(&[("new", 1)], "");
        let (_server, tables) = tables(vec![
            listed(&[], ""),
            one(),
            described(r#","ImportStatus":"IN_PROGRESS""#),
            one(),
            described(r#","ImportStatus":"CANCELLING""#),
            one(),
            described(r#","ImportStatus":"COMPLETED""#),
            one(),
            described(r#","ImportStatus":"CANCELLED""#),
            one(),
            described(r#","ImportStatus":"PAUSED""#),
            one(),
            Answer::new(
                400,
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ImportNotFoundException","message":"m"}"#,
            ),
        ])
        .await;
        assert_eq!(tables.newest_import(TABLE).await.unwrap(), None);
        for status in [
            ImportStatus::Running,
            ImportStatus::Running,
            ImportStatus::Completed,
            ImportStatus::Cancelled,
        ] {
            let progress = tables.newest_import(TABLE).await.unwrap().unwrap();
            assert_eq!(progress.status, status);
            assert_eq!((progress.processed_bytes, progress.errors), (0, 0));
            assert_eq!((progress.log_group, progress.failure), (None, None));
        }
        for kind in [ErrorKind::Internal, ErrorKind::NotFound] {
            let error = tables.newest_import(TABLE).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
