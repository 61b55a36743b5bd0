use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde_json::{Map, Value};

use super::errors::storage_error;
use super::values::DynamoItem;
use crate::{ErrorKind, Ledger, LedgerRow, StorageError};

/// The ledger table's partition key, and the sort key of its index.
pub const JOB_KEY: &str = "job";
/// The ledger table's sort key.
pub const PART_KEY: &str = "part";
/// The partition key of the ledger's index; only open rows have it.
pub const OPEN_KEY: &str = "open";
/// The sparse index of open rows: keys `open` and `job`, keys only.
pub const OPEN_INDEX: &str = "open-jobs";

/// The ledger in a DynamoDB table with the keys `job` and `part` and the index `open-jobs`. The SDK retries (standard mode,
/// 3 attempts); a write that was carried out though its answer was lost is recognised by its content.
#[derive(Debug, Clone)]
pub struct AwsLedger {
    client: Client,
    table: String,
}

impl AwsLedger {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>, table: &str) -> Self {
        let mut builder = aws_sdk_dynamodb::config::Builder::from(config)
            .retry_config(super::standard_retries())
            .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
            .stalled_stream_protection(super::no_stream_protection());
        builder.set_endpoint_url(endpoint);
        Self {
            client: Client::from_conf(builder.build()),
            table: table.to_owned(),
        }
    }

    fn unreadable(&self, operation: &'static str, fault: &str) -> StorageError {
        StorageError::new(ErrorKind::Internal, operation, &self.table, fault)
    }

    /// Whether the condition failed on exactly the row that was to be written.
    fn is_stored(&self, row: &LedgerRow, error: &PutItemError) -> Result<bool, StorageError> {
        let PutItemError::ConditionalCheckFailedException(failure) = error else {
            return Ok(false);
        };
        match failure.item() {
            Some(item) => Ok(row_of(item.clone())
                .map_err(|fault| self.unreadable("PutItem", &fault))?
                == *row),
            None => Ok(false),
        }
    }
}

impl Ledger for AwsLedger {
    async fn read(&self, job: &str, part: &str) -> Result<Option<LedgerRow>, StorageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(JOB_KEY, AttributeValue::S(job.to_owned()))
            .key(PART_KEY, AttributeValue::S(part.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| storage_error("GetItem", &self.table, error))?;
        answer
            .item
            .map(row_of)
            .transpose()
            .map_err(|fault| self.unreadable("GetItem", &fault))
    }

    async fn write(&self, row: &LedgerRow) -> Result<(), StorageError> {
        row.check()?;
        let item = item_of(row).map_err(|fault| self.unreadable("PutItem", &fault))?;
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        put = match row.revision {
            1 => put.condition_expression("attribute_not_exists(job)"),
            revision => put
                .condition_expression("#revision = :before")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(
                    ":before",
                    AttributeValue::N((revision - 1).to_string()),
                ),
        };
        let Err(error) = put.send().await else {
            return Ok(());
        };
        if let Some(refusal) = error.as_service_error()
            && self.is_stored(row, refusal)?
        {
            return Ok(());
        }
        Err(storage_error(
            "PutItem",
            format!("{} in {}", row.name(), self.table),
            error,
        ))
    }

    async fn open_jobs(&self, kind: &str) -> Result<Vec<(String, String)>, StorageError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OPEN_INDEX)
            .key_condition_expression("#open = :kind")
            .expression_attribute_names("#open", OPEN_KEY)
            .expression_attribute_values(":kind", AttributeValue::S(kind.to_owned()))
            .into_paginator()
            .send();
        let mut jobs = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                storage_error("Query", format!("{}/{OPEN_INDEX}", self.table), error)
            })?;
            for mut item in page.items.unwrap_or_default() {
                let key = take_text(&mut item, JOB_KEY).zip(take_text(&mut item, PART_KEY));
                jobs.push(key.ok_or_else(|| {
                    self.unreadable("Query", "a row of the index has no job or no part")
                })?);
            }
        }
        Ok(jobs)
    }
}

fn item_of(row: &LedgerRow) -> Result<DynamoItem, String> {
    let mut item: DynamoItem =
        serde_dynamo::to_item(&row.attributes).map_err(|error| error.to_string())?;
    item.insert(JOB_KEY.to_owned(), AttributeValue::S(row.job.clone()));
    item.insert(PART_KEY.to_owned(), AttributeValue::S(row.part.clone()));
    item.insert(
        "revision".to_owned(),
        AttributeValue::N(row.revision.to_string()),
    );
    if let Some(open) = &row.open {
        item.insert(OPEN_KEY.to_owned(), AttributeValue::S(open.clone()));
    }
    Ok(item)
}

fn row_of(mut item: DynamoItem) -> Result<LedgerRow, String> {
    let job = take_text(&mut item, JOB_KEY).ok_or("the row has no job")?;
    let part = take_text(&mut item, PART_KEY).ok_or("the row has no part")?;
    let revision = match item.remove("revision") {
        Some(AttributeValue::N(digits)) => {
            digits.parse().map_err(|_| "its revision is no count")?
        }
        _ => return Err("the row has no revision".to_owned()),
    };
    let open = take_text(&mut item, OPEN_KEY);
    let attributes: Map<String, Value> =
        serde_dynamo::from_item(item).map_err(|error| error.to_string())?;
    Ok(LedgerRow {
        job,
        part,
        revision,
        open,
        attributes,
    })
}

