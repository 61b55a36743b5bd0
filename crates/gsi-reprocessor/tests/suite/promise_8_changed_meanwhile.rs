//! Promise 8: an item that a user changes between its reading and its mark stays pending, also if the change is one that no
//! condition can speak of: an attribute more.

use std::cell::RefCell;
use std::time::Duration;

use crate::simulation::{LAKE, Setting, TABLE, key, number, object_of, shape};
use gsi_reprocessor::{Dependencies, Invocation, Output, Process, ProcessError, Report, handle};
use records::{Item, Value, write_item_plain_json};
use serde_json::json;
use storage::memory::{MemoryLedger, MemoryObjects, MemoryTables};
use storage::{Clock, TestClock};

/// Changes the item once while it is processed, as a user would.
struct Meddling {
    tables: MemoryTables,
    change: RefCell<Option<Item>>,
}

impl Process for Meddling {
    async fn process(&self, item: &Item) -> Result<Vec<u8>, ProcessError> {
        if let Some(changed) = self.change.take() {
            self.tables.seed(TABLE, [changed]);
        }
        let mut body = Vec::new();
        write_item_plain_json(item, &mut body);
        Ok(body)
    }
}

type Function = Dependencies<MemoryObjects, MemoryTables, MemoryLedger, TestClock, Meddling>;

fn function(setting: Setting, item: &Item, changed: Item) -> Function {
    let tables = MemoryTables::new().with_table(shape());
    tables.seed(TABLE, [item.clone()]);
    Dependencies {
        objects: MemoryObjects::new().with_bucket(LAKE),
        tables: tables.clone(),
        ledger: MemoryLedger::new(),
        clock: TestClock::default(),
        process: Meddling {
            tables,
            change: RefCell::new(Some(changed)),
        },
        config: setting.config(60),
    }
}

async fn run(function: &Function) -> Report {
    let invocation = Invocation {
        deadline: function.clock.now().plus(Duration::from_secs(900)),
        random: 7,
    };
    handle(&json!({}), invocation, function)
        .await
        .expect("nothing fails")
}

#[tokio::test(start_paused = true)]
async fn promise_8_an_item_changed_while_it_is_processed_stays_pending() {
    let pending = ("processed".to_owned(), Value::S("false".to_owned()));
    let item = |attributes: &[(&str, u64)]| {
        let mut item = key(1);
        item.extend([pending.clone()]);
        item.extend((attributes.iter()).map(|(name, n)| ((*name).to_owned(), number(*n))));
        item
    };
    for output in [Output::Objects, Output::Bundles] {
        for remove in [false, true] {
            for changed in [
                item(&[("n", 2)]),
                item(&[]),
                // An attribute more, with and without a count of tries.
                item(&[("n", 1), ("more", 1)]),
                item(&[("n", 1), ("processed_tries", 1)]),
            ] {
                let setting = Setting {
                    output,
                    lanes: 1,
                    remove,
                    has_version: false,
                };
                let function = function(setting, &item(&[("n", 1)]), changed.clone());
                let first = run(&function).await;
                let context = format!("{setting:?} {changed:?}");
                assert_eq!(
                    (first.counts.done, first.counts.skipped),
                    (0, 1),
                    "{context}"
                );
                let canonical = shape().canonical_key(&key(1)).expect("a good key");
                let held = function.tables.held(TABLE, &canonical);
                assert_eq!(held.as_ref(), Some(&changed), "{context}");

                assert_eq!(run(&function).await.counts.done, 1, "{context}");
                let mut processed = changed;
                processed.remove("processed_tries");
                let mut wanted = Vec::new();
                write_item_plain_json(&processed, &mut wanted);
                assert_eq!(
                    object_of(&function.objects, output, &processed),
                    String::from_utf8(wanted).ok(),
                    "{context}"
                );
            }
        }
    }
}
