//! A small AWS in memory for the handler's tests: two buckets, a table, a ledger, a queue, and time that the test moves.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use csv_ingester::{Config, Dependencies, Invocation, Report, handle};
use lambda_support::Failure;
use records::{IndexShape, Item, KeyAttribute, KeyType, TableShape, Value};
use serde_json::json;
use storage::failing::{Failing, FaultPlan};
use storage::memory::{MemoryLedger, MemoryObjects, MemoryQueue, MemoryTables};
use storage::{Clock, LedgerRow, ObjectId, TestClock};

pub const INBOX: &str = "inbox";
pub const LAKE: &str = "lake";
pub const TABLE: &str = "offers";
pub const KEY: &str = "in/offers.csv";

pub type Process = Dependencies<
    Failing<MemoryObjects>,
    Failing<MemoryTables>,
    Failing<MemoryLedger>,
    Failing<MemoryQueue>,
    TestClock,
>;

pub struct World {
    pub objects: MemoryObjects,
    pub tables: Failing<MemoryTables>,
    pub ledger: MemoryLedger,
    pub queue: MemoryQueue,
    pub clock: TestClock,
    pub config: Config,
    random: std::cell::Cell<u64>,
}

/// Table `offers`: key `id` (S) and `seq` (N), index on `rank` (N).
pub fn shape() -> TableShape {
    let attribute = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: TABLE.to_owned(),
        partition: attribute("id", KeyType::S),
        sort: Some(attribute("seq", KeyType::N)),
        indexes: vec![IndexShape {
            name: "by-rank".to_owned(),
            partition: vec![attribute("rank", KeyType::N)],
            sort: Vec::new(),
        }],
    }
}

impl World {
    pub fn new(block_rows: u64) -> Self {
        Self {
            objects: MemoryObjects::new()
                .with_versioned_bucket(INBOX)
                .with_bucket(LAKE)
                .with_chunks_of(700),
            tables: Failing::new(
                MemoryTables::new().with_table(shape()),
                FaultPlan::seeded(0),
            ),
            ledger: MemoryLedger::new(),
            queue: MemoryQueue::new(),
            clock: TestClock::default(),
            config: Config {
                table: TABLE.to_owned(),
                ledger_table: "ledger".to_owned(),
                lake_bucket: LAKE.to_owned(),
                failure_queue_url: "queue".to_owned(),
                row_mapping_key: None,
                settle: Duration::from_secs(300),
                lease: Duration::from_secs(60),
                block_rows,
                endpoint_url: None,
            },
            random: std::cell::Cell::new(7),
        }
    }

    pub fn process(&self, plan: &FaultPlan) -> Process {
        Dependencies {
            objects: Rc::new(Failing::new(self.objects.clone(), plan.clone())),
            tables: self.tables.with_plan(plan.clone()),
            ledger: Failing::new(self.ledger.clone(), plan.clone()),
            notices: Failing::new(self.queue.clone(), plan.clone()),
            clock: self.clock,
            config: self.config.clone(),
        }
    }

    /// One invocation in a process of its own, with 15 minutes. Nothing if the process died.
    pub async fn invoke(
        &self,
        plan: &FaultPlan,
        event: &serde_json::Value,
    ) -> Option<Result<Report, Failure>> {
        self.invoke_for(plan, event, Duration::from_secs(900)).await
    }

    pub async fn invoke_for(
        &self,
        plan: &FaultPlan,
        event: &serde_json::Value,
        time: Duration,
    ) -> Option<Result<Report, Failure>> {
        let process = self.process(plan);
        self.random.set(self.random.get() + 1);
        let invocation = Invocation {
            deadline: self.clock.now().plus(time),
            random: self.random.get(),
        };
        tokio::select! {
            biased;
            () = plan.crashed() => None,
            // What a process answers that died on its last operation, nobody hears.
            result = handle(event, invocation, &process) => (!plan.is_dead()).then_some(result),
        }
    }

    /// An invocation in which nothing goes wrong.
    pub async fn invoke_well(&self, event: &serde_json::Value) -> Report {
        self.invoke(&FaultPlan::seeded(0), event)
            .await
            .expect("nothing crashes")
            .expect("nothing fails")
    }

    /// Sweeps every five minutes until nothing is open any more.
    pub async fn sweep_until_quiet(&self) {
        for _ in 0..20 {
            if self.ledger.rows().iter().all(|row| row.open.is_none()) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
            self.invoke_well(&json!({"sweep": true})).await;
        }
        panic!("work is left: {:#?}", self.ledger.rows());
    }

    pub fn upload(&self, body: impl Into<bytes::Bytes>) -> ObjectId {
        self.objects.seed(INBOX, KEY, body, &[])
    }

    /// Parts of one kind, in order of their names.
    pub fn parts(&self, folder: &str) -> BTreeMap<String, String> {
        self.objects
            .snapshot(LAKE)
            .into_iter()
            .filter(|(key, _)| key.starts_with(folder))
            .map(|(key, body)| {
                (
                    key,
                    String::from_utf8(body.to_vec()).expect("JSON lines are UTF-8"),
                )
            })
            .collect()
    }

    pub fn lines(&self, folder: &str) -> Vec<serde_json::Value> {
        let parts = self.parts(folder);
        let lines = parts.values().flat_map(|part| part.lines());
        lines
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    pub fn job_row(&self, sequencer: &str) -> LedgerRow {
        let job = format!("ingest/{INBOX}/{KEY}#{sequencer}");
        let rows = self.ledger.rows();
        rows.into_iter()
            .find(|row| row.job == job)
            .unwrap_or_else(|| panic!("no job {job}"))
    }

    pub fn items(&self) -> Vec<Item> {
        self.tables.inner().scan(TABLE)
    }

    /// `id/seq` → attribute `v`.
    pub fn values(&self) -> BTreeMap<String, String> {
        self.items()
            .iter()
            .map(|item| {
                (
                    format!("{}/{}", text(&item["id"]), text(&item["seq"])),
                    text(&item["v"]),
                )
            })
            .collect()
    }
}

pub fn text(value: &Value) -> String {
    match value {
        Value::S(text) => text.clone(),
        Value::N(number) => number.as_str().to_owned(),
        other => panic!("neither text nor number: {other:?}"),
    }
}

/// S3's notification of one object version.
pub fn notification(object: &ObjectId, sequencer: &str) -> serde_json::Value {
    json!({"Records": [record(object, sequencer)]})
}

pub fn record(object: &ObjectId, sequencer: &str) -> serde_json::Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2026-01-31T12:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "EXAMPLE"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "c",
            "bucket": {"name": object.bucket, "ownerIdentity": {"principalId": "EXAMPLE"}, "arn": "arn:aws:s3:::inbox"},
            "object": {
                "key": object.key, "size": 1, "eTag": object.etag, "versionId": object.version, "sequencer": sequencer
            }
        }
    })
}

/// Runs a test in paused time.
pub fn run_paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime for the test")
        .block_on(work)
}
