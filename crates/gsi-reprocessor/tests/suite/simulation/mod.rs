//! A table, its users and its reprocessing: runs that overlap, die and meet failing services, while items change and the index
//! lags behind. Everything goes through the real handler; the stores are the strict ones in memory.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod watch;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, join, join_all};
use gsi_reprocessor::{
    Config, Dependencies, Invocation, Output, Process, ProcessError, Report, handle,
};
use lambda_support::{Environment, Failure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use records::{
    IndexShape, Item, KeyAttribute, KeyType, Number, TableShape, Value, write_item_plain_json,
};
use serde_json::{Value as Json, json};
use storage::failing::{Crash, Failing, FaultPlan, Landing, Rates};
use storage::memory::{MemoryLedger, MemoryObjects, MemoryTables};
use storage::{Clock, Condition, ItemStore, ItemWrite, TestClock};

pub use watch::{Watched, object_of};

pub const TABLE: &str = "offers";
pub const INDEX: &str = "pending";
pub const LAKE: &str = "lake";
/// Tries that a poison item has.
pub const MAX_TRIES: u64 = 3;

pub fn shape() -> TableShape {
    let key = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: TABLE.to_owned(),
        partition: key("account", KeyType::S),
        sort: Some(key("id", KeyType::N)),
        indexes: vec![IndexShape {
            name: INDEX.to_owned(),
            partition: vec![key("processed", KeyType::S)],
            sort: Vec::new(),
        }],
    }
}

/// How a history is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub output: Output,
    pub lanes: u32,
    pub remove: bool,
    pub has_version: bool,
}

impl Setting {
    pub fn config(&self, lease_seconds: u64) -> Config {
        let lanes = self.lanes.to_string();
        let lease = lease_seconds.to_string();
        let shard = if self.lanes > 1 { "#{shard}" } else { "" };
        let [pending, done, failed] =
            ["false", "true", "failed"].map(|text| format!("{text}{shard}"));
        Config::read(&Environment::from([
            ("TABLE_NAME", TABLE),
            ("INDEX_NAME", INDEX),
            ("LEDGER_TABLE", "ledger"),
            ("LAKE_BUCKET", LAKE),
            ("PENDING_MARKER", &pending),
            ("DONE_MARKER", &done),
            ("FAILED_MARKER", &failed),
            ("MARK_DONE_BY", if self.remove { "remove" } else { "set" }),
            ("LANES", &lanes),
            (
                "VERSION_ATTRIBUTE",
                if self.has_version { "version" } else { "" },
            ),
            (
                "OUTPUT",
                match self.output {
                    Output::Objects => "objects",
                    Output::Bundles => "bundles",
                },
            ),
            ("CONCURRENCY", "4"),
            ("LEASE_SECONDS", &lease),
        ]))
        .expect("the settings are good")
    }
}

/// The item as plain JSON; one with the attribute `poison` cannot be processed, and now and then the service is down.
pub struct Checked {
    random: RefCell<ChaCha8Rng>,
    down_of_1000: u32,
    /// Items that it was given.
    pub items: Cell<u64>,
}

impl Checked {
    pub fn new(seed: u64, down_of_1000: u32) -> Self {
        Self {
            random: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            down_of_1000,
            items: Cell::new(0),
        }
    }
}

/// What the process makes of an item.
pub fn body_of(item: &Item) -> Vec<u8> {
    let mut body = Vec::new();
    write_item_plain_json(item, &mut body);
    body
}

impl Process for Checked {
    async fn process(&self, item: &Item) -> Result<Vec<u8>, ProcessError> {
        self.items.set(self.items.get() + 1);
        let (is_down, millis) = {
            let mut random = self.random.borrow_mut();
            (
                random.random_range(0..1000_u32) < self.down_of_1000,
                random.random_range(0..2_000),
            )
        };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        if is_down {
            return Err(ProcessError::Service("the service is down".into()));
        }
        match item.contains_key("poison") {
            true => Err(ProcessError::Item("it is poison".to_owned())),
            false => Ok(body_of(item)),
        }
    }
}

