//! Promise 9: of executions that are started for one window, one works on its files, and whoever takes over does so from one that
//! has ended.

use std::time::Duration;

use crate::simulation::{MACHINE, Step, World};
use export_jobs::Status;
use lambda_support::{Failure, FailureKind};
use serde_json::{Value as Json, json};
use storage::ErrorKind;
use storage::failing::{Fault, FaultPlan, Rates};

pub const JOB: &str = "export/offers/full-weekly";

pub fn begin() -> Step {
    Step::Begin(json!({"action": "begin", "type": "full", "window": "weekly"}))
}

pub fn plan_of(execution: &str) -> Json {
    json!({"action": "plan", "job": JOB, "execution": execution})
}

/// An execution that has gone so many steps: it has begun, polled, planned, transformed, finished.
pub async fn gone(world: &World, steps: usize) -> (String, Step) {
    let execution = world.execution().await;
    let mut step = begin();
    for _ in 0..steps {
        world.exports.inner().complete_all();
        step = world.step_of(&execution, step, &FaultPlan::seeded(0)).await;
    }
    (execution, step)
}

/// A window whose files an execution has planned, which runs.
pub async fn held() -> (World, String) {
    let world = World::new(1);
    let (holder, step) = gone(&world, 3).await;
    assert_eq!(step, Step::Transform(JOB.to_owned()));
    assert_eq!(holder_of(&world).await, Some(holder.clone()));
    (world, holder)
}

pub async fn holder_of(world: &World) -> Option<String> {
    world.row(JOB).await.expect("it was begun").execution
}

