//! What every implementation of a port must do, as functions that panic where one does not: run against the stores in memory
//! and against a cloud, so that a test in memory means something.
//!
//! Each function leaves behind only what it wrote under its own names, and can be run again on the same store.

mod items;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use records::{Item, KeyType, Number, TableShape, Value};
use serde_json::{Map, json};

use crate::{
    ErrorKind, Ledger, LedgerRow, ObjectId, ObjectStore, PutItem, StorageError, TableStore, Upload,
};

pub use items::items;

const PREFIX: &str = "contract/";
/// Names that a careless encoding would spoil.
const AWKWARD_KEYS: [&str; 5] = [
    "contract/keys/a b.csv",
    "contract/keys/a+b.csv",
    "contract/keys/a%20b.csv",
    "contract/keys/o'brien & sons <1>.csv",
    "contract/keys/ünï/\u{1f4e6}.csv",
];

/// The contract of objects, in a bucket that may or may not have versions.
///
/// # Panics
/// Where the store does not keep it.
pub async fn objects(store: &impl ObjectStore, bucket: &str) {
    for key in keys(store, bucket, PREFIX).await {
        store.delete(bucket, &key).await.expect("a delete");
    }
    whole_objects(store, bucket).await;
    new_objects(store, bucket).await;
    missing_objects(store, bucket).await;
    awkward_keys(store, bucket).await;
    long_lists(store, bucket).await;
    multipart_uploads(store, bucket).await;
}

async fn whole_objects(store: &impl ObjectStore, bucket: &str) {
    let key = "contract/whole";
    put(store, bucket, key, b"0123456789").await;
    let object = newest(bucket, key);
    let opened = store.open(&object, 0).await.expect("an open");
    assert_eq!(opened.meta.size, 10);
    assert!(!opened.meta.etag.contains('"'), "the ETag has no quotes");
    assert_eq!(opened.meta.metadata, BTreeMap::new());
    let first = ObjectId {
        etag: Some(opened.meta.etag),
        ..object.clone()
    };
    for (from, expected) in [(0, "0123456789"), (6, "6789"), (9, "9"), (10, ""), (11, "")] {
        assert_eq!(read(store, &object, from).await, expected, "from {from}");
        assert_eq!(
            read(store, &first, from).await,
            expected,
            "from {from} with ETag"
        );
        let opened = store.open(&first, from).await.expect("an open");
        assert_eq!(opened.meta.size, 10, "the size is the whole object's");
    }

    put(store, bucket, key, b"another").await;
    for from in [0, 6] {
        let error = store.open(&first, from).await.err();
        assert_eq!(kind(error), Some(ErrorKind::Conflict), "from {from}");
    }
    assert_eq!(read(store, &object, 0).await, "another");

    put(store, bucket, key, b"").await;
    assert_eq!(read(store, &object, 0).await, "");
    store.delete(bucket, key).await.expect("a delete");
    store
        .delete(bucket, key)
        .await
        .expect("a delete of nothing");
    let error = store.open(&object, 0).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
}

async fn new_objects(store: &impl ObjectStore, bucket: &str) {
    let key = "contract/new";
    let put_new = async |body: &'static str| {
        let answer = store.put_new(bucket, key, Bytes::from(body)).await;
        kind(answer.err())
    };
    for first in ["first", ""] {
        assert_eq!(put_new(first).await, None);
        assert_eq!(put_new("second").await, Some(ErrorKind::Conflict));
        assert_eq!(put_new(first).await, Some(ErrorKind::Conflict));
        assert_eq!(read(store, &newest(bucket, key), 0).await, first);
        let listed = store.list(bucket, key).await.expect("a list");
        let [object] = &listed[..] else {
            panic!("one object was expected: {listed:?}");
        };
        assert_eq!(object.key, key);
        assert_eq!(object.bytes, first.len() as u64);
        store.delete(bucket, key).await.expect("a delete");
    }
    put(store, bucket, key, b"any").await;
    assert_eq!(put_new("second").await, Some(ErrorKind::Conflict));
    assert_eq!(read(store, &newest(bucket, key), 0).await, "any");
    store.delete(bucket, key).await.expect("a delete");
}

