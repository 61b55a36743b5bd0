//! Promise 6: every change is in the log, and a reader sees it once.

use std::collections::{BTreeMap, BTreeSet};

use crate::simulation::{Deliveries, LAKE, TABLE, Tally, World, merged};
use records::changes::{Codec, StreamRecord, hour_folder, stream_object};

const HISTORIES: u64 = 1_000;

/// How many objects hold each line, by event id. Fails if a line is not byte for byte a record of the stream, or lies in the
/// folder of another hour, or if an object is not named by its first line.
fn copies(world: &World) -> BTreeMap<String, usize> {
    let placeable = world.placeable();
    let mut copies = BTreeMap::new();
    for (key, lines) in world.log() {
        for (position, line) in lines.iter().enumerate() {
            let record = StreamRecord::parse(line).expect("only what has a place is in the log");
            assert_eq!(placeable.get(&*record.event_id), Some(&&**line));
            let folder = hour_folder(TABLE, "stream", record.seconds);
            assert!(key.starts_with(&folder), "{key} holds {line}");
            if position == 0 {
                assert_eq!(key, stream_object(TABLE, &record, Codec::Gzip));
            }
            *copies.entry(record.event_id.into_owned()).or_default() += 1;
        }
    }
    copies
}

/// What holds of every history, wherever its deliveries begin.
fn check_that_nothing_is_lost(world: &World, seed: u64) {
    let copies = copies(world);
    let missing: Vec<_> = (world.placeable().into_keys())
        .filter(|id| !copies.contains_key(*id))
        .collect();
    assert!(missing.is_empty(), "history {seed} lost {missing:?}");

    // The view keeps one line of an id: here, the first.
    let mut seen = BTreeSet::new();
    let log = world.log();
    let published = log.values().flatten().filter(|line| {
        let id = records::changes::event_id_of(line).expect("a line has an id");
        seen.insert(id.into_owned())
    });
    assert_eq!(merged(published), world.table, "history {seed}");

    let kept: BTreeSet<String> = world
        .lake
        .inner()
        .snapshot(LAKE)
        .into_iter()
        .filter(|(key, _)| key.starts_with("unprocessed/changes/table=offers/"))
        .map(|(_, content)| {
            let content: BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_slice(&content).expect("JSON");
            assert!(content["reason"].get().contains("expected"));
            content["record"].get().to_owned()
        })
        .collect();
    let kept: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    assert_eq!(kept, world.unplaceable(), "history {seed}");
}

async fn run(deliveries: Deliveries, check: impl Fn(&World, u64)) -> Tally {
    let mut total = Tally::default();
    for seed in 0..HISTORIES {
        let mut world = World::new(seed, deliveries);
        world.run().await;
        check_that_nothing_is_lost(&world, seed);
        check(&world, seed);
        let tally = &world.tally;
        total.invocations += tally.invocations;
        total.answers_lost += tally.answers_lost;
        total.partial_answers += tally.partial_answers;
        total.enlarged += tally.enlarged;
        total.shortened += tally.shortened;
        total.expired += tally.expired;
        total.rewound += tally.rewound;
        total.late += tally.late;
        total.conflicts += tally.conflicts;
    }
    // A simulation in which nothing happens would show nothing.
    for (what, times) in [
        ("invocations", total.invocations),
        ("answers lost", total.answers_lost),
        ("partial answers", total.partial_answers),
        ("enlarged batches", total.enlarged),
        ("shortened batches", total.shortened),
        ("expired batches", total.expired),
        ("late landings", total.late),
        ("conflicts", total.conflicts),
    ] {
        assert!(times >= 50, "only {times} {what}");
    }
    total
}

#[tokio::test(start_paused = true)]
async fn promise_6_each_change_is_in_the_lake_once_if_a_batch_comes_again_from_where_it_began() {
    run(Deliveries::BeginAsBefore, |world, seed| {
        let twice: Vec<_> = copies(world)
            .into_iter()
            .filter(|(_, copies)| *copies > 1)
            .collect();
        assert!(twice.is_empty(), "history {seed} doubled {twice:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn promise_6_no_change_is_lost_and_the_view_has_it_once_wherever_deliveries_begin() {
    let doubled = std::cell::Cell::new(0_usize);
    let tally = run(Deliveries::BeginAnywhere, |world, _| {
        let twice = copies(world).into_values().filter(|copies| *copies > 1);
        doubled.set(doubled.get() + twice.count());
    })
    .await;
    assert!(tally.rewound >= 100, "only {} fail-overs", tally.rewound);
    // The reader's rule has something to do, or the other test would be the whole promise.
    assert!(doubled.get() > 100, "only {} records twice", doubled.get());
}
