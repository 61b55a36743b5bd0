use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::write::GzEncoder;
use records::{IndexShape, KeyAttribute, KeyType, TableShape};
use storage::failing::{Failing, Fault, FaultPlan, Landing, Rates};
use storage::memory::MemoryTables;
use storage::{ErrorKind, TestClock};
use tempfile::TempDir;

use super::*;
use crate::describe;

const TABLE: &str = "offers";

fn tables() -> MemoryTables {
    let key = |name: &str| KeyAttribute {
        name: name.to_owned(),
        kind: KeyType::S,
    };
    MemoryTables::new().with_table(TableShape {
        name: TABLE.to_owned(),
        partition: key("account"),
        sort: Some(key("offer")),
        indexes: Vec::<IndexShape>::new(),
    })
}

/// A folder with an input in it.
struct Input {
    folder: TempDir,
    file: LocalFile,
}

impl Input {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        fs::write(&path, content).unwrap();
        let file = LocalFile::open(&path).unwrap();
        Self { folder, file }
    }

    fn beside(&self, suffix: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("data.csv{suffix}"))
    }

    fn lines(&self, suffix: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.beside(suffix)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Everything in the folder but the input.
    fn others(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "data.csv")
            .collect();
        names.sort();
        names
    }

    async fn load(&self, tables: &impl TableStore) -> Result<Loaded, LoadError> {
        self.load_watched(tables, |_| ()).await
    }

    async fn load_watched(
        &self,
        tables: &impl TableStore,
        on_progress: impl FnMut(&LoadProgress),
    ) -> Result<Loaded, LoadError> {
        let load = Load {
            input: &self.file,
            table: TABLE,
            mapping: &RowMapping::default(),
            seed: 7,
        };
        ingest_file(&load, tables, &TestClock::default(), on_progress).await
    }

    /// The message for a load that fails, without the folder's name.
    async fn message(&self, tables: &impl TableStore) -> String {
        let error = self.load(tables).await.expect_err("the load fails");
        let folder = self.folder.path().to_str().unwrap();
        describe(&error).replace(folder, "FOLDER")
    }
}

const BACKUP: &str = ".json-copy.jsonl";
const UNPROCESSED: &str = ".unprocessed.jsonl";

fn counts(read: u64, written: u64, superseded: u64, rejected: u64) -> RowCounts {
    RowCounts {
        read,
        written,
        superseded,
        rejected,
    }
}

fn many_rows(rows: usize) -> String {
    let rows: String = (0..rows).map(|row| format!("a,{row:06},{row}\n")).collect();
    format!("account,offer,price\n{rows}")
}

#[tokio::test(start_paused = true)]
async fn every_row_is_written_superseded_or_rejected() {
    let input = Input::new("account,offer,price\na,1,10\na,2\na,1,11\n,3,12\nb,1,13\n");
    let tables = tables();
    let mut last = LoadProgress::default();
    let loaded = input
        .load_watched(&tables, |progress| last = *progress)
        .await;
    let loaded = loaded.unwrap();

    assert_eq!(loaded.counts, counts(5, 2, 1, 2));
    let items: Vec<String> = tables
        .scan(TABLE)
        .iter()
        .map(|item| format!("{item:?}"))
        .collect();
    assert_eq!(items.len(), 2);
    assert!(items[0].contains("\"11\""), "{items:?}");
    assert!(items[1].contains("\"13\""), "{items:?}");

    assert_eq!(
        input.others(),
        ["data.csv.json-copy.jsonl", "data.csv.unprocessed.jsonl"]
    );
    assert_eq!(loaded.backup, Some(input.beside(BACKUP)));
    assert_eq!(loaded.unprocessed, Some(input.beside(UNPROCESSED)));
    let prices: Vec<Value> = input
        .lines(BACKUP)
        .iter()
        .map(|row| row["price"].clone())
        .collect();
    assert_eq!(prices, ["10", "11", "13"]);
    let rejects: Vec<_> = input
        .lines(UNPROCESSED)
        .iter()
        .map(|reject| (reject["line"].clone(), reject["row"].clone()))
        .collect();
    assert_eq!(
        rejects,
        [(3.into(), "a,2".into()), (5.into(), ",3,12".into())]
    );
    let first = loaded.first_reject.unwrap();
    assert!(first.starts_with("line 3: "), "{first}");

    assert_eq!(last.rows_read, 5);
    assert_eq!(last.bytes_read, input.file.bytes());
}

#[test]
fn a_reject_is_told_in_one_line() {
    let line =
        br#"{"line":14,"byte_offset":99,"column":"price","reason":"\"x\" is no number","row":"a"}"#;
    assert_eq!(
        reject_text(line),
        r#"line 14, column price: "x" is no number"#
    );
}

