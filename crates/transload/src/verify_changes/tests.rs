mod export;
mod failures;

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use records::changes::{Completion, SnapshotSource, completion_object, hour_folder};
use records::{KeyAttribute, KeyType, TableShape};
use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::{MemoryObjects, MemoryTables};
use storage::{StreamView, TestClock, Timestamp};

use super::*;
use records::changes::SECONDS_PER_HOUR;

/// 2026-11-20T00:00Z, in hours since 1970.
const DAY: u64 = 498_648;
const START: u64 = DAY * SECONDS_PER_HOUR;
const LABEL: &str = "2026-11-01T08:00:00.000";
const STREAM: &str = "arn:aws:dynamodb:us-east-1:111122223333:table/offers/stream";

/// A lake with a log of two records, in the first and the third hour of the day, and nothing wrong.
struct Lake {
    objects: MemoryObjects,
    tables: MemoryTables,
}

fn record(id: &str, seconds: u64, value: Option<&str>) -> String {
    let (name, image) = match value {
        Some(value) => (
            "MODIFY",
            format!(r#","NewImage":{{"v":{{"N":"{value}"}},"id":{{"S":"{id}"}}}}"#),
        ),
        None => ("REMOVE", String::new()),
    };
    format!(
        r#"{{"eventID":"{id}-{seconds}","eventName":"{name}","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":{seconds}.0,"Keys":{{"id":{{"S":"{id}"}}}}{image},"SequenceNumber":"1{seconds}"}},"eventSourceARN":"{STREAM}/{LABEL}"}}"#
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

impl Lake {
    fn new() -> Self {
        let lake = Self::with_stream(Some(LABEL));
        lake.write(0, "first", 10, &[record("a", START + 5, Some("1"))]);
        lake.write(2, "third", 10, &[record("b", START + 7_300, None)]);
        lake
    }

    fn with_stream(label: Option<&str>) -> Self {
        let tables = MemoryTables::new().with_table(TableShape {
            name: "offers".to_owned(),
            partition: KeyAttribute {
                name: "id".to_owned(),
                kind: KeyType::S,
            },
            sort: None,
            indexes: Vec::new(),
        });
        let tables = match label {
            Some(label) => tables.with_stream(
                "offers",
                StreamDescription {
                    label: label.to_owned(),
                    arn: format!("{STREAM}/{label}"),
                    view: StreamView::NewAndOldImages,
                },
            ),
            None => tables,
        };
        Self {
            objects: MemoryObjects::new().with_bucket("lake"),
            tables,
        }
    }

    /// Puts an object as if it were written so many seconds after the beginning of the day.
    fn put(&self, key: &str, seconds: u64, content: impl Into<Bytes>) {
        let clock = TestClock::at(Timestamp((START + seconds) * 1_000));
        let dated = self.objects.clone().with_clock(clock);
        dated.seed("lake", key, content, &[]);
    }

    fn write(&self, hour: u64, name: &str, seconds: u64, lines: &[String]) {
        let folder = hour_folder("offers", "stream", START + hour * SECONDS_PER_HOUR);
        let content = gzip(&(lines.join("\n") + "\n"));
        let key = format!("{folder}{name}.jsonl.gz");
        self.put(&key, hour * SECONDS_PER_HOUR + seconds, content);
    }

    fn complete(&self, start: u64, end: u64) {
        let completion = Completion {
            source: SnapshotSource::Export,
            time: end,
            end,
            window_start: Some(start),
        };
        let id = start.to_string();
        let key = completion_object("offers", SnapshotSource::Export, end, &id);
        self.put(&key, 0, completion.line(&id));
    }

    /// Two repairs that make good what was lost from a minute after the time to a minute before the end.
    fn repair(&self, start: u64, end: u64) {
        self.complete(start - 120, end);
        self.complete(start, end);
    }

    async fn verify(&self) -> Report {
        self.verify_with(None).await
    }

    async fn verify_with(&self, export: Option<&Export<MemoryObjects>>) -> Report {
        let log = Log::new(Rc::new(self.objects.clone()), "lake", "offers");
        let task = Task {
            log: &log,
            items: &self.tables,
            hours: export.map_or(DAY..DAY + 4, Export::hours),
            failures_prefix: "aws/lambda/",
            export,
            now: Timestamp((START + 30 * 86_400) * 1_000),
        };
        verify(&task, |_| {}).await.unwrap()
    }

    fn write_failure(&self, key: &str, table: &str, records: &[String]) {
        self.write_failure_at(3_000, key, table, records);
    }

    fn write_failure_at(&self, seconds: u64, key: &str, table: &str, records: &[String]) {
        let payload = format!(r#"{{"Records":[{}]}}"#, records.join(","));
        let failure = serde_json::json!({
            "requestContext": {"functionArn": "arn:aws:lambda:us-east-1:111122223333:function:writer"},
            "DDBStreamBatchInfo": {"streamArn": STREAM.replace("offers", table) + "/" + LABEL, "batchSize": records.len()},
            "payload": payload,
        });
        self.put(key, seconds, failure.to_string());
    }
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(Finding::kind).collect()
}

fn place() -> Place<'static> {
    Place {
        bucket: "lake",
        table: "offers",
        exportable: &(0..u64::MAX),
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_log_is_counted_by_hour_and_nothing_is_found() {
    let lake = Lake::new();
    let lines = [
        record("c", START + 20, Some("1")).replace("MODIFY", "INSERT"),
        record("a", START + 5, Some("1")),
        record("d", START + 30, Some("2")),
    ];
    lake.write(0, "second", 100, &lines);
    let report = lake.verify().await;
    assert_eq!(kinds(&report), Vec::<&str>::new());
    let mut first = report.hours[0];
    assert!(first.bytes > 0);
    first.bytes = 0;
    let expected = HourReport {
        hour: DAY,
        objects: 2,
        bytes: 0,
        records: 3,
        inserts: 1,
        modifies: 2,
        removes: 0,
        duplicates: 1,
        faults: 0,
        // Of the second object, whose newest record is of second 30.
        latest: Some(Duration::from_secs(70)),
    };
    assert_eq!(first, expected);
    assert!(report.hours[1].is_empty());
    assert_eq!((report.hours[2].records, report.hours[2].removes), (1, 1));
    assert_eq!(report.hours.len(), 4);
    assert!(report.labels.iter().eq([LABEL]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_or_lies_elsewhere_is_a_fault_with_its_place() {
    let lake = Lake::new();
    let lines = [
        record("x", START + 3_600, Some("1")),
        "{\"eventID\":1".to_owned(),
        record("y", START + 7_200, Some("1")),
        record("z", START + 3_601, Some("1")).replace("table/offers/", "table/orders/"),
    ];
    lake.write(1, "bad", 10, &lines);
    let folder = hour_folder("offers", "stream", START + 3_600);
    lake.put(
        &format!("{folder}cut.jsonl.gz"),
        0,
        gzip("{}")[..15].to_vec(),
    );
    let report = lake.verify().await;
    assert_eq!((report.hours[1].records, report.hours[1].faults), (1, 4));
    let [
        Finding::Faults {
            count: 4, hours, ..
        },
    ] = &report.findings[..]
    else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(hours, &[DAY + 1]);
    let mut examples = report.findings[0].examples(place());
    examples.sort();
    let expected = [
        (
            "bad.jsonl.gz, line 2: the record cannot be read",
            "sends it",
        ),
        (
            "bad.jsonl.gz, line 3: its change is of 2026-11-20T02:00:00.000Z",
            ": expected one of the folder's hour",
        ),
        (
            "bad.jsonl.gz, line 4: the record is of the table orders",
            ": expected one of offers",
        ),
        (
            "cut.jsonl.gz cannot be read after line 0",
            "unexpected end of file",
        ),
    ];
    for (example, (begin, end)) in examples.iter().zip(expected) {
        assert!(
            example.starts_with(&format!("s3://lake/{folder}{begin}")) && example.ends_with(end),
            "{example}"
        );
    }
    let command = report.findings[0].commands(place()).join("\n");
    assert!(
        command.contains("ExportFromTime=2026-11-20T00:57:00Z,ExportToTime=2026-11-20T02:01:00Z")
            && command
                .contains("ExportFromTime=2026-11-20T00:59:00Z,ExportToTime=2026-11-20T02:01:00Z"),
        "{command}"
    );

    // Faults stay, but what they kept from the state has been repaired.
    lake.complete(START + 3_540, START + 7_260);
    let report = lake.verify().await;
    assert_eq!(report.findings[0].commands(place()).len(), 2);
    lake.repair(START + 3_540, START + 7_260);
    let report = lake.verify().await;
    assert_eq!(kinds(&report), ["faults"]);
    assert!(report.findings[0].commands(place()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_enabled_late_or_not_at_all_is_found() {
    assert_eq!(
        kinds(&Lake::with_stream(None).verify().await),
        ["no_stream"]
    );

    let gone = Lake {
        tables: MemoryTables::new(),
        ..Lake::new()
    };
    assert_eq!(kinds(&gone.verify().await), ["no_stream"]);

    let late = || Lake::with_stream(Some("2026-11-20T02:30:00.000"));
    let report = late().verify().await;
    let [Finding::BeforeStream { hours, .. }] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(hours, &[DAY, DAY + 1, DAY + 2]);

    // What a repair covers is no gap any more; a minute less does not cover the last hour.
    let repaired = late();
    repaired.repair(START - 60, START + 3 * 3_600 + 60);
    assert_eq!(kinds(&repaired.verify().await), Vec::<&str>::new());
    let repaired = late();
    repaired.repair(START - 60, START + 3 * 3_600);
    let report = repaired.verify().await;
    let [Finding::BeforeStream { hours, .. }] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(hours, &[DAY + 2]);

    // Another stream was there before.
    let another = late();
    another.write(0, "old", 10, &[record("a", START + 5, Some("1"))]);
    let report = another.verify().await;
    assert_eq!(kinds(&report), Vec::<&str>::new());
    assert!(report.labels.iter().eq([LABEL]));
}

#[tokio::test(start_paused = true)]
async fn what_was_before_the_table_was_made_is_no_gap() {
    let made = |seconds: u64, label: &str| {
        let lake = Lake::with_stream(Some(label));
        let created = Timestamp((START + seconds) * 1_000 + 209);
        let tables = lake.tables.clone().created_at("offers", created);
        Lake { tables, ..lake }
    };
    // With its stream, as a stack does it.
    let fresh = made(2 * 3_600 + 1_800, "2026-11-20T02:30:05.100");
    assert_eq!(kinds(&fresh.verify().await), Vec::<&str>::new());

    let later = made(2 * 3_600 + 1_800, "2026-11-20T02:30:06.000");
    let report = later.verify().await;
    let [finding @ Finding::BeforeStream { hours, .. }] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(hours, &[DAY + 2]);
    let place = Place {
        exportable: &report.exportable,
        ..place()
    };
    let commands = finding.commands(place);
    assert_eq!(commands.len(), 2);
    for (command, start) in commands.iter().zip(["02:30:01", "02:32:01"]) {
        let window =
            format!("ExportFromTime=2026-11-20T{start}Z,ExportToTime=2026-11-20T03:01:00Z");
        assert!(command.contains(&window), "{command}");
    }

    // After a snapshot no repair of the time before takes part.
    let snapshot = Completion {
        source: SnapshotSource::Export,
        time: START + 4 * 3_600,
        end: START + 4 * 3_600,
        window_start: None,
    };
    let key = completion_object("offers", SnapshotSource::Export, snapshot.time, "s");
    later.put(&key, 0, snapshot.line("s"));
    later.repair(START + 7_140, START + 3 * 3_600 + 60);
    let report = later.verify().await;
    assert_eq!(kinds(&report), ["before_stream"]);
    let place = Place {
        exportable: &report.exportable,
        ..place
    };
    assert_eq!(report.findings[0].commands(place), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn records_that_came_shortly_before_they_would_have_been_forgotten_are_found() {
    let late = |seconds: u64| {
        let lake = Lake::new();
        let seconds = seconds - 2 * 3_600;
        lake.write(2, "late", seconds, &[record("l", START + 7_200, Some("1"))]);
        lake
    };
    let hours = |hours: u64| (hours + 2) * 3_600;
    assert_eq!(
        kinds(&late(hours(20) - 1).verify().await),
        Vec::<&str>::new()
    );
    let report = late(hours(20)).verify().await;
    let finding @ [Finding::Late { hours: found, .. }] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(found, &[DAY + 2]);
    let command = finding[0].commands(place()).join("\n");
    assert!(
        command.contains("ExportFromTime=2026-11-20T01:59:00Z,ExportToTime=2026-11-20T03:01:00Z"),
        "{command}"
    );
    // By hand, from what had been given up: the stream had not forgotten it.
    assert_eq!(kinds(&late(hours(25)).verify().await), Vec::<&str>::new());
    let repaired = late(hours(20));
    repaired.repair(START + 7_140, START + 10_860);
    assert_eq!(kinds(&repaired.verify().await), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_set_aside_of_the_range_is_found_by_the_time_of_its_change() {
    let lake = Lake::new();
    let aside = |name: &str, written: u64, record: &str| {
        let folder = records::changes::set_aside_folder("offers");
        let key = format!("{folder}{name}.json");
        let content = format!(r#"{{"reason":"no reason","record":{record}}}"#);
        lake.put(&key, written, content);
    };
    let at =
        |seconds: u64| format!(r#"{{"dynamodb":{{"ApproximateCreationDateTime":{seconds}.5}}}}"#);
    aside("1", 90_000, &at(START + 3_600));
    aside("2", 3_600, &at(START - 1));
    aside("3", 3_600, "{}");
    aside("4", 90_000, "{}");
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(5 * 1024 * 1024));
    aside("5", 90_000, &long);
    let report = lake.verify().await;
    let [Finding::SetAside { count: 2, first }] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert!(first[0].key.ends_with("/1.json") && first[1].key.ends_with("/3.json"));
    assert_eq!(first[0].reason, "no reason");
    assert_eq!(
        report.findings[0].commands(place()),
        ["aws s3 cp s3://lake/unprocessed/changes/table=offers/1.json -"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_an_error_and_no_finding() {
    let lake = Lake::new();
    lake.write_failure("aws/lambda/m/1", "offers", &[record("a", START + 5, None)]);
    let verified = async |operation: &'static str, nth: usize| {
        let plan = FaultPlan::seeded(1);
        let denied = Fault::Fail(ErrorKind::Denied);
        plan.inject(operation, nth, denied);
        let objects = Failing::new(lake.objects.clone(), plan.clone());
        let log = Log::new(Rc::new(objects), "lake", "offers");
        let task = Task {
            log: &log,
            items: &Failing::new(lake.tables.clone(), plan.clone()),
            hours: DAY..DAY + 4,
            failures_prefix: "aws/lambda/",
            export: None,
            now: Timestamp(0),
        };
        (verify(&task, |_| {}).await, plan.log())
    };
    let (_, log) = verified("PutObject", 1).await;
    let count = |operation: &str| log.iter().filter(|name| **name == operation).count();
    for (operation, at_least) in [("DescribeTable", 1), ("ListObjectsV2", 7), ("GetObject", 4)] {
        assert!(count(operation) >= at_least, "{operation}: {log:?}");
        for nth in 1..=count(operation) {
            let (answer, _) = verified(operation, nth).await;
            assert!(answer.is_err(), "{operation} {nth}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// However the lines are spread over objects.
    #[test]
    fn duplicates_are_lines_less_distinct_records(
        objects in vec(vec((0..12_u8, 0..2_u64), 1..12), 0..6),
    ) {
        let lake = Lake::with_stream(Some(LABEL));
        let mut distinct = BTreeSet::new();
        let mut raw = 0;
        for (nth, lines) in objects.iter().enumerate() {
            let lines: Vec<String> = lines
                .iter()
                .map(|(id, seconds)| record(&format!("k{id}"), START + seconds, Some("1")))
                .collect();
            raw += lines.len() as u64;
            lake.write(0, &nth.to_string(), 10, &lines);
            distinct.extend(lines);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let report = runtime.block_on(lake.verify());
        let hour = report.hours[0];
        prop_assert_eq!(hour.records, distinct.len() as u64);
        prop_assert_eq!(hour.duplicates, raw - distinct.len() as u64);
        prop_assert_eq!(hour.records, hour.inserts + hour.modifies + hour.removes);
    }
}
