//! A table, its users and its scan: workers that overlap, die and meet failing services, while items change. Everything goes
//! through the real handler; the stores are the strict ones in memory.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "what helps tests may fail as tests do"
)]

mod checks;
mod ledger;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use export_jobs::{PartRow, SCAN_PART, ScanRow};
use futures_util::future::{FutureExt, join, join_all};
use lambda_support::{Environment, Failure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use records::{Item, KeyAttribute, KeyType, Number, TableShape, Value};
use serde_json::{Value as Json, json};
use storage::failing::{Crash, Failing, FaultPlan, Landing, Rates};
use storage::memory::{MemoryLedger, MemoryObjects, MemoryTables, MemoryWorkflows};
use storage::{Clock, Condition, ItemStore, ItemWrite, Ledger, LedgerRow, TestClock, Workflows};
use table_scanner::{Config, Dependencies, Invocation, Report, handle};

pub use checks::{Row, lines_under};
pub use ledger::LateLedger;

pub const TABLE: &str = "offers";
pub const LAKE: &str = "lake";
pub const JOB: &str = "scan/offers/one";
pub const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:transload-scan";

pub fn shape() -> TableShape {
    let key = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: TABLE.to_owned(),
        partition: key("account", KeyType::S),
        sort: Some(key("id", KeyType::N)),
        indexes: Vec::new(),
    }
}

pub fn config() -> Config {
    Config::read(&Environment::from([
        ("TABLE_NAME", TABLE),
        ("LEDGER_TABLE", "ledger"),
        ("LAKE_BUCKET", LAKE),
        ("SPLIT_MB", "1"),
    ]))
    .expect("the settings are good")
}

/// How a history is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub format: &'static str,
    pub items: u32,
    pub segments: u32,
    /// Bytes of a split; far fewer than an event may ask for.
    pub split_bytes: u64,
    pub read_units: u64,
    /// Of a thousand writes of the ledger, how many land after they were given up.
    pub late_of_1000: u32,
}

/// How often something happened that the histories are about.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub invocations: u64,
    pub crashes: u64,
    pub failures: u64,
    pub lost: u64,
    pub continued: u64,
    pub changes: u64,
    pub late: u64,
    pub rows: u64,
    pub objects: u64,
}

/// The stores and what the users of the table wrote.
pub struct World {
    pub setting: Setting,
    pub seed: u64,
    pub tables: Failing<MemoryTables>,
    pub lake: Failing<MemoryObjects>,
    pub ledger: Failing<LateLedger>,
    /// The state machine's executions, which do nothing.
    pub workflows: Failing<MemoryWorkflows>,
    pub clock: TestClock,
    random: RefCell<StdRng>,
    /// The states of each item, each with the millisecond from which on it was so.
    pub states: RefCell<BTreeMap<u32, Vec<(u64, Option<Item>)>>>,
    /// What the table's stream said.
    pub stream: RefCell<Vec<String>>,
    writes: Cell<u64>,
    pub tally: RefCell<Tally>,
}

impl World {
    pub fn new(seed: u64, setting: Setting) -> Self {
        let world = Self {
            setting,
            seed,
            tables: Failing::new(
                MemoryTables::new().with_table(shape()),
                FaultPlan::seeded(1),
            ),
            lake: Failing::new(MemoryObjects::new().with_bucket(LAKE), FaultPlan::seeded(1)),
            ledger: Failing::new(
                LateLedger::new(seed, setting.late_of_1000),
                FaultPlan::seeded(1),
            ),
            workflows: Failing::new(
                MemoryWorkflows::new().with_machine(MACHINE),
                FaultPlan::seeded(1),
            ),
            clock: TestClock::default(),
            random: RefCell::new(StdRng::seed_from_u64(seed)),
            states: RefCell::default(),
            stream: RefCell::default(),
            writes: Cell::default(),
            tally: RefCell::default(),
        };
        for id in 0..setting.items {
            let item = world.new_item(id);
            world.tables.inner().seed(TABLE, [item.clone()]);
            world.states.borrow_mut().insert(id, vec![(0, Some(item))]);
        }
        world
    }

    /// Begins the scan, however often that takes, with splits that are small enough for a small table.
    pub async fn begin(&self) {
        self.begin_with(false).await;
    }

    /// The same, and nothing fails.
    pub async fn begin_in_calm(&self) {
        self.begin_with(true).await;
    }

