use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use records::changes::{Completion, SnapshotSource, completion_object, hour_folder};
use records::{KeyAttribute, KeyType, item_from_dynamodb_json};
use storage::failing::{Crash, Failing, Fault, FaultPlan, Landing};
use storage::memory::{MemoryObjects, MemoryTables};
use storage::{ErrorKind, TestClock};
use tempfile::TempDir;

use super::*;
use crate::describe;

const LAKE: &str = "lake";
const SOURCE: &str = "offers";
const TARGET: &str = "copy";
/// Small enough for several parts in the tests.
const PART_BYTES: u64 = 1_024;
const START: u64 = 1_768_386_000;

fn shape() -> TableShape {
    let key = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: TARGET.to_owned(),
        partition: key("account", KeyType::S),
        sort: Some(key("offer", KeyType::N)),
        indexes: Vec::new(),
    }
}

fn target() -> MemoryTables {
    MemoryTables::new().with_table(shape())
}

fn item(json: &str) -> Item {
    item_from_dynamodb_json(json).unwrap()
}

fn keys(key: u32) -> String {
    format!(
        r#""account":{{"S":"a{}"}},"offer":{{"N":"{key}"}}"#,
        key % 3
    )
}

/// An item as DynamoDB JSON; `rest` begins with a comma if it has anything.
fn image(key: u32, rest: &str) -> String {
    format!("{{{}{rest}}}", keys(key))
}

fn stream_line(
    key: u32,
    time: u64,
    sequence: u64,
    new: Option<String>,
    old: Option<String>,
) -> String {
    let name = if new.is_some() { "MODIFY" } else { "REMOVE" };
    let member = |name: &str, image: Option<String>| {
        image.map_or_else(String::new, |image| format!(r#","{name}":{image}"#))
    };
    format!(
        r#"{{"eventID":"e{sequence}","eventName":"{name}","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":{time}.0,"Keys":{{{}}}{}{},"SequenceNumber":"{sequence}"}},"eventSourceARN":"arn:aws:dynamodb:r:1:table/offers/stream/2026-01-14T00:00:00.000"}}"#,
        keys(key),
        member("NewImage", new),
        member("OldImage", old),
    )
}

fn snapshot_line(key: u32, time: u64, image: &str) -> String {
    format!(
        r#"{{"eventID":"s{key}-{time}","eventName":"INSERT","source":"export","snapshotTime":{time},"dynamodb":{{"ApproximateCreationDateTime":{time},"Keys":{{{}}},"NewImage":{image}}}}}"#,
        keys(key)
    )
}

/// A lake that is filled with objects of lines.
#[derive(Clone)]
struct Lake {
    objects: MemoryObjects,
}

impl Lake {
    fn new() -> Self {
        Self {
            objects: MemoryObjects::new().with_bucket(LAKE),
        }
    }

    fn put(&self, key: &str, content: impl Into<Bytes>) {
        self.objects.seed(LAKE, key, content, &[]);
    }

    /// Objects of at most eight lines, by turns of both compressions.
    fn put_lines(&self, source: &str, lines: &[(u64, String)]) {
        let mut by_hour: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for (time, line) in lines {
            by_hour.entry(time / 3_600).or_default().push(line);
        }
        for (hour, lines) in by_hour {
            let folder = hour_folder(SOURCE, source, hour * 3_600);
            for (nth, lines) in lines.chunks(8).enumerate() {
                let text = lines.join("\n") + "\n";
                match nth % 2 {
                    0 => self.put(&format!("{folder}{nth}.jsonl.gz"), gzip(text.as_bytes())),
                    _ => {
                        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
                        self.put(&format!("{folder}{nth}.jsonl.zst"), zstd);
                    }
                }
            }
        }
    }

    fn complete(&self, time: u64) {
        let done = Completion {
            source: SnapshotSource::Export,
            time,
            end: time,
            window_start: None,
        };
        let key = completion_object(SOURCE, SnapshotSource::Export, time, "x");
        self.put(&key, done.line("x"));
    }

    fn log(&self) -> Log<MemoryObjects> {
        Log::new(Rc::new(self.objects.clone()), LAKE, SOURCE)
    }

    fn failing_log(&self, plan: &FaultPlan) -> Log<Failing<MemoryObjects>> {
        let objects = Failing::new(self.objects.clone(), plan.clone());
        Log::new(Rc::new(objects), LAKE, SOURCE)
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A folder for the file of refused items.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn marker(&self) -> PathBuf {
        self.0.path().join("copy.replay.json")
    }

    fn unprocessed(&self) -> PathBuf {
        self.0.path().join("unprocessed.jsonl")
    }

    async fn run<O: ObjectStore + 'static, T: TableStore + ItemStore>(
        &self,
        log: &Log<O>,
        tables: &T,
        until: Option<u64>,
        mode: Mode<'_>,
    ) -> Result<Replayed, ReplayError> {
        let job = Replay {
            table: TARGET,
            until,
            mode,
            marker: &self.marker(),
            unprocessed: &self.unprocessed(),
            seed: 7,
        };
        let clock = TestClock::default();
        replay_in_parts(&job, log, tables, &clock, PART_BYTES, |_| ()).await
    }

    async fn message(&self, lake: &Lake, tables: &MemoryTables, mode: Mode<'_>) -> String {
        let error = self.run(&lake.log(), tables, None, mode).await.unwrap_err();
        describe(&error)
    }
}

const BY_VERSION: Mode<'static> = Mode::Living {
    version: "v",
    per_second: 1_000_000,
};

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

#[derive(Debug, Clone)]
struct Step {
    key: u32,
    pause: u64,
    removes: bool,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..24_u32, 0..400_u64, any::<bool>()).prop_map(|(key, pause, removes)| Step {
        key,
        pause,
        removes,
    });
    vec(step, 1..most)
}

