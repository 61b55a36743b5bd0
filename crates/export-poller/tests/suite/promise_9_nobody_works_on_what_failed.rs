//! Promise 9: a window that FAILED is the work of no execution that runs, so that it can be begun again, or anew.

use crate::promise_9_one_execution_works::{JOB, begin, gone, held, holder_of, plan_of};
use crate::simulation::{Step, World};
use export_jobs::Status;
use serde_json::{Value as Json, json};
use storage::failing::FaultPlan;

fn anew() -> Step {
    Step::Begin(json!({"action": "begin", "window": "weekly", "format": "changes", "anew": true}))
}

/// What finishing a window of which nothing is transformed answers.
async fn finished_too_early(world: &World, execution: &str) -> Json {
    let finish = Step::Finish(JOB.to_owned());
    let end = world.run_on(execution, finish).await;
    assert_eq!(end["status"], "FAILED", "{end}");
    end
}

/// How the window stands: its status, its attempt, and who has its files.
async fn standing(world: &World) -> (Status, u32, Option<String>) {
    let row = world.row(JOB).await.expect("it was begun");
    (row.processing_status, row.attempt, row.execution)
}

#[tokio::test(start_paused = true)]
async fn promise_9_whoever_takes_a_window_that_failed_has_it_and_no_other_begins_it_again() {
    for how in [begin(), anew()] {
        let world = World::new(1);
        let (first, _) = gone(&world, 3).await;
        // It has waited for the export beside the first one, and plans when that has failed the window.
        let (second, waiting) = gone(&world, 2).await;
        assert_eq!(waiting, Step::Plan(JOB.to_owned()));
        finished_too_early(&world, &first).await;
        assert_eq!(standing(&world).await, (Status::Failed, 1, None));

        let step = world.step_of(&second, waiting, &FaultPlan::seeded(0)).await;
        assert_eq!(step, Step::Transform(JOB.to_owned()));
        let of_second = (Status::InProgress, 1, Some(second.clone()));
        assert_eq!(standing(&world).await, of_second);
        let row = world.row(JOB).await.expect("it was begun");
        assert_eq!((row.error_message, row.end_time), (None, None));
        assert_eq!(row.failed_files, Vec::<String>::new());

        let third = world.execution().await;
        let end = world.run_on(&third, how.clone()).await;
        match how == begin() {
            true => assert_eq!(
                (&end["state"], &end["execution"]),
                (&json!("elsewhere"), &json!(second)),
                "{end}"
            ),
            false => {
                let message = end["failed"].as_str().expect("it is refused");
                assert!(message.contains("was begun with"), "{message}");
            }
        }
        assert_eq!(standing(&world).await, of_second);
        let end = world.run_on(&second, step).await;
        assert_eq!(end["status"], "COMPLETED", "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_nobody_says_of_a_window_that_it_failed_while_another_execution_works_on_it() {
    let (world, first) = held().await;
    world.workflows.inner().abort(&first);
    let second = world.execution().await;
    let answer = world.call(plan_of(&second)).await.expect("an answer");
    assert_eq!(answer["state"], "planned", "{answer}");
    let of_second = (Status::InProgress, 1, Some(second.clone()));

    // The first one was redriven; and somebody calls the function by hand.
    for other in [&*first, crate::simulation::BY_HAND] {
        let end = finished_too_early(&world, other).await;
        let message = end["message"].as_str().expect("a sentence");
        let said = format!("the execution {second} works on the files of {JOB}");
        assert!(message.contains(&said), "{message}");
        assert_eq!(standing(&world).await, of_second);
    }
    let third = world.execution().await;
    let end = world.run_on(&third, begin()).await;
    assert_eq!(
        (&end["state"], &end["execution"]),
        (&json!("elsewhere"), &json!(second))
    );

    // Once that one has ended, anybody may say so, and the window may be begun anew.
    world.workflows.inner().abort(&second);
    finished_too_early(&world, crate::simulation::BY_HAND).await;
    assert_eq!(standing(&world).await, (Status::Failed, 1, None));
    let step = world.step_of(&third, anew(), &FaultPlan::seeded(0)).await;
    assert_eq!(step, Step::Poll(JOB.to_owned()));
    assert_eq!(standing(&world).await, (Status::InProgress, 2, None));
    assert_eq!(holder_of(&world).await, None);
}