    async fn begin_with(&self, is_calm: bool) {
        let event = json!({"action": "begin", "scan": "one", "segments": self.setting.segments, "read_units": self.setting.read_units, "format": self.setting.format, "consistent": true});
        loop {
            let (plan, seconds) = match is_calm {
                true => (FaultPlan::seeded(1), 900),
                false => self.faults(),
            };
            if let Some(Ok(_)) = self.invoke(&event, &plan, seconds).await {
                break;
            }
        }
        // What begin left on the wire has lost its condition, or has it already.
        self.ledger.inner().arrive(1_000).await;
        let ledger = &self.ledger.inner().inner;
        let stored = ledger.read(JOB, SCAN_PART).await.unwrap().unwrap();
        let mut row = stored;
        row.revision += 1;
        row.attributes["settings"]["split_bytes"] = self.setting.split_bytes.into();
        ledger.write(&row).await.unwrap();
    }

    /// Workers that overlap, users, and a little too early an end; then whatever is still on the wire lands.
    pub async fn chaos(&self) {
        let workers = self.draw(1..=3);
        let invocations = self.draw(2..=10);
        let workers = join_all((0..workers).map(async |_| {
            for _ in 0..invocations {
                tokio::time::sleep(Duration::from_millis(self.draw(0..=5_000).into())).await;
                self.scan_badly().await;
            }
        }));
        let users = async {
            for _ in 0..self.draw(0..=80) {
                tokio::time::sleep(Duration::from_millis(self.draw(0..=1_500).into())).await;
                self.somebody_changes_something();
            }
        };
        join(workers, users).await;
    }

    /// Scans in calm until all segments are read, and finishes.
    pub async fn drain(&self) -> Json {
        let calm = FaultPlan::seeded(1);
        for segment in 0..self.setting.segments {
            let event = json!({"action": "scan", "job": JOB, "segment": segment});
            for tries in 0.. {
                assert!(
                    tries < 200,
                    "history {}: segment {segment} never ends",
                    self.seed
                );
                match self.invoke(&event, &calm, 900).await {
                    Some(Ok(Report::Segment(report))) if report.status == "COMPLETED" => break,
                    Some(Err(failure)) => {
                        let is_late = failure.message.contains("the answer was lost");
                        assert!(is_late, "history {}: {failure}", self.seed);
                    }
                    _ => {}
                }
            }
        }
        let event = json!({"action": "finish", "job": JOB});
        let finished = loop {
            if let Some(Ok(report)) = self.invoke(&event, &calm, 900).await {
                break serde_json::to_value(report).unwrap();
            }
        };
        self.tables.settle().await;
        self.lake.settle().await;
        self.ledger.inner().arrive(1_000).await;
        self.tally.borrow_mut().late = *self.ledger.inner().late.borrow();
        finished
    }

    async fn scan_badly(&self) {
        let (plan, seconds) = self.faults();
        let segment = self.draw(0..=self.setting.segments - 1);
        let event = match self.chance(30) {
            true => json!({"action": "finish", "job": JOB}),
            false => json!({"action": "scan", "job": JOB, "segment": segment}),
        };
        let answered = self.invoke(&event, &plan, seconds).await;
        self.check_visible();
        let mut tally = self.tally.borrow_mut();
        match answered {
            None => tally.crashes += 1,
            Some(Err(failure)) => {
                tally.failures += 1;
                tally.lost += u64::from(failure.message.contains("another worker has taken"));
                let is_mended_by_time = failure.kind == lambda_support::FailureKind::Transient;
                assert!(is_mended_by_time, "history {}: {failure}", self.seed);
            }
            Some(Ok(Report::Segment(report))) => {
                tally.continued += u64::from(report.status == "CONTINUE");
            }
            Some(Ok(_)) => {}
        }
    }

    /// One invocation of the real handler; nothing if it died.
    pub async fn invoke(
        &self,
        event: &Json,
        plan: &FaultPlan,
        seconds: u64,
    ) -> Option<Result<Report, Failure>> {
        self.tally.borrow_mut().invocations += 1;
        let invocation = Invocation {
            deadline: self.clock.now().plus(Duration::from_secs(seconds)),
            random: self.random.borrow_mut().random(),
        };
        let dependencies = Dependencies {
            objects: self.lake.with_plan(plan.clone()),
            tables: self.tables.with_plan(plan.clone()),
            ledger: self.ledger.with_plan(plan.clone()),
            workflows: self.workflows.with_plan(plan.clone()),
            clock: self.clock,
            config: config(),
        };
        tokio::select! {
            biased;
            answer = handle(event, invocation, &dependencies) => Some(answer),
            () = plan.crashed() => None,
            // A function that has not answered by then is killed.
            () = tokio::time::sleep(Duration::from_secs(seconds)) => None,
        }
        .filter(|_| !plan.is_dead())
    }

    /// One invocation in calm, which answers.
    pub async fn call(&self, event: &Json) -> Result<Json, Failure> {
        let answer = self.invoke(event, &FaultPlan::seeded(1), 900).await;
        let answer = answer.expect("nobody dies");
        answer.map(|report| serde_json::to_value(report).expect("an answer is JSON"))
    }

