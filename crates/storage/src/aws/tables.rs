use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemError, BatchWriteItemOutput};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, KeySchemaElement, KeyType as KeyRole, ScalarAttributeType,
    TableDescription, ThrottlingReason, WriteRequest,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use records::{IndexShape, Item, KeyAttribute, KeyType, TableShape};

use super::errors::storage_error;
use super::values::value_of;
use crate::{ErrorKind, PutItem, StorageError, TableStore};

/// DynamoDB's tables. `put_batch` is tried once, for at most 10 s: bulk-writer is the layer that retries writes.
/// Everything else is retried by the SDK (standard mode, 3 attempts).
#[derive(Debug, Clone)]
pub struct AwsTables {
    client: Client,
    /// The same with retries. Overriding the setting in each request instead costs a fifth of the request's CPU time.
    pub(super) retrying: Client,
}

impl AwsTables {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        let client = |retries| {
            let mut builder = aws_sdk_dynamodb::config::Builder::from(config)
                .retry_config(retries)
                .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
                .stalled_stream_protection(super::no_stream_protection());
            builder.set_endpoint_url(endpoint.clone());
            Client::from_conf(builder.build())
        };
        Self {
            client: client(RetryConfig::disabled()),
            retrying: client(super::standard_retries()),
        }
    }

    pub(super) async fn description(&self, table: &str) -> Result<TableDescription, StorageError> {
        let answer = self
            .retrying
            .describe_table()
            .table_name(table)
            .send()
            .await
            .map_err(|error| storage_error("DescribeTable", table, error))?;
        answer
            .table
            .ok_or_else(|| unreadable(table, "the answer describes no table".to_owned()))
    }
}

fn unreadable(table: &str, fault: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, "DescribeTable", table, fault)
}

