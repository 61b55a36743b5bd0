//! Promise 8: a poison item is set aside with its reason after a set number of tries and cannot starve the index; a service
//! error is no try; what was set aside can be put back.

use std::cell::Cell;

use crate::simulation::{LAKE, Setting, TABLE, key, number, shape};
use gsi_reprocessor::{
    Dependencies, Ended, Invocation, Output, Process, ProcessError, Redrive, Redriven, Report,
    handle, redrive,
};
use records::{Item, Value, write_item_plain_json};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use storage::memory::{MemoryLedger, MemoryObjects, MemoryTables};
use storage::{Clock, TestClock};

const PLAIN: Setting = Setting {
    output: Output::Objects,
    lanes: 1,
    remove: false,
    has_version: false,
};

/// Says what is wrong with items, until it is mended.
struct Picky {
    is_mended: Cell<bool>,
    is_down: Cell<bool>,
    not_json: bool,
}

impl Process for Picky {
    async fn process(&self, item: &Item) -> Result<Vec<u8>, ProcessError> {
        if self.is_down.get() || item.contains_key("down") {
            return Err(ProcessError::Service("no connection".into()));
        }
        if item.contains_key("poison") && !self.is_mended.get() {
            return match self.not_json {
                true => Ok(b"price: 7".to_vec()),
                false => Err(ProcessError::Item("the price is missing".to_owned())),
            };
        }
        let mut body = Vec::new();
        write_item_plain_json(item, &mut body);
        Ok(body)
    }
}

type Function = Dependencies<MemoryObjects, MemoryTables, MemoryLedger, TestClock, Picky>;

fn function(setting: Setting, not_json: bool) -> Function {
    Dependencies {
        objects: MemoryObjects::new().with_bucket(LAKE),
        tables: MemoryTables::new().with_table(shape()),
        ledger: MemoryLedger::new(),
        clock: TestClock::default(),
        process: Picky {
            is_mended: Cell::new(false),
            is_down: Cell::new(false),
            not_json,
        },
        config: setting.config(60),
    }
}

fn seed(function: &Function, id: u32, is_poison: bool) {
    let mut item = key(id);
    item.insert("processed".to_owned(), Value::S("false".to_owned()));
    if is_poison {
        item.insert("poison".to_owned(), Value::Null);
    }
    function.tables.seed(TABLE, [item]);
}

async fn run(function: &Function, limit: u64) -> Report {
    let invocation = Invocation {
        deadline: function.clock.now().plus(Duration::from_secs(900)),
        random: 7,
    };
    handle(&json!({"limit": limit}), invocation, function)
        .await
        .expect("nothing fails")
}

fn held(function: &Function, id: u32) -> Item {
    let canonical = shape().canonical_key(&key(id)).expect("a good key");
    function
        .tables
        .held(TABLE, &canonical)
        .expect("it is there")
}

fn names(function: &Function) -> Vec<String> {
    function.objects.snapshot(LAKE).into_keys().collect()
}

