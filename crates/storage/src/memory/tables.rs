use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use records::{
    IndexShape, Item, KeyAttribute, KeyType, MAX_DEPTH, MAX_ITEM_BYTES, MAX_PARTITION_KEY_BYTES,
    MAX_SORT_KEY_BYTES, TableShape, Value,
};

use crate::{
    ErrorKind, PutItem, StorageError, StreamDescription, TableIdentity, TableStore, Timestamp,
};

/// DynamoDB's quotas of a BatchWriteItem.
const MAX_BATCH_ITEMS: usize = 25;
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Tables in memory. A batch with anything wrong in it is refused as a whole, as DynamoDB does.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables {
    tables: Arc<Mutex<BTreeMap<String, Table>>>,
}

/// An item after its canonical key.
type KeyedItem = (Vec<u8>, Item);

#[derive(Debug)]
pub(super) struct Table {
    pub(super) shape: TableShape,
    pub(super) items: BTreeMap<Vec<u8>, Item>,
    pub(super) stream: Option<StreamDescription>,
    pub(super) created: Timestamp,
    pub(super) identity: TableIdentity,
    puts: u64,
    /// What the indexes answer from, while they lag behind the items.
    lagging: Option<BTreeMap<Vec<u8>, Item>>,
}

impl MemoryTables {
    /// A store without any table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an empty table.
    ///
    /// # Panics
    /// If there is one of this name.
    #[must_use]
    pub fn with_table(self, shape: TableShape) -> Self {
        let name = shape.name.clone();
        let table = Table {
            shape,
            items: BTreeMap::new(),
            stream: None,
            created: Timestamp(0),
            identity: TableIdentity {
                arn: format!("arn:aws:dynamodb:us-east-1:123456789012:table/{name}"),
                id: format!("{name}-1"),
            },
            puts: 0,
            lagging: None,
        };
        let before = self.lock().insert(name.clone(), table);
        assert!(before.is_none(), "table {name} is made once");
        self
    }

    /// Enables a stream of the table, as far as it can be described: it holds no records.
    ///
    /// # Panics
    /// If there is no such table.
    #[must_use]
    pub fn with_stream(self, table: &str, stream: StreamDescription) -> Self {
        self.lock()
            .get_mut(table)
            .expect("a test enables the stream of a table that it has made")
            .stream = Some(stream);
        self
    }

    /// Makes the table another one of its name.
    ///
    /// # Panics
    /// If there is no such table.
    #[must_use]
    pub fn with_identity(self, table: &str, identity: TableIdentity) -> Self {
        self.lock()
            .get_mut(table)
            .expect("a test names a table that it has made")
            .identity = identity;
        self
    }

    /// Says when the table was made, which is 1970 otherwise.
    ///
    /// # Panics
    /// If there is no such table.
    #[must_use]
    pub fn created_at(self, table: &str, time: Timestamp) -> Self {
        self.lock()
            .get_mut(table)
            .expect("a test dates a table that it has made")
            .created = time;
        self
    }

    /// Puts items without any fault being injected, one at a time.
    ///
    /// # Panics
    /// If the table is not there or refuses an item.
    pub fn seed(&self, table: &str, items: impl IntoIterator<Item = Item>) {
        let mut tables = self.lock();
        let table = tables
            .get_mut(table)
            .expect("a test seeds a table that it has made");
        for item in items {
            let key = check_item(&table.shape, &item).expect("a test seeds good items");
            table.items.insert(key, item);
        }
    }

