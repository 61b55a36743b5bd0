//! Promise 3: an invocation killed at any operation and repeated, and events that come twice, late or in another order, end in
//! the same table, the same objects and the same counts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::{KEY, LAKE, World, notification, run_paused};
use bytes::Bytes;
use csv_ingester::Outcome;
use proptest::prelude::*;
use serde_json::json;
use storage::failing::{Crash, Fault, FaultPlan, Landing};

/// A file whose rows say which version of it they are from. Keys repeat within blocks and across them; row 11 is rejected.
fn file(version: &str, rows: usize) -> String {
    let mut text = String::from("id,seq,v\n");
    for row in 0..rows {
        match row {
            11 => text.push_str("k1,one,x\n"),
            _ => text.push_str(&format!("k{},{},{version}-{row}\n", row % 7, row % 5)),
        }
    }
    text
}

fn expected_values(version: &str, rows: usize) -> BTreeMap<String, String> {
    (0..rows)
        .filter(|row| *row != 11)
        .map(|row| {
            (
                format!("k{}/{}", row % 7, row % 5),
                format!("{version}-{row}"),
            )
        })
        .collect()
}

/// Everything that a user can see in the end.
#[derive(Debug, PartialEq)]
struct EndState {
    values: BTreeMap<String, String>,
    lake: BTreeMap<String, Bytes>,
    counts: Vec<serde_json::Value>,
}

fn end_state(world: &World, sequencer: &str) -> EndState {
    let job = world.job_row(sequencer).attributes;
    let names = [
        "processing_status",
        "rows_read",
        "rows_written",
        "rows_superseded",
        "rows_rejected",
        "checkpoint",
    ];
    EndState {
        values: world.values(),
        lake: world.objects.snapshot(LAKE),
        counts: names.iter().map(|name| job[*name].clone()).collect(),
    }
}

const ROWS: usize = 120;
const BLOCK_ROWS: u64 = 25;

async fn undisturbed() -> (EndState, usize) {
    let world = World::new(BLOCK_ROWS);
    let plan = FaultPlan::seeded(1);
    let object = world.upload(file("a", ROWS));
    let report = world.invoke(&plan, &notification(&object, "10")).await;
    let report = report.expect("nothing crashes").expect("nothing fails");
    assert_eq!(report.objects[0].outcome, Outcome::Completed);
    let state = end_state(&world, "10");
    assert_eq!(state.values, expected_values("a", ROWS));
    (state, plan.operations())
}

/// Kills the process at each of its operations, in each way, repeats the event as Lambda does, and lets the sweep finish.
#[test]
fn promise_3_a_crash_at_any_operation_leaves_no_trace() {
    run_paused(async {
        let (expected, operations) = undisturbed().await;
        assert!(operations > 20, "the sweep is worth its name: {operations}");
        let ways = [
            Crash::Before,
            Crash::After,
            Crash::Late(Landing::AfterTime(Duration::from_secs(290))),
            Crash::Late(Landing::AfterBatches(2)),
        ];
        for nth in 1..=operations {
            for way in ways {
                let world = World::new(BLOCK_ROWS);
                let object = world.upload(file("a", ROWS));
                let event = notification(&object, "10");
                let plan = FaultPlan::seeded(nth as u64);
                plan.crash_at(nth, way);
                assert!(
                    world.invoke(&plan, &event).await.is_none(),
                    "operation {nth} {way:?}"
                );
                // Lambda's own retry after a minute finds the lease, or late attempts, in the way.
                tokio::time::sleep(Duration::from_secs(60)).await;
                world.invoke_well(&event).await;
                world.sweep_until_quiet().await;
                tokio::time::sleep(Duration::from_secs(301)).await;
                world.tables.settle().await;
                assert_eq!(
                    end_state(&world, "10"),
                    expected,
                    "after a crash at operation {nth} {way:?}"
                );
                assert!(world.queue.messages().is_empty());
            }
        }
    });
}

