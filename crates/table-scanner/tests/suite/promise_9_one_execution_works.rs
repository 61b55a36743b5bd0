//! Promise 9, of scans: of executions that are started for one scan, one works on its segments, and whoever takes over does so from
//! one that has ended.

use std::time::Duration;

use export_jobs::Status;
use futures_util::future::join_all;
use lambda_support::{Failure, FailureKind};
use serde_json::{Value as Json, json};
use storage::failing::{FaultPlan, Rates};

use crate::simulation::{JOB, Setting, World};

const SEGMENTS: u32 = 2;

fn world(seed: u64) -> World {
    let setting = Setting {
        format: "json-lines",
        items: 30,
        segments: SEGMENTS,
        split_bytes: 500,
        read_units: 0,
        late_of_1000: 0,
    };
    World::new(seed, setting)
}

fn begin_of(execution: &str) -> Json {
    json!({"action": "begin", "scan": "one", "segments": SEGMENTS, "execution": execution})
}

fn begin_by_hand() -> Json {
    json!({"action": "begin", "scan": "one", "segments": SEGMENTS})
}

fn scan_of(execution: &str, segment: u32) -> Json {
    json!({"action": "scan", "job": JOB, "segment": segment, "execution": execution})
}

fn finish_of(execution: &str) -> Json {
    json!({"action": "finish", "job": JOB, "execution": execution})
}

/// A scan that an execution has begun, which runs.
async fn held() -> (World, String) {
    let world = world(1);
    let holder = world.execution("first").await;
    let begun = world.call(&begin_of(&holder)).await.expect("an answer");
    assert_eq!(
        begun,
        json!({"state": "begun", "job": JOB, "segments": [0, 1]})
    );
    assert_eq!(world.scan_row().execution, Some(holder.clone()));
    (world, holder)
}

/// What the machine does after it has begun, to its last answer.
async fn work(world: &World, execution: &str) -> Json {
    for segment in 0..SEGMENTS {
        let report = world.call(&scan_of(execution, segment)).await;
        assert_eq!(report.expect("an answer")["status"], "COMPLETED");
    }
    let end = world.call(&finish_of(execution)).await;
    end.expect("an answer")
}

fn is_elsewhere(answer: &Json, holder: &str) {
    assert_eq!(
        (&answer["state"], &answer["job"], &answer["execution"]),
        (&json!("elsewhere"), &json!(JOB), &json!(holder)),
        "{answer}"
    );
    let message = answer["message"].as_str().expect("a sentence");
    let said = format!("the execution {holder} works on the segments of {JOB}");
    assert!(message.contains(&said), "{message}");
}

