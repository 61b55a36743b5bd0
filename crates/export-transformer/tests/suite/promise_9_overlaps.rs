//! Promise 9 where one invocation stands still while others go on: whatever it finds when it wakes, it takes nothing away from
//! them, and leaves nothing behind.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::simulation::{
    KEY, LAKE, LONG, SteppingClock, World, by_kind, gzip, lines, run_paused, text_of,
};
use export_jobs::Status;
use export_transformer::{Outcome, Report};
use futures_util::future::join;
use lambda_support::{Failure, FailureKind};
use storage::failing::{Fault, FaultPlan};
use storage::{ErrorKind, TestClock};

const LINES: u64 = 300;
/// Time for a few objects, and too little for all of them.
const SHORT: Duration = Duration::from_secs(20);

fn world() -> World {
    World::new(by_kind(3_000), LINES)
}

async fn expected() -> World {
    let world = world();
    world.invoke().await.unwrap();
    world
}

/// Another file than the manifest's.
fn other() -> Vec<u8> {
    let mut lines = lines(LINES);
    lines[7] = lines[7].replace("k00007", "k00008");
    gzip(&text_of(&lines))
}

/// An invocation that stands still for a minute when it has begun and before it opens the file, while `meanwhile` happens.
async fn stands_still(
    world: &World,
    plan: &FaultPlan,
    time: Duration,
    meanwhile: impl Future<Output = ()>,
) -> Result<Report, Failure> {
    plan.inject("GetObject", 1, Fault::Slow(Duration::from_secs(60)));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        meanwhile.await;
    };
    let answered = match time {
        LONG => {
            let run = world.invoke_failing_by(plan, TestClock::default(), time);
            join(run, meanwhile).await.0
        }
        _ => {
            let run = world.invoke_failing_by(plan, SteppingClock::of(plan), time);
            join(run, meanwhile).await.0
        }
    };
    answered.expect("nothing crashes")
}

/// An invocation whose time is over when it has made some of the objects.
async fn hand_over(world: &World) {
    let plan = FaultPlan::seeded(1);
    let clock = SteppingClock::of(&plan);
    let answered = world.invoke_failing_by(&plan, clock, SHORT).await;
    let report = answered.expect("nothing crashes").unwrap();
    assert_eq!(report.status, Outcome::Continue);
}

/// The uploads that the row has.
fn uploads_of_row(world: &World) -> BTreeSet<String> {
    let row = world.part_row().unwrap();
    let objects = row.attributes["checkpoint"]["outputs"]["objects"].as_array();
    let uploads = objects.unwrap().iter();
    uploads
        .map(|object| object["staged"]["upload"].as_str().unwrap().to_owned())
        .collect()
}

fn open_uploads(world: &World) -> BTreeSet<String> {
    let open = world.objects.open_uploads().into_iter();
    open.map(|upload| upload.id).collect()
}

async fn assert_good_end(world: &World) {
    world.invoke().await.unwrap();
    assert_eq!(world.visible(), expected().await.visible());
    assert!(world.objects.open_uploads().is_empty());
    let part = world.part().await.unwrap();
    assert_eq!(part.processing_status, Status::Completed);
}

#[test]
fn promise_9_what_was_handed_over_and_is_not_needed_is_forgotten() {
    run_paused(async {
        let world = world();
        let plan = FaultPlan::seeded(1);
        let report = stands_still(&world, &plan, LONG, hand_over(&world)).await;
        assert_eq!(report.unwrap().status, Outcome::Completed);
        assert!(world.objects.open_uploads().is_empty());
        assert_good_end(&world).await;
    });
}

#[test]
fn promise_9_a_hand_over_does_not_replace_another_one() {
    run_paused(async {
        let world = world();
        let plan = FaultPlan::seeded(1);
        let mut handed_over = None;
        let report = stands_still(&world, &plan, SHORT, async {
            hand_over(&world).await;
            handed_over = world.part_row();
        })
        .await;
        assert_eq!(report.unwrap().status, Outcome::Continue);
        assert!(plan.count("UploadPart") > 0, "it made objects of its own");
        assert_eq!(world.part_row(), handed_over);
        assert_eq!(open_uploads(&world), uploads_of_row(&world));
        assert_good_end(&world).await;
    });
}