/// Two crashes, at random, and the second one in the middle of going on.
#[test]
fn promise_3_a_second_crash_while_going_on_leaves_no_trace_either() {
    run_paused(async {
        let (expected, operations) = undisturbed().await;
        for nth in (1..=operations).step_by(3) {
            let world = World::new(BLOCK_ROWS);
            let object = world.upload(file("a", ROWS));
            let plan = FaultPlan::seeded(nth as u64);
            plan.crash_at(operations / 2, Crash::Before);
            let _ = world.invoke(&plan, &notification(&object, "10")).await;
            tokio::time::sleep(Duration::from_secs(400)).await;
            let plan = FaultPlan::seeded(nth as u64);
            plan.crash_at(nth, Crash::After);
            let _ = world.invoke(&plan, &json!({"sweep": true})).await;
            world.sweep_until_quiet().await;
            assert_eq!(
                end_state(&world, "10"),
                expected,
                "second crash at operation {nth}"
            );
        }
    });
}

#[test]
fn promise_3_a_repeated_event_for_a_finished_object_does_nothing() {
    run_paused(async {
        let world = World::new(BLOCK_ROWS);
        let object = world.upload(file("a", ROWS));
        let event = notification(&object, "10");
        world.invoke_well(&event).await;
        let before = (
            end_state(&world, "10"),
            world.ledger.rows(),
            world.tables.inner().puts("offers"),
        );
        let report = world.invoke_well(&event).await;
        assert_eq!(report.objects[0].outcome, Outcome::AlreadyDone);
        let after = (
            end_state(&world, "10"),
            world.ledger.rows(),
            world.tables.inner().puts("offers"),
        );
        assert_eq!(after, before);
    });
}

#[test]
fn promise_3_a_newer_object_with_fewer_rows_leaves_no_part_of_the_older_one() {
    run_paused(async {
        let world = World::new(BLOCK_ROWS);
        let older = world.upload(file("a", ROWS));
        world.invoke_well(&notification(&older, "10")).await;
        let newer = world.upload(file("b", 10));
        world.invoke_well(&notification(&newer, "11")).await;
        let parts: Vec<String> = world.objects.snapshot(LAKE).into_keys().collect();
        assert_eq!(parts, [format!("json-copy/{KEY}/part-00000.jsonl")]);
        for (key, value) in expected_values("b", 10) {
            assert_eq!(world.values()[&key], value);
        }
    });
}

/// The older worker's last attempt got no answer and lands minutes later: the newer version must not be written before.
#[test]
fn promise_3_late_writes_of_an_older_object_never_land_on_a_newer_one() {
    run_paused(async {
        let world = World::new(BLOCK_ROWS);
        let older = world.upload(file("a", 20));
        let plan = FaultPlan::seeded(3);
        plan.inject(
            "BatchWriteItem",
            1,
            Fault::Late(Landing::AfterTime(Duration::from_secs(250))),
        );
        let report = world.invoke(&plan, &notification(&older, "10")).await;
        let report = report.expect("no crash").expect("no failure");
        assert_eq!(report.objects[0].outcome, Outcome::Completed);
        let newer = world.upload(file("b", 20));
        let report = world.invoke_well(&notification(&newer, "11")).await;
        assert_eq!(report.objects[0].outcome, Outcome::Waiting);
        world.sweep_until_quiet().await;
        tokio::time::sleep(Duration::from_secs(301)).await;
        world.tables.settle().await;
        for (key, value) in expected_values("b", 20) {
            assert_eq!(world.values()[&key], value);
        }
    });
}