/// How often something happened that the histories are about.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub invocations: usize,
    pub crashes: usize,
    pub failures: usize,
    pub busy: u64,
    pub done: u64,
    pub skipped: u64,
    pub set_aside: u64,
    pub unfinished: u64,
    pub changes: usize,
}

/// The stores and what the users of the table wrote.
pub struct World {
    pub setting: Setting,
    pub tables: Failing<Watched>,
    pub lake: Failing<MemoryObjects>,
    pub ledger: Failing<MemoryLedger>,
    pub clock: TestClock,
    lease_seconds: u64,
    seed: u64,
    random: RefCell<ChaCha8Rng>,
    /// What the users wrote last of each item, without the marker.
    pub model: RefCell<BTreeMap<u32, Option<Item>>>,
    writes: RefCell<u64>,
    pub tally: RefCell<Tally>,
}

impl World {
    pub fn new(seed: u64, setting: Setting) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let lake = MemoryObjects::new().with_bucket(LAKE);
        let watched = Watched::new(
            MemoryTables::new().with_table(shape()),
            lake.clone(),
            setting,
        );
        let lease_seconds = [10, 10, 30][random.random_range(0..3)];
        let world = Self {
            setting,
            tables: Failing::new(watched, FaultPlan::seeded(seed)),
            lake: Failing::new(lake, FaultPlan::seeded(seed)),
            ledger: Failing::new(MemoryLedger::new(), FaultPlan::seeded(seed)),
            clock: TestClock::default(),
            lease_seconds,
            seed,
            random: RefCell::new(random),
            model: RefCell::default(),
            writes: RefCell::default(),
            tally: RefCell::default(),
        };
        let items = world.draw(1..=6);
        for id in 0..items {
            world.put(id);
        }
        world
    }

    /// Overlapping runs, users and a lagging index; then whatever is still on the wire lands.
    pub async fn chaos(&self) {
        let workers = self.draw(1..=3);
        let invocations = self.draw(3..=12);
        let workers = join_all((0..workers).map(async |_| {
            for _ in 0..invocations {
                tokio::time::sleep(Duration::from_millis(self.draw(0..=8_000).into())).await;
                self.invoke_badly().await;
            }
        }));
        let others = async {
            for _ in 0..self.draw(0..=120) {
                tokio::time::sleep(Duration::from_millis(self.draw(0..=2_500).into())).await;
                self.somebody_else();
            }
        };
        join(workers, others).await;
        self.tables.settle().await;
        self.lake.settle().await;
        self.ledger.settle().await;
        self.inner().catch_up_all(TABLE);
    }

    /// Runs in calm until two in a row, a minute apart, find nothing.
    pub async fn drain(&self) {
        let mut empty = 0;
        for _ in 0..60 {
            let report = self
                .invoke(&json!({}), &FaultPlan::seeded(1), 900, 0)
                .await
                .expect("nobody crashes")
                .expect("nothing fails");
            empty = match report.counts.taken {
                0 if report.lanes.iter().all(|lane| !is_busy(lane)) => empty + 1,
                _ => 0,
            };
            if empty == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_secs(61)).await;
        }
        panic!(
            "history {}: 60 calm runs did not empty the index",
            self.seed
        );
    }

    async fn invoke_badly(&self) {
        let (plan, seconds) = self.faults();
        let mut event = json!({});
        if self.chance(500) {
            event["limit"] = self.draw(1..=6).into();
        }
        if self.chance(300) {
            event["lane"] = self.draw(0..=self.setting.lanes - 1).into();
        }
        if self.chance(300) {
            event["count_left"] = false.into();
        }
        let answered = self.invoke(&event, &plan, seconds, 50).await;
        let mut tally = self.tally.borrow_mut();
        match answered {
            None => tally.crashes += 1,
            Some(Err(_)) => tally.failures += 1,
            Some(Ok(_)) => {}
        }
    }

    /// One invocation of the real handler; nothing if it died.
    pub async fn invoke(
        &self,
        event: &Json,
        plan: &FaultPlan,
        seconds: u64,
        down_of_1000: u32,
    ) -> Option<Result<Report, Failure>> {
        self.tally.borrow_mut().invocations += 1;
        let random = self.random.borrow_mut().random();
        let deadline = self.clock.now().plus(Duration::from_secs(seconds));
        let dependencies = Dependencies {
            objects: self.lake.with_plan(plan.clone()),
            tables: self.tables.with_plan(plan.clone()),
            ledger: self.ledger.with_plan(plan.clone()),
            clock: self.clock,
            process: Checked::new(random, down_of_1000),
            config: self.setting.config(self.lease_seconds),
        };
        let invocation = Invocation { deadline, random };
        let answered = tokio::select! {
            biased;
            answer = handle(event, invocation, &dependencies) => Some(answer),
            () = plan.crashed() => None,
            // A function that has not answered by then is killed.
            () = tokio::time::sleep(Duration::from_secs(seconds)) => None,
        }
        .filter(|_| !plan.is_dead());
        let limit = event["limit"].as_u64().unwrap_or(5_000);
        let lanes = match event.get("lane") {
            Some(_) => 1,
            None => self.setting.lanes,
        };
        assert!(
            dependencies.process.items.get() <= limit * u64::from(lanes),
            "more items than the cap were processed"
        );
        if let Some(Ok(report)) = &answered {
            self.check(report, limit);
        }
        answered
    }

    fn check(&self, report: &Report, limit: u64) {
        let mut tally = self.tally.borrow_mut();
        for lane in &report.lanes {
            let counts = lane.counts;
            assert!(counts.taken <= limit, "{report:?}");
            assert_eq!(
                counts.taken,
                counts.done + counts.skipped + counts.failed + counts.unfinished,
                "{report:?}"
            );
            tally.busy += u64::from(is_busy(lane));
        }
        tally.done += report.counts.done;
        tally.skipped += report.counts.skipped;
        tally.set_aside += report.counts.set_aside;
        tally.unfinished += report.counts.unfinished;
    }

    /// A user of the table, or the index that catches up a little.
    fn somebody_else(&self) {
        let mut known: Vec<u32> = self.model.borrow().keys().copied().collect();
        known.push(self.draw(0..=8));
        let id = known[self.draw(0..=u32::try_from(known.len() - 1).expect("few")) as usize];
        match self.draw(0..=11) {
            0 => self.inner().lag_index(TABLE),
            1 => self.inner().catch_up_all(TABLE),
            2 | 3 => {
                let some = self.draw(0..=2);
                self.inner().catch_up(TABLE, |item| match item.get("id") {
                    Some(Value::N(id)) => {
                        id.as_str().bytes().map(u32::from).sum::<u32>() % 3 == some
                    }
                    _ => true,
                });
            }
            4 => self.delete(id),
            5..=7 => self.put(id),
            _ => self.change(id),
        }
        self.tally.borrow_mut().changes += 1;
    }

    /// Puts a new state of an item, pending.
    pub fn put(&self, id: u32) {
        let mut item = self.new_item(id);
        self.model.borrow_mut().insert(id, Some(item.clone()));
        item.insert("processed".to_owned(), Value::S(self.pending(id)));
        self.inner().seed(TABLE, [item]);
    }

    fn delete(&self, id: u32) {
        self.model.borrow_mut().insert(id, None);
        let deletion = ItemWrite::Delete(key(id));
        let deleted = (self
            .inner()
            .write_if(&shape(), &deletion, &Condition::Exists))
        .now_or_never();
        drop(
            deleted
                .expect("memory answers at once")
                .expect("the key is good"),
        );
    }

    /// Changes a pending item but for its marker, and leaves others alone.
    fn change(&self, id: u32) {
        let canonical = shape().canonical_key(&key(id)).expect("a good key");
        let Some(held) = self.inner().held(TABLE, &canonical) else {
            return;
        };
        if held.get("processed") != Some(&Value::S(self.pending(id))) {
            return;
        }
        let mut item = held;
        let fresh = self.new_item(id);
        match self.draw(0..=2) {
            0 => drop(item.insert("n".to_owned(), fresh["n"].clone())),
            1 if item.contains_key("extra") => drop(item.remove("extra")),
            // Without a version attribute, an attribute that was only added goes unseen.
            1 if self.setting.has_version => {
                item.insert("extra".to_owned(), fresh["n"].clone());
            }
            _ => match item.remove("poison") {
                Some(_) => {}
                None => drop(item.insert("n".to_owned(), fresh["n"].clone())),
            },
        }
        if self.setting.has_version {
            item.insert("version".to_owned(), fresh["version"].clone());
        }
        let mut model = item.clone();
        model.remove("processed");
        model.remove("processed_tries");
        self.model.borrow_mut().insert(id, Some(model));
        self.inner().seed(TABLE, [item]);
    }

    fn new_item(&self, id: u32) -> Item {
        *self.writes.borrow_mut() += 1;
        let writes = *self.writes.borrow();
        let mut item = key(id);
        item.insert("n".to_owned(), number(writes));
        if self.setting.has_version {
            item.insert("version".to_owned(), number(writes));
        }
        if self.chance(300) {
            item.insert("extra".to_owned(), Value::Null);
        }
        if self.chance(100) {
            item.insert("poison".to_owned(), Value::Bool(true));
        }
        item
    }

    pub fn pending(&self, id: u32) -> String {
        match self.setting.lanes {
            1 => "false".to_owned(),
            lanes => format!("false#{}", id % lanes),
        }
    }

    /// What goes wrong in an invocation, and how many seconds it has.
    fn faults(&self) -> (FaultPlan, u64) {
        let plan = FaultPlan::seeded(self.random.borrow_mut().random());
        let seconds = if self.chance(300) {
            self.draw(6..=40)
        } else {
            900
        };
        if self.chance(200) {
            return (plan, seconds.into());
        }
        let longest_delay = Duration::from_secs(self.draw(1..=60).into());
        for operation in [
            "GetItem",
            "GetObject",
            "PutObject",
            "DeleteObject",
            "UpdateItem",
            "PutItem",
            "Query",
        ] {
            let is_rare = matches!(operation, "Query" | "PutItem");
            let rate = self.draw(0..=if is_rare { 20 } else { 120 });
            plan.at_random(
                operation,
                Rates {
                    unanswered: rate,
                    answer_lost: rate,
                    throttled: rate / 2,
                    slow: 200,
                    late: match operation {
                        "PutObject" | "UpdateItem" => 2 * rate,
                        _ => 0,
                    },
                    body: if operation == "GetObject" { rate } else { 0 },
                    longest_delay,
                    ..Rates::default()
                },
            );
        }
        if self.chance(350) {
            let landing = match self.draw(0..=2) {
                0 => Landing::AfterBatches(u32::MAX),
                1 => Landing::AfterBatches(self.draw(0..=4)),
                _ => Landing::AfterTime(Duration::from_secs(self.draw(0..=200).into())),
            };
            let crash = match self.draw(0..=2) {
                0 => Crash::Before,
                1 => Crash::After,
                _ => Crash::Late(landing),
            };
            plan.crash_at(self.draw(1..=60) as usize, crash);
        }
        (plan, seconds.into())
    }

    pub fn inner(&self) -> &MemoryTables {
        self.tables.inner().tables()
    }

    fn draw(&self, range: std::ops::RangeInclusive<u32>) -> u32 {
        self.random.borrow_mut().random_range(range)
    }

    fn chance(&self, of_1000: u32) -> bool {
        self.draw(0..=999) < of_1000
    }
}

fn is_busy(lane: &gsi_reprocessor::LaneReport) -> bool {
    lane.ended == gsi_reprocessor::Ended::Busy
}

pub fn key(id: u32) -> Item {
    Item::from([
        ("account".to_owned(), Value::S(format!("a/{}", id % 3))),
        ("id".to_owned(), number(id.into())),
    ])
}

pub fn number(value: u64) -> Value {
    Value::N(Number::parse(&value.to_string()).expect("a count is a number"))
}

/// The notebook of a world, shared by its stores.
pub type Shared<T> = Rc<RefCell<T>>;
