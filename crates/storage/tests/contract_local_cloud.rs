//! The stores on AWS keep the contract, as far as a local cloud can show it. Runs where `TRANSLOAD_TEST_ENDPOINT` names one,
//! with `TRANSLOAD_TEST_BUCKET`, `TRANSLOAD_TEST_TABLE` (empty, with an index whose key is a text alone) and
//! `TRANSLOAD_TEST_LEDGER` naming what is there to use, `TRANSLOAD_TEST_MACHINE` the ARN of a state machine of one Pass
//! state, and `TRANSLOAD_TEST_EXPORT_TABLE` an empty table whose point-in-time recovery is on.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use records::{Item, Number, Value};
use storage::aws::{AwsClients, connect};
use storage::{
    Clock, ExecutionStatus, ExportStatus, ItemStore, SystemClock, TableExports, Workflows, contract,
};

#[expect(
    clippy::disallowed_methods,
    reason = "a test that depends on where it runs has to ask"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Clients and the value of one more variable, or nothing after saying why the test is skipped.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
async fn place(name: &str) -> Option<(AwsClients, String)> {
    let Some(endpoint) = variable("TRANSLOAD_TEST_ENDPOINT") else {
        println!("skipped: TRANSLOAD_TEST_ENDPOINT names no local cloud");
        return None;
    };
    let Some(value) = variable(name) else {
        println!("skipped: {name} is not set");
        return None;
    };
    let clients = connect(Some(&endpoint)).await.expect("a connection");
    Some((clients, value))
}

#[tokio::test]
async fn objects() {
    if let Some((clients, bucket)) = place("TRANSLOAD_TEST_BUCKET").await {
        contract::objects(&clients.objects(), &bucket).await;
    }
}

#[tokio::test]
async fn tables() {
    if let Some((clients, table)) = place("TRANSLOAD_TEST_TABLE").await {
        let tables = clients.tables();
        contract::tables(&tables, &table, async || scan(&table).await).await;
        contract::items(&tables, &table).await;
        contract::indexes(&tables, &table).await;
    }
}

#[tokio::test]
async fn ledger() {
    if let Some((clients, table)) = place("TRANSLOAD_TEST_LEDGER").await {
        let run = SystemClock.now().0.to_string();
        contract::ledger(&clients.ledger(&table), &run).await;
    }
}

#[tokio::test]
async fn workflows() {
    if let Some((clients, machine)) = place("TRANSLOAD_TEST_MACHINE").await {
        let run = SystemClock.now().0.to_string();
        let workflows = clients.workflows();
        let end = async |arn: &str, _: &str| {
            for _ in 0..100 {
                let execution = workflows.execution(arn).await.expect("a description");
                if execution.status != ExecutionStatus::Running {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{arn} does not end");
        };
        contract::workflows(&workflows, &machine, &run, end).await;
    }
}

#[tokio::test]
async fn exports() {
    let Some((clients, table)) = place("TRANSLOAD_TEST_EXPORT_TABLE").await else {
        return;
    };
    let named = |name| variable(name).expect("what the other tests use, too");
    let (bucket, other) = (
        named("TRANSLOAD_TEST_BUCKET"),
        named("TRANSLOAD_TEST_TABLE"),
    );
    let (exports, tables) = (clients.exports(), clients.tables());
    let arn = async |table: &str| tables.identity(table).await.expect("a table").arn;
    let (table, without) = (arn(&table).await, arn(&other).await);
    let run = SystemClock.now().0.to_string();
    let end = async |arn: &str| {
        for _ in 0..100 {
            let export = exports.export(arn).await.expect("a description");
            if export.status != ExportStatus::InProgress {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{arn} does not end");
    };
    contract::exports(&exports, (&table, &without), &bucket, &run, end).await;
}

/// Reads the table with the bare SDK, so that it is not read by what is tested.
async fn scan(table: &str) -> Vec<Item> {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(variable("TRANSLOAD_TEST_ENDPOINT").expect("it was there a moment ago"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let mut pages = aws_sdk_dynamodb::Client::new(&config)
        .scan()
        .table_name(table)
        .consistent_read(true)
        .into_paginator()
        .items()
        .send();
    let mut items = Vec::new();
    while let Some(item) = pages.next().await {
        let item = item.expect("a page");
        items.push(
            item.into_iter()
                .map(|(name, value)| (name, value_of(value)))
                .collect(),
        );
    }
    items
}

fn value_of(value: AttributeValue) -> Value {
    let number = |digits: String| Number::parse(&digits).expect("a number");
    match value {
        AttributeValue::S(text) => Value::S(text),
        AttributeValue::N(digits) => Value::N(number(digits)),
        AttributeValue::B(blob) => Value::B(blob.into_inner()),
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Ss(texts) => Value::string_set(texts),
        AttributeValue::Ns(numbers) => Value::number_set(numbers.into_iter().map(number).collect()),
        AttributeValue::L(values) => Value::L(values.into_iter().map(value_of).collect()),
        AttributeValue::M(values) => Value::M(
            values
                .into_iter()
                .map(|(name, value)| (name, value_of(value)))
                .collect::<BTreeMap<_, _>>(),
        ),
        other => panic!("the contract writes no {other:?}"),
    }
}
