//! A table whose exports are begun, polled, planned and finished by state machines that overlap, die and come back days later,
//! while DynamoDB fails exports and loses recovery. Every step goes through the real handler; what the transformer does to a data
//! file stands in one function.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use export_jobs::names::{file_part, stem, table_object};
use export_jobs::{
    EXPORT_PART, JobRow, Manifest, OutputObject, PartRow, Span, Status, change, read,
};
use export_poller::{Config, Dependencies, handle};
use lambda_support::{Failure, FailureKind};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use records::{KeyAttribute, KeyType, TableShape};
use serde_json::{Value as Json, json};
use storage::failing::{Crash, Failing, FaultPlan, Landing, Rates};
use storage::memory::{MemoryExports, MemoryLedger, MemoryObjects, MemoryTables, MemoryWorkflows};
use storage::{
    Clock, ExportSpan, ExportView, ObjectStore, TableExports, TableIdentity, TestClock, Workflows,
};

pub const TABLE: &str = "offers";
pub const LAKE: &str = "lake";
pub const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/offers";
pub const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:transload-export";

/// How long a call of the function may take.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Stores, and what happened to them.
pub struct World {
    pub lake: Failing<MemoryObjects>,
    pub tables: Failing<MemoryTables>,
    pub exports: Failing<MemoryExports>,
    pub ledger: Failing<MemoryLedger>,
    pub workflows: Failing<MemoryWorkflows>,
    pub clock: TestClock,
    pub window_seconds: u64,
    pub view: ExportView,
    /// Variables of the function besides.
    pub variables: Vec<(&'static str, &'static str)>,
    random: RefCell<ChaCha8Rng>,
    pub crashes: Cell<usize>,
    pub failures: Cell<usize>,
    executions: Cell<usize>,
    /// Which executions transformed the files of which jobs.
    pub transformed: RefCell<Vec<(String, String)>>,
}

/// What somebody who calls the functions by hand is called here.
pub const BY_HAND: &str = "by hand";

/// What an execution of the state machine does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Begin(Json),
    Poll(String),
    Plan(String),
    Transform(String),
    Finish(String),
    /// It ended, with the answer of its last step.
    End(Json),
}

pub fn table_shape() -> TableShape {
    TableShape {
        name: TABLE.to_owned(),
        partition: KeyAttribute {
            name: "id".to_owned(),
            kind: KeyType::S,
        },
        sort: None,
        indexes: Vec::new(),
    }
}

