//! Promise 9: a data file is verified before it is COMPLETED, nothing of it can be seen before that is decided, and a retry
//! after a crash anywhere ends in the same objects and the same counts.

use crate::simulation::{World, by_kind, run_paused, settings};
use export_jobs::{Format, Status};
use lambda_support::FailureKind;
use storage::ErrorKind;
use storage::failing::{Crash, Fault, FaultPlan};

const LINES: u64 = 300;

/// Makes a world in which nothing has happened yet.
type Make = Box<dyn Fn() -> World>;

fn worlds() -> Vec<(&'static str, Make)> {
    vec![
        (
            "one data set",
            Box::new(|| World::new(settings(Format::JsonLines, 4_000), LINES)),
        ),
        ("data sets", Box::new(|| World::new(by_kind(4_000), LINES))),
        (
            "change records",
            Box::new(|| World::new(settings(Format::Changes, 30_000), LINES)),
        ),
        ("Parquet", Box::new(|| World::parquet(3_000, LINES))),
    ]
}

/// The world that a run without any trouble leaves, and how many operations that takes.
async fn reference(make: &dyn Fn() -> World) -> (World, Vec<&'static str>) {
    let world = make();
    let plan = FaultPlan::seeded(1);
    let report = world
        .invoke_failing(&plan)
        .await
        .expect("nothing crashes")
        .unwrap();
    assert_eq!((report.rows_read, report.rows_written), (LINES, LINES));
    assert!(world.visible().len() > 3, "there are several splits");
    assert!(world.objects.open_uploads().is_empty());
    (world, plan.log())
}

async fn assert_same_end(world: &World, expected: &World, what: &str) {
    let report = world
        .invoke()
        .await
        .unwrap_or_else(|failure| panic!("{what}: {failure}"));
    assert_eq!(
        (report.rows_read, report.rows_written),
        (LINES, LINES),
        "{what}"
    );
    assert_eq!(world.visible(), expected.visible(), "{what}");
    let (part, wanted) = (world.part().await.unwrap(), expected.part().await.unwrap());
    assert_eq!(part.processing_status, Status::Completed, "{what}");
    assert_eq!(part.objects, wanted.objects, "{what}");
    assert_eq!(part.checkpoint, None, "{what}");
    assert_eq!(
        (part.rows_read, part.rows_written, part.rows_filtered),
        (wanted.rows_read, wanted.rows_written, wanted.rows_filtered),
        "{what}"
    );
    let rows: u64 = part.objects.iter().map(|object| object.rows).sum();
    assert_eq!(rows, LINES, "{what}");
}

#[test]
fn promise_9_a_crash_at_every_operation_changes_nothing_in_the_end() {
    run_paused(async {
        for (name, make) in worlds() {
            let (expected, log) = reference(&*make).await;
            for nth in 1..=log.len() {
                for crash in [Crash::Before, Crash::After] {
                    let what = format!("{name}, {crash:?} operation {nth}, {}", log[nth - 1]);
                    let world = make();
                    let plan = FaultPlan::seeded(1);
                    plan.crash_at(nth, crash);
                    assert!(world.invoke_failing(&plan).await.is_none(), "{what}");
                    if !world.is_decided() {
                        assert!(world.visible().is_empty(), "{what}: something is visible");
                    }
                    assert_same_end(&world, &expected, &what).await;
                }
            }
        }
    });
}

#[test]
fn promise_9_a_crash_of_the_retry_changes_nothing_either() {
    run_paused(async {
        let (_, make) = worlds().remove(1);
        let (expected, log) = reference(&*make).await;
        for first in (1..=log.len()).step_by(3) {
            for second in (1..=log.len()).step_by(2) {
                let what = format!("crashes after operations {first} and {second}");
                let world = make();
                for nth in [first, second] {
                    let plan = FaultPlan::seeded(1);
                    plan.crash_at(nth, Crash::After);
                    let _ = world.invoke_failing(&plan).await;
                }
                assert_same_end(&world, &expected, &what).await;
            }
        }
    });
}

