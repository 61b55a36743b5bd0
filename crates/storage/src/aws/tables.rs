use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemError, BatchWriteItemOutput};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, KeySchemaElement, KeyType as KeyRole, ScalarAttributeType,
    TableDescription, ThrottlingReason, WriteRequest,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use records::{IndexShape, Item, KeyAttribute, KeyType, Number, TableShape, Value};

use super::errors::storage_error;
use crate::{ErrorKind, PutItem, StorageError, TableStore};

/// DynamoDB's tables. `put_batch` is tried once, for at most 10 s: bulk-writer is the layer that retries writes.
/// `describe` is retried by the SDK (standard mode, 3 attempts).
#[derive(Debug, Clone)]
pub struct AwsTables {
    client: Client,
}

impl AwsTables {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        let mut builder = aws_sdk_dynamodb::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
            .stalled_stream_protection(super::no_stream_protection());
        builder.set_endpoint_url(endpoint);
        Self {
            client: Client::from_conf(builder.build()),
        }
    }
}

impl TableStore for AwsTables {
    async fn describe(&self, table: &str) -> Result<TableShape, StorageError> {
        let retried = aws_sdk_dynamodb::Config::builder().retry_config(super::standard_retries());
        let answer = self
            .client
            .describe_table()
            .table_name(table)
            .customize()
            .config_override(retried)
            .send()
            .await
            .map_err(|error| storage_error("DescribeTable", table, error))?;
        let unreadable =
            |fault: String| StorageError::new(ErrorKind::Internal, "DescribeTable", table, fault);
        let description = answer
            .table
            .ok_or_else(|| unreadable("the answer describes no table".to_owned()))?;
        shape_of(table, &description).map_err(unreadable)
    }

    async fn put_batch(
        &self,
        table: &TableShape,
        items: &[PutItem],
    ) -> Result<Vec<usize>, StorageError> {
        let body = batch_body(&table.name, items);
        // The items are DynamoDB JSON already: letting the SDK build and encode them again would cost half of the CPU.
        let answer = self
            .client
            .batch_write_item()
            .customize()
            .mutate_request(move |request| {
                request
                    .headers_mut()
                    .insert("content-length", body.len().to_string());
                *request.body_mut() = SdkBody::from(body.clone());
            })
            .send()
            .await
            .map_err(|error| {
                let reasons = error.as_service_error().map(reasons_of).unwrap_or_default();
                storage_error("BatchWriteItem", format!("{}{reasons}", table.name), error)
            })?;
        left_over(table, items, answer)
    }
}

