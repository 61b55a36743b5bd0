//! What every implementation of a port must do, as functions that panic where one does not: run against the stores in memory
//! and against a cloud, so that a test in memory means something.
//!
//! Each function leaves behind only what it wrote under its own names, and can be run again on the same store.

mod exports;
mod indexes;
mod items;
mod objects;
mod staged;
mod updates;
mod workflows;

use std::collections::BTreeMap;

use records::{Item, KeyType, Number, TableShape, Value};
use serde_json::{Map, json};

use crate::{ErrorKind, Ledger, LedgerRow, PutItem, StorageError, TableStore};

pub use exports::exports;
pub use indexes::indexes;
pub use items::items;
pub use objects::objects;
pub use workflows::workflows;

fn kind(error: Option<StorageError>) -> Option<ErrorKind> {
    error.map(|error| error.kind())
}

/// The contract of tables. The table is empty but for what an earlier run left; `scan` reads all of its items.
///
/// # Panics
/// Where the store does not keep it.
pub async fn tables(store: &impl TableStore, table: &str, scan: impl AsyncFn() -> Vec<Item>) {
    let shape = store.describe(table).await.expect("a description");
    assert_eq!(shape.name, table);
    let error = store.describe("transload-contract-no-such-table").await;
    assert_eq!(kind(error.err()), Some(ErrorKind::NotFound));

    let first: Vec<Item> = (0..25).map(|n| item(&shape, n, "first")).collect();
    put_all(store, &shape, &first).await;
    assert_same(&shape, scan().await, first);
    let second: Vec<Item> = (0..25).map(|n| item(&shape, n, "second")).collect();
    put_all(store, &shape, &second).await;
    assert_same(&shape, scan().await, second.clone());

    let third: Vec<Item> = (0..26).map(|n| item(&shape, n, "third")).collect();
    let twice = [third[0].clone(), third[1].clone(), third[0].clone()];
    let mut large = third[1].clone();
    large.insert("large".to_owned(), Value::S("x".repeat(400 * 1024)));
    let mut keyless = third[1].clone();
    keyless.remove(&shape.partition.name);
    let mut wrong = third[1].clone();
    wrong.insert(shape.partition.name.clone(), Value::Bool(true));
    for (name, batch) in [
        ("26 items", &third[..]),
        ("no item", &[]),
        ("a key twice", &twice),
        ("a large item", &[third[0].clone(), large]),
        ("a missing key", &[third[0].clone(), keyless]),
        ("a key of another type", &[third[0].clone(), wrong]),
    ] {
        let puts: Vec<PutItem> = batch.iter().map(|item| to_put(&shape, item)).collect();
        let error = store.put_batch(&shape, &puts).await.err();
        assert_eq!(kind(error), Some(ErrorKind::Refused), "{name}");
    }
    assert_same(&shape, scan().await, second);

    let elsewhere = TableShape {
        name: "transload-contract-no-such-table".to_owned(),
        ..shape.clone()
    };
    let puts = [to_put(&shape, &third[0])];
    let error = store.put_batch(&elsewhere, &puts).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
}

/// An item with every type in it.
fn item(shape: &TableShape, n: u32, text: &str) -> Item {
    let number = |text: &str| Number::parse(text).expect("a number");
    let mut item = Item::from([
        ("text".to_owned(), Value::S(format!("{text} \"ä\"\n"))),
        ("empty".to_owned(), Value::S(String::new())),
        (
            "number".to_owned(),
            Value::N(number("-1234567890123456789012345678901234567.8")),
        ),
        ("binary".to_owned(), Value::B(vec![0, 255, n as u8])),
        ("flag".to_owned(), Value::Bool(n.is_multiple_of(2))),
        ("nothing".to_owned(), Value::Null),
        (
            "texts".to_owned(),
            Value::string_set(vec!["a".to_owned(), "b".to_owned()]),
        ),
        (
            "numbers".to_owned(),
            Value::number_set(vec![number("1"), number("2.5")]),
        ),
        (
            "list".to_owned(),
            Value::L(vec![Value::Null, Value::L(Vec::new())]),
        ),
        (
            "map".to_owned(),
            Value::M(BTreeMap::from([("a.b".to_owned(), Value::Bool(true))])),
        ),
    ]);
    for key in shape.keys() {
        let value = match key.kind {
            KeyType::S => Value::S(format!("contract {n:02}")),
            KeyType::N => Value::N(number(&n.to_string())),
            KeyType::B => Value::B(vec![n as u8]),
        };
        item.insert(key.name.clone(), value);
    }
    item
}

fn to_put(shape: &TableShape, item: &Item) -> PutItem {
    let mut json = Vec::new();
    Value::M(item.clone()).write_dynamodb_json(&mut json);
    // A map is `{"M":{…}}`, and an item is what is inside.
    let inner = json[b"{\"M\":".len()..json.len() - 1].to_vec();
    PutItem {
        item: inner.into(),
        key: shape.canonical_key(item).unwrap_or_default().into(),
    }
}

async fn put_all(store: &impl TableStore, shape: &TableShape, items: &[Item]) {
    let mut puts: Vec<PutItem> = items.iter().map(|item| to_put(shape, item)).collect();
    while !puts.is_empty() {
        let left = store.put_batch(shape, &puts).await.expect("a put");
        puts = left.into_iter().map(|at| puts[at].clone()).collect();
    }
}