#[tokio::test(start_paused = true)]
async fn promise_8_poison_at_the_head_of_the_index_starves_nobody() {
    for (setting, not_json) in [
        (PLAIN, false),
        (
            Setting {
                output: Output::Bundles,
                ..PLAIN
            },
            true,
        ),
    ] {
        let function = function(setting, not_json);
        // The poison comes first in the index, and is as much as a run may take.
        for id in 0..9 {
            seed(&function, id, id % 3 == 0);
        }
        for round in 1..=2 {
            let report = run(&function, 3).await;
            assert_eq!((report.counts.failed, report.counts.done), (3, 0));
            assert_eq!(report.counts.set_aside, 0);
            assert_eq!(held(&function, 0)["processed_tries"], number(round));
            assert!(names(&function).is_empty());
        }
        let last = run(&function, 3).await;
        assert_eq!((last.counts.failed, last.counts.set_aside), (3, 3));
        assert_eq!(last.lanes[0].total_set_aside, 3);
        let report = run(&function, 5_000).await;
        assert_eq!((report.counts.taken, report.counts.done), (6, 6));
        assert_eq!(report.lanes[0].ended, Ended::Empty);
        assert_eq!(report.left, Some(0));

        let kept = (function.objects)
            .content(LAKE, "unprocessed/reprocess/table=offers/a%2F0/0.json")
            .expect("the item is kept");
        let kept: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&kept).expect("JSON");
        let reason = kept["reason"].as_str().expect("a text");
        match not_json {
            false => assert_eq!(reason, "the price is missing"),
            true => assert!(reason.contains("expected JSON"), "{reason}"),
        }
        assert_eq!(kept["tries"], 3);
        assert_eq!(kept["item"]["processed"], json!({"S": "false"}));
        assert_eq!(
            held(&function, 0)["processed"],
            Value::S("failed".to_owned())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn promise_8_a_service_error_is_no_try() {
    let function = function(PLAIN, false);
    seed(&function, 1, false);
    function.process.is_down.set(true);
    let before = held(&function, 1);
    for _ in 0..5 {
        let invocation = Invocation {
            deadline: function.clock.now().plus(Duration::from_secs(900)),
            random: 7,
        };
        let failure = handle(&json!({}), invocation, &function)
            .await
            .expect_err("the service is down");
        assert_eq!(failure.kind, lambda_support::FailureKind::Transient);
        assert!(failure.message.contains("no connection"), "{failure}");
    }
    assert_eq!(held(&function, 1), before);
    function.process.is_down.set(false);
    assert_eq!(run(&function, 5_000).await.counts.done, 1);
}

#[tokio::test(start_paused = true)]
async fn promise_8_what_was_set_aside_can_be_put_back_and_its_reason_goes_when_it_is_done() {
    let function = function(PLAIN, false);
    for id in 0..4 {
        seed(&function, id, id < 3);
    }
    for _ in 0..3 {
        run(&function, 5_000).await;
    }
    let shape = shape();
    let order = Redrive {
        table: &shape,
        index: crate::simulation::INDEX,
        markers: &function.config.markers,
        concurrency: 2,
        dry_run: true,
    };
    let counted = redrive(&function.tables, order, |_| {})
        .await
        .expect("it works");
    assert_eq!(
        counted,
        Redriven {
            found: 3,
            put_back: 0,
            changed: 0
        }
    );
    assert_eq!(
        held(&function, 0)["processed"],
        Value::S("failed".to_owned())
    );

    // One of them is changed by its user while the index still says that it is set aside.
    function.tables.lag_index(TABLE);
    seed(&function, 2, false);
    let order = Redrive {
        dry_run: false,
        ..order
    };
    let mut heard = Vec::new();
    let redriven = redrive(&function.tables, order, |redriven| {
        heard.push(redriven.put_back)
    })
    .await
    .expect("it works");
    // The changed one is pending, which is what was wanted of it.
    assert_eq!(
        redriven,
        Redriven {
            found: 3,
            put_back: 3,
            changed: 0
        }
    );
    assert_eq!(heard.last(), Some(&3));
    function.tables.catch_up_all(TABLE);
    assert_eq!(
        held(&function, 0)["processed"],
        Value::S("false".to_owned())
    );
    assert_eq!(held(&function, 0)["processed_tries"], number(0));
    assert!(!held(&function, 2).contains_key("processed_tries"));

    // Still poison: it has all its tries again, and the reason stays meanwhile.
    run(&function, 5_000).await;
    assert_eq!(held(&function, 0)["processed_tries"], number(1));
    assert!(
        names(&function).contains(&"unprocessed/reprocess/table=offers/a%2F0/0.json".to_owned())
    );
    function.process.is_mended.set(true);
    assert_eq!(run(&function, 5_000).await.counts.done, 2);
    for id in 0..4 {
        let item = held(&function, id);
        assert_eq!(item["processed"], Value::S("true".to_owned()));
        assert!(!item.contains_key("processed_tries"));
    }
    let left: Vec<_> = names(&function)
        .into_iter()
        .filter(|name| name.starts_with("unprocessed/"))
        .collect();
    // That of the item which its user made good: nothing in the item tells of it.
    assert_eq!(left, ["unprocessed/reprocess/table=offers/a%2F2/2.json"]);
}

#[tokio::test(start_paused = true)]
async fn promise_8_an_item_that_cannot_be_compared_is_set_aside_unless_it_has_a_version() {
    for has_version in [false, true] {
        let function = function(
            Setting {
                has_version,
                ..PLAIN
            },
            false,
        );
        let mut item = key(1);
        item.insert("processed".to_owned(), Value::S("false".to_owned()));
        item.insert("version".to_owned(), number(7));
        for n in 0..250 {
            item.insert(format!("attribute{n}"), number(n));
        }
        function.tables.seed(TABLE, [item]);
        let mut failed = 0;
        for _ in 0..3 {
            failed += run(&function, 5_000).await.counts.failed;
        }
        let marker = &held(&function, 1)["processed"];
        match has_version {
            true => assert_eq!((failed, marker), (0, &Value::S("true".to_owned()))),
            false => {
                assert_eq!((failed, marker), (3, &Value::S("failed".to_owned())));
                let name = "unprocessed/reprocess/table=offers/a%2F1/1.json";
                let kept = function.objects.content(LAKE, name).expect("it is kept");
                let kept = String::from_utf8_lossy(&kept).into_owned();
                assert!(kept.contains("the item has 25"), "{kept}");
                assert!(kept.contains("VERSION_ATTRIBUTE"), "{kept}");
            }
        }
    }
}

fn seed_item(function: &Function, id: u32, attributes: impl IntoIterator<Item = (String, Value)>) {
    let mut item = key(id);
    item.insert("processed".to_owned(), Value::S("false".to_owned()));
    item.extend(attributes);
    function.tables.seed(TABLE, [item]);
}

#[tokio::test(start_paused = true)]
async fn promise_8_items_whose_service_is_down_for_good_starve_nobody() {
    for output in [Output::Objects, Output::Bundles] {
        let function = function(Setting { output, ..PLAIN }, false);
        // They come first in the index, and are more than a run looks at in vain.
        for id in 0..300 {
            let down = (id % 3 == 0).then(|| ("down".to_owned(), Value::Null));
            seed_item(&function, id, down);
        }
        let mut done = 0;
        let mut failures = 0;
        for _ in 0..6 {
            let invocation = Invocation {
                deadline: function.clock.now().plus(Duration::from_secs(900)),
                random: 7,
            };
            match handle(&json!({}), invocation, &function).await {
                Ok(report) => done += report.counts.done,
                Err(failure) => {
                    assert!(failure.message.contains("no connection"), "{failure}");
                    failures += 1;
                }
            }
        }
        assert_eq!(done, 200, "the others wait for what cannot be done");
        assert!(failures > 0, "a run that does nothing fails");
        assert!(!held(&function, 0).contains_key("processed_tries"));
    }
}

#[tokio::test(start_paused = true)]
async fn promise_8_poison_without_room_for_a_count_is_set_aside_at_once() {
    let function = function(PLAIN, false);
    // `failed` for `false` is one byte more, and the count would be 17.
    let mut item = key(1);
    item.insert("processed".to_owned(), Value::S("false".to_owned()));
    item.insert("poison".to_owned(), Value::Null);
    let room = records::MAX_ITEM_BYTES - records::item_size(&item) - "text".len() - 1;
    seed_item(
        &function,
        1,
        [
            ("poison".to_owned(), Value::Null),
            ("text".to_owned(), Value::S("x".repeat(room))),
        ],
    );
    let report = run(&function, 5_000).await;
    assert_eq!((report.counts.failed, report.counts.set_aside), (1, 1));
    assert_eq!(
        held(&function, 1)["processed"],
        Value::S("failed".to_owned())
    );
    assert_eq!(names(&function).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn promise_8_an_attribute_that_only_looks_like_the_count_is_left_as_it_is() {
    let function = function(PLAIN, false);
    let theirs = Value::L(vec![Value::Null]);
    seed_item(
        &function,
        1,
        [("processed_tries".to_owned(), theirs.clone())],
    );
    seed_item(&function, 2, []);
    let report = run(&function, 5_000).await;
    assert_eq!((report.counts.set_aside, report.counts.done), (1, 1));
    let held = held(&function, 1);
    assert_eq!(held["processed_tries"], theirs);
    assert_eq!(held["processed"], Value::S("failed".to_owned()));
    let name = "unprocessed/reprocess/table=offers/a%2F1/1.json";
    let kept = function.objects.content(LAKE, name).expect("it is kept");
    let kept = String::from_utf8_lossy(&kept).into_owned();
    assert!(
        kept.contains("is no count of tries: expected none"),
        "{kept}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fails_does_not_stop_the_others() {
    let setting = Setting { lanes: 3, ..PLAIN };
    let function = function(setting, false);
    for id in 0..9_u32 {
        let marker = Value::S(format!("false#{}", id % 3));
        let mut attributes = vec![("processed".to_owned(), marker)];
        if id % 3 == 1 {
            attributes.push(("down".to_owned(), Value::Null));
        }
        seed_item(&function, id, attributes);
    }
    let report = run(&function, 5_000).await;
    let lanes: Vec<u32> = report.lanes.iter().map(|lane| lane.lane).collect();
    assert_eq!(lanes, [0, 2]);
    assert_eq!(report.counts.done, 6);
}