impl TableStore for AwsTables {
    async fn describe(&self, table: &str) -> Result<TableShape, StorageError> {
        let description = self.description(table).await?;
        shape_of(table, &description).map_err(|fault| unreadable(table, fault))
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
    for request in answer
        .unprocessed_items
        .into_iter()
        .flatten()
        .flat_map(|(_, requests)| requests)
    {
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
        let value = attributes.remove(&attribute.name)?;
        key.insert(attribute.name.clone(), value_of(value).ok()?);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::canned::{Answer, Canned};
    use super::*;

    fn key(name: &str, kind: KeyType) -> KeyAttribute {
        KeyAttribute {
            name: name.to_owned(),
            kind,
        }
    }

    fn shape() -> TableShape {
        TableShape {
            name: "offers".to_owned(),
            partition: key("account", KeyType::S),
            sort: Some(key("n", KeyType::N)),
            indexes: Vec::new(),
        }
    }

    fn put(n: &str) -> PutItem {
        let json = format!(
            r#"{{"account":{{"S":"a \"quoted\" ä"}},"n":{{"N":"{n}"}},"x":{{"NS":["1","2"]}}}}"#
        );
        let item = records::item_from_dynamodb_json(json.as_bytes()).unwrap();
        PutItem {
            key: shape().canonical_key(&item).unwrap().into(),
            item: json.into(),
        }
    }

    fn handed_back(numbers: &[&str]) -> Answer {
        let requests: Vec<_> = numbers
            .iter()
            .map(|n| json!({"PutRequest": {"Item": {"account": {"S": "a \"quoted\" ä"}, "n": {"N": n}}}}))
            .collect();
        let body = json!({"UnprocessedItems": {"offers": requests}});
        Answer::new(200, body.to_string())
    }

    async fn put_against(answer: Answer) -> (Result<Vec<usize>, StorageError>, Canned) {
        let server = Canned::start(vec![answer, Answer::new(200, "{}")]).await;
        let tables = server.clients().await.tables();
        let answer = tables
            .put_batch(&shape(), &[put("1"), put("2.50"), put("3")])
            .await;
        (answer, server)
    }

    #[tokio::test]
    async fn the_request_carries_every_item_and_its_length() {
        let (answer, server) = put_against(Answer::new(200, r#"{"UnprocessedItems":{}}"#)).await;
        assert_eq!(answer.unwrap(), Vec::<usize>::new());

        let asked = server.asked();
        let [request] = &asked[..] else {
            panic!("one request was expected: {asked:?}");
        };
        assert_eq!(
            request.header("x-amz-target"),
            Some("DynamoDB_20120810.BatchWriteItem")
        );
        let length = request.header("content-length").unwrap();
        assert_eq!(length, request.body.len().to_string());
        assert!(
            request
                .header("authorization")
                .unwrap()
                .contains("content-length")
        );
        let sent: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let expected: Vec<serde_json::Value> = [put("1"), put("2.50"), put("3")]
            .iter()
            .map(|put| {
                let item: serde_json::Value = serde_json::from_slice(&put.item).unwrap();
                json!({"PutRequest": {"Item": item}})
            })
            .collect();
        assert_eq!(sent, json!({"RequestItems": {"offers": expected}}));
    }

    #[tokio::test]
    async fn what_is_handed_back_is_found_whatever_its_spelling() {
        let (answer, _) = put_against(handed_back(&["3.0", "2.5"])).await;
        assert_eq!(answer.unwrap(), [1, 2]);

        let (answer, _) = put_against(handed_back(&["1", "2.5", "3"])).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Throttled);

        let (answer, _) = put_against(handed_back(&["4"])).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Internal);
    }

    #[tokio::test]
    async fn errors_have_their_kind_and_are_not_retried() {
        let refusal = |code: &str| {
            Answer::new(
                400,
                format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"m"}}"#),
            )
        };
        let cases = [
            (
                Answer::new(400, include_str!("fixtures/throttling-exception.json")),
                ErrorKind::Throttled,
            ),
            (
                Answer::new(
                    400,
                    include_str!("fixtures/provisioned-throughput-exceeded-exception.json"),
                ),
                ErrorKind::Throttled,
            ),
            (refusal("RequestLimitExceeded"), ErrorKind::Throttled),
            (refusal("ValidationException"), ErrorKind::Refused),
            (
                refusal("ItemCollectionSizeLimitExceededException"),
                ErrorKind::Refused,
            ),
            (refusal("AccessDeniedException"), ErrorKind::Denied),
            (refusal("UnrecognizedClientException"), ErrorKind::Denied),
            (refusal("ExpiredTokenException"), ErrorKind::Denied),
            (refusal("ResourceNotFoundException"), ErrorKind::NotFound),
            (
                Answer::new(
                    500,
                    r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#,
                ),
                ErrorKind::Unanswered,
            ),
            (Answer::new(503, "<html>busy</html>"), ErrorKind::Unanswered),
            (Answer::new(200, "not JSON"), ErrorKind::Unanswered),
            (
                Answer::new(200, r#"{"UnprocessedItems":{}}"#).cut_at(9),
                ErrorKind::Unanswered,
            ),
            (Answer::none(), ErrorKind::Unanswered),
        ];
        for (number, (answer, expected)) in cases.into_iter().enumerate() {
            let (answer, server) = put_against(answer).await;
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), expected, "case {number}: {error}");
            assert_eq!(server.asked().len(), 1, "case {number} was retried");
        }
    }

    #[tokio::test]
    async fn a_throttle_says_which_table_or_index_is_the_narrow_one() {
        let sample = include_str!("fixtures/provisioned-throughput-exceeded-exception.json");
        let (answer, _) = put_against(Answer::new(400, sample)).await;
        let message = answer.unwrap_err().to_string();
        assert!(
            message.contains("TableWriteProvisionedThroughputExceeded"),
            "{message}"
        );
        assert!(message.contains("table/t"), "{message}");
    }

    #[tokio::test]
    async fn keys_of_table_and_indexes_are_described_and_a_failure_is_retried() {
        let attribute =
            |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
        let role = |name: &str, role: &str| json!({"AttributeName": name, "KeyType": role});
        let description = json!({"Table": {
            "TableName": "offers",
            "AttributeDefinitions": [
                attribute("account", "S"), attribute("n", "N"), attribute("marker", "S"),
                attribute("day", "N"), attribute("hash", "B"),
            ],
            "KeySchema": [role("account", "HASH"), role("n", "RANGE")],
            "GlobalSecondaryIndexes": [{
                "IndexName": "pending",
                "KeySchema": [role("marker", "HASH"), role("day", "HASH"), role("hash", "RANGE")],
            }],
            "LocalSecondaryIndexes": [{
                "IndexName": "by-hash",
                "KeySchema": [role("account", "HASH"), role("hash", "RANGE")],
            }],
        }});
        let server = Canned::start(vec![
            Answer::new(500, "{}"),
            Answer::new(200, description.to_string()),
            Answer::new(
                400,
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}"#,
            ),
        ])
        .await;
        let tables = server.clients().await.tables();
        let expected = TableShape {
            indexes: vec![
                IndexShape {
                    name: "pending".to_owned(),
                    partition: vec![key("marker", KeyType::S), key("day", KeyType::N)],
                    sort: vec![key("hash", KeyType::B)],
                },
                IndexShape {
                    name: "by-hash".to_owned(),
                    partition: vec![key("account", KeyType::S)],
                    sort: vec![key("hash", KeyType::B)],
                },
            ],
            ..shape()
        };
        assert_eq!(tables.describe("offers").await.unwrap(), expected);
        let error = tables.describe("orders").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(server.asked().len(), 3);
    }
}
