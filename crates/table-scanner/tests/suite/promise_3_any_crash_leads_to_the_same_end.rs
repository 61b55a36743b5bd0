//! Promises 1 and 3: whatever dies, comes late, or works at the same time, every row of a scan is in its output once, and nothing
//! is visible that is not committed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::{JOB, LAKE, Setting, Tally, World};
use bytes::Bytes;
use futures_util::future::join;
use serde_json::json;
use storage::failing::{Crash, Fault, FaultPlan};

const HISTORIES: u64 = 140;

async fn histories(format: &'static str) -> Tally {
    let mut total = Tally::default();
    for seed in 0..HISTORIES {
        let setting = Setting {
            format,
            items: 1 + (seed % 60) as u32,
            segments: 1 + (seed % 3) as u32,
            split_bytes: [200, 900, 1_000_000][seed as usize % 3],
            read_units: [0, 0, 2][seed as usize / 3 % 3],
            late_of_1000: [0, 60][seed as usize % 2],
        };
        let world = World::new(seed, setting);
        world.begin().await;
        world.chaos().await;
        let finished = world.drain().await;
        world.check(&finished);
        let tally = *world.tally.borrow();
        total.invocations += tally.invocations;
        total.crashes += tally.crashes;
        total.failures += tally.failures;
        total.lost += tally.lost;
        total.continued += tally.continued;
        total.changes += tally.changes;
        total.late += tally.late;
        total.rows += tally.rows;
        total.objects += tally.objects;
    }
    // What the histories are about does happen in them.
    assert!(total.crashes > 50, "{total:?}");
    assert!(total.lost > 10, "{total:?}");
    assert!(total.continued > 25, "{total:?}");
    assert!(total.late > 10, "{total:?}");
    assert!(total.changes > 2_500, "{total:?}");
    assert!(total.rows > 2_500, "{total:?}");
    assert!(total.objects > 2 * HISTORIES, "{total:?}");
    total
}

#[tokio::test(start_paused = true)]
async fn promise_1_every_row_of_a_scan_is_in_it_once_and_the_stream_makes_it_the_table() {
    histories("changes").await;
}

#[tokio::test(start_paused = true)]
async fn promise_1_every_row_of_a_scan_is_in_the_objects_once() {
    histories("json-lines").await;
}

fn small() -> Setting {
    Setting {
        format: "changes",
        items: 14,
        segments: 1,
        split_bytes: 600,
        read_units: 0,
        late_of_1000: 0,
    }
}

/// One segment, read by a worker that dies on its `nth` operation, then by others in calm.
async fn end_of(crash: Option<(usize, Crash)>) -> (BTreeMap<String, Bytes>, usize) {
    let world = World::new(7, small());
    world.begin_in_calm().await;
    let plan = FaultPlan::seeded(1);
    if let Some((nth, crash)) = crash {
        plan.crash_at(nth, crash);
    }
    let event = json!({"action": "scan", "job": JOB, "segment": 0});
    let answered = world.invoke(&event, &plan, 900).await;
    assert_eq!(answered.is_none(), crash.is_some(), "{crash:?}");
    world.check_visible();
    let finished = world.drain().await;
    world.check(&finished);
    let mut lake = world.lake.inner().snapshot(LAKE);
    // It has the second of the end, and nothing else that differs.
    lake.retain(|key, _| !key.contains("/source=complete/"));
    (lake, plan.operations())
}

#[tokio::test(start_paused = true)]
async fn promise_3_a_crash_at_any_operation_leads_to_the_same_objects() {
    let (expected, operations) = end_of(None).await;
    assert!(expected.len() > 3, "{expected:?}");
    assert!(operations > 30, "{operations}");
    for nth in 1..=operations {
        for crash in [Crash::Before, Crash::After] {
            let (lake, _) = end_of(Some((nth, crash))).await;
            assert!(lake == expected, "a crash {crash:?} at operation {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn promise_3_a_worker_that_lost_the_segment_publishes_nothing_and_leaves_nothing() {
    let world = World::new(
        3,
        Setting {
            split_bytes: 1_000_000,
            ..small()
        },
    );
    world.begin_in_calm().await;
    let event = json!({"action": "scan", "job": JOB, "segment": 0});
    let slow = FaultPlan::seeded(1);
    // The first worker stands still at its commit's check of the table, after its rows are staged.
    slow.inject("DescribeTable", 3, Fault::Slow(Duration::from_secs(60)));
    let calm = FaultPlan::seeded(1);
    let (first, second) = join(world.invoke(&event, &slow, 900), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.change(3, Some(world.new_item(3)));
        world.invoke(&event, &calm, 900).await
    })
    .await;
    let lost = first.expect("it lives").expect_err("it lost the segment");
    assert_eq!(lost.kind, lambda_support::FailureKind::Transient);
    assert!(
        lost.message
            .contains("another worker has taken segment-0000"),
        "{lost}"
    );
    assert!(second.expect("it lives").is_ok());
    assert_eq!(
        world.lake.inner().open_uploads().len(),
        0,
        "it forgets what it staged"
    );
    let finished = world.drain().await;
    world.check(&finished);
}

#[tokio::test(start_paused = true)]
async fn promise_3_who_lost_the_segment_after_its_commit_landed_leaves_what_is_committed() {
    let world = World::new(
        3,
        Setting {
            split_bytes: 1_000_000,
            ..small()
        },
    );
    world.begin_in_calm().await;
    let event = json!({"action": "scan", "job": JOB, "segment": 0});
    // The first worker's commit lands, but it only hears of its repetition, whose condition does not hold any more: another one
    // has taken the segment, and has not published yet what was committed.
    world.ledger.inner().repeated.set(2);
    let first = FaultPlan::seeded(1);
    let second = FaultPlan::seeded(1);
    second.inject(
        "CompleteMultipartUpload",
        1,
        Fault::Slow(Duration::from_secs(240)),
    );
    let (lost, done) = join(world.invoke(&event, &first, 900), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.invoke(&event, &second, 900).await
    })
    .await;
    let lost = lost.expect("it lives").expect_err("it lost the segment");
    assert!(
        lost.message
            .contains("another worker has taken segment-0000"),
        "{lost}"
    );
    assert_eq!(first.count("AbortMultipartUpload"), 0);
    done.expect("it lives").expect("it has what was committed");
    let finished = world.drain().await;
    world.check(&finished);
    assert_eq!(finished["rows"], 14);
}
