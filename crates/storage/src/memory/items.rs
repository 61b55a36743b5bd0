use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;

use records::{Item, KeyError, Number, TableShape, Value, item_size};

use super::index;
use super::tables::{MemoryTables, Table, check_item, key_attributes, no_table};
use crate::{
    Condition, ErrorKind, IndexEntries, IndexPage, ItemStore, ItemWrite, MAX_COMPARED_ATTRIBUTES,
    ScanPage, Scanned, StorageError, StreamDescription, TableIdentity, Timestamp, WriteOutcome,
};

/// Where a page of a scan ends.
pub(super) const MAX_PAGE_BYTES: usize = 1024 * 1024;
const MAX_SEGMENTS: u32 = 1_000_000;
/// What one read unit reads.
const UNIT_BYTES: usize = 4 * 1024;

impl ItemStore for MemoryTables {
    async fn scan_page(
        &self,
        table: &TableShape,
        page: &ScanPage,
    ) -> Result<Scanned, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(&table.name)
            .ok_or_else(|| no_table("Scan", &table.name))?;
        let start =
            check_page(&found.shape, page).map_err(|fault| refused("Scan", &table.name, fault))?;
        Ok(scan(found, page, start))
    }

    async fn index_page(
        &self,
        table: &TableShape,
        page: &IndexPage,
    ) -> Result<IndexEntries, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(&table.name)
            .ok_or_else(|| no_table("Query", &table.name))?;
        index::query(found, page).map_err(|fault| refused("Query", &table.name, fault))
    }

    async fn item(&self, table: &TableShape, key: &Item) -> Result<Option<Item>, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(&table.name)
            .ok_or_else(|| no_table("GetItem", &table.name))?;
        let key =
            exact_key(&found.shape, key).map_err(|fault| refused("GetItem", &table.name, fault))?;
        Ok(found.items.get(&key).cloned())
    }

    async fn write_if(
        &self,
        table: &TableShape,
        write: &ItemWrite,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let operation = write.operation();
        let mut tables = self.lock();
        let found = tables
            .get_mut(&table.name)
            .ok_or_else(|| no_table(operation, &table.name))?;
        write_one(found, write, condition).map_err(|fault| refused(operation, &table.name, fault))
    }

    async fn stream(&self, table: &str) -> Result<Option<StreamDescription>, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(table)
            .ok_or_else(|| no_table("DescribeTable", table))?;
        Ok(found.stream.clone())
    }

    async fn created(&self, table: &str) -> Result<Timestamp, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(table)
            .ok_or_else(|| no_table("DescribeTable", table))?;
        Ok(found.created)
    }

    async fn item_count(&self, table: &str) -> Result<u64, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(table)
            .ok_or_else(|| no_table("DescribeTable", table))?;
        Ok(found.items.len() as u64)
    }

    async fn identity(&self, table: &str) -> Result<TableIdentity, StorageError> {
        let tables = self.lock();
        let found = tables
            .get(table)
            .ok_or_else(|| no_table("DescribeTable", table))?;
        Ok(found.identity.clone())
    }
}

/// Where the page starts, or why DynamoDB would refuse it.
fn check_page(shape: &TableShape, page: &ScanPage) -> Result<Bound<Vec<u8>>, String> {
    if !(1..=MAX_SEGMENTS).contains(&page.segments) || page.segment >= page.segments {
        return Err(format!(
            "there is no segment {} of {}",
            page.segment, page.segments
        ));
    }
    if page.limit == Some(0) {
        return Err("a page holds at least one item".to_owned());
    }
    if let Some(names) = &page.attributes {
        let twice = (1..names.len()).any(|at| names[..at].contains(&names[at]));
        if names.is_empty() || twice || names.iter().any(String::is_empty) {
            return Err(format!("{names:?} are no names to ask for"));
        }
    }
    let Some(start) = &page.start else {
        return Ok(Bound::Unbounded);
    };
    let key = exact_key(shape, start)?;
    match segment_of(shape, start, page.segments) == page.segment {
        true => Ok(Bound::Excluded(key)),
        false => Err("the start key is in another segment".to_owned()),
    }
}

