//! An export's data file, its job and the invocations that transform it: they die, come twice, run out of time and meet failing
//! services. Everything goes through the real handler; the stores are the strict ones in memory.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod clock;
mod late;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use export_jobs::{Format, JobRow, PartRow, SchemaMode, Settings, Span, Status, read};
use export_transformer::{Config, Dependencies, Report, handle};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::{Either, select};
use lambda_support::{Environment, Failure};
use md5::{Digest, Md5};
use records::base64_text;
use records::changes::Codec;
use serde_json::{Map, Value, json};
use storage::failing::{Crash, Failing, FaultPlan};
use storage::memory::{MemoryLedger, MemoryObjects};
use storage::{Clock, ExportView, Ledger, LedgerRow, ObjectStore, TestClock, Timestamp};

pub use clock::SteppingClock;
pub use late::LateLedger;

pub const LAKE: &str = "lake";
pub const JOB: &str = "export/offers/full-20261121T040000Z";
pub const KEY: &str = "exports/AWSDynamoDB/01790000000000-aaaaaaaa/data/abcd.json.gz";
pub const SCHEMA_KEY: &str = "schemas/table=offers/full-20261121T040000Z.json";
pub const PART: &str = "abcd.json.gz";
/// Time enough for anything.
pub const LONG: Duration = Duration::from_secs(900);

/// A lake and a ledger, with one job and one data file.
#[derive(Clone)]
pub struct World {
    pub objects: MemoryObjects,
    pub ledger: MemoryLedger,
    /// What the manifest says of the file.
    pub file: Value,
}

/// What is made of the lines.
pub fn settings(format: Format, split_bytes: u64) -> Settings {
    Settings {
        format,
        codec: Codec::Gzip,
        split_bytes,
        shaping: None,
        schema: None,
        discriminator: None,
    }
}

/// As [`settings`], with a data set for each `kind`.
pub fn by_kind(split_bytes: u64) -> Settings {
    Settings {
        discriminator: Some("kind".to_owned()),
        ..settings(Format::JsonLines, split_bytes)
    }
}

/// Lines of a full export, of four kinds of very different frequency; some have none.
pub fn lines(count: u64) -> Vec<String> {
    (0..count)
        .map(|row| {
            let noise = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let kind = match row % 7 {
                0..=3 => r#","kind":{"S":"order"}"#,
                4 | 5 => r#","kind":{"S":"line/item"}"#,
                _ if row % 5 == 0 => r#","kind":{"N":"12"}"#,
                _ => "",
            };
            format!(
                r#"{{"Item":{{"id":{{"S":"k{row:05}"}}{kind},"noise":{{"S":"{noise:016x}{:016x}"}},"price":{{"N":"{row}.50"}}}}}}"#,
                noise.wrapping_mul(noise | 1)
            )
        })
        .collect()
}

pub fn text_of(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect()
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap()
}

pub fn md5_of(bytes: &[u8]) -> String {
    base64_text(&Md5::digest(bytes))
}

/// The file as the manifest of these bytes would have it.
pub fn entry(body: &[u8], items: u64) -> Value {
    json!({"itemCount": items, "md5Checksum": md5_of(body), "etag": "e", "dataFileS3Key": KEY})
}

pub fn event(action: &str, file: &Value) -> Value {
    json!({"action": action, "job": JOB, "file": file})
}

impl World {
    /// A data file of `count` lines.
    pub fn new(settings: Settings, count: u64) -> Self {
        let body = gzip(&text_of(&lines(count)));
        let file = entry(&body, count);
        Self::with_body(settings, body, file)
    }

    /// A data file of `count` lines, of which Parquet with declared columns is to be made, with a data set for each `kind`.
    pub fn parquet(split_bytes: u64, count: u64) -> Self {
        let world = Self::new(
            Settings {
                format: Format::Parquet,
                schema: Some(SchemaMode::Declared),
                ..by_kind(split_bytes)
            },
            count,
        );
        world.declare(Some("kind"));
        world
    }

    /// Puts the declared schema, of the two kinds that have one.
    pub fn declare(&self, discriminator: Option<&str>) {
        let columns = json!({"columns": [
            {"name": "id", "type": "string"},
            {"name": "noise", "type": "string"},
            {"name": "price", "type": "decimal(20,2)"},
        ]});
        let schema = match discriminator {
            Some(name) => {
                json!({"version": 1, "discriminator": name, "entities": {"order": columns, "line/item": columns}})
            }
            None => json!({"version": 1, "entities": {"item": columns}}),
        };
        self.objects.seed(LAKE, SCHEMA_KEY, schema.to_string(), &[]);
    }

    /// A data file of any bytes, whatever the manifest says of it.
    pub fn with_body(settings: Settings, body: Vec<u8>, file: Value) -> Self {
        let span = Span::Full {
            export_time: 1_795_233_600,
        };
        Self::with_span(settings, span, body, file)
    }

    pub fn with_span(settings: Settings, span: Span, body: Vec<u8>, file: Value) -> Self {
        // Small chunks, so that there are many moments between them.
        let objects = MemoryObjects::new().with_bucket(LAKE).with_chunks_of(256);
        objects.seed(LAKE, KEY, body, &[]);
        let ledger = MemoryLedger::new();
        let row = LedgerRow {
            job: JOB.to_owned(),
            part: export_jobs::EXPORT_PART.to_owned(),
            revision: 1,
            open: None,
            attributes: job(settings, span),
        };
        now_or_panic(ledger.write(&row)).unwrap();
        Self {
            objects,
            ledger,
            file,
        }
    }

