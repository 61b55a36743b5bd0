//! The contract of single items and of scans.

use std::collections::BTreeMap;

use records::{Item, Number, TableShape, Value};

use super::updates::{held_items, updates};
use super::{assert_same, item, kind};
use crate::{
    Condition, ErrorKind, ItemStore, ItemWrite, ScanPage, StorageError, TableStore, WriteOutcome,
};

/// The contract of single items and of scans. Whatever is in the table is deleted.
///
/// # Panics
/// Where the store does not keep it.
pub async fn items(store: &(impl ItemStore + TableStore), table: &str) {
    let shape = store.describe(table).await.expect("a description");
    clear(store, &shape).await;
    absent_items(store, &shape).await;
    older_items(store, &shape).await;
    differing_items(store, &shape).await;
    updates(store, &shape).await;
    held_items(store, &shape).await;
    refused_writes(store, &shape).await;
    clear(store, &shape).await;
    scans(store, &shape).await;
    clear(store, &shape).await;
    missing_tables(store, &shape).await;
}

async fn absent_items(store: &impl ItemStore, shape: &TableShape) {
    let absent = item(shape, 0, "absent");
    let not_newer = Condition::NotNewer {
        attribute: "version".to_owned(),
        than: number("9"),
    };
    let differs = Condition::ExistsAndDiffers {
        attribute: "text".to_owned(),
        from: text("x"),
    };
    let holds = Condition::holds(Item::from([("text".to_owned(), text("x"))]));
    for condition in [Condition::Exists, not_newer, differs, holds] {
        let set = ItemWrite::Update {
            key: key_of(shape, &absent),
            set: Item::from([("text".to_owned(), text("y"))]),
            remove: vec!["other".to_owned()],
        };
        let delete = ItemWrite::Delete(key_of(shape, &absent));
        for write in [ItemWrite::Put(absent.clone()), set, delete] {
            let outcome = write_if(store, shape, &write, &condition).await;
            assert_eq!(outcome, WriteOutcome::Refused(None), "{condition:?}");
        }
    }
    assert_eq!(all(store, shape).await, []);
}

/// What is held has a version that decides about the next write.
async fn older_items(store: &impl ItemStore, shape: &TableShape) {
    let versioned = |version: &Value| {
        let mut item = item(shape, 1, "versioned");
        item.insert("version".to_owned(), version.clone());
        item
    };
    let put = async |version: &Value| {
        let condition = Condition::AbsentOrOlder {
            attribute: "version".to_owned(),
            than: version.clone(),
        };
        write_if(
            store,
            shape,
            &ItemWrite::Put(versioned(version)),
            &condition,
        )
        .await
    };
    let key = key_of(shape, &versioned(&Value::Null));
    let delete = async |version: &Value| {
        let condition = Condition::NotNewer {
            attribute: "version".to_owned(),
            than: version.clone(),
        };
        write_if(store, shape, &ItemWrite::Delete(key.clone()), &condition).await
    };
    let orders = [
        ["-10", "-9", "2", "10"].map(number),
        ["", "Z", "a", "ä"].map(text),
        [vec![], vec![0x7f], vec![0x80], vec![0x80, 0]].map(Value::B),
    ];
    for [first, second, third, fourth] in orders {
        assert_eq!(put(&second).await, WriteOutcome::Done);
        let held = WriteOutcome::Refused(Some(versioned(&second)));
        assert_eq!(put(&second).await, held, "{second:?} again");
        assert_eq!(put(&first).await, held, "{first:?} after {second:?}");
        assert_eq!(delete(&first).await, held, "{first:?} after {second:?}");
        assert_eq!(put(&fourth).await, WriteOutcome::Done);
        let held = WriteOutcome::Refused(Some(versioned(&fourth)));
        assert_eq!(delete(&third).await, held, "{third:?} after {fourth:?}");
        assert_eq!(delete(&fourth).await, WriteOutcome::Done);
        assert_eq!(delete(&fourth).await, WriteOutcome::Refused(None));
    }

    assert_eq!(put(&number("1")).await, WriteOutcome::Done);
    let held = WriteOutcome::Refused(Some(versioned(&number("1"))));
    assert_eq!(put(&text("2")).await, held, "another type has no order");
    assert_eq!(delete(&text("2")).await, held, "another type has no order");
    let bare = ItemWrite::Put(item(shape, 1, "bare"));
    let outcome = write_if(store, shape, &bare, &Condition::Exists).await;
    assert!(outcome.is_done());
    let held = WriteOutcome::Refused(Some(item(shape, 1, "bare")));
    assert_eq!(put(&number("2")).await, held, "no version, no order");
    assert_eq!(delete(&number("2")).await, held, "no version, no order");
}