fn scan(table: &Table, page: &ScanPage, start: Bound<Vec<u8>>) -> Scanned {
    let (mut items, mut bytes, mut last, mut ended) = (Vec::new(), 0, None, true);
    for (_, item) in table.items.range((start, Bound::Unbounded)) {
        if segment_of(&table.shape, item, page.segments) != page.segment {
            continue;
        }
        let size = item_size(item);
        if !items.is_empty() && bytes + size > MAX_PAGE_BYTES {
            ended = false;
            break;
        }
        bytes += size;
        last = Some(item);
        items.push(projected(item, page.attributes.as_deref()));
        // As on DynamoDB, a page that its limit ends says where to go on even if nothing follows.
        if page
            .limit
            .is_some_and(|limit| items.len() as u64 == u64::from(limit))
        {
            ended = false;
            break;
        }
    }
    Scanned {
        items,
        next: last
            .filter(|_| !ended)
            .map(|last| key_attributes(&table.shape, last)),
        capacity_tenths: capacity_tenths(bytes, page.consistent),
    }
}

/// The segment of an item: the same for all items of a partition key.
fn segment_of(shape: &TableShape, item: &Item, segments: u32) -> u32 {
    let partition = &item[&shape.partition.name];
    let mut hasher = DefaultHasher::new();
    TableShape::canonical_key_of_values(partition, None).hash(&mut hasher);
    let segment = hasher.finish() % u64::from(segments);
    u32::try_from(segment).expect("it is less than `segments`")
}

