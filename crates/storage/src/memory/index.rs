//! Queries of global secondary indexes, as an index that holds keys only would answer them.

use std::cmp::Ordering;

use records::{
    IndexShape, Item, KeyAttribute, KeyType, MAX_PARTITION_KEY_BYTES, TableShape, Value,
};
use records::{MAX_SORT_KEY_BYTES, item_size};

use super::items::{MAX_PAGE_BYTES, compare};
use super::tables::{Table, check_index_key, key_attributes};
use crate::{IndexEntries, IndexPage, IndexSelect};

/// One page of an index's partition, or why DynamoDB would refuse it.
pub(super) fn query(table: &Table, page: &IndexPage) -> Result<IndexEntries, String> {
    let index = check_page(&table.shape, page)?;
    let start = match &page.start {
        None => None,
        Some(start) => Some(check_start(&table.shape, index, page, start)?),
    };
    let partition = Value::S(page.value.clone());
    let items = table.indexed().values();
    let mut entries: Vec<Entry> = items
        .filter(|item| item.get(&page.attribute) == Some(&partition))
        .filter_map(|item| Entry::of(&table.shape, index, item))
        .filter(|entry| {
            start
                .as_ref()
                .is_none_or(|start| entry.order(start).is_gt())
        })
        .collect();
    entries.sort_by(Entry::order);
    Ok(first_page(&table.shape, entries, page))
}

/// An item's key attributes, of the table and the index, in the index.
struct Entry {
    sort: Vec<Value>,
    canonical: Vec<u8>,
    keys: Item,
}

impl Entry {
    /// An item without a part of the index's key is not in the index.
    fn of(shape: &TableShape, index: &IndexShape, item: &Item) -> Option<Self> {
        let mut keys = key_attributes(shape, item);
        for key in index_keys(index) {
            keys.insert(key.name.clone(), item.get(&key.name)?.clone());
        }
        let sort = index.sort.iter().map(|key| keys[&key.name].clone());
        Some(Self {
            sort: sort.collect(),
            canonical: shape.canonical_key(item).ok()?,
            keys,
        })
    }

    fn order(&self, other: &Self) -> Ordering {
        let sorts = self.sort.iter().zip(&other.sort);
        sorts
            .map(|(left, right)| compare(left, right).expect("keys of an index are of one type"))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
            .then_with(|| self.canonical.cmp(&other.canonical))
    }
}

fn first_page(shape: &TableShape, entries: Vec<Entry>, page: &IndexPage) -> IndexEntries {
    let limit = page.limit.map_or(usize::MAX, |limit| limit as usize);
    let (mut taken, mut bytes, mut ended) = (0, 0, true);
    for entry in &entries {
        bytes += item_size(&entry.keys);
        if taken > 0 && bytes > MAX_PAGE_BYTES {
            ended = false;
            break;
        }
        taken += 1;
        // As on DynamoDB, a page that its limit ends says where to go on even if nothing follows.
        if taken == limit {
            ended = false;
            break;
        }
    }
    let last = entries[..taken].last().filter(|_| !ended);
    IndexEntries {
        next: last.map(|entry| entry.keys.clone()),
        count: taken as u64,
        keys: match page.select {
            IndexSelect::Count => Vec::new(),
            IndexSelect::Keys => entries[..taken]
                .iter()
                .map(|entry| key_attributes(shape, &entry.keys))
                .collect(),
        },
    }
}

fn check_page<'s>(shape: &'s TableShape, page: &IndexPage) -> Result<&'s IndexShape, String> {
    let index = shape.indexes.iter().find(|index| index.name == page.index);
    let index = index.ok_or_else(|| format!("there is no index {}", page.index))?;
    match &index.partition[..] {
        [key] if key.name == page.attribute && key.kind == KeyType::S => {
            check_index_key(key, &Value::S(page.value.clone()), MAX_PARTITION_KEY_BYTES)?;
        }
        _ => {
            return Err(format!(
                "the partition key of index {} is not the text {}",
                page.index, page.attribute
            ));
        }
    }
    match page.limit {
        Some(0) => Err("a page holds at least one entry".to_owned()),
        _ => Ok(index),
    }
}

/// The place after which the page begins: that of an entry that need not be there any more.
fn check_start(
    shape: &TableShape,
    index: &IndexShape,
    page: &IndexPage,
    start: &Item,
) -> Result<Entry, String> {
    let invalid = |fault: String| format!("the start key is invalid: {fault}");
    shape
        .canonical_key(start)
        .map_err(|error| invalid(error.to_string()))?;
    for key in &index.sort {
        let value = start.get(&key.name);
        let value = value.ok_or_else(|| invalid(format!("{} is missing", key.name)))?;
        check_index_key(key, value, MAX_SORT_KEY_BYTES).map_err(invalid)?;
    }
    if start.get(&page.attribute) != Some(&Value::S(page.value.clone())) {
        return Err(invalid("it is in another partition".to_owned()));
    }
    let entry = Entry::of(shape, index, start);
    let entry = entry.ok_or_else(|| invalid("it is not complete".to_owned()))?;
    match entry.keys == *start {
        true => Ok(entry),
        false => Err(invalid("it has other attributes than keys".to_owned())),
    }
}

fn index_keys(index: &IndexShape) -> impl Iterator<Item = &KeyAttribute> {
    index.partition.iter().chain(&index.sort)
}

#[cfg(test)]
mod tests;