/// Of an answer of `finish`: FAILED, and who works on the scan, if anybody does.
fn is_not_whole(end: &Json, holder: Option<&str>) {
    assert_eq!(end["status"], "FAILED", "{end}");
    let message = end["message"].as_str().expect("a sentence");
    match holder {
        Some(holder) => assert!(message.contains(holder), "{message}"),
        None => assert!(!message.contains("the execution"), "{message}"),
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_of_two_that_begin_a_scan_at_once_one_works_on_it_and_comes_to_its_end() {
    let mut races = 0;
    for seed in 0..100 {
        let world = world(seed);
        let executions = [world.execution("a").await, world.execution("b").await];
        let slow = |number: u64| {
            let plan = FaultPlan::seeded(2 * seed + number);
            for operation in ["GetItem", "PutItem", "DescribeTable", "DescribeExecution"] {
                plan.at_random(
                    operation,
                    Rates {
                        slow: 800,
                        answer_lost: 30,
                        throttled: 30,
                        longest_delay: Duration::from_secs(2),
                        ..Rates::default()
                    },
                );
            }
            plan
        };
        let plans = [slow(0), slow(1)];
        let begin = async |number: usize| {
            // As the machine does it: what fails for a while comes again.
            for _ in 0..20 {
                let event = begin_of(&executions[number]);
                match world.invoke(&event, &plans[number], 900).await {
                    Some(Ok(report)) => return serde_json::to_value(report).expect("JSON"),
                    Some(Err(Failure { kind, message })) => {
                        assert_eq!(kind, FailureKind::Transient, "{message}");
                    }
                    None => panic!("{seed}: nobody dies"),
                }
            }
            panic!("{seed}: execution {number} gets no answer");
        };
        let answers = join_all([begin(0), begin(1)]).await;
        let winner = world.scan_row().execution.expect("somebody has it");
        for (execution, answer) in executions.iter().zip(&answers) {
            match *execution == winner {
                true => assert_eq!(answer["state"], "begun", "{seed}: {answer}"),
                false => is_elsewhere(answer, &winner),
            }
        }
        races += u64::from(plans.iter().all(|plan| plan.count("PutItem") > 1));
        let end = work(&world, &winner).await;
        assert_eq!(end["status"], "COMPLETED", "{seed}: {end}");
        let row = world.scan_row();
        assert_eq!(row.processing_status, Status::Completed);
        assert_eq!(row.execution, Some(winner));
        assert!(world.parts().iter().all(|part| part.retry_count == 0));
    }
    assert!(races > 30, "only {races} races");
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_second_execution_leaves_a_scan_to_the_first_as_long_as_that_runs() {
    let (world, first) = held().await;
    let second = world.execution("second").await;
    let before = world.ledger.inner().inner.rows();
    let answer = world.call(&begin_of(&second)).await.expect("an answer");
    is_elsewhere(&answer, &first);
    assert_eq!(world.ledger.inner().inner.rows(), before, "nothing written");

    let read = world.call(&scan_of(&first, 0)).await.expect("an answer");
    assert_eq!(read["status"], "COMPLETED", "{read}");
    let answer = world.call(&begin_of(&second)).await.expect("an answer");
    is_elsewhere(&answer, &first);
    let end = work(&world, &first).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    // Whole, it is told again to whoever asks.
    let begun = world.call(&begin_of(&second)).await.expect("an answer");
    assert_eq!(begun["state"], "begun", "{begun}");
    assert_eq!(work(&world, &second).await, end);
    assert_eq!(world.scan_row().execution, Some(first));
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_scan_is_taken_over_from_an_execution_that_has_ended_however_it_did() {
    type End = fn(&World, &str);
    let ends: [(&str, End); 4] = [
        ("SUCCEEDED", |world, holder| {
            world.workflows.inner().succeed(holder, "{}");
        }),
        ("FAILED", |world, holder| {
            let workflows = world.workflows.inner();
            workflows.fail(holder, "Scan.Interrupted", "bad luck");
        }),
        ("TIMED_OUT", |world, holder| {
            world.workflows.inner().time_out(holder);
        }),
        ("ABORTED", |world, holder| {
            world.workflows.inner().abort(holder);
        }),
    ];
    for (status, end) in ends {
        let (world, first) = held().await;
        let next = world.execution("next").await;
        let answer = world.call(&begin_of(&next)).await.expect("an answer");
        is_elsewhere(&answer, &first);
        end(&world, &first);
        let begun = world.call(&begin_of(&next)).await.expect("an answer");
        assert_eq!(begun["state"], "begun", "{status}: {begun}");
        assert_eq!(world.scan_row().execution.as_ref(), Some(&next), "{status}");

        // The first one was redriven. It reads nothing, and does not say of the scan that it FAILED.
        let late = world.call(&scan_of(&first, 0)).await;
        let failure = late.expect_err("it is another one's");
        assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
        assert!(failure.message.contains(&next), "{failure}");
        is_not_whole(&world.call(&finish_of(&first)).await.unwrap(), Some(&next));
        let row = world.scan_row();
        assert_eq!(row.processing_status, Status::InProgress, "{status}");
        assert_eq!(row.execution.as_ref(), Some(&next), "{status}");

        let end = work(&world, &next).await;
        assert_eq!(end["status"], "COMPLETED", "{status}: {end}");
        assert!(world.parts().iter().all(|part| part.retry_count == 0));
        // Late as it is, it hears that the scan is whole.
        assert_eq!(world.call(&finish_of(&first)).await.unwrap(), end);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_the_same_execution_goes_on_after_a_lost_answer_and_after_it_was_redriven() {
    let (world, holder) = held().await;
    let before = world.ledger.inner().inner.rows();
    world.workflows.inner().abort(&holder);
    let plan = FaultPlan::seeded(1);
    let answer = world.invoke(&begin_of(&holder), &plan, 900).await;
    let begun = serde_json::to_value(answer.expect("nobody dies").expect("an answer")).unwrap();
    assert_eq!(begun["state"], "begun", "{begun}");
    assert_eq!(plan.count("DescribeExecution"), 0, "it knows that it runs");
    assert_eq!(world.ledger.inner().inner.rows(), before);
    let end = work(&world, &holder).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_scan_that_failed_is_nobodys_and_whoever_takes_it_has_it() {
    let (world, first) = held().await;
    world.call(&scan_of(&first, 0)).await.expect("an answer");
    // It says so itself, and Step Functions may call it RUNNING for a while.
    is_not_whole(&world.call(&finish_of(&first)).await.unwrap(), None);
    let row = world.scan_row();
    assert_eq!(
        (row.processing_status, row.execution),
        (Status::Failed, None)
    );
    let second = world.execution("second").await;
    let begun = world.call(&begin_of(&second)).await.expect("an answer");
    assert_eq!(begun["state"], "begun", "{begun}");
    let row = world.scan_row();
    assert_eq!(row.processing_status, Status::InProgress);
    assert_eq!((row.error_message, row.end_time), (None, None));

    // What the first one says again changes nothing for those that come.
    is_not_whole(
        &world.call(&finish_of(&first)).await.unwrap(),
        Some(&second),
    );
    let third = world.execution("third").await;
    let answer = world.call(&begin_of(&third)).await.expect("an answer");
    is_elsewhere(&answer, &second);
    let end = work(&world, &second).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
}

#[tokio::test(start_paused = true)]
async fn promise_9_whoever_calls_by_hand_neither_takes_a_scan_nor_fails_that_of_another() {
    let (world, holder) = held().await;
    let plan = FaultPlan::seeded(1);
    let answer = world.invoke(&begin_by_hand(), &plan, 900).await;
    let begun = serde_json::to_value(answer.expect("nobody dies").expect("an answer")).unwrap();
    assert_eq!(begun["state"], "begun", "{begun}");
    assert_eq!(plan.count("DescribeExecution"), 0);
    let finish = json!({"action": "finish", "job": JOB});
    is_not_whole(&world.call(&finish).await.unwrap(), Some(&holder));
    let row = world.scan_row();
    assert_eq!(row.processing_status, Status::InProgress);
    assert_eq!(row.execution, Some(holder.clone()));
    // Once that one has ended, anybody may say so.
    world.workflows.inner().abort(&holder);
    is_not_whole(&world.call(&finish).await.unwrap(), None);
    let row = world.scan_row();
    assert_eq!(
        (row.processing_status, row.execution),
        (Status::Failed, None)
    );

    world.call(&begin_by_hand()).await.expect("an answer");
    for segment in 0..SEGMENTS {
        let event = json!({"action": "scan", "job": JOB, "segment": segment});
        world.call(&event).await.expect("an answer");
    }
    let end = world.call(&finish).await.expect("an answer");
    assert_eq!(end["status"], "COMPLETED", "{end}");
    assert_eq!(world.scan_row().execution, None);
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_begin_for_what_is_no_execution_is_refused() {
    let (world, _) = held().await;
    let before = world.ledger.inner().inner.rows();
    let failure = world.call(&begin_of("nightly")).await.expect_err("no ARN");
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    let expected = "expected the ARN of a standard execution";
    assert!(failure.message.contains(expected), "{failure}");
    assert_eq!(world.ledger.inner().inner.rows(), before);
}
