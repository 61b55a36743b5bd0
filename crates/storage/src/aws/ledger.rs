use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use serde_json::{Map, Value};

use super::errors::storage_error;
use crate::{ErrorKind, Ledger, LedgerRow, StorageError};

/// The sparse index of open rows: keys `open` and `job`, keys only.
const OPEN_INDEX: &str = "open-jobs";

type DynamoItem = HashMap<String, AttributeValue>;

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
            .key("job", AttributeValue::S(job.to_owned()))
            .key("part", AttributeValue::S(part.to_owned()))
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
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":kind", AttributeValue::S(kind.to_owned()))
            .into_paginator()
            .send();
        let mut jobs = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                storage_error("Query", format!("{}/{OPEN_INDEX}", self.table), error)
            })?;
            for mut item in page.items.unwrap_or_default() {
                let key = take_text(&mut item, "job").zip(take_text(&mut item, "part"));
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
    item.insert("job".to_owned(), AttributeValue::S(row.job.clone()));
    item.insert("part".to_owned(), AttributeValue::S(row.part.clone()));
    item.insert(
        "revision".to_owned(),
        AttributeValue::N(row.revision.to_string()),
    );
    if let Some(open) = &row.open {
        item.insert("open".to_owned(), AttributeValue::S(open.clone()));
    }
    Ok(item)
}

fn row_of(mut item: DynamoItem) -> Result<LedgerRow, String> {
    let job = take_text(&mut item, "job").ok_or("the row has no job")?;
    let part = take_text(&mut item, "part").ok_or("the row has no part")?;
    let revision = match item.remove("revision") {
        Some(AttributeValue::N(digits)) => digits.parse().map_err(|_| "its revision is no count")?,
        _ => return Err("the row has no revision".to_owned()),
    };
    let open = take_text(&mut item, "open");
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
