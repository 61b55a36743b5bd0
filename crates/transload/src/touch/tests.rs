use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use records::{IndexShape, KeyAttribute, KeyType, Number};
use storage::failing::{Crash, Failing, Fault, FaultPlan};
use storage::memory::MemoryTables;
use storage::{
    IndexEntries, IndexPage, PutItem, Scanned, StreamDescription, StreamView, TestClock,
};
use tempfile::TempDir;

use super::*;
use crate::describe;

const TABLE: &str = "offers";

fn key_attribute(name: &str, kind: KeyType) -> KeyAttribute {
    KeyAttribute {
        name: name.to_owned(),
        kind,
    }
}

fn shape() -> TableShape {
    TableShape {
        name: TABLE.to_owned(),
        partition: key_attribute("account", KeyType::S),
        sort: Some(key_attribute("offer", KeyType::N)),
        indexes: vec![IndexShape {
            name: "by_price".to_owned(),
            partition: vec![key_attribute("price", KeyType::N)],
            sort: vec![key_attribute("day", KeyType::S)],
        }],
    }
}

fn item(number: u32) -> Item {
    let json = format!(
        r#"{{"account":{{"S":"a{}"}},"offer":{{"N":"{number}"}},"x":{{"S":"y"}}}}"#,
        number % 17
    );
    records::item_from_dynamodb_json(json).unwrap()
}

fn text(value: &str) -> Value {
    Value::S(value.to_owned())
}

/// A table that keeps its updates, as its stream would; after each page of a scan somebody else writes an item that was in it.
#[derive(Clone)]
struct Logged {
    tables: MemoryTables,
    clock: TestClock,
    updates: Rc<RefCell<Vec<(u64, Item)>>>,
    others: Option<ItemWrite>,
}

impl Logged {
    fn with_items(count: u32) -> Self {
        let stream = StreamDescription {
            label: "2026-01-14T00:00:00.000".to_owned(),
            arn: "arn".to_owned(),
            view: StreamView::NewAndOldImages,
        };
        let tables = MemoryTables::new()
            .with_table(shape())
            .with_stream(TABLE, stream);
        tables.seed(TABLE, (0..count).map(item));
        Self {
            tables,
            clock: TestClock::default(),
            updates: Rc::default(),
            others: None,
        }
    }

    /// How often each key was updated.
    fn updates_by_key(&self) -> BTreeMap<Vec<u8>, u32> {
        let mut counts = BTreeMap::new();
        for (_, key) in self.updates.borrow().iter() {
            let key = shape().canonical_key(key).unwrap();
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    fn with_value(&self, attribute: &str, value: &Value) -> usize {
        let items = self.tables.scan(TABLE);
        let has = |item: &&Item| item.get(attribute) == Some(value);
        items.iter().filter(has).count()
    }
}

impl TableStore for Logged {
    async fn describe(&self, table: &str) -> Result<TableShape, StorageError> {
        self.tables.describe(table).await
    }

    async fn put_batch(
        &self,
        table: &TableShape,
        items: &[PutItem],
    ) -> Result<Vec<usize>, StorageError> {
        self.tables.put_batch(table, items).await
    }
}

impl ItemStore for Logged {
    async fn scan_page(
        &self,
        table: &TableShape,
        page: &ScanPage,
    ) -> Result<Scanned, StorageError> {
        let scanned = self.tables.scan_page(table, page).await?;
        if let Some(write) = &self.others {
            let exists = Condition::Exists;
            self.tables.write_if(table, write, &exists).await?;
        }
        Ok(scanned)
    }

    async fn index_page(
        &self,
        table: &TableShape,
        page: &IndexPage,
    ) -> Result<IndexEntries, StorageError> {
        self.tables.index_page(table, page).await
    }

    async fn item(&self, table: &TableShape, key: &Item) -> Result<Option<Item>, StorageError> {
        self.tables.item(table, key).await
    }

    async fn write_if(
        &self,
        table: &TableShape,
        write: &ItemWrite,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let outcome = self.tables.write_if(table, write, condition).await?;
        if let (ItemWrite::Update { key, .. }, WriteOutcome::Updated(_)) = (write, &outcome) {
            let millis = self.clock.elapsed().as_millis() as u64;
            self.updates.borrow_mut().push((millis, key.clone()));
        }
        Ok(outcome)
    }

    async fn stream(&self, table: &str) -> Result<Option<StreamDescription>, StorageError> {
        self.tables.stream(table).await
    }

    async fn created(&self, table: &str) -> Result<storage::Timestamp, StorageError> {
        self.tables.created(table).await
    }

    async fn item_count(&self, table: &str) -> Result<u64, StorageError> {
        self.tables.item_count(table).await
    }

    async fn identity(&self, table: &str) -> Result<TableIdentity, StorageError> {
        self.tables.identity(table).await
    }
}

/// A touch with a checkpoint in a folder of its own.
struct Touch {
    folder: TempDir,
    attribute: &'static str,
    value: Value,
    per_second: u32,
    segments: u32,
}

impl Touch {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            attribute: "touched",
            value: text("now"),
            per_second: 1_000,
            segments: 3,
        }
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("offers.touch.json")
    }