#[test]
fn promise_9_a_service_that_fails_at_any_operation_is_a_failure_to_retry() {
    let faults = [
        Fault::Fail(ErrorKind::Throttled),
        Fault::Fail(ErrorKind::Unanswered),
        Fault::AnswerLost,
    ];
    run_paused(async {
        for (name, make) in worlds() {
            let (expected, log) = reference(&*make).await;
            for (index, operation) in log.iter().enumerate() {
                for fault in &faults {
                    let what = format!("{name}, {fault:?} at operation {}, {operation}", index + 1);
                    let world = make();
                    let plan = FaultPlan::seeded(1);
                    let nth = log[..=index]
                        .iter()
                        .filter(|other| *other == operation)
                        .count();
                    plan.inject(operation, nth, fault.clone());
                    match world.invoke_failing(&plan).await.expect("nothing crashes") {
                        // Reading goes on by itself, and a failed abort is left to the bucket's lifecycle.
                        Ok(_) => assert!(matches!(*operation, "GetObject"), "{what}"),
                        Err(failure) => assert_eq!(failure.kind, FailureKind::Transient, "{what}"),
                    }
                    let status = world.part().await.map(|part| part.processing_status);
                    assert_ne!(status, Some(Status::Failed), "{what}");
                    assert_same_end(&world, &expected, &what).await;
                }
            }
        }
    });
}

#[test]
fn promise_9_a_body_that_breaks_off_is_read_on() {
    run_paused(async {
        let (_, make) = worlds().remove(0);
        let (expected, _) = reference(&*make).await;
        for fault in [
            Fault::BodyError(1_000),
            Fault::BodyEnd(777),
            Fault::BodyStall(2_000),
        ] {
            let world = make();
            let plan = FaultPlan::seeded(1);
            plan.inject("GetObject", 1, fault.clone());
            world
                .invoke_failing(&plan)
                .await
                .expect("nothing crashes")
                .unwrap();
            assert_same_end(&world, &expected, &format!("{fault:?}")).await;
        }
    });
}

#[test]
fn promise_9_what_is_completed_is_never_touched_again() {
    run_paused(async {
        let (_, make) = worlds().remove(1);
        let (world, _) = reference(&*make).await;
        let (row, visible) = (world.part_row(), world.visible());
        // The file is not even looked at: that it is another one by now does not matter.
        world.replace_file(b"nothing of the kind".to_vec());
        let report = world.invoke().await.unwrap();
        assert_eq!((report.rows_read, report.rows_written), (LINES, LINES));
        assert_eq!(world.part_row(), row);
        assert_eq!(world.visible(), visible);
        // Nor does an event for another file of this name change it.
        let mut other = world.clone();
        other.file["md5Checksum"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
        let failure = other.invoke().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(
            failure.message.contains("its row is COMPLETED with"),
            "{failure}"
        );
        assert_eq!(world.part_row(), row);
    });
}

#[test]
fn promise_9_a_staged_object_that_is_gone_is_made_again() {
    run_paused(async {
        let (_, make) = worlds().remove(0);
        let (expected, log) = reference(&*make).await;
        let first_publication = 1 + log
            .iter()
            .position(|operation| *operation == "CompleteMultipartUpload")
            .unwrap();
        let world = make();
        let plan = FaultPlan::seeded(1);
        plan.crash_at(first_publication, Crash::Before);
        assert!(world.invoke_failing(&plan).await.is_none());
        assert!(world.is_decided() && world.visible().is_empty());
        for upload in world.objects.open_uploads() {
            storage::ObjectStore::abort_upload(&world.objects, &upload)
                .await
                .unwrap();
        }
        let failure = world.invoke().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient);
        assert!(
            failure
                .message
                .contains("an object that was staged is gone"),
            "{failure}"
        );
        assert_same_end(&world, &expected, "the lifecycle came before publishing").await;
    });
}
