//! Promise 5: a run stops taking items before the function's time is over, and the next one goes on; and what the handler says
//! of lanes, leases and what is left.

use std::time::Duration;

use crate::simulation::{LAKE, Setting, TABLE, key, shape};
use gsi_reprocessor::{
    Dependencies, Ended, Invocation, Output, Process, ProcessError, Report, handle,
};
use lambda_support::FailureKind;
use records::{Item, Value};
use serde_json::{Value as Json, json};
use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::{MemoryLedger, MemoryObjects, MemoryTables};
use storage::{Clock, ErrorKind, TestClock};

/// Takes as long as it is told to.
struct Slow(Duration);

impl Process for Slow {
    async fn process(&self, _: &Item) -> Result<Vec<u8>, ProcessError> {
        tokio::time::sleep(self.0).await;
        Ok(b"{}".to_vec())
    }
}

type Function = Dependencies<MemoryObjects, MemoryTables, MemoryLedger, TestClock, Slow>;

fn function(output: Output, lanes: u32, items: u32, seconds: u64) -> Function {
    let setting = Setting {
        output,
        lanes,
        remove: false,
        has_version: false,
    };
    let tables = MemoryTables::new().with_table(shape());
    for id in 0..items {
        let marker = match lanes {
            1 => "false".to_owned(),
            lanes => format!("false#{}", id % lanes),
        };
        let mut item = key(id);
        item.insert("processed".to_owned(), Value::S(marker));
        tables.seed(TABLE, [item]);
    }
    Dependencies {
        objects: MemoryObjects::new().with_bucket(LAKE),
        tables,
        ledger: MemoryLedger::new(),
        clock: TestClock::default(),
        process: Slow(Duration::from_secs(seconds)),
        config: setting.config(60),
    }
}

async fn run(function: &Function, event: Json, seconds: u64, random: u64) -> Report {
    let deadline = function.clock.now().plus(Duration::from_secs(seconds));
    let report = handle(&event, Invocation { deadline, random }, function)
        .await
        .expect("nothing fails");
    assert!(function.clock.now() < deadline, "it would have been killed");
    report
}

#[tokio::test(start_paused = true)]
async fn promise_5_a_run_ends_before_its_time_and_the_next_one_goes_on() {
    for output in [Output::Objects, Output::Bundles] {
        let function = function(output, 1, 100, 10);
        let first = run(&function, json!({}), 120, 1).await;
        assert_eq!(first.lanes[0].ended, Ended::Deadline);
        assert!(first.counts.taken < 100, "{first:?}");
        assert!(first.counts.done > 0, "{first:?}");
        // Nothing that was taken is dropped if it takes no longer than the time that is kept for it.
        assert_eq!(first.counts.unfinished, 0, "{first:?}");
        assert_eq!(first.left, Some(100 - first.counts.done));
        let mut done = first.counts.done;
        while done < 100 {
            let report = run(&function, json!({}), 120, 1).await;
            assert!(report.counts.done > 0);
            done += report.counts.done;
        }
        assert_eq!(done, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_5_an_item_that_hangs_keeps_nobody_from_answering() {
    let function = function(Output::Objects, 1, 1, 10_000);
    let report = run(&function, json!({"count_left": false}), 60, 1).await;
    assert_eq!(report.counts.unfinished, 1);
    assert_eq!(report.left, None);
    // The lane is free again.
    let report = run(&function, json!({"count_left": false}), 60, 2).await;
    assert_eq!(report.lanes[0].ended, Ended::Deadline);
    assert_eq!(report.counts.taken, 1);
}

#[tokio::test(start_paused = true)]
async fn promise_5_with_more_lanes_than_time_those_left_alone_come_first() {
    let function = function(Output::Objects, 3, 9, 30);
    let mut order = Vec::new();
    for _ in 0..3 {
        // Time for one lane.
        let report = run(&function, json!({}), 60, 1).await;
        assert!(!report.left_exact || report.lanes.len() == 3);
        order.extend(report.lanes.iter().map(|lane| lane.lane));
    }
    order.sort_unstable();
    order.dedup();
    assert_eq!(order, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn promise_8_a_run_takes_no_more_than_its_cap_whatever_the_event_says() {
    let function = function(Output::Bundles, 1, 5_300, 0);
    let first = run(&function, json!({"limit": 1_000_000}), 900, 1).await;
    assert_eq!(first.lanes[0].ended, Ended::Limit);
    assert_eq!((first.counts.taken, first.counts.done), (5_000, 5_000));
    assert_eq!((first.left, first.left_exact), (Some(300), true));
    let second = run(&function, json!({}), 900, 1).await;
    assert_eq!((second.counts.taken, second.counts.done), (300, 300));
    assert_eq!(second.lanes[0].ended, Ended::Empty);
    assert_eq!(
        (second.lanes[0].runs, second.lanes[0].total_done),
        (2, 5_300)
    );
    assert_eq!(run(&function, json!({}), 900, 1).await.counts.taken, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_another_run_has_is_left_alone_until_its_lease_ends() {
    let function = function(Output::Objects, 1, 3, 1_000);
    // A run that is killed: its lease is never given back.
    let deadline = function.clock.now().plus(Duration::from_secs(900));
    let event = json!({});
    let killed = handle(
        &event,
        Invocation {
            deadline,
            random: 1,
        },
        &function,
    );
    let killed = tokio::time::timeout(Duration::from_secs(100), killed).await;
    assert!(killed.is_err());
    let busy = run(&function, json!({}), 900, 2).await;
    assert_eq!(busy.lanes[0].ended, Ended::Busy);
    assert_eq!((busy.counts.taken, busy.left), (0, None));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let free = run(&function, json!({"count_left": false}), 60, 2).await;
    assert_eq!(free.counts.taken, 3);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_mark_waits_and_nothing_is_read_or_stored_twice() {
    for output in [Output::Objects, Output::Bundles] {
        let inner = function(output, 1, 20, 0);
        let plan = FaultPlan::seeded(1);
        for nth in 1..=60 {
            plan.inject("UpdateItem", nth, Fault::Fail(ErrorKind::Throttled));
        }
        let throttled = Dependencies {
            objects: Failing::new(inner.objects.clone(), plan.clone()),
            tables: Failing::new(inner.tables.clone(), plan.clone()),
            ledger: inner.ledger.clone(),
            clock: inner.clock,
            process: Slow(Duration::ZERO),
            config: inner.config.clone(),
        };
        let deadline = inner.clock.now().plus(Duration::from_secs(900));
        let report = handle(
            &json!({}),
            Invocation {
                deadline,
                random: 1,
            },
            &throttled,
        )
        .await
        .expect("throttling is no failure");
        assert_eq!((report.counts.done, report.counts.unfinished), (20, 0));
        assert_eq!(plan.count("UpdateItem"), 80);
        assert_eq!(plan.count("GetItem"), 20);
        let puts = match output {
            Output::Objects => 20,
            Output::Bundles => 1,
        };
        assert_eq!(plan.count("PutObject"), puts);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_11_an_index_that_cannot_be_used_is_refused_with_what_to_do() {
    let mut function = function(Output::Objects, 1, 1, 0);
    function.config.index = "nowhere".to_owned();
    let deadline = function.clock.now().plus(Duration::from_secs(60));
    let failure = handle(
        &json!({}),
        Invocation {
            deadline,
            random: 1,
        },
        &function,
    )
    .await
    .expect_err("there is no such index");
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(
        failure
            .message
            .starts_with("table offers has no index \"nowhere\" (it has pending): expected"),
        "{failure}"
    );
    assert!(failure.message.contains("aws dynamodb update-table"));
}
