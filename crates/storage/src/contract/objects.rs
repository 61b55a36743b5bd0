//! The contract of objects.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};

use super::kind;
use super::staged::staged;
use crate::{ErrorKind, ObjectId, ObjectStore, Upload};

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
    replaced_objects(store, bucket).await;
    missing_objects(store, bucket).await;
    awkward_keys(store, bucket).await;
    long_lists(store, bucket).await;
    multipart_uploads(store, bucket).await;
    staged(store, bucket).await;
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

async fn replaced_objects(store: &impl ObjectStore, bucket: &str) {
    let key = "contract/replaced";
    let replace = async |etag: &str, body: &'static str| {
        let body = Bytes::from(body);
        let answer = store.put_replacing(bucket, key, etag, body).await;
        kind(answer.err())
    };
    let etag = async || {
        let opened = store.open(&newest(bucket, key), 0).await.expect("an open");
        opened.meta.etag
    };
    put(store, bucket, key, b"first").await;
    let first = etag().await;
    assert_eq!(replace(&first, "second").await, None);
    let second = etag().await;
    assert_eq!(replace(&first, "third").await, Some(ErrorKind::Conflict));
    assert_eq!(replace("no such", "third").await, Some(ErrorKind::Conflict));
    assert_eq!(read(store, &newest(bucket, key), 0).await, "second");
    assert_eq!(replace(&second, "second").await, None, "by itself");
    assert_eq!(
        replace(&second, "").await,
        None,
        "equal content, equal ETag"
    );
    assert_eq!(read(store, &newest(bucket, key), 0).await, "");

    let third = etag().await;
    store.delete(bucket, key).await.expect("a delete");
    assert_eq!(replace(&third, "lost").await, Some(ErrorKind::NotFound));
    assert_eq!(keys(store, bucket, key).await, Vec::<String>::new());
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
    let replaced = store.put_replacing(nowhere, "k", "e", Bytes::new()).await;
    assert_eq!(kind(replaced.err()), Some(ErrorKind::NotFound));
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

pub(super) async fn read(store: &impl ObjectStore, object: &ObjectId, from: u64) -> String {
    let opened = store.open(object, from).await.expect("an open");
    let chunks: Vec<Bytes> = opened.content.try_collect().await.expect("a body");
    String::from_utf8(chunks.concat()).expect("what the contract wrote is text")
}

pub(super) async fn keys(store: &impl ObjectStore, bucket: &str, prefix: &str) -> Vec<String> {
    let listed = store.list(bucket, prefix).await.expect("a list");
    listed.into_iter().map(|object| object.key).collect()
}

pub(super) fn newest(bucket: &str, key: &str) -> ObjectId {
    ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    }
}
