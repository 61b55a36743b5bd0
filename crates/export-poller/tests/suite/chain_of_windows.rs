//! The chain of incremental windows beside full exports that others ask for.

use std::time::Duration;

use crate::simulation::{ARN, Step, TABLE, World, table_shape};
use export_jobs::{Span, Status};
use serde_json::{Value as Json, json};
use storage::TableIdentity;
use storage::failing::{Failing, FaultPlan};
use storage::memory::MemoryTables;

fn incremental() -> Json {
    json!({"action": "begin", "type": "incremental"})
}

/// A world in which a full export of this window is whole, at the moment when the chain begins with one whose export time is
/// the time at which that one was asked for.
async fn when_the_chain_asks_for_the_same_time(window: &str) -> (World, u64) {
    let world = World::new(1);
    let asked = world.now();
    let end = world
        .run(json!({"action": "begin", "window": window}))
        .await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    tokio::time::sleep(Duration::from_secs(asked + 600 - world.now())).await;
    (world, asked)
}

/// Runs windows of some hours, which must leave nothing out.
async fn go_on(world: &World) {
    for _ in 0..3 {
        world.run(incremental()).await;
        tokio::time::sleep(Duration::from_hours(2)).await;
    }
    while world.run(incremental()).await["state"] != "nothing" {}
    world.check_chain();
    let windows = world.windows();
    assert!(windows.len() > 4, "{:?}", windows.keys());
    for (job, row) in windows {
        assert_eq!(row.processing_status, Status::Completed, "{job}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_chain_has_full_exports_of_its_own() {
    // Asked for as 12:00, and of 11:50; the chain's own one is of 12:00.
    let (world, asked) = when_the_chain_asks_for_the_same_time("2026-01-31T12:00:00Z").await;
    let theirs = world.row("export/offers/full-20260131T120000Z").await;
    let span = theirs.map(|row| row.span);
    let export_time = asked - 600;
    assert_eq!(span, Some(Span::Full { export_time }));
    go_on(&world).await;
    let own = world.row("export/offers/full-20260131T120000Z-chain").await;
    let export_time = asked;
    assert_eq!(own.map(|row| row.span), Some(Span::Full { export_time }));
}

#[tokio::test(start_paused = true)]
async fn the_chain_goes_on_at_the_end_of_what_was_exported_under_its_windows_name() {
    let label = "20260131T120000Z-chain";
    let (world, asked) = when_the_chain_asks_for_the_same_time(label).await;
    go_on(&world).await;
    let windows = world.windows();
    let full = |row: &export_jobs::JobRow| matches!(row.span, Span::Full { .. });
    assert_eq!(windows.values().filter(|row| full(row)).count(), 1);
    let first = windows.values().filter_map(|row| row.span.window_start());
    assert_eq!(first.min(), Some(asked - 600));
}

/// The table is deleted and made again under its name.
fn make_anew(world: &mut World) {
    let identity = TableIdentity {
        arn: ARN.to_owned(),
        id: "00000000-0000-4000-8000-000000000002".to_owned(),
    };
    let tables = MemoryTables::new()
        .with_table(table_shape())
        .with_identity(TABLE, identity);
    world.tables = Failing::new(tables, FaultPlan::seeded(0));
    let exports = world.exports.inner().clone().with_table(ARN);
    world.exports = Failing::new(exports, FaultPlan::seeded(0));
}

fn chain(world: &World) -> serde_json::Map<String, Json> {
    let mut rows = world.ledger.inner().rows().into_iter();
    let row = rows.find(|row| row.part == "chain");
    row.expect("there is a chain").attributes
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_a_table_that_is_gone_leaves_the_new_tables_chain_alone() {
    let mut world = World::new(2);
    let calm = FaultPlan::seeded(0);
    let restart = json!({"action": "begin", "window": "old", "restart_chain": true});
    let mut step = Step::Begin(restart);
    while !matches!(step, Step::Finish(_)) {
        world.exports.inner().complete_all();
        step = world.step(step, &calm).await;
    }
    tokio::time::sleep(Duration::from_hours(1)).await;
    make_anew(&mut world);
    let end = world.run(incremental()).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    let held = chain(&world);
    assert_eq!(held["table_id"], "00000000-0000-4000-8000-000000000002");
    let Step::End(end) = world.step(step, &calm).await else {
        panic!("it is finished");
    };
    assert_eq!(end["status"], "COMPLETED", "{end}");
    assert_eq!(chain(&world), held);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_new_table_begins_its_chain_though_the_chain_is_still_that_of_the_old_one()
{
    let mut world = World::new(3);
    world.run(incremental()).await;
    make_anew(&mut world);
    tokio::time::sleep(Duration::from_hours(1)).await;
    let restart = json!({"action": "begin", "window": "new", "restart_chain": true});
    let end = world.run(restart).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    let row = world.row("export/offers/full-new").await.expect("a row");
    let begun = chain(&world);
    assert_eq!(begun["table_id"], row.table_id);
    assert_eq!(begun["next_from"], row.span.snapshot_time());
}