/// A worker that pauses (a stalled machine) past its lease, while the next one takes over, must not write when it wakes up.
#[test]
fn promise_3_a_worker_that_lost_its_lease_writes_no_more() {
    run_paused(async {
        let world = World::new(BLOCK_ROWS);
        let older = world.upload(file("a", ROWS));
        let slow = FaultPlan::seeded(4);
        // The ledger does not answer renewals, and one write hangs for longer than lease and settle time together.
        slow.inject("BatchWriteItem", 2, Fault::Slow(Duration::from_secs(500)));
        for nth in 4..40 {
            slow.inject("PutItem", nth, Fault::Fail(storage::ErrorKind::Unanswered));
        }
        let sleeper = async { world.invoke(&slow, &notification(&older, "10")).await };
        let other = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let newer = world.upload(file("b", ROWS));
            world.invoke_well(&notification(&newer, "11")).await;
            tokio::time::sleep(Duration::from_secs(360)).await;
            world.sweep_until_quiet().await;
        };
        let (slept, ()) = tokio::join!(sleeper, other);
        let result = slept.expect("no crash");
        assert!(
            result.is_err(),
            "the worker has to say that it lost the key: {result:?}"
        );
        world.sweep_until_quiet().await;
        for (key, value) in expected_values("b", ROWS) {
            assert_eq!(world.values()[&key], value);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Events of several versions, some twice, in any order and at any distance, some invocations at the same time.
    #[test]
    fn promise_3_events_in_any_order_end_in_the_newest_object(
        versions in prop::collection::vec(1..90_usize, 1..4),
        deliveries in prop::collection::vec((0..4_usize, 0..400_u64, any::<bool>()), 0..12),
        seed in any::<u64>(),
    ) {
        run_paused(async {
            let world = World::new(BLOCK_ROWS);
            let events: Vec<serde_json::Value> = versions
                .iter()
                .enumerate()
                .map(|(number, rows)| {
                    let object = world.upload(file(&format!("v{number}"), *rows));
                    notification(&object, &format!("1{number}"))
                })
                .collect();
            // Every event is delivered once at least; S3 promises no more.
            let mut schedule: Vec<(usize, u64, bool)> = deliveries;
            schedule.extend((0..events.len()).rev().map(|number| (number, 1, seed % 2 == 0)));
            let mut at = 0;
            let invocations = schedule.iter().enumerate().map(|(index, (number, pause, together))| {
                at += if *together { 0 } else { *pause };
                let (start, event) = (at, &events[number % events.len()]);
                let plan = FaultPlan::seeded(seed.wrapping_add(index as u64));
                plan.at_random("BatchWriteItem", storage::failing::Rates {
                    slow: 500,
                    late: 20,
                    longest_delay: Duration::from_secs(100),
                    ..Default::default()
                });
                let world = &world;
                async move {
                    tokio::time::sleep(Duration::from_secs(start)).await;
                    world.invoke(&plan, event).await
                }
            });
            futures_util::future::join_all(invocations).await;
            world.sweep_until_quiet().await;
            tokio::time::sleep(Duration::from_secs(301)).await;
            world.tables.settle().await;
            for row in world.ledger.rows().iter().filter(|row| row.part == "object") {
                prop_assert_ne!(&row.attributes["processing_status"], "IN_PROGRESS", "nobody will go on with {}", row.job);
            }
            let (newest, rows) = (versions.len() - 1, *versions.last().expect("one at least"));
            let values = world.values();
            for (key, value) in expected_values(&format!("v{newest}"), rows) {
                prop_assert_eq!(values.get(&key), Some(&value));
            }
            let blocks = rows.div_ceil(usize::try_from(BLOCK_ROWS).expect("small"));
            prop_assert!(world.parts("json-copy/").len() <= blocks);
            let backup = world.lines("json-copy/");
            prop_assert_eq!(backup.len(), rows - usize::from(rows > 11));
            Ok(())
        })?;
    }
}

#[test]
fn a_deadline_leaves_a_checkpoint_from_which_the_next_invocation_goes_on() {
    run_paused(async {
        let (expected, _) = undisturbed().await;
        let world = World::new(BLOCK_ROWS);
        let object = world.upload(file("a", ROWS));
        let plan = FaultPlan::seeded(5);
        // The table takes three items a second; within the minute some blocks settle, not all.
        plan.limit_writes(3);
        let event = notification(&object, "10");
        let result = world
            .invoke_for(&plan, &event, Duration::from_secs(50))
            .await;
        let report = result.expect("no crash").expect("a deadline is no failure");
        let first = &report.objects[0];
        assert_eq!(first.outcome, Outcome::Deferred);
        let job = world.job_row("10").attributes;
        assert_eq!(job["processing_status"], "IN_PROGRESS");
        assert!(
            first.rows_deferred > 0 && first.counts.read > 0,
            "{first:?}"
        );
        let counts = first.counts;
        assert_eq!(
            counts.read,
            counts.written + counts.superseded + counts.rejected
        );
        world.sweep_until_quiet().await;
        assert_eq!(end_state(&world, "10"), expected);
    });
}
