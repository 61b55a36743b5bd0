//! A table store that looks at every mark when it lands.

use std::collections::BTreeMap;

use flate2::read::MultiGzDecoder;
use gsi_reprocessor::{Output, item_object, set_aside_object};
use records::{Item, TableShape, Value, item_from_dynamodb_json};
use serde_json::value::RawValue;
use storage::memory::{MemoryObjects, MemoryTables};
use storage::{
    Condition, IndexEntries, IndexPage, ItemStore, ItemWrite, PutItem, ScanPage, Scanned,
    StorageError, StreamDescription, TableIdentity, TableStore, Timestamp, WriteOutcome,
};

use super::{LAKE, Setting, Shared, TABLE, body_of, shape};

/// Tables that check, at the moment of each mark, what the mark says.
#[derive(Clone)]
pub struct Watched {
    tables: MemoryTables,
    lake: MemoryObjects,
    setting: Setting,
    /// How often each item was marked done, by canonical key and state.
    pub marks: Shared<BTreeMap<(Vec<u8>, String), u32>>,
}

impl Watched {
    pub fn new(tables: MemoryTables, lake: MemoryObjects, setting: Setting) -> Self {
        Self {
            tables,
            lake,
            setting,
            marks: Shared::default(),
        }
    }

    pub fn tables(&self) -> &MemoryTables {
        &self.tables
    }

    fn look_at(&self, before: &Item, after: &Item) {
        let marker = |item: &Item| match item.get("processed") {
            Some(Value::S(text)) => Some(text.clone()),
            None => None,
            Some(other) => panic!("the marker is {other:?}"),
        };
        let (was, is) = (marker(before), marker(after));
        let was = was.expect("only pending items are marked");
        assert!(was.starts_with("false"), "{was} is not pending");
        let others = |item: &Item| {
            let mut item = item.clone();
            item.remove("processed");
            item.remove("processed_tries");
            item
        };
        assert_eq!(others(before), others(after), "a mark changed the item");
        let is_done = match &is {
            None => self.setting.remove,
            Some(text) => text.starts_with("true"),
        };
        if is_done {
            assert!(
                !after.contains_key("processed_tries"),
                "a done item counts tries"
            );
            let mut processed = before.clone();
            processed.remove("processed_tries");
            let wanted = String::from_utf8(body_of(&processed)).expect("JSON");
            assert_eq!(
                object_of(&self.lake, self.setting.output, before),
                Some(wanted.clone()),
                "an item was marked whose result is not stored"
            );
            let canonical = shape().canonical_key(before).expect("a good key");
            let mut marks = self.marks.borrow_mut();
            let times = marks.entry((canonical, wanted)).or_default();
            *times += 1;
            assert_eq!(*times, 1, "a state of an item was marked twice");
            return;
        }
        let is = is.expect("a marker that is not removed stays");
        if is.starts_with("failed") {
            assert!(before.contains_key("poison"), "a good item was set aside");
            let name = set_aside_object(&shape(), before);
            let body = self.lake.content(LAKE, &name).expect("it says why");
            let kept: BTreeMap<String, Box<RawValue>> =
                serde_json::from_slice(&body).expect("JSON");
            assert_eq!(kept["reason"].get(), "\"it is poison\"");
            let item = item_from_dynamodb_json(kept["item"].get()).expect("an item");
            assert_eq!(&item, before, "what is kept is not what was set aside");
        } else {
            assert_eq!(is, was, "a try that failed changes no marker");
            assert!(after.contains_key("processed_tries"));
        }
    }
}

/// The result of an item as a reader of the lake sees it.
pub fn object_of(lake: &MemoryObjects, output: Output, item: &Item) -> Option<String> {
    match output {
        Output::Objects => {
            let body = lake.content(LAKE, &item_object(&shape(), item))?;
            Some(String::from_utf8(body.to_vec()).expect("JSON"))
        }
        Output::Bundles => lines(lake)
            .into_iter()
            .filter(|line| is_of(line, item))
            .max_by_key(|line| line["run"].get().parse::<u64>().expect("a run"))
            .map(|line| line["output"].get().to_owned()),
    }
}

type Line = BTreeMap<String, Box<RawValue>>;

fn is_of(line: &Line, item: &Item) -> bool {
    let key = item_from_dynamodb_json(line["key"].get()).expect("a key");
    key.iter()
        .all(|(name, value)| item.get(name) == Some(value))
}

fn lines(lake: &MemoryObjects) -> Vec<Line> {
    lake.snapshot(LAKE)
        .into_iter()
        .filter(|(name, _)| name.starts_with("reprocessed/table=offers/lane="))
        .flat_map(|(_, body)| {
            let text = std::io::read_to_string(MultiGzDecoder::new(&body[..])).expect("gzip");
            let lines: Vec<Line> = text
                .lines()
                .map(|line| serde_json::from_str(line).expect("a line is an object"))
                .collect();
            lines
        })
        .collect()
}

impl TableStore for Watched {
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

impl ItemStore for Watched {
    async fn scan_page(
        &self,
        table: &TableShape,
        page: &ScanPage,
    ) -> Result<Scanned, StorageError> {
        self.tables.scan_page(table, page).await
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
        let ItemWrite::Update { key, .. } = write else {
            panic!("items are updated and nothing else");
        };
        let canonical = shape().canonical_key(key).expect("a good key");
        let before = self.tables.held(TABLE, &canonical);
        let outcome = self.tables.write_if(table, write, condition).await?;
        if let WriteOutcome::Updated(_) = outcome {
            let before = before.expect("no item is made by a mark");
            let after = self.tables.held(TABLE, &canonical);
            self.look_at(&before, &after.expect("a mark deletes nothing"));
        }
        Ok(outcome)
    }

    async fn stream(&self, table: &str) -> Result<Option<StreamDescription>, StorageError> {
        self.tables.stream(table).await
    }

    async fn created(&self, table: &str) -> Result<Timestamp, StorageError> {
        self.tables.created(table).await
    }

    async fn item_count(&self, table: &str) -> Result<u64, StorageError> {
        self.tables.item_count(table).await
    }

    async fn identity(&self, table: &str) -> Result<TableIdentity, StorageError> {
        self.tables.identity(table).await
    }
}
