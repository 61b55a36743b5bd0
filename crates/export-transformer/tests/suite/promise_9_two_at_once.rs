//! Promise 9 where an event comes twice: invocations that work on one file at the same time, slow, failing and out of time, end
//! in the objects of one.

use std::time::Duration;

use crate::simulation::{LONG, LateLedger, SteppingClock, World, by_kind, invoke, run_paused};
use export_jobs::Status;
use export_transformer::Outcome;
use futures_util::future::join_all;
use storage::TestClock;
use storage::failing::{Failing, FaultPlan, Rates};

const LINES: u64 = 120;
const OPERATIONS: [&str; 7] = [
    "GetObject",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "GetItem",
    "PutItem",
];

#[test]
fn promise_9_invocations_at_the_same_time_end_in_the_objects_of_one() {
    run_paused(async {
        let make = || World::new(by_kind(3_000), LINES);
        let expected = make();
        expected.invoke().await.unwrap();
        for seed in 0..100 {
            let world = make();
            for round in 0..3 {
                let invocations = (0..3_u64).map(|worker| {
                    let plan = FaultPlan::seeded(seed * 100 + round * 10 + worker);
                    for operation in OPERATIONS {
                        let rates = Rates {
                            slow: 500,
                            answer_lost: 15,
                            unanswered: 15,
                            longest_delay: Duration::from_secs(8),
                            ..Rates::default()
                        };
                        plan.at_random(operation, rates);
                    }
                    let time = Duration::from_secs(20 + (seed * 37 + worker * 53) % 200);
                    let world = &world;
                    async move {
                        world
                            .invoke_failing_by(&plan, TestClock::default(), time)
                            .await
                    }
                });
                join_all(invocations).await;
                if !world.is_decided() {
                    assert!(world.visible().is_empty(), "{seed}: something is visible");
                }
            }
            world
                .invoke()
                .await
                .unwrap_or_else(|failure| panic!("{seed}: {failure}"));
            assert_eq!(world.visible(), expected.visible(), "{seed}");
            let part = world.part().await.unwrap();
            assert_eq!(part.processing_status, Status::Completed, "{seed}");
            assert_eq!(
                part.objects,
                expected.part().await.unwrap().objects,
                "{seed}"
            );
            let row = world.part_row();
            world.invoke().await.unwrap();
            assert_eq!(world.part_row(), row, "{seed}");
        }
    });
}

#[test]
fn promise_9_of_two_that_are_whole_one_decides_and_the_other_forgets_its_own() {
    run_paused(async {
        let make = || World::new(by_kind(3_000), LINES);
        let expected = make();
        expected.invoke().await.unwrap();
        let world = make();
        let slowly = |seed| {
            let plan = FaultPlan::seeded(seed);
            for operation in OPERATIONS {
                let rates = Rates {
                    slow: 1000,
                    longest_delay: Duration::from_secs(2),
                    ..Rates::default()
                };
                plan.at_random(operation, rates);
            }
            plan
        };
        let (one, other) = (slowly(1), slowly(2));
        let both = join_all([world.invoke_failing(&one), world.invoke_failing(&other)]).await;
        for result in both {
            let report = result.expect("nothing crashes").unwrap();
            assert_eq!((report.rows_read, report.rows_written), (LINES, LINES));
        }
        assert_eq!(world.visible(), expected.visible());
        assert!(world.objects.open_uploads().is_empty());
        assert!(one.count("UploadPart") > 3 && other.count("UploadPart") > 3);
    });
}

#[test]
fn promise_9_a_write_of_the_row_that_arrives_late_changes_nothing() {
    run_paused(async {
        let make = || World::new(by_kind(3_000), LINES);
        let expected = make();
        expected.invoke().await.unwrap();
        let mut landed = 0;
        // In one go and with hand-overs: begin, hand over, decide, complete.
        for time in [LONG, Duration::from_secs(16)] {
            for held in 1..8 {
                for lands in (1..30).step_by(2) {
                    let world = make();
                    let ledger = LateLedger::new(world.ledger.clone(), held, lands);
                    let mut invocations = 0;
                    loop {
                        invocations += 1;
                        assert!(invocations < 50, "held {held}, lands {lands}");
                        let plan = FaultPlan::seeded(1);
                        let objects = Failing::new(world.objects.clone(), plan.clone());
                        let file = &world.file;
                        let clock = SteppingClock::of(&plan);
                        match invoke(objects, &ledger, clock, "transform", file, time).await {
                            Ok(report) if report.status == Outcome::Completed => break,
                            _ if !world.is_decided() => assert!(world.visible().is_empty()),
                            _ => {}
                        }
                    }
                    landed += usize::from(ledger.settle().await);
                    let what = format!("held {held}, lands {lands}");
                    assert_eq!(world.visible(), expected.visible(), "{what}");
                    let part = world.part().await.unwrap();
                    assert_eq!(part.processing_status, Status::Completed, "{what}");
                    assert_eq!(
                        part.objects,
                        expected.part().await.unwrap().objects,
                        "{what}"
                    );
                }
            }
        }
        // A write that arrives after the end of all finds another revision, always.
        assert_eq!(landed, 0);
    });
}