async fn missing_objects(store: &impl ObjectStore, bucket: &str) {
    let missing = newest(bucket, "contract/missing");
    let error = store.open(&missing, 0).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
    let nowhere = "transload-contract-no-such-bucket";
    let error = store.open(&newest(nowhere, "k"), 0).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
    let error = store.put(nowhere, "k", Bytes::new()).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
    let error = store.put_new(nowhere, "k", Bytes::new()).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
    let error = store.list(nowhere, "").await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
}

async fn awkward_keys(store: &impl ObjectStore, bucket: &str) {
    for key in AWKWARD_KEYS {
        put(store, bucket, key, key.as_bytes()).await;
    }
    let mut expected = AWKWARD_KEYS.map(str::to_owned);
    expected.sort();
    assert_eq!(keys(store, bucket, "contract/keys/").await, expected);
    assert_eq!(
        keys(store, bucket, "contract/keys/a+").await,
        ["contract/keys/a+b.csv"]
    );
    for key in AWKWARD_KEYS {
        assert_eq!(read(store, &newest(bucket, key), 0).await, key);
        store.delete(bucket, key).await.expect("a delete");
    }
    assert!(keys(store, bucket, "contract/keys/").await.is_empty());
}

/// More keys than one page of a list holds.
async fn long_lists(store: &impl ObjectStore, bucket: &str) {
    let names: Vec<String> = (0..1001).map(|n| format!("contract/many/{n:04}")).collect();
    stream::iter(&names)
        .for_each_concurrent(16, |name| put(store, bucket, name, b""))
        .await;
    assert_eq!(keys(store, bucket, "contract/many/").await, names);
    stream::iter(&names)
        .for_each_concurrent(16, |name| async move {
            store.delete(bucket, name).await.expect("a delete");
        })
        .await;
}

async fn multipart_uploads(store: &impl ObjectStore, bucket: &str) {
    let key = "contract/upload";
    let upload = begin(store, bucket, key).await;
    let large = Bytes::from(vec![b'x'; 5 * 1024 * 1024]);
    let last = Bytes::from_static(b"last");
    // Parts may come in any order, and a part may be written again.
    let mut parts = Vec::new();
    for (number, body) in [(2, &last), (1, &last), (1, &large)] {
        let part = store
            .upload_part(&upload, number, body.clone())
            .await
            .expect("a part");
        assert_eq!(part.number, number);
        parts.insert(0, part);
    }
    parts.remove(1);
    assert!(
        keys(store, bucket, key).await.is_empty(),
        "nothing is seen yet"
    );

    store
        .complete_upload(&upload, parts)
        .await
        .expect("a completion");
    let object = newest(bucket, key);
    assert_eq!(read(store, &object, large.len() as u64 - 1).await, "xlast");
    store.delete(bucket, key).await.expect("a delete");

    let upload = begin(store, bucket, key).await;
    store
        .upload_part(&upload, 1, last.clone())
        .await
        .expect("a part");
    store.abort_upload(&upload).await.expect("an abort");
    store.abort_upload(&upload).await.expect("a second abort");
    let error = store.upload_part(&upload, 2, last).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
    assert!(keys(store, bucket, key).await.is_empty());
}

async fn begin(store: &impl ObjectStore, bucket: &str, key: &str) -> Upload {
    let upload = store.begin_upload(bucket, key).await.expect("an upload");
    assert_eq!((upload.bucket.as_str(), upload.key.as_str()), (bucket, key));
    upload
}

async fn put(store: &impl ObjectStore, bucket: &str, key: &str, body: &[u8]) {
    store
        .put(bucket, key, Bytes::copy_from_slice(body))
        .await
        .expect("a put");
}

async fn read(store: &impl ObjectStore, object: &ObjectId, from: u64) -> String {
    let opened = store.open(object, from).await.expect("an open");
    let chunks: Vec<Bytes> = opened.content.try_collect().await.expect("a body");
    String::from_utf8(chunks.concat()).expect("what the contract wrote is text")
}

async fn keys(store: &impl ObjectStore, bucket: &str, prefix: &str) -> Vec<String> {
    let listed = store.list(bucket, prefix).await.expect("a list");
    listed.into_iter().map(|object| object.key).collect()
}

fn newest(bucket: &str, key: &str) -> ObjectId {
    ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    }
}

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