fn take_text(item: &mut DynamoItem, name: &str) -> Option<String> {
    match item.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::canned::{Answer, Canned};
    use super::*;

    fn row(revision: u64) -> LedgerRow {
        let attributes = json!({
            "processing_status": "IN_PROGRESS",
            "rows_read": 18_446_744_073_709_551_615_u64,
            "offset": -5,
            "nothing": null,
            "checkpoint": {"line": 50_001, "parts": ["a", ""], "last": false},
        });
        LedgerRow {
            job: "ingest/inbox/k.csv#0055".to_owned(),
            part: "object".to_owned(),
            revision,
            open: Some("ingest".to_owned()),
            attributes: attributes.as_object().unwrap().clone(),
        }
    }

    const STORED: &str = r#"{"job":{"S":"ingest/inbox/k.csv#0055"},"part":{"S":"object"},"revision":{"N":"2"},
        "open":{"S":"ingest"},"processing_status":{"S":"IN_PROGRESS"},"rows_read":{"N":"18446744073709551615"},
        "offset":{"N":"-5"},"nothing":{"NULL":true},
        "checkpoint":{"M":{"line":{"N":"50001"},"parts":{"L":[{"S":"a"},{"S":""}]},"last":{"BOOL":false}}}}"#;

    fn condition_failed(item: &str) -> Answer {
        Answer::new(
            400,
            format!(
                r#"{{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                    "message":"The conditional request failed","Item":{item}}}"#
            ),
        )
    }

    async fn ledger(answers: Vec<Answer>) -> (Canned, AwsLedger) {
        let server = Canned::start(answers).await;
        let ledger = server.clients().await.ledger("ledger");
        (server, ledger)
    }

    #[tokio::test]
    async fn a_row_comes_back_as_it_was_written() {
        let (server, ledger) = ledger(vec![
            Answer::new(200, "{}"),
            Answer::new(200, format!(r#"{{"Item":{STORED}}}"#)),
            Answer::new(200, "{}"),
        ])
        .await;
        ledger.write(&row(2)).await.unwrap();
        let read = ledger.read("ingest/inbox/k.csv#0055", "object").await;
        assert_eq!(read.unwrap(), Some(row(2)));
        assert_eq!(ledger.read("other", "object").await.unwrap(), None);

        let asked = server.asked();
        let sent: Value = serde_json::from_str(&asked[0].body).unwrap();
        let stored: Value = serde_json::from_str(STORED).unwrap();
        assert_eq!(sent["Item"], stored);
        assert_eq!(sent["ConditionExpression"], "#revision = :before");
        assert_eq!(
            sent["ExpressionAttributeValues"],
            json!({":before": {"N": "1"}})
        );
        assert_eq!(sent["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
        let read: Value = serde_json::from_str(&asked[1].body).unwrap();
        assert_eq!(read["ConsistentRead"], true);
    }

    #[tokio::test]
    async fn the_first_revision_wants_no_row_there() {
        let (server, ledger) = ledger(vec![Answer::new(200, "{}")]).await;
        ledger.write(&row(1)).await.unwrap();
        let sent: Value = serde_json::from_str(&server.asked()[0].body).unwrap();
        assert_eq!(sent["ConditionExpression"], "attribute_not_exists(job)");
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_recognised_and_another_is_a_conflict() {
        let other = STORED.replace("IN_PROGRESS", "COMPLETED");
        let (server, ledger) = ledger(vec![
            Answer::none(),
            condition_failed(STORED),
            condition_failed(&other),
        ])
        .await;
        ledger.write(&row(2)).await.unwrap();
        assert_eq!(server.asked().len(), 2);
        let error = ledger.write(&row(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(server.asked().len(), 3);
    }

    #[tokio::test]
    async fn every_page_of_the_index_is_read() {
        let page = |n: u8, more: &str| {
            Answer::new(
                200,
                format!(
                    r#"{{"Items":[{{"open":{{"S":"ingest"}},"job":{{"S":"j{n}"}},"part":{{"S":"object"}}}}]{more}}}"#
                ),
            )
        };
        let more =
            r#","LastEvaluatedKey":{"job":{"S":"j1"},"part":{"S":"object"},"open":{"S":"ingest"}}"#;
        let (server, ledger) = ledger(vec![page(1, more), page(2, "")]).await;
        let key = |n: u8| (format!("j{n}"), "object".to_owned());
        assert_eq!(ledger.open_jobs("ingest").await.unwrap(), [key(1), key(2)]);
        let asked: Value = serde_json::from_str(&server.asked()[1].body).unwrap();
        assert_eq!(asked["IndexName"], OPEN_INDEX);
        assert_eq!(asked["ExclusiveStartKey"]["job"], json!({"S": "j1"}));
    }
}