    /// The same world again, untouched.
    pub fn replace_file(&self, body: Vec<u8>) {
        self.objects.seed(LAKE, KEY, body, &[]);
    }

    /// One invocation that nothing happens to.
    pub async fn invoke(&self) -> Result<Report, Failure> {
        self.invoke_for("transform", LONG).await
    }

    pub async fn invoke_for(&self, action: &str, time: Duration) -> Result<Report, Failure> {
        let clock = TestClock::default();
        invoke(
            self.objects.clone(),
            self.ledger.clone(),
            clock,
            action,
            &self.file,
            time,
        )
        .await
    }

    /// One invocation whose stores fail by the plan; nothing is returned if it died.
    pub async fn invoke_failing(&self, plan: &FaultPlan) -> Option<Result<Report, Failure>> {
        self.invoke_failing_by(plan, TestClock::default(), LONG)
            .await
    }

    pub async fn invoke_failing_by<C: Clock>(
        &self,
        plan: &FaultPlan,
        clock: C,
        time: Duration,
    ) -> Option<Result<Report, Failure>> {
        let objects = Failing::new(self.objects.clone(), plan.clone());
        let ledger = Failing::new(self.ledger.clone(), plan.clone());
        let run = invoke(objects, ledger, clock, "transform", &self.file, time);
        let (run, crashed) = (Box::pin(run), Box::pin(plan.crashed()));
        match select(crashed, run).await {
            Either::Right((result, _)) if !plan.is_dead() => Some(result),
            _ => None,
        }
    }

    /// Everything that readers can see, by key.
    pub fn visible(&self) -> BTreeMap<String, Bytes> {
        let mut all = self.objects.snapshot(LAKE);
        all.retain(|key, _| !key.starts_with("exports/") && !key.starts_with("schemas/"));
        all
    }

    /// The file's row.
    pub async fn part(&self) -> Option<PartRow> {
        read::<PartRow, _>(&self.ledger, JOB, PART)
            .await
            .unwrap()
            .map(|stored| stored.row)
    }

    /// The file's row as it is stored.
    pub fn part_row(&self) -> Option<LedgerRow> {
        self.ledger.rows().into_iter().find(|row| row.part == PART)
    }

    /// Whether the row says which objects the file has.
    pub fn is_decided(&self) -> bool {
        let Some(row) = self.part_row() else {
            return false;
        };
        let decided = row
            .attributes
            .get("checkpoint")
            .and_then(|progress| progress.get("decided"));
        decided == Some(&json!(true)) || row.attributes["processing_status"] == json!("COMPLETED")
    }

    /// Every line of the objects, decompressed, in order of their keys.
    pub fn rows_of_objects(&self) -> BTreeMap<String, Vec<String>> {
        let visible = self.visible().into_iter();
        visible
            .map(|(key, body)| {
                let mut text = String::new();
                flate2::read::MultiGzDecoder::new(&body[..])
                    .read_to_string(&mut text)
                    .unwrap();
                (key, text.lines().map(str::to_owned).collect())
            })
            .collect()
    }
}

/// One invocation with these stores.
pub async fn invoke<O: ObjectStore, L: Ledger, C: Clock>(
    objects: O,
    ledger: L,
    clock: C,
    action: &str,
    file: &Value,
    time: Duration,
) -> Result<Report, Failure> {
    let deadline = clock.now().plus(time);
    let dependencies = Dependencies {
        objects,
        ledger,
        clock,
        config: config(),
    };
    handle(&event(action, file), deadline, 7, &dependencies).await
}

/// Runs with tokio's time paused.
pub fn run_paused<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

pub fn config() -> Config {
    Config::read(&Environment::from([
        ("LEDGER_TABLE", "ledger"),
        ("LAKE_BUCKET", LAKE),
    ]))
    .unwrap()
}

/// The job's row, as the ledger has it.
fn job(settings: Settings, span: Span) -> Map<String, Value> {
    let mut row = attributes_of(&json!({
        "kind": "export",
        "processing_status": "IN_PROGRESS",
        "table": "offers",
        "table_arn": "arn:aws:dynamodb:eu-west-1:123456789012:table/offers",
        "table_id": "t",
        "key_names": ["id"],
        "window": "full-20261121T040000Z",
        "bucket": LAKE,
        "prefix": "exports",
        "attempt": 1,
        "client_token": "c",
        "export_arn":
            "arn:aws:dynamodb:eu-west-1:123456789012:table/offers/export/01790000000000-aaaaaaaa",
        "settings": settings,
        "start_time": "",
        "retry_count": 0,
        "last_updated": "",
    }));
    if settings.schema.is_some() {
        row.insert("schema_key".to_owned(), json!(SCHEMA_KEY));
    }
    row.append(&mut attributes_of(&span));
    serde_json::from_value::<JobRow>(Value::Object(row.clone())).expect("the row is a job's");
    row
}

fn attributes_of<T: serde::Serialize>(row: &T) -> Map<String, Value> {
    match serde_json::to_value(row).unwrap() {
        Value::Object(attributes) => attributes,
        other => panic!("a row is an object: {other}"),
    }
}

fn now_or_panic<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("the memory answers at once")
}