async fn differing_items(store: &impl ItemStore, shape: &TableShape) {
    let mut expected = item(shape, 1, "bare");
    let set = async |attribute: &str, value: &Value| {
        let write = ItemWrite::Update {
            key: key_of(shape, &item(shape, 1, "")),
            set: Item::from([
                (attribute.to_owned(), value.clone()),
                ("also set".to_owned(), value.clone()),
            ]),
            remove: Vec::new(),
        };
        let condition = Condition::ExistsAndDiffers {
            attribute: attribute.to_owned(),
            from: value.clone(),
        };
        write_if(store, shape, &write, &condition).await
    };
    // One that is not there yet, other values of one type, another type, and a name that is no word of an expression.
    for (attribute, value) in [
        ("mark", text("1")),
        ("mark", text("2")),
        ("mark", number("2")),
        ("mark", Value::Null),
        ("a.b #c", Value::L(vec![text("x")])),
        ("size", number("1.0")),
    ] {
        assert!(set(attribute, &value).await.is_done());
        expected.insert(attribute.to_owned(), value.clone());
        expected.insert("also set".to_owned(), value.clone());
        let held = WriteOutcome::Refused(Some(expected.clone()));
        assert_eq!(set(attribute, &value).await, held, "{attribute} {value:?}");
    }
    assert_eq!(all(store, shape).await, [expected]);
}

/// Some refusals of DynamoDB are not asked for, here and of a scan, as the local cloud lacks them: an update of nothing or of
/// one attribute twice, a comparison of nothing, an empty projection, and the order of two flags.
async fn refused_writes(store: &impl ItemStore, shape: &TableShape) {
    let before = all(store, shape).await;
    let good = item(shape, 1, "good");
    let mut keyless = good.clone();
    keyless.remove(&shape.partition.name);
    let rekey = ItemWrite::Update {
        key: key_of(shape, &good),
        set: key_of(shape, &good),
        remove: Vec::new(),
    };
    let unkey = ItemWrite::Update {
        key: key_of(shape, &good),
        set: Item::new(),
        remove: vec![shape.partition.name.clone()],
    };
    for (name, write) in [
        ("an item without a key", ItemWrite::Put(keyless)),
        (
            "a key with more than a key",
            ItemWrite::Delete(good.clone()),
        ),
        ("a change of the key", rekey),
        ("a removal of the key", unkey),
    ] {
        let answer = store.write_if(shape, &write, &Condition::Exists).await;
        assert_eq!(kind(answer.err()), Some(ErrorKind::Refused), "{name}");
    }
    assert_eq!(all(store, shape).await, before);
}

async fn scans(store: &impl ItemStore, shape: &TableShape) {
    let expected: Vec<Item> = (0..25).map(|n| item(shape, n, "scanned")).collect();
    let new = Condition::AbsentOrOlder {
        attribute: "version".to_owned(),
        than: number("0"),
    };
    for item in &expected {
        let outcome = write_if(store, shape, &ItemWrite::Put(item.clone()), &new).await;
        assert!(outcome.is_done());
    }
    for (segments, limit) in [
        (1, None),
        (1, Some(4)),
        (3, None),
        (3, Some(4)),
        (100, Some(1)),
    ] {
        let mut found = Vec::new();
        for segment in 0..segments {
            let part = ScanPage {
                segment,
                segments,
                limit,
                ..whole()
            };
            found.extend(segment_items(store, shape, &part).await);
        }
        assert_eq!(
            found.len(),
            25,
            "each once: {segments} segments by {limit:?}"
        );
        assert_same(shape, found, expected.clone());
    }

    let names = ["number", "no such", "list"].map(str::to_owned);
    let some = ScanPage {
        attributes: Some(names.to_vec()),
        ..whole()
    };
    let projected: Vec<Item> = expected
        .into_iter()
        .map(|mut item| {
            item.retain(|name, _| names.contains(name));
            item
        })
        .collect();
    assert_eq!(segment_items(store, shape, &some).await, projected);

    type Spoil = fn(&mut ScanPage);
    let spoils: [(&str, Spoil); 5] = [
        ("no such segment", |page| page.segment = 1),
        ("no segments", |page| page.segments = 0),
        ("an empty page", |page| page.limit = Some(0)),
        ("a start that is no key", |page| {
            page.start = Some(Item::from([("no such".to_owned(), text("x"))]));
        }),
        ("an attribute twice", |page| {
            page.attributes = Some(vec!["a".to_owned(); 2]);
        }),
    ];
    for (name, spoil) in spoils {
        let mut page = whole();
        spoil(&mut page);
        let error = store.scan_page(shape, &page).await.err();
        assert_eq!(kind(error), Some(ErrorKind::Refused), "{name}");
    }
}

