//! Promise 5: a scan stops before its time is over and goes on from there; and it keeps its rate, over invocations too.

use std::time::Duration;

use crate::simulation::{JOB, Setting, TABLE, World};
use futures_util::future::join_all;
use lambda_support::FailureKind;
use serde_json::{Value as Json, json};
use storage::Clock;
use storage::failing::{Fault, FaultPlan, Rates};

fn setting() -> Setting {
    Setting {
        format: "json-lines",
        items: 60,
        segments: 1,
        split_bytes: 1_000_000,
        read_units: 0,
        late_of_1000: 0,
    }
}

fn scan(segment: u32) -> Json {
    json!({"action": "scan", "job": JOB, "segment": segment})
}

/// Scans a segment by invocations of so many seconds; how many it took.
async fn scan_all(world: &World, segment: u32, plan: &FaultPlan, seconds: u64) -> u32 {
    for invocations in 1..10_000 {
        let begun = world.clock.now();
        let answered = world.invoke(&scan(segment), plan, seconds).await;
        let report = answered
            .expect("it answers in time")
            .expect("nothing fails");
        assert!(begun.until(world.clock.now()) < Duration::from_secs(seconds));
        if serde_json::to_value(report).unwrap()["status"] == "COMPLETED" {
            return invocations;
        }
    }
    panic!("segment {segment} never ends");
}

#[tokio::test(start_paused = true)]
async fn promise_5_a_scan_stops_in_time_and_the_next_invocation_goes_on() {
    let world = World::new(1, setting());
    world.begin_in_calm().await;
    // Pages have two items, then four, then eight, then sixteen: that is what 16 seconds are time for, and twice that all items
    // there are. The third invocation finds that there is no more.
    let plan = FaultPlan::seeded(1);
    for page in 1..=20 {
        plan.inject("Scan", page, Fault::Slow(Duration::from_secs(4)));
    }
    let invocations = scan_all(&world, 0, &plan, 24).await;
    assert_eq!(invocations, 3);
    let finished = world.drain().await;
    world.check(&finished);
    assert_eq!(finished["rows"], 60);
}

#[tokio::test(start_paused = true)]
async fn promise_5_what_hangs_is_dropped_and_nothing_of_it_is_seen() {
    for operation in ["Scan", "UploadPart", "PutItem", "CompleteMultipartUpload"] {
        let world = World::new(2, setting());
        world.begin_in_calm().await;
        let plan = FaultPlan::seeded(1);
        let nth = if operation == "PutItem" { 2 } else { 1 };
        plan.inject(operation, nth, Fault::Slow(Duration::from_secs(3_600)));
        let begun = world.clock.now();
        let answered = world
            .invoke(&scan(0), &plan, 60)
            .await
            .expect("it answers in time");
        assert!(
            begun.until(world.clock.now()) < Duration::from_secs(60),
            "{operation}"
        );
        world.check_visible();
        if operation != "CompleteMultipartUpload" {
            let failure = answered.expect_err("nothing was committed");
            assert_eq!(failure.kind, FailureKind::Transient, "{operation}");
        }
        let finished = world.drain().await;
        world.check(&finished);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_5_a_table_that_throttles_is_waited_for_until_the_time_is_over() {
    let world = World::new(3, setting());
    world.begin_in_calm().await;
    let throttled = FaultPlan::seeded(1);
    throttled.at_random(
        "Scan",
        Rates {
            throttled: 1_000,
            ..Rates::default()
        },
    );
    let begun = world.clock.now();
    let answered = world
        .invoke(&scan(0), &throttled, 300)
        .await
        .expect("it answers");
    let failure = answered.expect_err("nothing was read");
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    assert_eq!(begun.until(world.clock.now()), Duration::from_secs(270));
    let calls = throttled.count("Scan");
    assert!((20..400).contains(&calls), "{calls} calls in 270 seconds");

    let sometimes = FaultPlan::seeded(2);
    sometimes.at_random(
        "Scan",
        Rates {
            throttled: 700,
            unanswered: 100,
            ..Rates::default()
        },
    );
    scan_all(&world, 0, &sometimes, 900).await;
    let finished = world.drain().await;
    world.check(&finished);
}

/// The least that reading a table costs in tenths of a read unit: consistent reads, a unit for 4 KiB.
fn tenths_of(world: &World) -> u64 {
    let bytes: usize = (world.tables.inner().scan(TABLE).iter())
        .map(records::item_size)
        .sum();
    bytes as u64 * 10 / 4_096
}

/// Items of about 20 KB: each is read for five units.
fn seed_large_items(world: &World) {
    for id in 0..60 {
        let mut item = world.new_item(id);
        item.insert("body".to_owned(), records::Value::S("y".repeat(20_000)));
        world.tables.inner().seed(TABLE, [item]);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_5_what_an_invocation_read_is_paid_for_by_the_next_one_too() {
    let world = World::new(
        4,
        Setting {
            read_units: 2,
            ..setting()
        },
    );
    seed_large_items(&world);
    world.begin_in_calm().await;
    let begun = world.clock.now();
    // Its first page costs five seconds, and an invocation reads for four.
    scan_all(&world, 0, &FaultPlan::seeded(1), 6).await;
    let elapsed = begun.until(world.clock.now()).as_millis();
    let least = u128::from(tenths_of(&world)) * 100 / 2;
    assert!(elapsed + 6_000 >= least, "{elapsed} ms, at least {least}");
    assert!(elapsed <= least * 5 / 4, "{elapsed} ms, at least {least}");
    let finished = world.drain().await;
    assert_eq!(finished["rows"], 60);
}

#[tokio::test(start_paused = true)]
async fn promise_5_the_rate_is_kept_by_all_segments_together_and_over_invocations() {
    for (segments, seconds) in [(1, 900), (3, 900), (1, 9), (3, 9)] {
        let world = World::new(
            4,
            Setting {
                segments,
                read_units: 10,
                ..setting()
            },
        );
        seed_large_items(&world);
        world.begin_in_calm().await;
        let begun = world.clock.now();
        let plan = FaultPlan::seeded(1);
        let scans = (0..segments).map(|segment| scan_all(&world, segment, &plan, seconds));
        let invocations: u32 = join_all(scans).await.into_iter().sum();
        // The last page of each segment needs nobody to wait.
        let elapsed = begun.until(world.clock.now()).as_millis();
        let least = u128::from(tenths_of(&world)) * 100 / 10;
        let pages = u128::from(segments) * 2_000;
        assert!(elapsed + pages >= least, "{elapsed} ms, at least {least}");
        let most = if segments == 1 {
            least * 5 / 4
        } else {
            least * 5 / 2
        };
        assert!(
            elapsed <= most,
            "{elapsed} ms of {segments} segments, {least} for one"
        );
        assert_eq!(invocations > segments, seconds == 9, "{invocations}");
    }
}