/// A table's life: its log, and what it holds before `until`.
fn live(
    lake: &Lake,
    steps: &[Step],
    snapshot_at: Option<usize>,
    until: Option<u64>,
) -> BTreeMap<u32, String> {
    let mut now = START;
    let mut table: BTreeMap<u32, String> = BTreeMap::new();
    let mut known = BTreeMap::new();
    let mut stream = Vec::new();
    for (nth, step) in steps.iter().enumerate() {
        now += step.pause;
        let new = (!step.removes).then(|| image(step.key, &format!(r#","v":{{"N":"{nth}"}}"#)));
        let old = match &new {
            Some(new) => table.insert(step.key, new.clone()),
            None => table.remove(&step.key),
        };
        if new.is_some() || old.is_some() {
            stream.push((now, stream_line(step.key, now, nth as u64 + 1, new, old)));
        }
        if until.is_none_or(|until| now < until) {
            known = table.clone();
        }
        if snapshot_at == Some(nth) {
            // A minute lies between the snapshot and what was before it.
            now += 61;
            let rows = table.iter();
            let rows = rows.map(|(key, image)| (now, snapshot_line(*key, now, image)));
            lake.put_lines("export", &rows.collect::<Vec<_>>());
            lake.complete(now);
            // Stale rows of a snapshot that is not complete.
            let later = now + 1;
            lake.put_lines(
                "scan",
                &[(
                    later,
                    snapshot_line(0, later, &image(0, "")).replace("export", "scan"),
                )],
            );
        }
    }
    lake.put_lines("stream", &stream);
    // Some lines are there twice.
    lake.put(
        &format!("{}again.jsonl.gz", hour_folder(SOURCE, "stream", START)),
        gzip(
            stream
                .iter()
                .step_by(3)
                .map(|(_, line)| line.clone() + "\n")
                .collect::<String>()
                .as_bytes(),
        ),
    );
    known
}

fn held(tables: &MemoryTables) -> Vec<Item> {
    tables.scan(TARGET)
}

fn sorted(items: impl IntoIterator<Item = Item>) -> Vec<Item> {
    let tables = target();
    tables.seed(TARGET, items);
    held(&tables)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replay_is_the_table_as_it_was(
        steps in steps(150),
        snapshot_at in proptest::option::of(0..150_usize),
        until in proptest::option::of(START..START + 30_000),
        in_file in any::<bool>(),
    ) {
        let lake = Lake::new();
        let expected = live(&lake, &steps, snapshot_at, until);
        let folder = Folder::new();
        let tables = target();
        let expected = sorted(expected.values().map(|image| item(image)));
        let replayed = block_on(async {
            if in_file {
                let output = folder.0.path().join("items.jsonl");
                let replayed = replay_into_file(&lake.log(), until, &output, |_| ()).await;
                if replayed.is_ok() {
                    let text = std::fs::read_to_string(&output).unwrap();
                    tables.seed(TARGET, text.lines().map(item));
                }
                return replayed;
            }
            folder.run(&lake.log(), &tables, until, Mode::Empty).await
        });
        match replayed {
            Ok(replayed) => {
                prop_assert_eq!(held(&tables), expected);
                prop_assert_eq!(replayed.fates.written, tables.scan(TARGET).len() as u64);
                prop_assert_eq!(replayed.fates.total(), replayed.census.keys);
                prop_assert_eq!(replayed.census.items, replayed.fates.written);
            }
            // The whole log is of a later time.
            Err(ReplayError::NoLog { .. }) => prop_assert!(expected.is_empty()),
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn nothing_newer_is_ever_written_over(
        before in proptest::collection::btree_map(0..40_u32, version(), 0..40),
        logged in proptest::collection::btree_map(0..40_u32, (version(), any::<bool>(), any::<bool>()), 1..40),
    ) {
        let lake = Lake::new();
        let mut lines = Vec::new();
        let mut expected: BTreeMap<u32, Item> = before
            .iter()
            .map(|(key, version)| (*key, item(&image(*key, &format!("{}{}", version.member(), r#","x":{"S":"table"}"#)))))
            .collect();
        let mut fates = Fates::default();
        for (nth, (key, (ours, removes, same))) in logged.iter().enumerate() {
            let mut ours = ours.clone();
            let mut text = r#","x":{"S":"log"}"#;
            if let (true, Some(theirs)) = (*same, before.get(key)) {
                ours = theirs.clone();
                text = r#","x":{"S":"table"}"#;
            }
            let json = image(*key, &format!("{}{text}", ours.member()));
            let (new, old) = match removes {
                true => (None, Some(json.clone())),
                false => (Some(json.clone()), None),
            };
            lines.push((START, stream_line(*key, START, nth as u64 + 1, new, old)));
            let order = before.get(key).map(|theirs| theirs.compare(&ours));
            let count = match (ours, removes, order) {
                (Version::None | Version::Other, _, _) => &mut fates.without_version,
                (_, false, None | Some(Some(Ordering::Less))) => {
                    expected.insert(*key, item(&json));
                    &mut fates.written
                }
                (_, false, _) if expected[key] == item(&json) => &mut fates.already_there,
                (_, true, None) => &mut fates.already_there,
                (_, true, Some(Some(Ordering::Less | Ordering::Equal))) => {
                    expected.remove(key);
                    &mut fates.deleted
                }
                _ => &mut fates.newer,
            };
            *count += 1;
        }
        lake.put_lines("stream", &lines);
        let tables = target();
        tables.seed(TARGET, before.iter().map(|(key, version)| item(&image(*key, &format!("{}{}", version.member(), r#","x":{"S":"table"}"#)))));
        let folder = Folder::new();
        let replayed = block_on(folder.run(&lake.log(), &tables, None, BY_VERSION)).unwrap();
        prop_assert_eq!(held(&tables), sorted(expected.into_values()));
        prop_assert_eq!(replayed.fates, fates);
    }
}

#[derive(Debug, Clone)]
enum Version {
    N(i32),
    S(String),
    Other,
    None,
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        // 9 and 10, -1 and -2: as texts they would be the other way round.
        8 => (-12..12_i32).prop_map(Version::N),
        4 => "[0-9a-zé]{1,2}".prop_map(Version::S),
        1 => Just(Version::Other),
        1 => Just(Version::None),
    ]
}

impl Version {
    fn member(&self) -> String {
        match self {
            Self::N(number) => format!(r#","v":{{"N":"{number}"}}"#),
            Self::S(text) => format!(r#","v":{{"S":"{text}"}}"#),
            Self::Other => r#","v":{"BOOL":true}"#.to_owned(),
            Self::None => String::new(),
        }
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::N(left), Self::N(right)) => Some(left.cmp(right)),
            (Self::S(left), Self::S(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
            _ => None,
        }
    }
}

/// A log of some parts, and the items that it tells of.
fn some_log() -> (Lake, Vec<Item>) {
    let lake = Lake::new();
    let steps: Vec<Step> = (0..110)
        .map(|nth| Step {
            key: nth * 7 % 60,
            pause: 5,
            removes: nth % 5 == 4,
        })
        .collect();
    let table = live(&lake, &steps, Some(30), None);
    let items: Vec<Item> = table.values().map(|image| item(image)).collect();
    assert!(items.len() > 30, "{}", items.len());
    (lake, sorted(items))
}

/// Every way in which the process may die at an operation.
const CRASHES: [Crash; 4] = [
    Crash::Before,
    Crash::After,
    Crash::Late(Landing::AfterBatches(2)),
    Crash::Late(Landing::AfterTime(Duration::from_secs(200))),
];

/// Runs until it ends or the process dies.
async fn run_mortal(
    folder: &Folder,
    lake: &Lake,
    tables: &Failing<MemoryTables>,
    plan: &FaultPlan,
    mode: Mode<'_>,
) {
    let log = lake.failing_log(plan);
    tokio::select! {
        ended = folder.run(&log, tables, None, mode) => drop(ended),
        () = plan.crashed() => {}
    }
}

async fn crash_everywhere(before: &[Item], first: Mode<'_>, again: Mode<'_>) {
    let (lake, items) = some_log();
    let folder = Folder::new();
    let start = || {
        let tables = target();
        tables.seed(TARGET, before.iter().cloned());
        tables
    };
    let plan = FaultPlan::seeded(1);
    let whole = Failing::new(start(), plan.clone());
    run_mortal(&folder, &lake, &whole, &plan, first).await;
    let expected = held(whole.inner());
    if before.is_empty() {
        assert_eq!(expected, items);
    }
    let operations = plan.log();
    assert!(operations.len() > 30, "{operations:?}");
    for (nth, operation) in (1..).zip(operations) {
        // What only reads has left no trace in the store, whenever the process died.
        let writes = operation.ends_with("Item");
        for crash in CRASHES.into_iter().take(if writes { 4 } else { 1 }) {
            let plan = FaultPlan::seeded(nth as u64);
            plan.crash_at(nth, crash);
            let tables = Failing::new(start(), plan.clone());
            run_mortal(&folder, &lake, &tables, &plan, first).await;
            assert!(plan.is_dead());
            if first == Mode::Empty && !held(tables.inner()).is_empty() {
                let refused = folder
                    .run(&lake.log(), tables.inner(), None, Mode::Empty)
                    .await;
                assert!(matches!(refused, Err(ReplayError::NotEmpty(_))));
            }
            let tables = tables.with_plan(FaultPlan::seeded(0));
            // A try that has not begun to write leaves no marker and no item.
            let again = match folder.marker().exists() {
                true => again,
                false => first,
            };
            let replayed = folder.run(&lake.log(), &tables, None, again).await.unwrap();
            tables.settle().await;
            assert_eq!(held(tables.inner()), expected, "{nth} {crash:?}");
            assert!(!folder.marker().exists());
            assert_eq!(replayed.fates.total(), replayed.census.keys);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_operation_leaves_no_trace_in_an_empty_table() {
    crash_everywhere(&[], Mode::Empty, Mode::Again).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_operation_leaves_no_trace_in_a_table_that_lives() {
    let before: Vec<Item> = (0..60)
        .step_by(4)
        .map(|key| item(&image(key, &format!(r#","v":{{"N":"{}"}}"#, key * 2))))
        .collect();
    crash_everywhere(&before, BY_VERSION, BY_VERSION).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_with_an_item_is_not_filled() {
    let (lake, _) = some_log();
    let tables = target();
    tables.seed(TARGET, [item(&image(1, ""))]);
    let folder = Folder::new();
    insta::assert_snapshot!(folder.message(&lake, &tables, Mode::Empty).await, @"the table copy is not empty: name an empty one, or, to write only over what is older, the attribute that tells (--version-attribute); a replay that was stopped is repeated with --again");
    assert_eq!(held(&tables).len(), 1);
    let key = Mode::Living {
        version: "offer",
        per_second: 1,
    };
    insta::assert_snapshot!(folder.message(&lake, &tables, key).await, @r#""offer" is a key attribute of the table: expected --version-attribute to name one that grows with each write of an item"#);
    insta::assert_snapshot!(folder.message(&lake, &MemoryTables::new(), Mode::Empty).await, @"there is no table copy: check --into, the region (AWS_REGION or the profile's) and --endpoint-url: DescribeTable on copy: there is no such table");
    insta::assert_snapshot!(folder.message(&Lake::new(), &target(), Mode::Empty).await, @"the bucket lake has no change log of the table offers for that time: expected objects under changes/table=offers/ (check --bucket, --table and --until)");
    assert!(!folder.unprocessed().exists());
}

/// The message for a log with one more line after the good ones, and nothing is written.
async fn message_for(line: &str) -> String {
    let (lake, _) = some_log();
    let folder = hour_folder(SOURCE, "stream", START);
    let good = stream_line(1, START, 1, Some(image(1, "")), None);
    lake.put(
        &format!("{folder}zz.jsonl.gz"),
        gzip(format!("{good}\n{line}\n").as_bytes()),
    );
    let tables = target();
    for mode in [Mode::Empty, BY_VERSION] {
        let message = Folder::new().message(&lake, &tables, mode).await;
        assert!(held(&tables).is_empty());
        if mode == BY_VERSION {
            return message;
        }
    }
    unreachable!("the last mode returns")
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_be_used_stops_everything_before_the_first_write() {
    let good = stream_line(2, START, 2, Some(image(2, "")), None);
    insta::assert_snapshot!(message_for("{").await, @"the log cannot be read, so nothing is written (put the object back as it was: without it the log cannot be replayed until a snapshot from after it is in the log): s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: the record cannot be read (EOF while parsing an object at line 1 column 1): expected a JSON object as DynamoDB Streams sends it");
    insta::assert_snapshot!(message_for(&good.replace("MODIFY", "UPSERT")).await, @r#"the log cannot be read, so nothing is written (put the object back as it was: without it the log cannot be replayed until a snapshot from after it is in the log): s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: eventName is "UPSERT": expected INSERT, MODIFY or REMOVE"#);
    insta::assert_snapshot!(message_for(&good.replace(r#""NewImage":{"account":{"S""#, r#""NewImage":{"account":{"X""#)).await, @r#"s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: dynamodb.NewImage: there is no DynamoDB type "X" at line 1 column 15: expected an item as DynamoDB JSON; nothing is written"#);
    insta::assert_snapshot!(message_for(&good.replace(r#""NewImage":{"account":{"S":"a2"}"#, r#""NewImage":{"account":{"S":"a1"}"#)).await, @r#"s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: dynamodb.NewImage has another "account" than dynamodb.Keys: expected the item of that key; nothing is written"#);
    insta::assert_snapshot!(message_for(&good.replace(r#""account":{"S":"a2"},"#, "")).await, @r#"s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: the key attribute "account" is missing: expected the keys of the table copy; nothing is written"#);
    insta::assert_snapshot!(message_for(&good.replace("offer\"", "order\"")).await, @r#"s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: "order" is a key attribute, and not one of the table copy: expected a table with the same keys; nothing is written"#);
    insta::assert_snapshot!(message_for(&good.replace(r#""offer":{"N""#, r#""offer":{"S""#)).await, @r#"s3://lake/changes/table=offers/source=stream/dt=2026-01-14/hour=10/zz.jsonl.gz, line 2: the key attribute "offer" is not of the table's type N: expected the keys of the table copy; nothing is written"#);
    // After all others, of a key of its own.
    let keys_only = stream_line(91, START + 900, 900, None, None).replace("REMOVE", "MODIFY");
    insta::assert_snapshot!(message_for(&keys_only).await, @r#"the last change of the key {"account":"a1","offer":91} has no image of the item, so nothing is written: expected a stream with the view NEW_IMAGE or NEW_AND_OLD_IMAGES (the log cannot be replayed until a snapshot from after that change is in it)"#);
}

#[tokio::test(start_paused = true)]
async fn a_change_without_an_image_is_no_fault_if_it_is_not_the_last() {
    let lake = Lake::new();
    let without = stream_line(1, START, 1, None, None).replace("REMOVE", "MODIFY");
    let with = stream_line(1, START, 2, Some(image(1, "")), None);
    lake.put_lines("stream", &[(START, without), (START, with)]);
    let tables = target();
    let replayed = Folder::new()
        .run(&lake.log(), &tables, None, Mode::Empty)
        .await;
    assert_eq!(replayed.unwrap().fates.written, 1);
    assert_eq!(held(&tables), [item(&image(1, ""))]);
}

#[tokio::test(start_paused = true)]
async fn hours_that_cannot_matter_are_not_read() {
    let lake = Lake::new();
    lake.complete(START);
    lake.put_lines("export", &[(START, snapshot_line(1, START, &image(1, "")))]);
    let broken = |source, time| {
        let folder = hour_folder(SOURCE, source, time);
        lake.put(&format!("{folder}broken.jsonl"), "{\n");
    };
    // The second of the snapshot begins an hour, and the minute before it lies in the hour before.
    let hour = START / 3_600 * 3_600;
    assert_eq!(hour, START - 1_200);
    broken("stream", hour - 1);
    broken("export", hour - 1);
    broken("stream", START + 3_600 * 2);
    let until = Some(START + 3_600);
    let tables = target();
    let replayed = Folder::new()
        .run(&lake.log(), &tables, until, Mode::Empty)
        .await;
    assert_eq!(replayed.unwrap().census.objects, 1);
    broken("stream", START + 3_600);
    let replayed = Folder::new()
        .run(&lake.log(), &target(), until, Mode::Empty)
        .await;
    assert!(matches!(replayed, Err(ReplayError::Log(_))));
}

#[tokio::test(start_paused = true)]
async fn refused_items_are_kept_with_the_reasons() {
    let lake = Lake::new();
    let large = image(2, &format!(r#","x":{{"S":"{}"}}"#, "x".repeat(410_000)));
    let lines = [(1, image(1, "")), (2, large.clone()), (3, image(3, ""))].map(|(key, image)| {
        let image = image.replacen('{', r#"{"v":{"N":"1"},"#, 1);
        (
            START,
            stream_line(key, START, key.into(), Some(image), None),
        )
    });
    lake.put_lines("stream", &lines);
    for mode in [Mode::Empty, BY_VERSION] {
        let tables = target();
        let folder = Folder::new();
        let replayed = folder.run(&lake.log(), &tables, None, mode).await.unwrap();
        assert_eq!((replayed.fates.written, replayed.fates.refused), (2, 1));
        assert_eq!(held(&tables).len(), 2);
        assert_eq!(replayed.unprocessed, Some(folder.unprocessed()));
        let text = std::fs::read_to_string(folder.unprocessed()).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["item"]["offer"]["N"], "2");
        assert!(
            line["reason"].as_str().unwrap().contains("409600"),
            "{}",
            line["reason"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_stops_the_writing_says_how_far_it_was_and_that_it_may_be_repeated() {
    let (lake, _) = some_log();
    let stopped = async |operation, mode| {
        let plan = FaultPlan::seeded(3);
        plan.inject(operation, 5, Fault::Fail(ErrorKind::Denied));
        let tables = Failing::new(target(), plan);
        let error = Folder::new()
            .run(&lake.log(), &tables, None, mode)
            .await
            .unwrap_err();
        describe(&error)
    };
    let message = stopped("BatchWriteItem", Mode::Empty).await;
    assert!(
        message.contains("access to the table copy is denied"),
        "{message}"
    );
    assert!(message.contains("with --again added is safe"), "{message}");
    let message = stopped("PutItem", BY_VERSION).await;
    assert!(
        message.contains("keys are done so far, and running the command again is safe"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_lives_is_written_at_the_pace_that_was_asked_for() {
    let (lake, items) = some_log();
    let clock = TestClock::default();
    let mode = Mode::Living {
        version: "v",
        per_second: 10,
    };
    let replayed = Folder::new()
        .run(&lake.log(), &target(), None, mode)
        .await
        .unwrap();
    assert_eq!(replayed.fates.written, items.len() as u64);
    let writes = replayed.census.keys - replayed.fates.without_version;
    let millis = clock.elapsed().as_millis() as u64;
    assert!(
        (writes * 95..writes * 105).contains(&millis),
        "{writes} in {millis} ms"
    );
}

#[tokio::test(start_paused = true)]
async fn progress_is_reported_in_every_phase_and_while_no_run_settles() {
    let (lake, _) = some_log();
    let plan = FaultPlan::seeded(8);
    plan.limit_writes(3);
    let tables = Failing::new(target(), plan);
    let folder = Folder::new();
    let job = Replay {
        table: TARGET,
        until: None,
        mode: Mode::Empty,
        marker: &folder.marker(),
        unprocessed: &folder.unprocessed(),
        seed: 7,
    };
    let (mut phases, mut written) = (Vec::new(), Vec::new());
    let clock = TestClock::default();
    let on_progress = |progress: &Progress| match *progress {
        Progress::Reading { done, total } => phases.push(("reading", done, total)),
        Progress::Merging { done, total } => phases.push(("merging", done, total)),
        Progress::Writing { done, .. } => written.push(done),
    };
    let replayed = replay(&job, &lake.log(), &tables, &clock, on_progress).await;
    let (_, done, total) = *phases.iter().rfind(|phase| phase.0 == "reading").unwrap();
    assert_eq!(done, total);
    assert_eq!(phases.last(), Some(&("merging", 1, 1)));
    assert_eq!(written.last(), Some(&replayed.unwrap().census.keys));
    assert!(written.is_sorted(), "{written:?}");
    written.dedup();
    assert!(written.len() > 5, "all items are one run: {written:?}");
}

#[tokio::test(start_paused = true)]
async fn throttles_and_missing_answers_are_waited_out() {
    let (lake, items) = some_log();
    let plan = FaultPlan::seeded(5);
    let rates = storage::failing::Rates {
        throttled: 300,
        unprocessed: 200,
        answer_lost: 50,
        ..Default::default()
    };
    plan.at_random("BatchWriteItem", rates);
    let tables = Failing::new(target(), plan);
    let replayed = Folder::new()
        .run(&lake.log(), &tables, None, Mode::Empty)
        .await
        .unwrap();
    assert_eq!(replayed.fates.written, items.len() as u64);
    assert_eq!(held(tables.inner()), items);
}

/// A replay into an empty table that was stopped while it wrote.
async fn stopped(lake: &Lake, until: Option<u64>) -> (Folder, MemoryTables) {
    let plan = FaultPlan::seeded(3);
    plan.inject("BatchWriteItem", 3, Fault::Fail(ErrorKind::Denied));
    let tables = Failing::new(target(), plan);
    let folder = Folder::new();
    let stopped = folder.run(&lake.log(), &tables, until, Mode::Empty).await;
    assert!(matches!(stopped, Err(ReplayError::Unfilled { .. })));
    assert!(folder.marker().exists());
    (folder, tables.inner().clone())
}

#[tokio::test(start_paused = true)]
async fn what_is_no_earlier_try_of_this_very_replay_is_not_written_over() {
    let (lake, items) = some_log();
    let message =
        async |folder: &Folder, log: &Log<MemoryObjects>, tables: &MemoryTables, until, mode| {
            let before = held(tables);
            let error = folder.run(log, tables, until, mode).await.unwrap_err();
            assert!(error.is_usage());
            assert_eq!(held(tables), before);
            let folder = folder.0.path().to_str().unwrap();
            describe(&error).replace(folder, "FOLDER")
        };
    let (log, again) = (lake.log(), Mode::Again);
    // A table with newer items, and nothing that says that an earlier try put them.
    let living = target();
    living.seed(TARGET, [item(&image(1, ""))]);
    insta::assert_snapshot!(message(&Folder::new(), &log, &living, None, again).await, @r#"there is no file "FOLDER/copy.replay.json", which the first try leaves when it begins to write: run the command without --again, in an empty table, or name the file of that try (--marker)"#);

    let (folder, tables) = stopped(&lake, Some(START + 100_000)).await;
    insta::assert_snapshot!(message(&folder, &log, &tables, Some(START + 99_999), again).await, @r#"the marker "FOLDER/copy.replay.json" is of another replay, with the --until 2026-01-15T14:06:40Z: expected 2026-01-15T14:06:39Z; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    let elsewhere = Log::new(Rc::new(lake.objects.clone()), "pond", SOURCE);
    insta::assert_snapshot!(message(&folder, &elsewhere, &tables, None, again).await, @r#"the marker "FOLDER/copy.replay.json" is of another replay, with the log's bucket lake: expected pond; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    let orders = Log::new(Rc::new(lake.objects.clone()), LAKE, "orders");
    insta::assert_snapshot!(message(&folder, &orders, &tables, None, again).await, @r#"the marker "FOLDER/copy.replay.json" is of another replay, with the log's table offers: expected orders; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    let identity = async |arn: &str, id: &str| {
        let arn = format!("arn:aws:dynamodb:us-east-1:{arn}:table/copy");
        let id = id.to_owned();
        target().with_identity(TARGET, storage::TableIdentity { arn, id })
    };
    let production = identity("210987654321", "copy-1").await;
    insta::assert_snapshot!(message(&folder, &log, &production, None, again).await, @r#"the marker "FOLDER/copy.replay.json" is of another replay, with the table ARN arn:aws:dynamodb:us-east-1:123456789012:table/copy: expected arn:aws:dynamodb:us-east-1:210987654321:table/copy; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    let anew = identity("123456789012", "copy-2").await;
    insta::assert_snapshot!(message(&folder, &log, &anew, None, again).await, @r#"the marker "FOLDER/copy.replay.json" is of another replay, with the table id copy-1: expected copy-2; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    // The marker of another replay is not lost either.
    insta::assert_snapshot!(message(&folder, &log, &anew, None, Mode::Empty).await, @r#"the marker "FOLDER/copy.replay.json" is of another replay, with the table id copy-1: expected copy-2; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    let text = std::fs::read_to_string(folder.marker()).unwrap();
    std::fs::write(folder.marker(), text.replace("until", "til")).unwrap();
    insta::assert_snapshot!(message(&folder, &log, &tables, None, again).await, @r#""FOLDER/copy.replay.json" is no marker (unknown field `til`, expected one of `table_arn`, `table_id`, `log_bucket`, `log_table`, `until` at line 1 column 132): expected one that transload replay has written; name another --marker"#);

    std::fs::write(folder.marker(), text).unwrap();
    let replayed = folder.run(&log, &tables, None, again).await.unwrap();
    assert_eq!(
        (held(&tables), replayed.fates.written),
        (items.clone(), items.len() as u64)
    );
    assert!(!folder.marker().exists());
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_all_the_log_is_repeated_up_to_where_the_log_ended_then() {
    let (lake, items) = some_log();
    let (folder, tables) = stopped(&lake, None).await;
    // Meanwhile an item that the first try may have put was removed, and another one was changed.
    let later = START + 100_000;
    let removed = stream_line(0, later, 900, None, Some(image(0, "")));
    let changed = stream_line(1, later, 901, Some(image(1, "")), None);
    lake.put_lines("stream", &[(later, removed), (later, changed)]);
    let replayed = folder.run(&lake.log(), &tables, None, Mode::Again).await;
    assert_eq!(replayed.unwrap().fates.written, items.len() as u64);
    assert_eq!(held(&tables), items);
}

/// A log of this many items, each of them written once.
fn lake_of(keys: u32) -> Lake {
    let lake = Lake::new();
    let line = |key: u32| {
        let image = image(key, r#","v":{"N":"1"}"#);
        stream_line(key, START, key.into(), Some(image), None)
    };
    let lines: Vec<_> = (0..keys).map(|key| (START, line(key))).collect();
    lake.put_lines("stream", &lines);
    lake
}

#[tokio::test(start_paused = true)]
async fn a_table_that_lives_and_throttles_is_waited_for_as_long_as_it_takes_something() {
    let plan = FaultPlan::seeded(5);
    let rates = storage::failing::Rates {
        throttled: 400,
        answer_lost: 100,
        ..Default::default()
    };
    plan.at_random("PutItem", rates);
    let tables = Failing::new(target(), plan.clone());
    let mode = Mode::Living {
        version: "v",
        per_second: 1,
    };
    let clock = TestClock::default();
    let (folder, log) = (Folder::new(), lake_of(300).log());
    let replayed = folder.run(&log, &tables, None, mode).await;
    let fates = replayed.unwrap().fates;
    assert_eq!(held(tables.inner()).len(), 300);
    assert_eq!(fates.written + fates.already_there, 300);
    assert!(
        fates.already_there > 10,
        "an answer that is lost is not known"
    );
    assert!(plan.count("PutItem") > 400);
    // There were failures in more than two minutes, and successes between them.
    assert!(clock.elapsed() > Duration::from_secs(290));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_lives_and_takes_nothing_is_given_up_after_two_minutes() {
    let (lake, _) = some_log();
    for kind in [ErrorKind::Throttled, ErrorKind::Unanswered] {
        let plan = FaultPlan::seeded(5);
        let rates = match kind {
            ErrorKind::Throttled => storage::failing::Rates {
                throttled: 1_000,
                ..Default::default()
            },
            _ => storage::failing::Rates {
                unanswered: 1_000,
                ..Default::default()
            },
        };
        plan.at_random("PutItem", rates);
        let tables = Failing::new(target(), plan.clone());
        let clock = TestClock::default();
        let error = Folder::new()
            .run(&lake.log(), &tables, None, BY_VERSION)
            .await;
        let message = describe(&error.unwrap_err());
        assert!(
            message.contains("no write was acknowledged for 120 s"),
            "{message}"
        );
        assert!(
            message.contains("running the command again is safe"),
            "{message}"
        );
        let seconds = clock.elapsed().as_secs();
        assert!((119..=126).contains(&seconds), "{seconds}");
        // No storm: 32 writes are under way, each of which waits some seconds between its tries.
        assert!(
            (300..4_000).contains(&plan.count("PutItem")),
            "{}",
            plan.count("PutItem")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_writes_are_not_in_the_order_of_the_keys() {
    let lake = lake_of(300);
    let plan = FaultPlan::seeded(3);
    plan.inject("PutItem", 100, Fault::Fail(ErrorKind::Denied));
    let tables = Failing::new(target(), plan);
    let folder = Folder::new();
    let job = Replay {
        table: TARGET,
        until: None,
        mode: BY_VERSION,
        marker: &folder.marker(),
        unprocessed: &folder.unprocessed(),
        seed: 7,
    };
    // All of it is one part.
    let stopped = replay(&job, &lake.log(), &tables, &TestClock::default(), |_| ()).await;
    assert!(matches!(stopped, Err(ReplayError::NotUpdated { .. })));
    let mut by_account: BTreeMap<String, u32> = BTreeMap::new();
    for item in held(tables.inner()) {
        *by_account
            .entry(format!("{:?}", item["account"]))
            .or_default() += 1;
    }
    assert_eq!(by_account.len(), 3, "{by_account:?}");
    assert!(
        by_account.values().all(|count| *count > 15),
        "{by_account:?}"
    );
}