    /// All items of a table in order of canonical key; none if there is no such table.
    pub fn scan(&self, table: &str) -> Vec<Item> {
        self.lock()
            .get(table)
            .map(|table| table.items.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Lets the table's indexes lag behind it, as those of DynamoDB may: from now on every query of them answers from the items
    /// of this moment, until [`Self::catch_up`] brings some of them up to date or [`Self::catch_up_all`] ends it. Reads of the
    /// table itself, and conditions of writes, never lag.
    ///
    /// # Panics
    /// If there is no such table.
    pub fn lag_index(&self, table: &str) {
        self.change(table, |table| table.lagging = Some(table.items.clone()));
    }

    /// While the table's indexes lag: brings those items up to date in them whose key attributes `wanted` takes, also where an
    /// item was added or is gone. The others keep the state that the indexes have of them.
    ///
    /// # Panics
    /// If there is no such table.
    pub fn catch_up(&self, table: &str, wanted: impl Fn(&Item) -> bool) {
        self.change(table, |table| {
            let (shape, items) = (&table.shape, &table.items);
            let Some(lagging) = &mut table.lagging else {
                return;
            };
            let wanted = |item: &Item| wanted(&key_attributes(shape, item));
            lagging.retain(|_, item| !wanted(item));
            let fresh = items.iter().filter(|(_, item)| wanted(item));
            lagging.extend(fresh.map(|(key, item)| (key.clone(), item.clone())));
        });
    }

    /// Brings the table's indexes up to date, and they lag no longer.
    ///
    /// # Panics
    /// If there is no such table.
    pub fn catch_up_all(&self, table: &str) {
        self.change(table, |table| table.lagging = None);
    }

    /// The item with this canonical key.
    pub fn held(&self, table: &str, key: &[u8]) -> Option<Item> {
        self.lock().get(table)?.items.get(key).cloned()
    }

    /// How many items `put_batch` has written to the table, each rewrite counted.
    pub fn puts(&self, table: &str) -> u64 {
        self.lock().get(table).map_or(0, |table| table.puts)
    }

    fn change(&self, table: &str, change: impl FnOnce(&mut Table)) {
        let mut tables = self.lock();
        let table = tables.get_mut(table);
        change(table.expect("a test names a table that it has made"));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Table>> {
        self.tables
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl TableStore for MemoryTables {
    async fn describe(&self, table: &str) -> Result<TableShape, StorageError> {
        self.lock()
            .get(table)
            .map(|found| found.shape.clone())
            .ok_or_else(|| no_table("DescribeTable", table))
    }

    async fn put_batch(
        &self,
        table: &TableShape,
        items: &[PutItem],
    ) -> Result<Vec<usize>, StorageError> {
        let mut tables = self.lock();
        let found = tables
            .get_mut(&table.name)
            .ok_or_else(|| no_table("BatchWriteItem", &table.name))?;
        let checked = check_batch(&found.shape, items).map_err(|(kind, fault)| {
            StorageError::new(kind, "BatchWriteItem", &table.name, fault)
        })?;
        found.puts += checked.len() as u64;
        found.items.extend(checked);
        Ok(Vec::new())
    }
}

impl Table {
    /// The items as the indexes know them.
    pub(super) fn indexed(&self) -> &BTreeMap<Vec<u8>, Item> {
        self.lagging.as_ref().unwrap_or(&self.items)
    }
}

/// The table's key attributes of an item.
pub(super) fn key_attributes(shape: &TableShape, item: &Item) -> Item {
    let keys = shape.keys();
    keys.map(|key| (key.name.clone(), item[&key.name].clone()))
        .collect()
}

pub(super) fn no_table(operation: &'static str, table: &str) -> StorageError {
    StorageError::new(
        ErrorKind::NotFound,
        operation,
        table,
        "there is no such table",
    )
}

/// The batch's items by their canonical keys, or why DynamoDB would refuse all of it.
fn check_batch(
    shape: &TableShape,
    items: &[PutItem],
) -> Result<Vec<KeyedItem>, (ErrorKind, String)> {
    let refused = |fault: String| (ErrorKind::Refused, fault);
    if !(1..=MAX_BATCH_ITEMS).contains(&items.len()) {
        let fault = format!(
            "a batch has 1 to {MAX_BATCH_ITEMS} items, this one {}",
            items.len()
        );
        return Err(refused(fault));
    }
    let bytes: usize = items.iter().map(|put| put.item.len()).sum();
    if bytes > MAX_BATCH_BYTES {
        let fault = format!("a batch has at most {MAX_BATCH_BYTES} bytes, this one {bytes}");
        return Err(refused(fault));
    }
    let mut checked = Vec::with_capacity(items.len());
    let mut keys = BTreeSet::new();
    for (position, put) in items.iter().enumerate() {
        let at = |fault: String| refused(format!("item {position}: {fault}"));
        let item =
            records::item_from_dynamodb_json(&put.item).map_err(|error| at(error.to_string()))?;
        let key = check_item(shape, &item).map_err(at)?;
        if key != put.key {
            // The real store would never notice, but retries by key would go wrong: a defect of the caller.
            return Err((
                ErrorKind::Internal,
                format!("item {position} was given with a key that is not its canonical key"),
            ));
        }
        if !keys.insert(key.clone()) {
            return Err(at("the key is there twice".to_owned()));
        }
        checked.push((key, item));
    }
    Ok(checked)
}

/// The canonical key of a good item, or why DynamoDB would refuse it.
pub(super) fn check_item(shape: &TableShape, item: &Item) -> Result<Vec<u8>, String> {
    let key = shape
        .canonical_key(item)
        .map_err(|error| error.to_string())?;
    for index in &shape.indexes {
        check_index_keys(index, item)?;
    }
    let bytes = records::item_size(item);
    if bytes > MAX_ITEM_BYTES {
        return Err(format!(
            "an item has at most {MAX_ITEM_BYTES} bytes, this one {bytes}"
        ));
    }
    for (name, value) in item {
        if name.is_empty() {
            return Err("an attribute has no name".to_owned());
        }
        if value.depth() > MAX_DEPTH {
            return Err(format!("{name} is nested deeper than {MAX_DEPTH} levels"));
        }
        check_sets(name, value)?;
    }
    Ok(key)
}

fn check_index_keys(index: &IndexShape, item: &Item) -> Result<(), String> {
    let partition = index
        .partition
        .iter()
        .map(|key| (key, MAX_PARTITION_KEY_BYTES));
    let sort = index.sort.iter().map(|key| (key, MAX_SORT_KEY_BYTES));
    for (key, max_bytes) in partition.chain(sort) {
        // An item without a part of the key is not in the index; that is allowed.
        if let Some(value) = item.get(&key.name) {
            check_index_key(key, value, max_bytes)
                .map_err(|fault| format!("key {} of index {}: {fault}", key.name, index.name))?;
        }
    }
    Ok(())
}

pub(super) fn check_index_key(
    key: &KeyAttribute,
    value: &Value,
    max_bytes: usize,
) -> Result<(), String> {
    let bytes = match (&key.kind, value) {
        (KeyType::S, Value::S(text)) => text.len(),
        (KeyType::B, Value::B(bytes)) => bytes.len(),
        (KeyType::N, Value::N(_)) => return Ok(()),
        (wanted, _) => return Err(format!("the value is not of type {wanted:?}")),
    };
    match bytes {
        0 => Err("the value is empty".to_owned()),
        bytes if bytes > max_bytes => Err(format!(
            "the value has {bytes} bytes; {max_bytes} are allowed"
        )),
        _ => Ok(()),
    }
}

fn check_sets(name: &str, value: &Value) -> Result<(), String> {
    let empty = match value {
        Value::Ss(elements) => elements.is_empty(),
        Value::Ns(elements) => elements.is_empty(),
        Value::Bs(elements) => elements.is_empty(),
        Value::L(values) => return values.iter().try_for_each(|value| check_sets(name, value)),
        Value::M(values) => {
            return values
                .values()
                .try_for_each(|value| check_sets(name, value));
        }
        _ => false,
    };
    match empty {
        true => Err(format!("{name} holds an empty set")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