#[test]
fn promise_9_a_failure_does_not_forget_what_another_one_handed_over() {
    run_paused(async {
        let world = world();
        let good = world.objects.content(LAKE, KEY).unwrap();
        let mut handed_over = None;
        let failed = stands_still(&world, &FaultPlan::seeded(1), LONG, async {
            hand_over(&world).await;
            handed_over = world.part_row();
            world.replace_file(other());
        })
        .await
        .unwrap_err();
        assert!(failed.message.contains("its MD5 is"), "{failed}");
        // The row does not say so: the same event is to come again.
        assert_eq!(failed.kind, FailureKind::Transient);
        assert_eq!(world.part_row(), handed_over);
        assert_eq!(open_uploads(&world), uploads_of_row(&world));
        world.replace_file(good.to_vec());
        assert_good_end(&world).await;
    });
}

#[test]
fn promise_9_nothing_is_decided_on_whose_beginning_was_forgotten() {
    run_paused(async {
        let world = world();
        let good = world.objects.content(LAKE, KEY).unwrap();
        hand_over(&world).await;
        let plan = FaultPlan::seeded(1);
        let refused = stands_still(&world, &plan, LONG, async {
            world.replace_file(other());
            let failed = world.invoke().await.unwrap_err();
            assert!(failed.message.contains("it is another file"), "{failed}");
            assert_eq!(failed.kind, FailureKind::Invalid);
            assert!(world.objects.open_uploads().is_empty());
            world.replace_file(good.to_vec());
        })
        .await
        .unwrap_err();
        assert_eq!(refused.kind, FailureKind::Transient);
        assert!(
            refused
                .message
                .contains("another invocation forgot what this one went on from"),
            "{refused}"
        );
        assert!(plan.count("UploadPart") > 0, "it was whole");
        assert!(!world.is_decided());
        assert!(world.visible().is_empty());
        assert!(world.objects.open_uploads().is_empty());
        assert_good_end(&world).await;
    });
}

#[test]
fn promise_9_who_is_whole_when_all_is_done_forgets_its_own() {
    run_paused(async {
        let world = world();
        let plan = FaultPlan::seeded(1);
        let mut completed = None;
        let report = stands_still(&world, &plan, LONG, async {
            world.invoke().await.unwrap();
            completed = world.part_row();
        })
        .await
        .unwrap();
        assert_eq!(report.status, Outcome::Completed);
        assert_eq!((report.rows_read, report.rows_written), (LINES, LINES));
        assert_eq!(world.part_row(), completed);
        assert_eq!(plan.count("CompleteMultipartUpload"), 0);
        let made = plan.count("CreateMultipartUpload");
        assert!(made > 3, "{made}");
        assert_eq!(plan.count("AbortMultipartUpload"), made);
        assert_good_end(&world).await;
    });
}

#[test]
fn promise_9_a_failure_says_nothing_against_what_is_completed() {
    run_paused(async {
        let world = world();
        let mut completed = None;
        let failed = stands_still(&world, &FaultPlan::seeded(1), LONG, async {
            world.invoke().await.unwrap();
            completed = world.part_row();
            world.replace_file(other());
        })
        .await
        .unwrap_err();
        assert!(failed.message.contains("its MD5 is"), "{failed}");
        assert_eq!(failed.kind, FailureKind::Transient);
        assert_eq!(world.part_row(), completed);
        assert_good_end(&world).await;
    });
}

#[test]
fn promise_9_a_lack_of_time_says_nothing_against_what_is_decided() {
    run_paused(async {
        let world = world();
        let mut decided = None;
        let too_short = Duration::from_secs(1);
        let failed = stands_still(&world, &FaultPlan::seeded(1), too_short, async {
            let plan = FaultPlan::seeded(1);
            let fault = Fault::Fail(ErrorKind::Throttled);
            plan.inject("CompleteMultipartUpload", 1, fault);
            let answered = world.invoke_failing(&plan).await.expect("nothing crashes");
            assert_eq!(answered.unwrap_err().kind, FailureKind::Transient);
            assert!(world.is_decided());
            decided = world.part_row();
        })
        .await
        .unwrap_err();
        assert!(
            failed.message.contains("raise the function's memory"),
            "{failed}"
        );
        assert_eq!(failed.kind, FailureKind::Transient);
        assert_eq!(world.part_row(), decided);
        assert_good_end(&world).await;
    });
}