#[tokio::test(start_paused = true)]
async fn files_without_a_line_do_not_stay_from_an_earlier_load() {
    let good = Input::new("account,offer\na,1\n");
    fs::write(good.beside(UNPROCESSED), "old\n").unwrap();
    let loaded = good.load(&tables()).await.unwrap();
    assert_eq!((loaded.unprocessed, loaded.first_reject), (None, None));
    assert_eq!(good.others(), ["data.csv.json-copy.jsonl"]);

    let bad = Input::new("account,offer\na\n");
    fs::write(bad.beside(BACKUP), "old\n").unwrap();
    let loaded = bad.load(&tables()).await.unwrap();
    assert_eq!((loaded.backup, loaded.counts), (None, counts(1, 0, 0, 1)));
    assert_eq!(bad.others(), ["data.csv.unprocessed.jsonl"]);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_the_table_refuses_is_rejected() {
    let plan = FaultPlan::seeded(1);
    plan.refuse_items_with("poison");
    let tables = Failing::new(tables(), plan);
    let input = Input::new("account,offer,note\na,1,x\na,2,poison\na,3,y\n");
    let loaded = input.load(&tables).await.unwrap();
    assert_eq!(loaded.counts, counts(3, 2, 0, 1));
    assert_eq!(input.lines(BACKUP).len(), 2);
    let first = loaded.first_reject.unwrap();
    assert!(
        first.starts_with("line 3: DynamoDB refused the item"),
        "{first}"
    );
}

#[tokio::test(start_paused = true)]
async fn throttles_are_waited_out_and_counted() {
    let plan = FaultPlan::seeded(2);
    plan.at_random(
        "BatchWriteItem",
        Rates {
            throttled: 300,
            unprocessed: 300,
            ..Rates::default()
        },
    );
    let tables = Failing::new(tables(), plan);
    let input = Input::new(many_rows(3_000));
    let mut positions = Vec::new();
    let loaded = input
        .load_watched(&tables, |progress| positions.push(progress.bytes_done()))
        .await
        .unwrap();
    assert_eq!(loaded.counts, counts(3_000, 3_000, 0, 0));
    assert!(loaded.writer.throttled > 0);
    assert_eq!(tables.inner().scan(TABLE).len(), 3_000);
    assert!(positions.is_sorted(), "{positions:?}");
    assert!(
        positions
            .iter()
            .any(|position| (1..input.file.bytes()).contains(position))
    );
}

#[tokio::test(start_paused = true)]
async fn progress_is_reported_while_a_slow_table_settles_nothing() {
    let plan = FaultPlan::seeded(8);
    plan.limit_writes(50);
    let tables = Failing::new(tables(), plan);
    let input = Input::new(many_rows(900));
    let mut done = Vec::new();
    input
        .load_watched(&tables, |progress| {
            if progress.settled.read == 0 {
                done.push(progress.rows_done());
            }
        })
        .await
        .unwrap();
    done.dedup();
    assert!(done.len() > 10, "all rows are one run: {done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gzip_that_breaks_is_loaded_up_to_the_break() {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(many_rows(5_000).as_bytes()).unwrap();
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    let input = Input::new(bytes);
    let tables = tables();
    let loaded = input.load(&tables).await.unwrap();
    let broken = describe(&loaded.broken.unwrap());
    assert!(
        broken.contains("the gzip data breaks at compressed byte"),
        "{broken}"
    );
    let written = tables.scan(TABLE).len() as u64;
    assert!(written > 0);
    assert_eq!(loaded.counts, counts(written, written, 0, 0));
    assert_eq!(input.lines(BACKUP).len() as u64, written);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_stops_leaves_the_files_of_the_one_before() {
    let input = Input::new(many_rows(3_000));
    fs::write(input.beside(BACKUP), "old\n").unwrap();
    let plan = FaultPlan::seeded(3);
    plan.inject("BatchWriteItem", 100, Fault::Fail(ErrorKind::Denied));
    let tables = Failing::new(tables(), plan);
    let error = input.load(&tables).await.unwrap_err();
    let LoadError::Unwritable {
        written,
        quiet_until,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*written, tables.inner().scan(TABLE).len() as u64);
    assert_eq!(*quiet_until, None);
    let message = describe(&error);
    assert!(
        message.contains("need dynamodb:DescribeTable and dynamodb:BatchWriteItem"),
        "{message}"
    );
    assert_eq!(input.others(), ["data.csv.json-copy.jsonl"]);
    assert_eq!(fs::read_to_string(input.beside(BACKUP)).unwrap(), "old\n");
}

#[tokio::test(start_paused = true)]
async fn the_next_load_is_to_wait_for_a_write_without_an_answer() {
    let input = Input::new(many_rows(3_000));
    let plan = FaultPlan::seeded(4);
    plan.inject(
        "BatchWriteItem",
        1,
        Fault::Late(Landing::AfterTime(Duration::from_secs(200))),
    );
    plan.inject("BatchWriteItem", 50, Fault::Fail(ErrorKind::NotFound));
    let tables = Failing::new(tables(), plan);
    let message = input.message(&tables).await;
    assert!(
        message.contains("is safe from 2026-01-31T12:05:00.000Z on (a write without an answer may land until then)"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_takes_nothing_is_given_up() {
    let input = Input::new(many_rows(100));
    let plan = FaultPlan::seeded(5);
    plan.at_random(
        "BatchWriteItem",
        Rates {
            throttled: 1_000,
            ..Rates::default()
        },
    );
    let tables = Failing::new(tables(), plan);
    insta::assert_snapshot!(input.message(&tables).await, @"the table offers is throttled: try again later or raise its capacity; 0 rows are written so far, and running the command again, which begins with the first row, is safe: no write was acknowledged for 120 s; the last answer was: BatchWriteItem on the failing store: made to fail");
    assert!(input.others().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_loaded_is_said_before_anything_is_written() {
    let tables = tables();
    let message = async |content: &[u8]| {
        let input = Input::new(content);
        let message = input.message(&tables).await;
        assert!(input.others().is_empty());
        message
    };
    insta::assert_snapshot!(message(b"").await, @r#""FOLDER/data.csv" cannot be loaded: the file has no header: expected a first line with the names of the columns"#);
    insta::assert_snapshot!(message(b"account,price\na,1\n").await, @r#""FOLDER/data.csv" cannot be loaded (a row mapping, --mapping FILE.json, can rename columns and add constant ones): the sort key "offer" (type S) of table offers has no source: expected a column, constant or shard of that name (columns: account, price)"#);
    insta::assert_snapshot!(message(b"account,offer,offer\na,1,2\n").await, @r#""FOLDER/data.csv" cannot be loaded: the header has the column "offer" twice, as columns 2 and 3: expected a name once"#);
    insta::assert_snapshot!(message(b"PK\x03\x04 and so on").await, @r#""FOLDER/data.csv" cannot be loaded: this is a zip archive or an Excel workbook: expected CSV text, plain or compressed with gzip or zstd"#);
    insta::assert_snapshot!(message(&[0x1f, 0x8b, 8, 0]).await, @r#""FOLDER/data.csv" cannot be loaded: the gzip data breaks at compressed byte 4 (after 0 inflated bytes): expected a whole gzip file: unexpected end of file"#);
    let nothing = MemoryTables::new();
    let input = Input::new("account,offer\na,1\n");
    insta::assert_snapshot!(input.message(&nothing).await, @"there is no table offers: check --table, the region (AWS_REGION or the profile's) and --endpoint-url: DescribeTable on offers: there is no such table");
    assert!(tables.scan(TABLE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_written_are_found_out_before_the_first_row() {
    let tables = tables();
    let input = Input::new("account,offer\na,1\n");
    fs::create_dir(input.beside(UNPROCESSED)).unwrap();
    insta::assert_snapshot!(input.message(&tables).await, @r#""FOLDER/data.csv.unprocessed.jsonl" is a folder, and a file of that name is to be written: rename it"#);
    fs::remove_dir(input.beside(UNPROCESSED)).unwrap();

    fs::write(input.beside(BACKUP), "").unwrap();
    set_readonly(&input.beside(BACKUP));
    insta::assert_snapshot!(input.message(&tables).await, @r#""FOLDER/data.csv.json-copy.jsonl" is read-only: make it writable (chmod u+w) or delete it"#);
    fs::remove_file(input.beside(BACKUP)).unwrap();

    let held = FileRecorder::beside(input.file.path()).unwrap();
    insta::assert_snapshot!(input.message(&tables).await, @r#"another run is loading the same file now and writes "FOLDER/data.csv.json-copy.jsonl": wait for it"#);
    drop(held);

    assert!(tables.scan(TABLE).is_empty());
    assert!(input.others().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_load() {
    let tables = tables();
    // Many rows find it out on the way, few ones at the end.
    for rows in [50_000, 10] {
        let input = Input::new(many_rows(rows));
        std::os::unix::fs::symlink("/dev/full", input.beside(BACKUP)).unwrap();
        let message = input.message(&tables).await;
        assert!(message.starts_with("cannot write \"FOLDER/data.csv.json-copy.jsonl\" (backup and rejects are written beside the input: make room there"), "{message}");
        assert_eq!(input.others(), ["data.csv.json-copy.jsonl"]);
    }
}

fn set_readonly(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).unwrap();
}