    async fn run<T: TableStore + ItemStore>(&self, tables: &T) -> Result<Touched, TouchError> {
        self.run_on(TABLE, tables).await
    }

    async fn run_on<T: TableStore + ItemStore>(
        &self,
        table: &str,
        tables: &T,
    ) -> Result<Touched, TouchError> {
        let job = Job {
            table,
            attribute: self.attribute,
            value: &self.value,
            per_second: self.per_second,
            segments: self.segments,
            checkpoint: &self.checkpoint(),
        };
        touch(&job, tables, &TestClock::default(), |_| ()).await
    }

    /// The message of a touch that fails, without the folder's name.
    async fn message<T: TableStore + ItemStore>(&self, tables: &T) -> String {
        let error = self.run(tables).await.unwrap_err();
        let folder = self.folder.path().to_str().unwrap();
        describe(&error).replace(folder, "FOLDER")
    }
}

#[tokio::test(start_paused = true)]
async fn every_item_is_written_once_and_what_holds_the_value_is_not() {
    let tables = Logged::with_items(700);
    let touch = Touch::new();
    let mut seen = 0;
    let first = touch.run(&tables).await.unwrap();
    let counts = TouchedCounts {
        seen: 700,
        touched: 700,
        ..TouchedCounts::default()
    };
    assert_eq!((first.counts, first.resumed), (counts, false));
    assert_eq!(tables.updates_by_key().len(), 700);
    assert_eq!(tables.with_value("touched", &text("now")), 700);
    assert!(!touch.checkpoint().exists());

    // Another item came, and one has another value.
    tables.tables.seed(TABLE, [item(700)]);
    let job = Job {
        table: TABLE,
        attribute: "touched",
        value: &text("now"),
        per_second: 1_000,
        segments: 5,
        checkpoint: &touch.checkpoint(),
    };
    let clock = TestClock::default();
    let again = super::touch(&job, &tables, &clock, |progress| {
        assert!(progress.counts.seen > seen);
        assert_eq!((progress.about, progress.seen_before), (701, 0));
        seen = progress.counts.seen;
    });
    let counts = again.await.unwrap().counts;
    assert_eq!((counts.seen, counts.touched, counts.held), (701, 1, 700));
    assert!(tables.updates_by_key().values().all(|count| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_operation_touches_no_item_twice_and_none_never() {
    let run = async |plan: &FaultPlan, touch: &Touch, tables: &Failing<Logged>| {
        tokio::select! {
            ended = touch.run(tables) => drop(ended),
            () = plan.crashed() => {}
        }
    };
    let one_segment = || Touch {
        segments: 1,
        ..Touch::new()
    };
    let plan = FaultPlan::seeded(1);
    run(
        &plan,
        &one_segment(),
        &Failing::new(Logged::with_items(130), plan.clone()),
    )
    .await;
    let operations = plan.operations();
    assert!(operations > 130, "{operations}");
    for nth in 1..=operations {
        for crash in [Crash::Before, Crash::After] {
            let plan = FaultPlan::seeded(1);
            plan.crash_at(nth, crash);
            let touch = one_segment();
            let tables = Failing::new(Logged::with_items(130), plan.clone());
            run(&plan, &touch, &tables).await;
            assert!(plan.is_dead());
            let plan = FaultPlan::seeded(1);
            let tables = tables.with_plan(plan.clone());
            let touched = touch.run(&tables).await.unwrap();
            let updates = tables.inner().updates_by_key();
            assert_eq!(updates.len(), 130, "{nth} {crash:?}");
            assert!(updates.values().all(|count| *count == 1), "{nth} {crash:?}");
            let counts = touched.counts;
            assert_eq!(counts.seen, 130);
            assert_eq!(counts.touched + counts.held, 130);
            assert!(!touch.checkpoint().exists());
            // What was done before the checkpoint is not even read again.
            if nth > operations - 30 {
                assert!(touched.resumed && plan.count("UpdateItem") < 100);
            }
        }
    }
}

/// The counts of a touch of 50 items, and the updates, when somebody else writes the item 20 between scan and touch.
async fn overtaken_by(write: impl Fn(Item) -> ItemWrite) -> (TouchedCounts, Logged) {
    let mut tables = Logged::with_items(50);
    let mut key = item(20);
    key.remove("x");
    tables.others = Some(write(key));
    let touch = Touch {
        segments: 1,
        ..Touch::new()
    };
    let counts = touch.run(&tables).await.unwrap().counts;
    assert_eq!((counts.seen, counts.touched), (50, 49));
    assert_eq!(tables.updates_by_key().len(), 49);
    (counts, tables)
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_deleted_meanwhile_stays_gone() {
    let (counts, tables) = overtaken_by(ItemWrite::Delete).await;
    assert_eq!((counts.gone, counts.held), (1, 0));
    assert_eq!(tables.tables.scan(TABLE).len(), 49);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_gets_the_value_meanwhile_is_not_written_again() {
    let (counts, tables) = overtaken_by(|key| ItemWrite::Update {
        key,
        set: Item::from([("touched".to_owned(), text("now"))]),
        remove: Vec::new(),
    })
    .await;
    assert_eq!((counts.gone, counts.held), (0, 1));
    assert_eq!(tables.with_value("touched", &text("now")), 50);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept_at_every_moment() {
    for (per_second, count) in [(20, 130), (400, 900)] {
        let tables = Logged::with_items(count);
        let touch = Touch {
            per_second,
            ..Touch::new()
        };
        touch.run(&tables).await.unwrap();
        let updates = tables.updates.borrow();
        let times: Vec<u64> = updates.iter().map(|(millis, _)| *millis).collect();
        let most = usize::try_from(per_second).unwrap();
        for (first, time) in times.iter().enumerate() {
            let within = times[first..].iter().filter(|later| **later < time + 1_000);
            let within = within.count();
            assert!(within <= most + most / 20 + 1, "{within} at {time} ms");
        }
        let took = times.last().unwrap() - times[0];
        let expected = u64::from(count) * 1_000 / u64::from(per_second);
        assert!((expected - 500..expected + 1_000).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn reading_has_its_pace_where_nothing_is_written() {
    let tables = Logged::with_items(500);
    let quick = Touch::new();
    quick.run(&tables).await.unwrap();
    let slow = Touch {
        per_second: 1,
        segments: 1,
        ..Touch::new()
    };
    let clock = TestClock::default();
    let counts = slow.run(&tables).await.unwrap().counts;
    assert_eq!((counts.held, counts.touched), (500, 0));
    // Five pages, each of which costs a unit, and an empty one that costs half of one.
    let millis = clock.elapsed().as_millis();
    assert!((3_000..10_000).contains(&millis), "{millis}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_not_touched_and_a_table_without_a_stream_neither() {
    let tables = Logged::with_items(3);
    let message = async |attribute| {
        let touch = Touch {
            attribute,
            ..Touch::new()
        };
        let message = touch.message(&tables).await;
        assert!(!touch.checkpoint().exists());
        message
    };
    insta::assert_snapshot!(message("account").await, @r#""account" is a key attribute of the table offers: expected --attribute to name one that is no key, best one that nothing reads"#);
    insta::assert_snapshot!(message("offer").await, @r#""offer" is a key attribute of the table offers: expected --attribute to name one that is no key, best one that nothing reads"#);
    insta::assert_snapshot!(message("price").await, @r#""price" is a key attribute of the index by_price: expected --attribute to name one that is no key, best one that nothing reads"#);
    insta::assert_snapshot!(message("day").await, @r#""day" is a key attribute of the index by_price: expected --attribute to name one that is no key, best one that nothing reads"#);
    let unstreamed = MemoryTables::new().with_table(shape());
    insta::assert_snapshot!(Touch::new().message(&unstreamed).await, @"the table offers has no stream, so touching its items would make nothing appear: enable a stream with the view NEW_AND_OLD_IMAGES first");
    insta::assert_snapshot!(Touch::new().message(&MemoryTables::new()).await, @"there is no table offers: check --table, the region (AWS_REGION or the profile's) and --endpoint-url: DescribeTable on offers: there is no such table");
    assert!(tables.updates.borrow().is_empty());
}

/// A touch that has stopped after some pages, and its table.
async fn stopped() -> (Touch, Failing<Logged>, String) {
    let plan = FaultPlan::seeded(1);
    plan.inject("UpdateItem", 320, Fault::Fail(ErrorKind::Throttled));
    let tables = Failing::new(Logged::with_items(500), plan);
    let touch = Touch::new();
    let message = touch.message(&tables).await;
    (touch, tables, message)
}

#[tokio::test(start_paused = true)]
async fn a_table_that_throttles_stops_the_touch_and_the_next_one_goes_on() {
    let (touch, tables, message) = stopped().await;
    insta::assert_snapshot!(message, @"the table offers is throttled, so this has stopped: try again later, with a lower --rate; 300 items are done, and running the command again goes on after them: UpdateItem on the failing store: made to fail");
    let touched = touch.run(&tables).await.unwrap();
    assert!(touched.resumed);
    assert_eq!(touched.counts.seen, 500);
    assert!(
        tables
            .inner()
            .updates_by_key()
            .values()
            .all(|count| *count == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_touch_is_refused() {
    let (touch, tables, _) = stopped().await;
    let before = tables.inner().updates.borrow().len();
    let other = async |change: &dyn Fn(&mut Touch)| {
        let mut other = Touch::new();
        change(&mut other);
        std::fs::copy(touch.checkpoint(), other.checkpoint()).unwrap();
        let message = other.message(&tables).await;
        assert!(other.checkpoint().exists());
        message
    };
    insta::assert_snapshot!(other(&|touch| touch.attribute = "t").await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the attribute touched: expected t; finish that one, delete the file, or name another --checkpoint"#);
    insta::assert_snapshot!(other(&|touch| touch.value = text("then")).await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the value {"S":"now"}: expected {"S":"then"}; finish that one, delete the file, or name another --checkpoint"#);
    insta::assert_snapshot!(other(&|touch| touch.value = Value::N(Number::parse("1").unwrap())).await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the value {"S":"now"}: expected {"N":"1"}; finish that one, delete the file, or name another --checkpoint"#);
    insta::assert_snapshot!(other(&|touch| touch.segments = 4).await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the segments 3: expected 4; finish that one, delete the file, or name another --checkpoint"#);

    // Another table of the name: of another account, or made anew.
    let of_table = async |arn: &str, id: &str| {
        let identity = TableIdentity {
            arn: arn.to_owned(),
            id: id.to_owned(),
        };
        let known = tables.inner().tables.identity(TABLE).await.unwrap();
        let _ = tables.inner().tables.clone().with_identity(TABLE, identity);
        let message = touch.message(&tables).await;
        let _ = tables.inner().tables.clone().with_identity(TABLE, known);
        message
    };
    let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/offers";
    insta::assert_snapshot!(of_table(&arn.replace("12", "21"), "offers-1").await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the table ARN arn:aws:dynamodb:us-east-1:123456789012:table/offers: expected arn:aws:dynamodb:us-east-1:213456789021:table/offers; finish that one, delete the file, or name another --checkpoint"#);
    insta::assert_snapshot!(of_table(arn, "offers-2").await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the table id offers-1: expected offers-2; finish that one, delete the file, or name another --checkpoint"#);

    let text = std::fs::read_to_string(touch.checkpoint()).unwrap();
    let replaced = |old: &str, new: &str| {
        assert!(text.contains(old), "{text}");
        std::fs::write(touch.checkpoint(), text.replacen(old, new, 1)).unwrap();
    };
    replaced("\"offers\"", "\"orders\"");
    insta::assert_snapshot!(touch.message(&tables).await, @r#"the checkpoint "FOLDER/offers.touch.json" is of another touch, with the table orders: expected offers; finish that one, delete the file, or name another --checkpoint"#);
    for (old, new) in [
        ("{", "["),
        ("\"counts\"", "\"count\""),
        ("{\"M\":", "{\"S\":"),
        ("{\"S\":\"now\"}", "{\"S\":3}"),
        ("{\"M\":", "7,{\"M\":"),
    ] {
        replaced(old, new);
        let message = touch.message(&tables).await;
        assert!(
            message.contains("is no checkpoint") || message.contains("with the segments 4"),
            "{message}"
        );
    }
    assert_eq!(tables.inner().updates.borrow().len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_written_does_not_stop_the_others() {
    let tables = Logged::with_items(10);
    let mut large = item(3);
    large.insert("x".to_owned(), text(&"x".repeat(409_580)));
    tables.tables.seed(TABLE, [large]);
    let touched = Touch::new().run(&tables).await.unwrap();
    assert_eq!((touched.counts.touched, touched.counts.refused), (9, 1));
    assert!(touched.first_refusal.unwrap().contains("409600"));
}