    /// Another execution of the machine, which runs until it is ended; its ARN.
    pub async fn execution(&self, name: &str) -> String {
        let workflows = self.workflows.inner();
        workflows.start(MACHINE, name, "{}").await.expect("memory")
    }

    /// A user puts, changes or deletes an item, and the stream says so.
    pub fn somebody_changes_something(&self) {
        let id = self.draw(0..=self.setting.items + 3);
        let item = (!self.chance(250)).then(|| self.new_item(id));
        self.change(id, item);
    }

    pub fn change(&self, id: u32, item: Option<Item>) {
        let tables = self.tables.inner();
        match &item {
            Some(item) => tables.seed(TABLE, [item.clone()]),
            None => {
                let deletion = ItemWrite::Delete(key(id));
                let shape = shape();
                let deleted = tables.write_if(&shape, &deletion, &Condition::Exists);
                drop(
                    deleted
                        .now_or_never()
                        .expect("memory answers at once")
                        .unwrap(),
                );
            }
        }
        let now = self.clock.now().0;
        let mut all = self.states.borrow_mut();
        let states = all.entry(id).or_insert_with(|| vec![(0, None)]);
        if states.last().is_some_and(|(_, last)| *last == item) {
            return;
        }
        states.push((now, item.clone()));
        self.stream
            .borrow_mut()
            .push(stream_line(id, now, self.writes.get(), item.as_ref()));
        self.writes.set(self.writes.get() + 1);
        self.tally.borrow_mut().changes += 1;
    }

    pub fn new_item(&self, id: u32) -> Item {
        let mut item = key(id);
        self.writes.set(self.writes.get() + 1);
        item.insert("n".to_owned(), number(self.writes.get()));
        let pad = "x".repeat(self.draw(0..=150) as usize);
        item.insert("pad".to_owned(), Value::S(pad));
        item
    }

    /// What goes wrong in an invocation, and how many seconds it has.
    fn faults(&self) -> (FaultPlan, u64) {
        let plan = FaultPlan::seeded(self.random.borrow_mut().random());
        let seconds = match self.chance(500) {
            true => self.draw(4..=40),
            false => 900,
        };
        let longest_delay = Duration::from_secs(self.draw(1..=8).into());
        let rate = if self.chance(200) {
            0
        } else {
            self.draw(0..=60)
        };
        for operation in [
            "Scan",
            "GetItem",
            "PutItem",
            "DescribeTable",
            "CreateMultipartUpload",
            "UploadPart",
            "CompleteMultipartUpload",
            "AbortMultipartUpload",
            "PutObject",
            "GetObject",
        ] {
            plan.at_random(
                operation,
                Rates {
                    unanswered: rate,
                    answer_lost: rate,
                    throttled: rate,
                    slow: if operation == "Scan" { 700 } else { 200 },
                    longest_delay,
                    ..Rates::default()
                },
            );
        }
        if self.chance(400) {
            let crash = match self.chance(500) {
                true => Crash::Before,
                false => Crash::After,
            };
            plan.crash_at(self.draw(1..=60) as usize, crash);
        }
        (plan, seconds.into())
    }

    pub fn draw(&self, range: std::ops::RangeInclusive<u32>) -> u32 {
        self.random.borrow_mut().random_range(range)
    }

    pub fn chance(&self, of_1000: u32) -> bool {
        self.draw(0..=999) < of_1000
    }
}

pub fn key(id: u32) -> Item {
    Item::from([
        ("account".to_owned(), Value::S(format!("a/{}", id % 7))),
        ("id".to_owned(), number(id.into())),
    ])
}

pub fn number(value: u64) -> Value {
    Value::N(Number::parse(&value.to_string()).expect("a count is a number"))
}

pub fn id_of(item: &Item) -> u32 {
    match &item["id"] {
        Value::N(id) => id.as_str().parse().expect("an id is a number"),
        other => panic!("{other:?} is no id"),
    }
}

pub fn dynamodb_json(item: &Item) -> String {
    let mut json = Vec::new();
    records::write_item_dynamodb_json(item, &mut json);
    String::from_utf8(json).expect("JSON is text")
}

fn stream_line(id: u32, millis: u64, sequence: u64, item: Option<&Item>) -> String {
    let (name, image) = match item {
        Some(item) => ("MODIFY", format!(",\"NewImage\":{}", dynamodb_json(item))),
        None => ("REMOVE", String::new()),
    };
    format!(
        r#"{{"eventID":"s{sequence}","eventName":"{name}","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":{}.0,"Keys":{}{image},"SequenceNumber":"{sequence}"}},"eventSourceARN":"arn:aws:dynamodb:r:1:table/offers/stream/2026-01-01T00:00:00.000"}}"#,
        millis / 1_000,
        dynamodb_json(&key(id)),
    )
}
