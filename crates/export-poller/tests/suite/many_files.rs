//! Exports of so many files that their rows, which lie in one partition of the ledger, have to be written at a pace.

use std::time::Duration;

use crate::simulation::{Step, World};
use export_jobs::{EXPORT_PART, PartRow};
use lambda_support::FailureKind;
use serde_json::{Value as Json, json};
use storage::failing::{Fault, FaultPlan, Rates};
use storage::{Clock, ErrorKind};

const FILES: usize = 2_000;
/// What a partition takes in a second.
const WRITES: f64 = 1_000.0;

/// A window of many files, each of one item, that is to be planned; its job.
async fn exported() -> (World, String) {
    let world = World::new(1);
    let line = r#"{"Item":{"id":{"S":"a"}}}"#;
    (world.exports.inner()).set_lines(move |_| vec![vec![line.to_owned()]; FILES]);
    let calm = FaultPlan::seeded(0);
    let mut step = Step::Begin(json!({"action": "begin", "window": "a"}));
    loop {
        match step {
            Step::Plan(job) => return (world, job),
            other => step = world.step(other, &calm).await,
        }
        world.exports.inner().complete_all();
    }
}

fn parts(world: &World) -> Vec<PartRow> {
    let rows = world.ledger.inner().rows().into_iter();
    rows.filter(|row| row.part != EXPORT_PART)
        .map(|row| serde_json::from_value(Json::Object(row.attributes)).expect("a part's row"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn rows_are_written_and_read_more_slowly_than_a_partition_takes_them() {
    let (world, job) = exported().await;
    let least = Duration::from_secs_f64(FILES as f64 / WRITES);
    let most = 2 * least;
    let began = world.clock.now();
    let planned = world.call(json!({"action": "plan", "job": job})).await;
    assert_eq!(planned.expect("it is planned")["files"], FILES);
    let took = began.until(world.clock.now());
    assert!(least < took && took <= most, "{took:?} to write them");
    assert_eq!(parts(&world).len(), FILES);
    world.transform(&job).await;
    let began = world.clock.now();
    let end = world.call(json!({"action": "finish", "job": job})).await;
    assert_eq!(end.expect("it is whole")["status"], "COMPLETED");
    let took = began.until(world.clock.now());
    assert!(least < took && took <= most, "{took:?} to read them");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_throttled_goes_on_where_it_is() {
    let (world, job) = exported().await;
    for (action, operation) in [("plan", "PutItem"), ("finish", "GetItem")] {
        // The first one is the window's own row, and so are the last ones.
        let plan = FaultPlan::seeded(7);
        let throttled = (2..FILES).filter(|nth| nth % 3 != 0);
        let times = throttled.clone().count();
        for nth in throttled {
            plan.inject(operation, nth, Fault::Fail(ErrorKind::Throttled));
        }
        let event = json!({"action": action, "job": job});
        let answer = world.invoke(&event, &plan).await.expect("nobody dies");
        answer.expect("it is done in one call");
        assert_eq!(parts(&world).len(), FILES);
        let calls = plan.count(operation);
        assert!(
            (FILES + times..=FILES + times + 6).contains(&calls),
            "{calls} calls"
        );
        world.transform(&job).await;
    }
    let row = world.row(&job).await.expect("a row");
    assert_eq!(row.rows_written, FILES as u64);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_throttled_all_the_time_says_so_before_it_is_killed() {
    let (world, job) = exported().await;
    let throttled = Rates {
        throttled: 1_000,
        ..Rates::default()
    };
    let plan = FaultPlan::seeded(7);
    plan.at_random("PutItem", throttled);
    let event = json!({"action": "plan", "job": job});
    let began = world.clock.now();
    let answer = world.invoke(&event, &plan).await;
    let failure = answer.expect("it is not killed").expect_err("throttled");
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    let took = began.until(world.clock.now()).as_secs();
    assert!((850..=870).contains(&took), "{took} s of 900");
    assert_eq!(parts(&world).len(), 0);
}
