//! The contract of global secondary indexes.

use std::collections::BTreeSet;
use std::time::Duration;

use records::{Item, KeyType, TableShape, Value};

use super::items::{clear, key_of, text, write_if};
use super::{item, kind};
use crate::{Condition, ErrorKind, IndexPage, IndexSelect, ItemStore, ItemWrite, TableStore};

/// More than any partition of the contract has, one entry a page.
const MOST_PAGES: usize = 100;
/// How long an index may lag behind before it counts as wrong.
const LONGEST_LAG: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// The contract of indexes, on the table's index whose key is one text alone. Whatever is in the table is deleted.
///
/// # Panics
/// Where the store does not keep it, or if the table has no such index.
pub async fn indexes(store: &(impl ItemStore + TableStore), table: &str) {
    let shape = store.describe(table).await.expect("a description");
    let marked = shape.indexes.iter().find_map(|index| {
        let [marker] = &index.partition[..] else {
            return None;
        };
        let alone = index.sort.is_empty() && marker.kind == KeyType::S;
        alone.then(|| first_page(&index.name, &marker.name))
    });
    let first = marked.expect("the contract's table has an index whose key is a text alone");
    clear(store, &shape).await;
    entries(store, &shape, &first).await;
    refused_queries(store, &shape, &first).await;
    clear(store, &shape).await;
    has(store, &shape, &first, &[]).await;
}

async fn entries(store: &impl ItemStore, shape: &TableShape, first: &IndexPage) {
    let mut pending = Vec::new();
    for n in 0..25 {
        let mut item = item(shape, n, "indexed");
        match n % 5 {
            // An item without the marker is not in the index.
            0 => {}
            1 => drop(item.insert(first.attribute.clone(), text("done"))),
            _ => {
                pending.push(key_of(shape, &item));
                item.insert(first.attribute.clone(), text(&first.value));
            }
        }
        let new = Condition::AbsentOrOlder {
            attribute: "version".to_owned(),
            than: text("0"),
        };
        let outcome = write_if(store, shape, &ItemWrite::Put(item), &new).await;
        assert!(outcome.is_done());
    }
    has(store, shape, first, &pending).await;

    let no_such = IndexPage {
        value: "contract, no such value".to_owned(),
        ..first.clone()
    };
    has(store, shape, &no_such, &[]).await;

    // An item leaves the index with its marker, and enters it with another one.
    let update = async |key: &Item, set: Item, remove: Vec<String>| {
        let key = key.clone();
        let update = ItemWrite::Update { key, set, remove };
        let outcome = write_if(store, shape, &update, &Condition::Exists).await;
        assert!(outcome.is_done());
    };
    let marked = |value: &str| Item::from([(first.attribute.clone(), text(value))]);
    update(&pending[3], marked("done"), Vec::new()).await;
    update(&pending[7], Item::new(), vec![first.attribute.clone()]).await;
    let entering = key_of(shape, &item(shape, 0, ""));
    update(&entering, marked(&first.value), Vec::new()).await;
    pending.remove(7);
    pending[3] = entering;
    has(store, shape, first, &pending).await;
}

/// Waits until the partition has exactly these entries, however its pages are cut.
async fn has(store: &impl ItemStore, shape: &TableShape, first: &IndexPage, expected: &[Item]) {
    let canonical = |key: &Item| shape.canonical_key(key).expect("a key");
    let expected: BTreeSet<_> = expected.iter().map(canonical).collect();
    let mut lagged = Duration::ZERO;
    while all(store, shape, first).await.0.len() != expected.len() {
        assert!(lagged < LONGEST_LAG, "the index lags behind for ever");
        tokio::time::sleep(BETWEEN_LOOKS).await;
        lagged += BETWEEN_LOOKS;
    }
    for limit in [None, Some(1), Some(4), Some(1_000)] {
        let keys = IndexPage {
            limit,
            ..first.clone()
        };
        let (found, count) = all(store, shape, &keys).await;
        assert_eq!(found.len() as u64, count, "each is counted: {limit:?}");
        assert!(
            found.iter().all(|key| *key == key_of(shape, key)),
            "nothing but the table's key: {found:?}"
        );
        let found_keys: BTreeSet<_> = found.iter().map(canonical).collect();
        assert_eq!(found_keys, expected, "{limit:?}");
        assert_eq!(found.len(), expected.len(), "each once: {limit:?}");
        let again = all(store, shape, &keys).await;
        assert_eq!(again.0, found, "the order stays: {limit:?}");

        let counted = IndexPage {
            select: IndexSelect::Count,
            ..keys
        };
        let (none, count) = all(store, shape, &counted).await;
        assert_eq!(none, Vec::new(), "a count has no keys: {limit:?}");
        assert_eq!(count, expected.len() as u64, "{limit:?}");
    }
}

/// The keys and the count of all pages from the first one on.
async fn all(store: &impl ItemStore, shape: &TableShape, first: &IndexPage) -> (Vec<Item>, u64) {
    let (mut keys, mut count, mut page) = (Vec::new(), 0, first.clone());
    for _ in 0..MOST_PAGES {
        let entries = store.index_page(shape, &page).await.expect("a page");
        let most = page.limit.map_or(u64::MAX, u64::from);
        assert!(entries.count <= most, "the limit of {most} is kept");
        count += entries.count;
        keys.extend(entries.keys);
        if entries.next.is_none() {
            return (keys, count);
        }
        page.start = entries.next;
    }
    panic!("the pages of an index come to no end");
}

async fn refused_queries(store: &impl ItemStore, shape: &TableShape, first: &IndexPage) {
    type Spoil = fn(&mut IndexPage);
    let spoils: [(&str, Spoil); 5] = [
        ("no such index", |page| page.index = "no-such".to_owned()),
        ("another attribute", |page| {
            page.attribute = "no such".to_owned();
        }),
        ("an empty page", |page| page.limit = Some(0)),
        ("an empty value", |page| page.value = String::new()),
        ("a start that is no key", |page| {
            page.start = Some(Item::from([("no such".to_owned(), Value::Null)]));
        }),
    ];
    for (name, spoil) in spoils {
        let mut page = first.clone();
        spoil(&mut page);
        let error = store.index_page(shape, &page).await.err();
        assert_eq!(kind(error), Some(ErrorKind::Refused), "{name}");
    }
    let elsewhere = TableShape {
        name: "transload-contract-no-such-table".to_owned(),
        ..shape.clone()
    };
    let error = store.index_page(&elsewhere, first).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
}

fn first_page(index: &str, attribute: &str) -> IndexPage {
    IndexPage {
        index: index.to_owned(),
        attribute: attribute.to_owned(),
        value: "pending".to_owned(),
        select: IndexSelect::Keys,
        limit: None,
        start: None,
    }
}