async fn missing_tables(store: &impl ItemStore, shape: &TableShape) {
    let elsewhere = TableShape {
        name: "transload-contract-no-such-table".to_owned(),
        ..shape.clone()
    };
    let not_found = Some(ErrorKind::NotFound);
    let error = store.scan_page(&elsewhere, &whole()).await.err();
    assert_eq!(kind(error), not_found);
    let put = ItemWrite::Put(item(shape, 1, "lost"));
    let error = store.write_if(&elsewhere, &put, &Condition::Exists).await;
    assert_eq!(kind(error.err()), not_found);
    let key = key_of(shape, &item(shape, 1, "lost"));
    assert_eq!(kind(store.item(&elsewhere, &key).await.err()), not_found);
    assert_eq!(kind(store.stream(&elsewhere.name).await.err()), not_found);
    assert_eq!(kind(store.created(&elsewhere.name).await.err()), not_found);
    assert!(store.created(&shape.name).await.is_ok());
    assert_eq!(
        kind(store.item_count(&elsewhere.name).await.err()),
        not_found
    );
    assert_eq!(kind(store.identity(&elsewhere.name).await.err()), not_found);
    assert!(store.item_count(&shape.name).await.is_ok());
    let identity = store.identity(&shape.name).await.expect("a description");
    let end = format!(":table/{}", shape.name);
    assert!(
        identity.arn.ends_with(&end) && !identity.id.is_empty(),
        "{identity:?}"
    );
    let again = store.identity(&shape.name).await.expect("a description");
    assert_eq!(again, identity);
    let stream = store.stream(&shape.name).await.expect("a description");
    assert_eq!(stream, None, "the contract's table has no stream");
}

pub(super) async fn clear(store: &impl ItemStore, shape: &TableShape) {
    for item in all(store, shape).await {
        let delete = ItemWrite::Delete(key_of(shape, &item));
        let outcome = write_if(store, shape, &delete, &Condition::Exists).await;
        assert!(outcome.is_done());
    }
    assert_eq!(all(store, shape).await, []);
}

pub(super) async fn all(store: &impl ItemStore, shape: &TableShape) -> Vec<Item> {
    segment_items(store, shape, &whole()).await
}

/// All items of the segment of the first page.
async fn segment_items(store: &impl ItemStore, shape: &TableShape, first: &ScanPage) -> Vec<Item> {
    let mut items = Vec::new();
    let mut page = first.clone();
    loop {
        let scanned = store.scan_page(shape, &page).await.expect("a page");
        let most = page.limit.map_or(usize::MAX, |limit| limit as usize);
        assert!(scanned.items.len() <= most, "the limit of {most} is kept");
        assert!(scanned.capacity_tenths > 0, "a page has its price");
        items.extend(scanned.items);
        if scanned.next.is_none() {
            return items;
        }
        page.start = scanned.next;
    }
}

pub(super) async fn write_if(
    store: &impl ItemStore,
    shape: &TableShape,
    write: &ItemWrite,
    condition: &Condition,
) -> WriteOutcome {
    let answer: Result<_, StorageError> = store.write_if(shape, write, condition).await;
    answer.expect("an outcome")
}

fn whole() -> ScanPage {
    ScanPage {
        segment: 0,
        segments: 1,
        limit: None,
        consistent: true,
        start: None,
        attributes: None,
    }
}

pub(super) fn key_of(shape: &TableShape, item: &Item) -> Item {
    let keys: BTreeMap<_, _> = shape
        .keys()
        .map(|key| (key.name.clone(), item[&key.name].clone()))
        .collect();
    keys
}

pub(super) fn text(text: &str) -> Value {
    Value::S(text.to_owned())
}

pub(super) fn number(text: &str) -> Value {
    Value::N(Number::parse(text).expect("a number"))
}
