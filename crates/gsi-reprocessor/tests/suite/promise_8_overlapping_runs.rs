//! Promise 8: an item is marked only after its object is there, and only if it still is what was processed; overlapping runs,
//! crashes, late writes, changes by others and an index that lags do no harm.

use std::collections::BTreeSet;

use crate::simulation::{
    LAKE, MAX_TRIES, Setting, TABLE, Tally, World, body_of, key, number, object_of, shape,
};
use gsi_reprocessor::{Output, item_object};
use records::{Item, Value};

/// Histories of each setting.
const HISTORIES: u64 = 300;

/// What holds when everything has been drained.
fn check(world: &World, seed: u64) {
    let lake = world.lake.inner();
    let mut names = BTreeSet::new();
    for (id, wanted) in world.model.borrow().iter() {
        let canonical = shape().canonical_key(&key(*id)).expect("a good key");
        let held = world.inner().held(TABLE, &canonical);
        let Some(wanted) = wanted else {
            assert_eq!(held, None, "history {seed}: item {id} came back");
            continue;
        };
        let held = held.unwrap_or_else(|| panic!("history {seed}: item {id} is gone"));
        let mut content = held.clone();
        content.remove("processed");
        content.remove("processed_tries");
        assert_eq!(
            &content, wanted,
            "history {seed}: item {id} is not its users'"
        );
        names.insert(item_object(&shape(), &held));
        if wanted.contains_key("poison") {
            check_set_aside(world, &held, seed);
            continue;
        }
        let marker = match (world.setting.remove, world.setting.lanes) {
            (true, _) => None,
            (false, 1) => Some("true".to_owned()),
            (false, lanes) => Some(format!("true#{}", id % lanes)),
        };
        assert_eq!(
            held.get("processed"),
            marker.map(Value::S).as_ref(),
            "history {seed}: item {id}"
        );
        let mut processed = held;
        processed.insert("processed".to_owned(), Value::S(world.pending(*id)));
        let body = String::from_utf8(body_of(&processed)).expect("JSON");
        assert_eq!(
            object_of(lake, world.setting.output, &processed),
            Some(body),
            "history {seed}: the object of item {id} is not that of its last state"
        );
    }
    if world.setting.output == Output::Objects {
        let ids = world.model.borrow();
        let possible: BTreeSet<String> = ids
            .keys()
            .map(|id| item_object(&shape(), &key(*id)))
            .collect();
        for name in lake.snapshot(LAKE).into_keys() {
            let is_result = name.starts_with("reprocessed/");
            assert!(
                !is_result || possible.contains(&name),
                "history {seed}: {name} is no item's"
            );
        }
    }
}

fn check_set_aside(world: &World, held: &Item, seed: u64) {
    let Some(Value::S(marker)) = held.get("processed") else {
        panic!("history {seed}: a poison item has no marker");
    };
    assert!(marker.starts_with("failed"), "history {seed}: {marker}");
    assert_eq!(held["processed_tries"], number(MAX_TRIES), "history {seed}");
    let _ = world;
}

async fn histories(setting: Setting) -> Tally {
    let mut total = Tally::default();
    for seed in 0..HISTORIES {
        let world = World::new(seed, setting);
        world.chaos().await;
        world.drain().await;
        check(&world, seed);
        let tally = world.tally.borrow();
        total.invocations += tally.invocations;
        total.crashes += tally.crashes;
        total.failures += tally.failures;
        total.busy += tally.busy;
        total.done += tally.done;
        total.skipped += tally.skipped;
        total.set_aside += tally.set_aside;
        total.unfinished += tally.unfinished;
        total.changes += tally.changes;
    }
    // What the histories are about does happen in them.
    assert!(total.crashes > 20, "{total:?}");
    assert!(total.failures > 5, "{total:?}");
    assert!(total.busy > 20, "{total:?}");
    assert!(total.skipped > 20, "{total:?}");
    assert!(total.set_aside > 20, "{total:?}");
    assert!(total.unfinished > 20, "{total:?}");
    assert!(total.done > 1_000, "{total:?}");
    total
}

#[tokio::test(start_paused = true)]
async fn promise_8_overlapping_runs_lose_nothing_with_an_object_an_item() {
    for (remove, has_version) in [(false, false), (true, true)] {
        histories(Setting {
            output: Output::Objects,
            lanes: 1,
            remove,
            has_version,
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn promise_8_overlapping_runs_lose_nothing_with_bundles() {
    for (remove, has_version) in [(true, false), (false, true)] {
        histories(Setting {
            output: Output::Bundles,
            lanes: 1,
            remove,
            has_version,
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn promise_8_lanes_are_runs_of_their_own() {
    for output in [Output::Objects, Output::Bundles] {
        histories(Setting {
            output,
            lanes: 3,
            remove: false,
            has_version: false,
        })
        .await;
    }
}