fn projected(item: &Item, attributes: Option<&[String]>) -> Item {
    match attributes {
        None => item.clone(),
        Some(names) => names
            .iter()
            .filter_map(|name| item.get_key_value(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

fn capacity_tenths(bytes: usize, consistent: bool) -> u64 {
    let units = bytes.div_ceil(UNIT_BYTES).max(1) as u64;
    match consistent {
        true => units * 10,
        false => units * 5,
    }
}

/// Does the write if the condition holds, or says why DynamoDB would refuse to try.
fn write_one(
    table: &mut Table,
    write: &ItemWrite,
    condition: &Condition,
) -> Result<WriteOutcome, String> {
    check_condition(condition)?;
    let shape = &table.shape;
    let (key, written) = match write {
        ItemWrite::Put(item) => (check_item(shape, item)?, Some(item.clone())),
        ItemWrite::Delete(key) => (exact_key(shape, key)?, None),
        ItemWrite::Update { key, set, remove } => {
            let canonical = exact_key(shape, key)?;
            check_update(shape, set, remove)?;
            let mut item = table.items.get(&canonical).unwrap_or(key).clone();
            item.retain(|name, _| !remove.contains(name));
            item.extend(set.clone());
            (canonical, Some(item))
        }
    };
    let held = table.items.get(&key);
    if !holds(condition, held) {
        return Ok(WriteOutcome::Refused(held.cloned()));
    }
    let before = match written {
        Some(item) => {
            check_item(shape, &item)?;
            table.items.insert(key, item)
        }
        None => table.items.remove(&key),
    };
    Ok(match write {
        ItemWrite::Update { .. } => WriteOutcome::Updated(before),
        ItemWrite::Put(_) | ItemWrite::Delete(_) => WriteOutcome::Done,
    })
}

fn check_condition(condition: &Condition) -> Result<(), String> {
    match condition {
        Condition::AbsentOrOlder { than, .. } | Condition::NotNewer { than, .. } => match than {
            Value::S(_) | Value::N(_) | Value::B(_) => Ok(()),
            _ => Err("only a text, a number or bytes come before or after others".to_owned()),
        },
        Condition::Holds { attributes, absent } => match attributes.len() + absent.len() {
            1..=MAX_COMPARED_ATTRIBUTES if !attributes.is_empty() => Ok(()),
            compared => Err(format!(
                "1 to {MAX_COMPARED_ATTRIBUTES} attributes can be compared, these are {compared}"
            )),
        },
        Condition::Exists | Condition::ExistsAndDiffers { .. } => Ok(()),
    }
}

fn check_update(shape: &TableShape, set: &Item, remove: &[String]) -> Result<(), String> {
    let mut names: Vec<&String> = set.keys().chain(remove).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err("nothing is to be set or removed".to_owned());
    }
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{} is to be changed twice", twice[0]));
    }
    if names[0].is_empty() {
        return Err("an attribute has no name".to_owned());
    }
    match shape.keys().find(|key| names.contains(&&key.name)) {
        None => Ok(()),
        Some(key) => Err(format!("{} is part of the key, which stays", key.name)),
    }
}

fn holds(condition: &Condition, held: Option<&Item>) -> bool {
    let order = |attribute: &String, than: &Value| compare(held?.get(attribute)?, than);
    match condition {
        Condition::Exists => held.is_some(),
        Condition::ExistsAndDiffers { attribute, from } => {
            held.is_some_and(|held| held.get(attribute) != Some(from))
        }
        Condition::AbsentOrOlder { attribute, than } => {
            held.is_none() || order(attribute, than) == Some(Ordering::Less)
        }
        Condition::NotNewer { attribute, than } => {
            order(attribute, than).is_some_and(Ordering::is_le)
        }
        Condition::Holds { attributes, absent } => held.is_some_and(|held| {
            let mut wanted = attributes.iter();
            wanted.all(|(name, value)| held.get(name) == Some(value))
                && absent.iter().all(|name| !held.contains_key(name))
        }),
    }
}

/// The order of two values, where they have one.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::S(left), Value::S(right)) => Some(left.cmp(right)),
        (Value::B(left), Value::B(right)) => Some(left.cmp(right)),
        (Value::N(left), Value::N(right)) => Some(compare_numbers(left, right)),
        _ => None,
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    let (left, right) = (magnitude(left), magnitude(right));
    let by_size = (left.exponent, left.digits).cmp(&(right.exponent, right.digits));
    left.sign.cmp(&right.sign).then(match left.sign {
        -1 => by_size.reverse(),
        _ => by_size,
    })
}

struct Magnitude {
    sign: i8,
    /// The power of ten of the first digit.
    exponent: i64,
    /// Without zeros at either end, so that their order is that of texts.
    digits: String,
}

fn magnitude(number: &Number) -> Magnitude {
    let text = number.as_str();
    let (text, negative) = match text.strip_prefix('-') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (mantissa, power) = text.split_once('E').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Magnitude {
            sign: 0,
            exponent: 0,
            digits: String::new(),
        };
    }
    let zeros = (digits.len() - significant.len()) as i64;
    let power: i64 = power
        .parse()
        .expect("a number's power is one of a few digits");
    Magnitude {
        sign: if negative { -1 } else { 1 },
        exponent: power + whole.len() as i64 - 1 - zeros,
        digits: significant.trim_end_matches('0').to_owned(),
    }
}

/// The canonical key of what is a key and nothing else.
fn exact_key(shape: &TableShape, key: &Item) -> Result<Vec<u8>, String> {
    let canonical = shape
        .canonical_key(key)
        .map_err(|error: KeyError| error.to_string())?;
    match key.len() == shape.keys().count() {
        true => Ok(canonical),
        false => Err("the key has attributes that are not the table's".to_owned()),
    }
}

fn refused(operation: &'static str, table: &str, fault: String) -> StorageError {
    StorageError::new(ErrorKind::Refused, operation, table, fault)
}

#[cfg(test)]
mod tests;