/// Who transformed the window's files.
fn transformed(world: &World) -> Vec<String> {
    let all = world.transformed.borrow();
    all.iter().map(|(execution, _)| execution.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_second_execution_leaves_the_files_to_the_first_whenever_it_comes() {
    for steps in 0..=5 {
        let world = World::new(1);
        let (first, step) = gone(&world, steps).await;
        let planned = world.ledger.inner().rows();

        let second = world.execution().await;
        let answer = world.run_on(&second, begin()).await;
        let (worker, expected) = match steps {
            // It planned before the first one came to that.
            0..=2 => (&second, "COMPLETED"),
            3..=4 => (&first, "elsewhere"),
            _ => (&first, "completed"),
        };
        let found = match steps {
            0..=2 => &answer["status"],
            _ => &answer["state"],
        };
        assert_eq!(found, expected, "after {steps} steps: {answer}");
        if expected == "elsewhere" {
            assert_eq!(answer["execution"], json!(first));
            let message = answer["message"].as_str().expect("a sentence");
            assert!(message.contains(&first), "{message}");
            assert_eq!(world.ledger.inner().rows(), planned, "nothing was written");
        }
        world.workflows.inner().succeed(&second, "{}");

        // The first one comes to its end, whoever has the files.
        let answer = world.run_on(&first, step).await;
        let whole = answer["status"] == "COMPLETED" || answer["state"] == "completed";
        assert!(whole, "after {steps} steps: {answer}");
        assert_eq!(
            transformed(&world).join(" "),
            *worker,
            "after {steps} steps"
        );
        let row = world.row(JOB).await.expect("it was begun");
        assert_eq!(row.processing_status, Status::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_the_one_that_waited_is_told_when_the_window_is_whole_or_still_worked_on() {
    // Both have polled; the second one plans when the first has planned, transformed, or finished.
    for (steps, expected) in [(1, "elsewhere"), (2, "elsewhere"), (3, "completed")] {
        let world = World::new(2);
        let (first, mut step) = gone(&world, 2).await;
        let (second, waiting) = gone(&world, 2).await;
        assert_eq!(waiting, Step::Plan(JOB.to_owned()));
        for _ in 0..steps {
            step = world.step_of(&first, step, &FaultPlan::seeded(0)).await;
        }
        let answer = world.call(plan_of(&second)).await.expect("an answer");
        assert_eq!(answer["state"], expected, "{answer}");
        let end = world.run_on(&first, step).await;
        assert_eq!(end["status"], "COMPLETED", "{end}");
        // A window that is whole is told again by whoever found it so.
        if expected == "completed" {
            let end = world.run_on(&second, waiting).await;
            assert_eq!(end["status"], "COMPLETED", "{end}");
        }
        assert_eq!(transformed(&world), [first]);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_window_is_taken_over_from_an_execution_that_has_ended_however_it_did() {
    type End = fn(&World, &str);
    let ends: [(&str, End); 4] = [
        ("SUCCEEDED", |world, holder| {
            world.workflows.inner().succeed(holder, "{}");
        }),
        ("FAILED", |world, holder| {
            world
                .workflows
                .inner()
                .fail(holder, "Export.Interrupted", "bad luck");
        }),
        ("TIMED_OUT", |world, holder| {
            world.workflows.inner().time_out(holder);
        }),
        ("ABORTED", |world, holder| {
            world.workflows.inner().abort(holder);
        }),
    ];
    for (status, end) in ends {
        let (world, holder) = held().await;
        let next = world.execution().await;
        let answer = world.call(plan_of(&next)).await.expect("an answer");
        assert_eq!(answer["state"], "elsewhere", "{status}: {answer}");
        end(&world, &holder);
        let answer = world.call(plan_of(&next)).await.expect("an answer");
        assert_eq!(answer["state"], "planned", "{status}: {answer}");
        assert_eq!(answer["files"], 3, "{status}: {answer}");
        assert_eq!(holder_of(&world).await, Some(next), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_window_is_taken_over_from_an_execution_that_nobody_knows_any_more() {
    let world = World::new(3);
    let (_, step) = gone(&world, 2).await;
    assert_eq!(step, Step::Plan(JOB.to_owned()));
    // Step Functions forgets an execution 90 days after its end.
    let forgotten = format!(
        "{}:forgotten",
        MACHINE.replace(":stateMachine:", ":execution:")
    );
    let answer = world.call(plan_of(&forgotten)).await.expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    assert_eq!(holder_of(&world).await, Some(forgotten));
    let next = world.execution().await;
    let answer = world.call(plan_of(&next)).await.expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    assert_eq!(holder_of(&world).await, Some(next));
}

#[tokio::test(start_paused = true)]
async fn promise_9_of_several_that_take_over_at_once_one_does() {
    let (mut conflicts, mut failures) = (0, 0);
    for seed in 0..200 {
        let (world, holder) = held().await;
        world.workflows.inner().abort(&holder);
        let executions = [
            world.execution().await,
            world.execution().await,
            world.execution().await,
        ];
        let slow = |number: u64| {
            let plan = FaultPlan::seeded(3 * seed + number);
            for operation in ["GetItem", "PutItem", "DescribeExecution"] {
                plan.at_random(
                    operation,
                    Rates {
                        slow: 800,
                        answer_lost: 50,
                        throttled: 50,
                        longest_delay: Duration::from_secs(2),
                        ..Rates::default()
                    },
                );
            }
            plan
        };
        let plans = [slow(0), slow(1), slow(2)];
        let take = async |number: usize| {
            let event = plan_of(&executions[number]);
            // As the machine does it: what fails for a while comes again.
            for _ in 0..20 {
                let answer = world.invoke(&event, &plans[number]).await;
                match answer.expect("nobody dies") {
                    Ok(answer) => return answer,
                    Err(Failure { kind, message }) => {
                        assert_eq!(kind, FailureKind::Transient, "{message}");
                    }
                }
            }
            panic!("{seed}: execution {number} gets no answer");
        };
        let answers = tokio::join!(take(0), take(1), take(2));
        let answers = [answers.0, answers.1, answers.2];
        let winner = holder_of(&world).await.expect("somebody has it");
        for (execution, answer) in executions.iter().zip(&answers) {
            match *execution == winner {
                true => assert_eq!(answer["state"], "planned", "{seed}: {answer}"),
                false => assert_eq!(
                    (&answer["state"], &answer["execution"]),
                    (&json!("elsewhere"), &json!(winner)),
                    "{seed}: {answer}"
                ),
            }
        }
        // Those that had found the old one, and lost the row meanwhile, asked for the new one as well.
        let asked = |plan: &FaultPlan| plan.count("DescribeExecution");
        conflicts += plans.iter().filter(|plan| asked(plan) > 1).count();
        failures += plans
            .iter()
            .filter(|plan| plan.count("PutItem") > 4)
            .count();
    }
    assert!(conflicts > 100, "only {conflicts} races");
    assert!(failures > 10, "only {failures} repetitions");
}

#[tokio::test(start_paused = true)]
async fn promise_9_the_same_execution_goes_on_after_a_lost_answer_and_after_it_was_redriven() {
    let (world, holder) = held().await;
    let before = world.ledger.inner().rows();
    let answer = world.call(plan_of(&holder)).await.expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    assert_eq!(world.ledger.inner().rows(), before);
    // A redriven execution keeps its ARN, and nobody has taken the window since it was stopped.
    world.workflows.inner().abort(&holder);
    let plan = FaultPlan::seeded(0);
    let answer = world.invoke(&plan_of(&holder), &plan).await;
    let answer = answer.expect("nobody dies").expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    assert_eq!(plan.count("DescribeExecution"), 0, "it knows that it runs");

    // Had another one taken it, that one would go on, and the late one's last step do no harm.
    let next = world.execution().await;
    let answer = world.call(plan_of(&next)).await.expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    let answer = world.call(plan_of(&holder)).await.expect("an answer");
    assert_eq!(
        (&answer["state"], &answer["execution"]),
        (&json!("elsewhere"), &json!(next))
    );
    let late = world.run_on(&holder, Step::Finish(JOB.to_owned())).await;
    assert_eq!(late["status"], "FAILED", "nothing is transformed yet");
    let end = world.run_on(&next, Step::Transform(JOB.to_owned())).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    let end = world.run_on(&holder, Step::Finish(JOB.to_owned())).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
}

#[tokio::test(start_paused = true)]
async fn promise_9_whoever_calls_by_hand_neither_takes_the_files_nor_asks_for_them() {
    let (world, holder) = held().await;
    let plan = FaultPlan::seeded(0);
    let event = json!({"action": "plan", "job": JOB});
    let answer = world.invoke(&event, &plan).await;
    let answer = answer.expect("nobody dies").expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    assert_eq!(plan.count("DescribeExecution"), 0);
    assert_eq!(holder_of(&world).await, Some(holder));

    let world = World::new(4);
    gone(&world, 2).await;
    let answer = world.call(event).await.expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    assert_eq!(holder_of(&world).await, None);
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_window_that_failed_is_nobodys_when_it_is_begun_again() {
    // Step Functions is asked for nothing: it may call an execution RUNNING for a while that has just ended.
    let (world, holder) = held().await;
    let end = world.run_on(&holder, Step::Finish(JOB.to_owned())).await;
    assert_eq!(end["status"], "FAILED", "{end}");
    let end = world.run_on(&world.execution().await, begin()).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");

    // With another export, the first one's files are nobody's at all.
    let (world, holder) = held().await;
    let end = world.run_on(&holder, Step::Finish(JOB.to_owned())).await;
    assert_eq!(end["status"], "FAILED", "{end}");
    let anew = json!({"action": "begin", "window": "weekly", "format": "changes", "anew": true});
    let begun = world.call(anew).await.expect("nothing of it can be seen");
    assert_eq!(begun["state"], "running", "{begun}");
    let row = world.row(JOB).await.expect("it was begun");
    assert_eq!((row.attempt, row.execution), (2, None));
}

#[tokio::test(start_paused = true)]
async fn promise_9_an_execution_that_cannot_be_asked_for_is_no_reason_to_take_its_files() {
    let (world, holder) = held().await;
    let before = world.ledger.inner().rows();
    let next = world.execution().await;
    for (kind, expected) in [
        (ErrorKind::Throttled, FailureKind::Transient),
        (ErrorKind::Unanswered, FailureKind::Transient),
        (ErrorKind::Internal, FailureKind::Internal),
        (ErrorKind::Denied, FailureKind::Invalid),
    ] {
        let plan = FaultPlan::seeded(0);
        plan.inject("DescribeExecution", 1, Fault::Fail(kind));
        let answer = world.invoke(&plan_of(&next), &plan).await;
        let failure = answer.expect("nobody dies").expect_err("it cannot be told");
        assert_eq!(failure.kind, expected, "{failure}");
        if kind == ErrorKind::Denied {
            for piece in [
                &*holder,
                JOB,
                "expected the permission states:DescribeExecution",
            ] {
                assert!(failure.message.contains(piece), "{failure}");
            }
        }
    }
    assert_eq!(world.ledger.inner().rows(), before);
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_plan_for_what_is_no_execution_or_no_job_is_refused() {
    let (world, holder) = held().await;
    let before = world.ledger.inner().rows();
    let no_job = json!({"action": "plan", "job": "export/offers/full-none", "execution": holder});
    let failure = world.call(no_job).await.expect_err("there is no such job");
    assert!(
        failure
            .message
            .contains("expected the job that the action begin answered"),
        "{failure}"
    );
    let failure = world
        .call(plan_of("weekly"))
        .await
        .expect_err("it is no ARN");
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(
        failure
            .message
            .contains("expected the ARN of a standard execution"),
        "{failure}"
    );
    assert_eq!(world.ledger.inner().rows(), before);

    // The row of another table is nothing that this function may take.
    world.workflows.inner().abort(&holder);
    let next = world.execution().await;
    let ledger = world.ledger.inner();
    let row = ledger.rows().into_iter().find(|row| row.part == "export");
    let mut other = row.expect("it was begun");
    other.revision += 1;
    other.attributes.insert("table".to_owned(), "orders".into());
    let written = storage::Ledger::write(ledger, &other).await;
    written.expect("memory");
    let failure = world.call(plan_of(&next)).await.expect_err("of orders");
    assert!(failure.message.contains("has no export"), "{failure}");
    assert_eq!(holder_of(&world).await, Some(holder));
}