fn assert_same(shape: &TableShape, found: Vec<Item>, expected: Vec<Item>) {
    let by_key = |items: Vec<Item>| -> BTreeMap<Vec<u8>, Item> {
        items
            .into_iter()
            .map(|item| (shape.canonical_key(&item).expect("a key"), item))
            .collect()
    };
    assert_eq!(by_key(found), by_key(expected));
}

/// The contract of a ledger. `run` makes the names of this run's rows its own, as rows cannot be deleted.
///
/// # Panics
/// Where the ledger does not keep it.
pub async fn ledger(ledger: &impl Ledger, run: &str) {
    let kind_of_work = format!("contract-{run}");
    let row = |job: u32, revision: u64, open: bool| LedgerRow {
        job: format!("contract/{run}/{job}"),
        part: "object".to_owned(),
        revision,
        open: open.then(|| kind_of_work.clone()),
        attributes: attributes(revision),
    };
    let read = async |wanted: &LedgerRow| {
        ledger
            .read(&wanted.job, &wanted.part)
            .await
            .expect("a read")
    };
    let write = async |row: &LedgerRow| kind(ledger.write(row).await.err());

    let first = row(1, 1, true);
    assert_eq!(read(&first).await, None);
    assert_eq!(
        write(&row(1, 2, true)).await,
        Some(ErrorKind::Conflict),
        "there is no revision 1"
    );
    assert_eq!(write(&first).await, None);
    assert_eq!(read(&first).await, Some(first.clone()));
    assert_eq!(
        write(&first).await,
        None,
        "the same write again is the same write"
    );
    assert_eq!(
        write(&row(1, 1, false)).await,
        Some(ErrorKind::Conflict),
        "another first"
    );
    assert_eq!(read(&first).await, Some(first.clone()));

    let second = row(1, 2, true);
    assert_eq!(write(&second).await, None);
    assert_eq!(
        write(&first).await,
        Some(ErrorKind::Conflict),
        "an old revision"
    );
    assert_eq!(
        write(&row(1, 4, true)).await,
        Some(ErrorKind::Conflict),
        "a revision too far"
    );
    assert_eq!(read(&second).await, Some(second.clone()));
    // Attributes that a row does not name any more are gone.
    let bare = LedgerRow {
        attributes: Map::new(),
        ..row(1, 3, true)
    };
    assert_eq!(write(&bare).await, None);
    assert_eq!(read(&bare).await, Some(bare.clone()));

    assert_eq!(write(&row(2, 1, true)).await, None);
    assert_eq!(write(&row(3, 1, false)).await, None);
    let part = LedgerRow {
        part: "inbox".to_owned(),
        ..row(3, 1, false)
    };
    assert_eq!(write(&part).await, None);
    let open = async || {
        let jobs = ledger.open_jobs(&kind_of_work).await.expect("a query");
        jobs.into_iter().map(|(job, _)| job).collect::<Vec<_>>()
    };
    assert_eq!(open().await, [row(1, 1, true).job, row(2, 1, true).job]);
    assert_eq!(write(&row(1, 4, false)).await, None);
    assert_eq!(open().await, [row(2, 1, true).job]);
    let no_such_kind = ledger.open_jobs("contract-no-such-kind").await;
    assert_eq!(no_such_kind.expect("a query"), []);

    refused_rows(ledger, &row(4, 1, true)).await;
}

async fn refused_rows(ledger: &impl Ledger, good: &LedgerRow) {
    let with = |name: &str, value: serde_json::Value| LedgerRow {
        attributes: Map::from_iter([(name.to_owned(), value)]),
        ..good.clone()
    };
    let long = LedgerRow {
        job: "j".repeat(1025),
        ..good.clone()
    };
    let cases = [
        (
            "revision 0",
            LedgerRow {
                revision: 0,
                ..good.clone()
            },
        ),
        (
            "no part",
            LedgerRow {
                part: String::new(),
                ..good.clone()
            },
        ),
        (
            "an empty kind",
            LedgerRow {
                open: Some(String::new()),
                ..good.clone()
            },
        ),
        ("a job that the index cannot hold", long),
        ("a field as an attribute", with("revision", json!(7))),
        ("a fraction", with("rows", json!({"read": [0.5]}))),
    ];
    for (name, row) in cases {
        let error = ledger.write(&row).await.err();
        assert_eq!(kind(error), Some(ErrorKind::Refused), "{name}");
    }
    let stored = ledger.read(&good.job, &good.part).await.expect("a read");
    assert_eq!(stored, None, "nothing refused is written");
}

fn attributes(revision: u64) -> Map<String, serde_json::Value> {
    let attributes = json!({
        "processing_status": "IN_PROGRESS",
        "rows_read": revision * 1_000_000_000_000,
        "offset": -1,
        "error_message": null,
        "flag": true,
        "empty": "",
        "checkpoint": {"line": 50_001, "parts": ["a", {"b": []}]},
    });
    match attributes {
        serde_json::Value::Object(attributes) => attributes,
        _ => Map::new(),
    }
}
