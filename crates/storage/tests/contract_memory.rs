//! The stores in memory keep the contract.

use records::{IndexShape, KeyAttribute, KeyType, TableShape};
use storage::failing::{Failing, FaultPlan};
use storage::memory::{MemoryExports, MemoryLedger, MemoryObjects, MemoryTables, MemoryWorkflows};
use storage::{TestClock, contract};

fn key(name: &str, kind: KeyType) -> KeyAttribute {
    KeyAttribute {
        name: name.to_owned(),
        kind,
    }
}

fn shape(name: &str, partition: KeyType, sort: Option<KeyType>) -> TableShape {
    TableShape {
        name: name.to_owned(),
        partition: key("id", partition),
        sort: sort.map(|kind| key("n", kind)),
        indexes: vec![IndexShape {
            name: "pending".to_owned(),
            partition: vec![key("processed", KeyType::S)],
            sort: Vec::new(),
        }],
    }
}

#[tokio::test]
async fn objects_with_and_without_versions() {
    let store = MemoryObjects::new()
        .with_bucket("plain")
        .with_versioned_bucket("kept")
        .with_chunks_of(3);
    contract::objects(&store, "plain").await;
    contract::objects(&store, "kept").await;
    assert!(store.open_uploads().is_empty());
}

#[tokio::test]
async fn tables_of_every_key_type() {
    for partition in [KeyType::S, KeyType::N, KeyType::B] {
        for sort in [None, Some(KeyType::S), Some(KeyType::N), Some(KeyType::B)] {
            let store = MemoryTables::new().with_table(shape("rows", partition, sort));
            contract::tables(&store, "rows", async || store.scan("rows")).await;
            contract::items(&store, "rows").await;
            contract::indexes(&store, "rows").await;
        }
    }
}

#[tokio::test]
async fn a_ledger() {
    let ledger = MemoryLedger::new();
    contract::ledger(&ledger, "1").await;
    contract::ledger(&ledger, "2").await;
}

#[tokio::test]
async fn executions() {
    let machine = "arn:aws:states:us-east-1:123456789012:stateMachine:pass";
    let workflows = MemoryWorkflows::new().with_machine(machine);
    let end = async |arn: &str, output: &str| workflows.succeed(arn, output);
    contract::workflows(&workflows, machine, "1", end).await;
    let failing = Failing::new(workflows.clone(), FaultPlan::seeded(1));
    contract::workflows(&failing, machine, "2", end).await;
}

#[tokio::test(start_paused = true)]
async fn exports() {
    let arn = |table: &str| format!("arn:aws:dynamodb:us-east-1:123456789012:table/{table}");
    let (table, without) = (arn("offers"), arn("orders"));
    let exports = MemoryExports::new(
        TestClock::default(),
        MemoryObjects::new().with_bucket("lake"),
    )
    .with_table(&table)
    .with_table_without_recovery(&without);
    let tables = (table.as_str(), without.as_str());
    let end = async |arn: &str| exports.complete(arn);
    contract::exports(&exports, tables, "lake", "1", end).await;
    let failing = Failing::new(exports.clone(), FaultPlan::seeded(1));
    contract::exports(&failing, tables, "lake", "2", end).await;
}

#[tokio::test]
async fn the_failing_wrappers_keep_the_contract_while_nothing_fails() {
    let plan = FaultPlan::seeded(1);
    let objects = MemoryObjects::new().with_bucket("plain");
    contract::objects(&Failing::new(objects, plan.clone()), "plain").await;
    let tables = MemoryTables::new().with_table(shape("rows", KeyType::S, None));
    let failing = Failing::new(tables.clone(), plan.clone());
    contract::tables(&failing, "rows", async || tables.scan("rows")).await;
    contract::items(&failing, "rows").await;
    contract::indexes(&failing, "rows").await;
    contract::ledger(&Failing::new(MemoryLedger::new(), plan), "1").await;
}