/// `{"RequestItems":{"<table>":[{"PutRequest":{"Item":…}},…]}}`
fn batch_body(table: &str, items: &[PutItem]) -> Bytes {
    const BEFORE: &[u8] = br#"{"PutRequest":{"Item":"#;
    const AFTER: &[u8] = b"}},";
    let items_bytes: usize = items
        .iter()
        .map(|put| BEFORE.len() + put.item.len() + AFTER.len())
        .sum();
    let mut body = Vec::with_capacity(items_bytes + table.len() + 32);
    body.extend_from_slice(br#"{"RequestItems":{"#);
    body.extend_from_slice(serde_json::Value::from(table).to_string().as_bytes());
    body.extend_from_slice(b":[");
    for put in items {
        body.extend_from_slice(BEFORE);
        body.extend_from_slice(&put.item);
        body.extend_from_slice(AFTER);
    }
    if !items.is_empty() {
        body.pop();
    }
    body.extend_from_slice(b"]}}");
    body.into()
}

/// Positions of the items that DynamoDB handed back.
fn left_over(
    table: &TableShape,
    items: &[PutItem],
    answer: BatchWriteItemOutput,
) -> Result<Vec<usize>, StorageError> {
    let mut positions = Vec::new();
    for request in answer.unprocessed_items.into_iter().flatten().flat_map(|(_, requests)| requests) {
        let position = key_of(table, request)
            .and_then(|key| items.iter().position(|put| put.key == key))
            .ok_or_else(|| {
                StorageError::new(
                    ErrorKind::Internal,
                    "BatchWriteItem",
                    &table.name,
                    "DynamoDB handed back an item that was not sent",
                )
            })?;
        positions.push(position);
    }
    if !items.is_empty() && positions.len() == items.len() {
        return Err(StorageError::new(
            ErrorKind::Throttled,
            "BatchWriteItem",
            &table.name,
            "every item was handed back unprocessed",
        ));
    }
    positions.sort_unstable();
    Ok(positions)
}

fn key_of(table: &TableShape, request: WriteRequest) -> Option<Vec<u8>> {
    let mut attributes = request.put_request?.item;
    let mut key = Item::new();
    for attribute in table.keys() {
        let value = match attributes.remove(&attribute.name)? {
            AttributeValue::S(text) => Value::S(text),
            AttributeValue::N(digits) => Value::N(Number::parse(&digits).ok()?),
            AttributeValue::B(blob) => Value::B(blob.into_inner()),
            _ => return None,
        };
        key.insert(attribute.name.clone(), value);
    }
    table.canonical_key(&key).ok()
}

/// ` (IndexWriteProvisionedThroughputExceeded arn:…)`: which table or index is throttled, and by what.
fn reasons_of(error: &BatchWriteItemError) -> String {
    let reasons: &[ThrottlingReason] = match error {
        BatchWriteItemError::ProvisionedThroughputExceededException(error) => {
            error.throttling_reasons()
        }
        BatchWriteItemError::ThrottlingException(error) => error.throttling_reasons(),
        BatchWriteItemError::RequestLimitExceeded(error) => error.throttling_reasons(),
        _ => &[],
    };
    reasons
        .iter()
        .map(|reason| {
            format!(
                " ({} {})",
                reason.reason().unwrap_or("throttled"),
                reason.resource().unwrap_or_default()
            )
        })
        .collect()
}

fn shape_of(table: &str, description: &TableDescription) -> Result<TableShape, String> {
    let types = key_types(description.attribute_definitions())?;
    let keys = |schema: &[KeySchemaElement], role: KeyRole| {
        schema
            .iter()
            .filter(|element| element.key_type == role)
            .map(|element| {
                let name = element.attribute_name.clone();
                let kind = types
                    .get(name.as_str())
                    .copied()
                    .ok_or_else(|| format!("the key {name} has no type"))?;
                Ok(KeyAttribute { name, kind })
            })
            .collect::<Result<Vec<_>, String>>()
    };
    let index = |name: Option<&str>, schema: &[KeySchemaElement]| {
        Ok::<_, String>(IndexShape {
            name: name.unwrap_or_default().to_owned(),
            partition: keys(schema, KeyRole::Hash)?,
            sort: keys(schema, KeyRole::Range)?,
        })
    };
    let mut indexes = Vec::new();
    for global in description.global_secondary_indexes() {
        indexes.push(index(global.index_name(), global.key_schema())?);
    }
    for local in description.local_secondary_indexes() {
        indexes.push(index(local.index_name(), local.key_schema())?);
    }
    Ok(TableShape {
        name: table.to_owned(),
        partition: keys(description.key_schema(), KeyRole::Hash)?
            .pop()
            .ok_or("the table has no partition key")?,
        sort: keys(description.key_schema(), KeyRole::Range)?.pop(),
        indexes,
    })
}

fn key_types(definitions: &[AttributeDefinition]) -> Result<HashMap<&str, KeyType>, String> {
    definitions
        .iter()
        .map(|definition| {
            let kind = match &definition.attribute_type {
                ScalarAttributeType::S => KeyType::S,
                ScalarAttributeType::N => KeyType::N,
                ScalarAttributeType::B => KeyType::B,
                other => return Err(format!("a key of the unknown type {other}")),
            };
            Ok((definition.attribute_name.as_str(), kind))
        })
        .collect()
}
