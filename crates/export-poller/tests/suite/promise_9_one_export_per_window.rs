//! Promise 9: one export per window, however often it is asked for, also after a crash and a day later.

use std::time::Duration;

use crate::simulation::{LAKE, Step, World};
use export_jobs::{Span, Status};
use serde_json::json;
use storage::failing::{Crash, FaultPlan};
use storage::{ExportStatus, TableExports};

/// Executions that overlap, die and come back, hours and days apart; then one in calm for each window.
async fn history(seed: u64) -> (usize, usize, usize) {
    let mut world = World::new(seed);
    world.window_seconds = 6 * 3_600;
    let world = world;
    let windows = ["2026-01-31T04:00:00Z", "before-launch"];
    let event = |which: u64| match which {
        0 => json!({"action": "begin", "type": "incremental"}),
        number => {
            let window = windows[usize::try_from(number - 1).expect("small")];
            json!({"action": "begin", "type": "full", "window": window})
        }
    };
    let mut executions: Vec<(String, Step)> = Vec::new();
    let (mut failed_exports, mut elsewhere) = (0, 0);
    for _ in 0..world.draw(10..=60) {
        if executions.len() < 4 && world.chance(400) {
            let begin = Step::Begin(event(world.draw(0..=2)));
            executions.push((world.execution().await, begin));
        }
        if world.chance(300) {
            if world.chance(150) && !world.exports.inner().running().is_empty() {
                world.exports.inner().fail_next("UNKNOWN", "bad luck");
                failed_exports += 1;
            }
            world.exports.inner().complete_all();
        }
        let pause = match world.draw(0..=9) {
            0 => Duration::from_secs(world.draw(3_600..=200_000)),
            1..=3 => Duration::from_secs(world.draw(600..=8_000)),
            _ => Duration::from_secs(world.draw(0..=60)),
        };
        tokio::time::sleep(pause.min(Duration::from_secs(300))).await;
        if pause > Duration::from_secs(300) {
            // What was given up lands within minutes, not when the store is asked the next time.
            world.exports.settle().await;
            tokio::time::sleep(pause - Duration::from_secs(300)).await;
        }
        if world.chance(15) {
            // Recovery was off for a moment: what was before is gone.
            world.exports.settle().await;
            world.exports.inner().recover_since(world.now());
        }
        if executions.is_empty() {
            continue;
        }
        let last = u64::try_from(executions.len() - 1).expect("few");
        let which = usize::try_from(world.draw(0..=last)).expect("few");
        let (execution, step) = executions.swap_remove(which);
        if world.chance(50) {
            world.workflows.inner().abort(&execution);
            continue;
        }
        match world.step_of(&execution, step, &world.faults()).await {
            Step::End(answer) => {
                world.workflows.inner().succeed(&execution, "{}");
                elsewhere += usize::from(answer["state"] == "elsewhere");
            }
            next => executions.push((execution, next)),
        }
        // The files of a window have one execution that works on them.
        let mut working: Vec<&String> = executions
            .iter()
            .filter_map(|(_, step)| match step {
                Step::Transform(job) => Some(job),
                _ => None,
            })
            .collect();
        let all = working.len();
        working.sort_unstable();
        working.dedup();
        assert_eq!(working.len(), all, "history {seed}: {executions:?}");
    }
    for (execution, _) in executions {
        world.workflows.inner().abort(&execution);
    }
    world.exports.settle().await;
    world.lake.settle().await;
    world.ledger.settle().await;
    tokio::time::sleep(Duration::from_secs(world.draw(0..=100_000))).await;

    for which in 1..=2 {
        // What DynamoDB fails is another attempt, which a new execution makes.
        for _ in 0..3 {
            let end = world.run(event(which)).await;
            if end["status"] == "COMPLETED" || end["state"] == "completed" {
                break;
            }
        }
    }
    for _ in 0..80 {
        let end = world.run(event(0)).await;
        if end["state"] == "nothing" {
            break;
        }
    }

    let begun = world.begun();
    for (token, spans) in &begun {
        assert_eq!(spans.len(), 1, "history {seed}: {token} began {spans:?}");
    }
    let mut attempts = 0;
    for (job, row) in world.windows() {
        attempts += row.attempt;
        // What recovery does not reach any more was given up, and a full export took its place.
        let earliest = world.earliest().await;
        let is_out_of_reach = row.export_arn.is_none() && row.span.snapshot_time() < earliest;
        assert!(
            row.processing_status == Status::Completed || is_out_of_reach,
            "history {seed}: {job} {row:?}"
        );
        // Every export that was begun for the window but the last one had failed.
        let asked = row.span.asked();
        let mut live = 0;
        for (arn, request) in world.exports.inner().requests() {
            let description = world.exports.inner().export(&arn).await;
            let is_live = description.is_ok_and(|export| export.status != ExportStatus::Failed);
            if request.span == asked && is_live {
                live += 1;
            }
        }
        // Two labels that were asked for in the same second are two windows of the same time.
        let windows = world.windows();
        let same = windows
            .values()
            .filter(|other| other.span == row.span)
            .count();
        assert!(
            live <= same,
            "history {seed}: {live} exports of {job}, {asked:?}"
        );
    }
    assert!(
        usize::try_from(attempts).expect("few")
            <= world.windows().len() + failed_exports + world.failures.get(),
        "history {seed}: {attempts} attempts"
    );
    world.check_chain();
    (world.crashes.get(), begun.len(), elsewhere)
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_window_is_exported_once_whatever_dies_and_whoever_asks() {
    let (mut crashes, mut exports, mut elsewhere) = (0, 0, 0);
    for seed in 0..120 {
        let (died, begun, left) = history(seed).await;
        crashes += died;
        exports += begun;
        elsewhere += left;
    }
    assert!(crashes > 300, "only {crashes} crashes");
    assert!(exports > 240, "only {exports} exports");
    assert!(elsewhere > 40, "only {elsewhere} left to others");
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_day_after_a_crash_the_export_is_found_and_not_begun_again() {
    let world = World::new(1);
    let event = json!({"action": "begin", "type": "full", "window": "2026-01-31T04:00:00Z"});
    let calm = FaultPlan::seeded(0);
    assert!(world.invoke(&event, &calm).await.is_some());
    let begin = calm
        .log()
        .iter()
        .position(|operation| *operation == "ExportTableToPointInTime")
        .expect("it is begun");

    let world = World::new(1);
    let dying = FaultPlan::seeded(0);
    dying.crash_at(begin + 1, Crash::After);
    assert!(world.invoke(&event, &dying).await.is_none());
    assert_eq!(world.exports.inner().begun(), 1);
    let recorded = world
        .windows()
        .into_values()
        .next()
        .expect("it was recorded first");
    assert_eq!(recorded.export_arn, None);
    assert_eq!(
        recorded.span,
        Span::Full {
            export_time: world.now() - 600
        }
    );

    // DynamoDB has forgotten the token by then, so asking again would begin another one.
    world.exports.inner().complete_all();
    tokio::time::sleep(Duration::from_hours(26)).await;
    let end = world.run(event).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    assert_eq!(world.exports.inner().begun(), 1);
    let (_, request) = &world.exports.inner().requests()[0];
    assert_eq!(request.span, recorded.span.asked());
}

#[tokio::test(start_paused = true)]
async fn promise_9_the_same_window_again_does_nothing() {
    let world = World::new(2);
    let event = json!({"action": "begin", "type": "full", "window": "2026-01-31T04:00:00Z"});
    let first = world.run(event.clone()).await;
    assert_eq!(first["status"], "COMPLETED", "{first}");
    let kept = world.lake.inner().snapshot(LAKE);
    tokio::time::sleep(Duration::from_hours(30)).await;
    let again = world.run(event).await;
    assert_eq!(again["state"], "completed", "{again}");
    assert_eq!(world.exports.inner().begun(), 1);
    assert_eq!(world.lake.inner().snapshot(LAKE), kept);
}

#[tokio::test(start_paused = true)]
async fn promise_9_an_export_that_dynamodb_fails_is_another_attempt_of_the_same_window() {
    let world = World::new(3);
    let event = json!({"action": "begin", "type": "full", "window": "weekly"});
    world
        .exports
        .inner()
        .fail_next("S3AccessDenied", "Access Denied");
    let failed = world.run(event.clone()).await;
    assert_eq!(failed["status"], "FAILED");
    let reason = failed["message"].as_str().expect("a sentence");
    assert!(
        reason.contains("(S3AccessDenied): Access Denied"),
        "{reason}"
    );
    let row = world.row("export/offers/full-weekly").await.expect("a row");
    assert_eq!(row.error_message.as_deref(), Some(reason));
    assert_eq!(row.processing_status, Status::Failed);

    let end = world.run(event).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    let row = world.row("export/offers/full-weekly").await.expect("a row");
    assert_eq!((row.attempt, row.retry_count), (2, 1));
    assert_eq!(world.exports.inner().begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn incremental_windows_follow_one_another_and_catch_up_after_an_outage() {
    let world = World::new(4);
    let event = || json!({"action": "begin", "type": "incremental"});
    let first = world.run(event()).await;
    assert_eq!(first["status"], "COMPLETED", "{first}");
    assert_eq!(world.run(event()).await["state"], "nothing");

    assert_eq!(
        world
            .call(json!({"action": "pause"}))
            .await
            .expect("it is paused"),
        json!({"paused": true})
    );
    tokio::time::sleep(Duration::from_hours(7)).await;
    assert_eq!(world.run(event()).await["state"], "paused");
    world
        .call(json!({"action": "resume"}))
        .await
        .expect("it is resumed");
    let mut windows = 0;
    loop {
        let end = world.run(event()).await;
        if end["state"] == "nothing" {
            break;
        }
        assert_eq!(end["status"], "COMPLETED", "{end}");
        windows += 1;
        // The machine goes on with the next window as long as there is one.
        assert_eq!(end["more"], windows < 7, "window {windows}: {end}");
    }
    assert_eq!(windows, 7);
    world.check_chain();
    let rows = world.windows();
    assert_eq!(rows.len(), 8);
    assert!(rows.contains_key("export/offers/incremental-20260131T115000Z-20260131T125000Z"));
}

#[tokio::test(start_paused = true)]
async fn where_recovery_has_a_gap_the_chain_goes_on_with_a_full_export() {
    let world = World::new(5);
    let event = || json!({"action": "begin", "type": "incremental"});
    world.run(event()).await;
    tokio::time::sleep(Duration::from_hours(3)).await;
    world.exports.inner().recover_since(world.now());
    let soon = world.run(event()).await;
    assert_eq!(soon["state"], "nothing", "{soon}");
    tokio::time::sleep(Duration::from_mins(20)).await;
    let end = world.run(event()).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    let full = world
        .windows()
        .into_values()
        .filter(|row| matches!(row.span, Span::Full { .. }))
        .count();
    assert_eq!(full, 2);
    world.check_chain();
}

#[tokio::test(start_paused = true)]
async fn a_full_export_restarts_the_chain_only_if_it_is_told_to() {
    let world = World::new(6);
    let incremental = || json!({"action": "begin", "type": "incremental"});
    world.run(incremental()).await;
    tokio::time::sleep(Duration::from_hours(2)).await;
    world.run(json!({"action": "begin", "window": "a"})).await;
    let next = world.run(incremental()).await;
    assert_eq!(next["status"], "COMPLETED", "{next}");
    world.check_chain();

    tokio::time::sleep(Duration::from_hours(5)).await;
    let told = json!({"action": "begin", "window": "b", "restart_chain": true});
    let end = world.run(told).await;
    assert_eq!(end["status"], "COMPLETED", "{end}");
    assert_eq!(world.run(incremental()).await["state"], "nothing");
    // The same again, or late, takes nothing back.
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(world.run(incremental()).await["status"], "COMPLETED");
    let again = world
        .run(json!({"action": "begin", "window": "b", "restart_chain": true}))
        .await;
    assert_eq!(again["state"], "completed", "{again}");
    let chain = || {
        let mut rows = world.ledger.inner().rows().into_iter();
        let row = rows
            .find(|row| row.part == "chain")
            .expect("there is a chain");
        row.attributes["next_from"].clone()
    };
    let reached = chain();
    let finish = json!({"action": "finish", "job": "export/offers/full-b"});
    world.call(finish).await.expect("it is whole");
    assert_eq!(chain(), reached);
    let next = world.run(incremental()).await;
    assert_eq!(next["status"], "COMPLETED", "{next}");
    assert_eq!(world.run(incremental()).await["state"], "nothing");
}

#[tokio::test(start_paused = true)]
async fn an_open_window_comes_to_its_end_while_the_chain_is_paused() {
    let world = World::new(7);
    let event = || json!({"action": "begin", "type": "incremental"});
    let calm = FaultPlan::seeded(0);
    let begun = world.step(Step::Begin(event()), &calm).await;
    assert!(matches!(begun, Step::Poll(_)), "{begun:?}");
    world
        .call(json!({"action": "pause"}))
        .await
        .expect("it is paused");
    assert_eq!(world.run(event()).await["status"], "COMPLETED");
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(world.run(event()).await["state"], "paused");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_failed_for_good_is_begun_anew_if_nothing_of_it_can_be_seen() {
    let world = World::new(8);
    let event =
        |anew: bool| json!({"action": "begin", "window": "a", "format": "changes", "anew": anew});
    world.exports.inner().fail_next("UNKNOWN", "bad luck");
    let first = json!({"action": "begin", "window": "a"});
    assert_eq!(world.run(first).await["status"], "FAILED");
    let refused = world.run(event(false)).await;
    assert!(
        refused["failed"]
            .as_str()
            .is_some_and(|message| message.contains("was begun with another format")),
        "{refused}"
    );
    let strange = "tables/offers/tl_export=full-a/tl_type=item/x";
    let lake = world.lake.inner();
    storage::ObjectStore::put(lake, LAKE, strange, "x".into())
        .await
        .expect("memory");
    let refused = world.run(event(true)).await;
    assert!(
        refused["failed"]
            .as_str()
            .is_some_and(|message| message.contains(strange)),
        "{refused}"
    );
    storage::ObjectStore::delete(lake, LAKE, strange)
        .await
        .expect("memory");
    let calm = FaultPlan::seeded(0);
    let begun = world.step(Step::Begin(event(true)), &calm).await;
    assert_eq!(begun, Step::Poll("export/offers/full-a".to_owned()));
    // Again, as after a lost answer: it has been done.
    assert_eq!(world.step(Step::Begin(event(true)), &calm).await, begun);
    let row = world.row("export/offers/full-a").await.expect("a row");
    assert_eq!(row.settings.format, export_jobs::Format::Changes);
    assert_eq!(row.attempt, 2);
    assert_eq!(world.exports.inner().begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_removal_without_its_item_has_no_data_set() {
    let mut world = World::new(9);
    world.view = storage::ExportView::NewImage;
    let event =
        |name: &str| json!({"action": "begin", "type": "incremental", "discriminator": name});
    let failure = world.call(event("kind")).await.expect_err("it is no key");
    assert!(
        failure.message.contains("expected NEW_AND_OLD_IMAGES"),
        "{failure}"
    );
    assert!(world.call(event("id")).await.is_ok());
    let told = json!({"action": "begin", "type": "incremental", "restart_chain": true});
    let failure = world
        .call(told)
        .await
        .expect_err("only full ones restart it");
    assert!(
        failure.message.contains("expected it with a full one"),
        "{failure}"
    );
}