/// Three files, one of which is empty; how many items they have depends on what is exported.
pub fn lines(span: &ExportSpan) -> Vec<Vec<String>> {
    let number = match span {
        ExportSpan::Full { time } => time % 5,
        ExportSpan::Incremental { from, .. } => from % 7,
    };
    let line = |file: u64, item: u64| match span {
        ExportSpan::Full { .. } => format!(r#"{{"Item":{{"id":{{"S":"{file}-{item}"}}}}}}"#),
        ExportSpan::Incremental { .. } => format!(
            r#"{{"Metadata":{{"WriteTimestampMicros":{{"N":"1"}}}},"Keys":{{"id":{{"S":"{file}-{item}"}}}}}}"#
        ),
    };
    vec![
        (0..=number).map(|item| line(0, item)).collect(),
        Vec::new(),
        (0..2).map(|item| line(2, item)).collect(),
    ]
}

impl World {
    pub fn new(seed: u64) -> Self {
        let clock = TestClock::default();
        let lake = MemoryObjects::new().with_bucket(LAKE);
        let exports = MemoryExports::new(clock, lake.clone()).with_table(ARN);
        exports.set_lines(lines);
        let identity = TableIdentity {
            arn: ARN.to_owned(),
            id: "00000000-0000-4000-8000-000000000001".to_owned(),
        };
        let tables = MemoryTables::new()
            .with_table(table_shape())
            .with_identity(TABLE, identity);
        let plan = FaultPlan::seeded(seed);
        Self {
            lake: Failing::new(lake, plan.clone()),
            tables: Failing::new(tables, plan.clone()),
            exports: Failing::new(exports, plan.clone()),
            ledger: Failing::new(MemoryLedger::new(), plan.clone()),
            workflows: Failing::new(MemoryWorkflows::new().with_machine(MACHINE), plan),
            clock,
            window_seconds: 3_600,
            view: ExportView::NewAndOldImages,
            variables: Vec::new(),
            random: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            crashes: Cell::new(0),
            failures: Cell::new(0),
            executions: Cell::new(0),
            transformed: RefCell::default(),
        }
    }

    pub fn config(&self) -> Config {
        let seconds = self.window_seconds.to_string();
        let view = match self.view {
            ExportView::NewImage => "NEW_IMAGE",
            ExportView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        };
        let mut variables = vec![
            ("TABLE_NAME", TABLE),
            ("LEDGER_TABLE", "ledger"),
            ("LAKE_BUCKET", LAKE),
            ("WINDOW_SECONDS", &seconds),
            ("EXPORT_VIEW", view),
        ];
        variables.extend(&self.variables);
        Config::read(&variables.into_iter().collect()).expect("the settings are good")
    }

    pub fn draw(&self, range: std::ops::RangeInclusive<u64>) -> u64 {
        self.random.borrow_mut().random_range(range)
    }

    pub fn chance(&self, of_1000: u64) -> bool {
        self.draw(0..=999) < of_1000
    }

    /// One call of the function; nothing if it died.
    pub async fn invoke(&self, event: &Json, plan: &FaultPlan) -> Option<Result<Json, Failure>> {
        let dependencies = Dependencies {
            objects: self.lake.with_plan(plan.clone()),
            tables: self.tables.with_plan(plan.clone()),
            exports: self.exports.with_plan(plan.clone()),
            ledger: self.ledger.with_plan(plan.clone()),
            workflows: self.workflows.with_plan(plan.clone()),
            clock: self.clock,
            config: self.config(),
        };
        let deadline = self.clock.now().plus(TIMEOUT);
        tokio::select! {
            biased;
            answer = handle(event, deadline, &dependencies) => Some(answer),
            () = plan.crashed() => None,
            () = tokio::time::sleep(TIMEOUT) => None,
        }
        .filter(|_| !plan.is_dead())
        .map(|answer| answer.map(|answer| serde_json::to_value(answer).expect("answers are JSON")))
    }

    /// One call in calm.
    pub async fn call(&self, event: Json) -> Result<Json, Failure> {
        self.invoke(&event, &FaultPlan::seeded(0))
            .await
            .expect("nobody dies")
    }

    /// A plan by which a call meets failing services, and dies perhaps.
    pub fn faults(&self) -> FaultPlan {
        let plan = FaultPlan::seeded(self.draw(0..=u64::MAX));
        for operation in [
            "GetItem",
            "PutItem",
            "UpdateItem",
            "GetObject",
            "PutObject",
            "ListExports",
            "DescribeExport",
            "ExportTableToPointInTime",
            "DescribeExecution",
        ] {
            let rate = u32::try_from(self.draw(0..=80)).expect("small");
            plan.at_random(
                operation,
                Rates {
                    unanswered: rate,
                    answer_lost: rate,
                    throttled: rate / 2,
                    slow: 100,
                    late: match operation {
                        "ExportTableToPointInTime" => 3 * rate,
                        "PutObject" | "UpdateItem" => rate,
                        _ => 0,
                    },
                    longest_delay: Duration::from_secs(120),
                    ..Rates::default()
                },
            );
        }
        if self.chance(400) {
            let crash = match self.draw(0..=2) {
                0 => Crash::Before,
                1 => Crash::After,
                _ => Crash::Late(Landing::AfterTime(Duration::from_secs(self.draw(0..=200)))),
            };
            let nth = usize::try_from(self.draw(1..=20)).expect("small");
            plan.crash_at(nth, crash);
        }
        plan
    }

    /// Another execution of the machine, which runs until it is ended; its ARN.
    pub async fn execution(&self) -> String {
        let number = self.executions.get() + 1;
        self.executions.set(number);
        let workflows = self.workflows.inner();
        let name = format!("execution-{number}");
        let started = workflows.start(MACHINE, &name, "{}");
        started.await.expect("memory")
    }

    /// One step under a plan of somebody who calls the functions by hand.
    pub async fn step(&self, step: Step, plan: &FaultPlan) -> Step {
        self.step_of(BY_HAND, step, plan).await
    }

    /// One step of an execution under a plan: what it does next. A step that failed for a while comes again.
    pub async fn step_of(&self, execution: &str, step: Step, plan: &FaultPlan) -> Step {
        let event = match &step {
            Step::Begin(event) => event.clone(),
            Step::Poll(job) => json!({"action": "poll", "job": job}),
            Step::Plan(job) if execution == BY_HAND => json!({"action": "plan", "job": job}),
            Step::Plan(job) => json!({"action": "plan", "job": job, "execution": execution}),
            Step::Finish(job) if execution == BY_HAND => json!({"action": "finish", "job": job}),
            Step::Finish(job) => json!({"action": "finish", "job": job, "execution": execution}),
            Step::Transform(job) => {
                let transformed = (execution.to_owned(), job.clone());
                self.transformed.borrow_mut().push(transformed);
                self.transform(job).await;
                return Step::Finish(job.clone());
            }
            Step::End(_) => return step,
        };
        let Some(answer) = self.invoke(&event, plan).await else {
            self.crashes.set(self.crashes.get() + 1);
            return step;
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                self.failures.set(self.failures.get() + 1);
                assert_ne!(failure.kind, FailureKind::Internal, "{failure}");
                return match failure.kind {
                    FailureKind::Transient => step,
                    _ => Step::End(json!({"failed": failure.message})),
                };
            }
        };
        let job = |answer: &Json| answer["job"].as_str().expect("a job").to_owned();
        match step {
            Step::Begin(_) if answer["state"] == "running" => Step::Poll(job(&answer)),
            Step::Begin(_) => Step::End(answer),
            Step::Poll(job) => match answer["status"].as_str() {
                Some("COMPLETED") => Step::Plan(job),
                Some("IN_PROGRESS") => Step::Poll(job),
                _ => Step::End(answer),
            },
            Step::Plan(job) => match answer["state"].as_str() {
                Some("planned") => Step::Transform(job),
                Some("completed") => Step::Finish(job),
                _ => Step::End(answer),
            },
            Step::Finish(_) => Step::End(answer),
            Step::Transform(_) | Step::End(_) => unreachable!("they are no calls"),
        }
    }

    /// Runs an execution in calm to its end; exports complete as soon as they are asked for.
    pub async fn run(&self, event: Json) -> Json {
        let execution = self.execution().await;
        let answer = self.run_on(&execution, Step::Begin(event)).await;
        self.workflows.inner().succeed(&execution, "{}");
        answer
    }

    /// Goes on in calm until an execution has come to its last answer.
    pub async fn run_on(&self, execution: &str, mut step: Step) -> Json {
        for _ in 0..20 {
            self.exports.inner().complete_all();
            step = self.step_of(execution, step, &FaultPlan::seeded(0)).await;
            if let Step::End(answer) = step {
                return answer;
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        panic!("the execution does not come to its end: {step:?}");
    }

    /// What the transformer does: every file that is not COMPLETED becomes an object and a COMPLETED part.
    pub async fn transform(&self, job: &str) {
        let ledger = self.ledger.inner();
        let row = self.row(job).await.expect("a job was begun");
        let key = row.manifest_key.as_ref().expect("it was polled");
        let lake = self.lake.inner();
        let manifest = Manifest::open(lake, LAKE, key).await.expect("it is whole");
        let mut files = manifest.files(lake).await.expect("it is whole");
        while let Some(file) = files.next().await.expect("it is whole") {
            let name = table_object(
                TABLE,
                &row.window,
                "item",
                stem(&file.key),
                0,
                &row.settings,
            );
            let body = vec![b'x'; usize::try_from(file.item_count).expect("few")];
            let objects = match body.is_empty() {
                true => Vec::new(),
                false => vec![OutputObject {
                    key: name.clone(),
                    rows: file.item_count,
                    bytes: file.item_count,
                }],
            };
            if !body.is_empty() {
                lake.put(LAKE, &name, body.into()).await.expect("memory");
            }
            let part = file_part(&file.key);
            change::<PartRow, _, _, _>(ledger, &self.clock, job, part, |part, now| {
                let part = part.as_mut().expect("it was planned");
                part.processing_status = Status::Completed;
                part.end_time = Some(now.iso());
                part.rows_read = file.item_count;
                part.rows_written = file.item_count;
                part.objects.clone_from(&objects);
            })
            .await
            .expect("memory");
        }
    }

    pub async fn row(&self, job: &str) -> Option<JobRow> {
        let stored = read::<JobRow, _>(self.ledger.inner(), job, EXPORT_PART).await;
        stored.expect("memory").map(|stored| stored.row)
    }

    /// All windows that the ledger knows, by their job.
    pub fn windows(&self) -> BTreeMap<String, JobRow> {
        let rows = self.ledger.inner().rows().into_iter();
        rows.filter(|row| row.part == EXPORT_PART)
            .map(|row| {
                let attributes = Json::Object(row.attributes);
                let window = serde_json::from_value(attributes).expect("a window's row");
                (row.job, window)
            })
            .collect()
    }

    /// Exports that were begun for each token.
    pub fn begun(&self) -> BTreeMap<String, Vec<ExportSpan>> {
        let mut begun: BTreeMap<String, Vec<ExportSpan>> = BTreeMap::new();
        for (_, request) in self.exports.inner().requests() {
            begun
                .entry(request.client_token)
                .or_default()
                .push(request.span);
        }
        begun
    }

    /// The first second that can be exported.
    pub async fn earliest(&self) -> u64 {
        let recovery = self.exports.inner().recovery(ARN).await.expect("memory");
        recovery.expect("it is on").earliest
    }

    pub fn now(&self) -> u64 {
        self.clock.now().0 / 1_000
    }

    /// The windows of the chain that are whole, in order of time, must leave nothing out and have nothing twice.
    pub fn check_chain(&self) {
        let windows = self.windows();
        let mut ends: Vec<u64> = Vec::new();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for row in windows.values() {
            match row.span {
                Span::Full { export_time } => ends.push(export_time),
                Span::Incremental {
                    from_time, to_time, ..
                } => spans.push((from_time, to_time)),
            }
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            let [(_, end), (start, _)] = pair else {
                unreachable!("pairs are two")
            };
            assert!(end <= start, "windows overlap: {spans:?}");
        }
        for (index, (from, _)) in spans.iter().enumerate() {
            let follows = index > 0 && spans[index - 1].1 == *from;
            assert!(
                follows || ends.contains(from),
                "the window from {from} on follows nothing: {spans:?}, full ones end at {ends:?}"
            );
        }
    }
}
