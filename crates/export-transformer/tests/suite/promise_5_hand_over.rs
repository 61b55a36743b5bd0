//! Promise 5: an invocation stops before its time is over, and the next one goes on; the objects are those of one go.

use std::time::Duration;

use crate::simulation::{
    LONG, SteppingClock, World, by_kind, gzip, lines, run_paused, settings, text_of,
};
use export_jobs::{Format, Status};
use export_transformer::Outcome;
use lambda_support::FailureKind;
use storage::failing::{Crash, FaultPlan};

const LINES: u64 = 300;

/// Makes a world in which nothing has happened yet.
type Make = fn() -> World;

/// Invocations of this many seconds each, until one says that it is COMPLETED (then how many there were) or that it
/// does not come any further.
async fn in_steps(world: &World, seconds: u64) -> Option<usize> {
    for invocation in 1.. {
        let plan = FaultPlan::seeded(1);
        let time = Duration::from_secs(seconds);
        let result = world
            .invoke_failing_by(&plan, SteppingClock::of(&plan), time)
            .await;
        match result.expect("nothing crashes") {
            Ok(report) if report.status == Outcome::Completed => return Some(invocation),
            Ok(report) => {
                assert!(
                    world.visible().is_empty(),
                    "{seconds}: something is visible"
                );
                assert!(report.rows_read < LINES);
            }
            Err(failure) => {
                assert_eq!(failure.kind, FailureKind::Invalid);
                assert!(
                    failure.message.contains("raise the function's memory"),
                    "{failure}"
                );
                let part = world.part().await.unwrap();
                assert_eq!(part.processing_status, Status::Failed);
                assert_eq!(part.error_message.as_deref(), Some(&*failure.message));
                return None;
            }
        }
        assert!(invocation < 100, "{seconds}: it goes on for ever");
    }
    None
}

#[test]
fn promise_5_a_hand_over_at_any_moment_ends_in_the_same_objects() {
    run_paused(async {
        let formats: [(&str, Make); 4] = [
            ("one", || {
                World::new(settings(Format::JsonLines, 4_000), LINES)
            }),
            ("kinds", || World::new(by_kind(3_000), LINES)),
            ("changes", || {
                World::new(settings(Format::Changes, 20_000), LINES)
            }),
            ("Parquet", || World::parquet(700, LINES)),
        ];
        for (name, make) in formats {
            let expected = make();
            expected.invoke().await.unwrap();
            let wanted = expected.part().await.unwrap();
            let (mut most, mut stuck) = (0, 0);
            for seconds in (4..100).step_by(3) {
                let world = make();
                match in_steps(&world, seconds).await {
                    Some(invocations) => most = most.max(invocations),
                    None => {
                        stuck += 1;
                        world.invoke().await.unwrap();
                    }
                }
                let part = world.part().await.unwrap();
                assert_eq!(world.visible(), expected.visible(), "{name}, {seconds} s");
                assert_eq!(part.objects, wanted.objects, "{name}, {seconds} s");
                assert_eq!(
                    (part.rows_read, part.rows_written),
                    (wanted.rows_read, wanted.rows_written)
                );
                assert!(
                    world.objects.open_uploads().is_empty(),
                    "{name}, {seconds} s"
                );
            }
            assert!(most >= 3, "{name}: never more than {most} invocations");
            assert!(stuck > 0, "{name}: the shortest times are too short");
        }
    });
}

#[test]
fn promise_5_a_crash_of_any_of_the_invocations_changes_nothing() {
    run_paused(async {
        let make = || World::new(by_kind(3_000), LINES);
        let expected = make();
        expected.invoke().await.unwrap();
        let time = Duration::from_secs(40);
        for nth in 1..70 {
            for crash in [Crash::Before, Crash::After] {
                let world = make();
                let plan = FaultPlan::seeded(1);
                plan.crash_at(nth, crash);
                // Operations are counted over all invocations of the sequence.
                while let Some(result) = world
                    .invoke_failing_by(&plan, SteppingClock::of(&plan), time)
                    .await
                {
                    match result.unwrap().status {
                        Outcome::Completed => break,
                        Outcome::Continue => assert!(world.visible().is_empty()),
                    }
                }
                if !world.is_decided() {
                    assert!(world.visible().is_empty(), "{crash:?} {nth}");
                }
                while world.invoke_for("transform", LONG).await.unwrap().status
                    != Outcome::Completed
                {}
                assert_eq!(world.visible(), expected.visible(), "{crash:?} {nth}");
            }
        }
    });
}

#[test]
fn promise_5_what_was_made_of_other_bytes_is_not_gone_on_from() {
    run_paused(async {
        let make = || World::new(by_kind(3_000), LINES);
        let expected = make();
        expected.invoke().await.unwrap();
        let world = make();
        let mut other = lines(LINES);
        other[0] = other[0].replace("k00000", "k00001");
        // Another file is there when the first objects are made.
        let good = world
            .objects
            .content(crate::simulation::LAKE, crate::simulation::KEY)
            .unwrap();
        world.replace_file(gzip(&text_of(&other)));
        let plan = FaultPlan::seeded(1);
        let time = Duration::from_secs(20);
        let first = world
            .invoke_failing_by(&plan, SteppingClock::of(&plan), time)
            .await;
        assert_eq!(first.unwrap().unwrap().status, Outcome::Continue);
        // The right one is there for the rest: all of it has the manifest's MD5.
        world.replace_file(good.to_vec());
        let failure = world.invoke().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(
            failure.message.contains("it is another file than when"),
            "{failure}"
        );
        assert!(world.objects.open_uploads().is_empty());
        world.invoke().await.unwrap();
        assert_eq!(world.visible(), expected.visible());
    });
}
