use futures_util::TryStreamExt;

use super::*;

fn store() -> MemoryObjects {
    MemoryObjects::new()
        .with_bucket("plain")
        .with_versioned_bucket("kept")
}

async fn read(store: &MemoryObjects, object: &ObjectId, from: u64) -> Result<Vec<u8>, ErrorKind> {
    let opened = store
        .open(object, from)
        .await
        .map_err(|error| error.kind())?;
    let chunks: Vec<Bytes> = opened.content.try_collect().await.unwrap();
    Ok(chunks.concat())
}

#[tokio::test]
async fn every_version_stays_readable_until_the_newest_is_a_delete_marker() {
    let store = store();
    let first = store.seed("kept", "k", "one", &[]);
    let second = store.seed("kept", "k", "two", &[("transload-mapping", "m.json")]);
    let newest = ObjectId {
        version: None,
        etag: None,
        ..first.clone()
    };
    assert_eq!(read(&store, &first, 0).await.unwrap(), b"one");
    assert_eq!(read(&store, &second, 1).await.unwrap(), b"wo");
    assert_eq!(read(&store, &newest, 0).await.unwrap(), b"two");

    store.delete("kept", "k").await.unwrap();
    assert_eq!(read(&store, &newest, 0).await, Err(ErrorKind::NotFound));
    assert_eq!(read(&store, &first, 0).await.unwrap(), b"one");
    assert_eq!(store.list("kept", "").await.unwrap(), []);
    let opened = store.open(&second, 0).await.unwrap();
    assert_eq!(opened.meta.metadata["transload-mapping"], "m.json");
}

#[tokio::test]
async fn a_replaced_object_is_a_conflict_where_there_are_no_versions() {
    let store = store();
    let first = store.seed("plain", "k", "one", &[]);
    assert_eq!(first.version, None);
    store.seed("plain", "k", "two", &[]);
    assert_eq!(read(&store, &first, 0).await, Err(ErrorKind::Conflict));
    assert_eq!(store.content("plain", "k").unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn objects_are_dated_when_they_are_written_and_uploads_when_they_are_begun() {
    let clock = TestClock::at(Timestamp(1_769_860_800_900));
    let store = store().with_clock(clock);
    let upload = store.begin_upload("plain", "upload").await.unwrap();
    store.seed("plain", "seed", "", &[]);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    store.put("plain", "put", Bytes::new()).await.unwrap();
    store
        .put_new("plain", "put-new", Bytes::new())
        .await
        .unwrap();
    let part = store.upload_part(&upload, 1, Bytes::new()).await.unwrap();
    store.complete_upload(&upload, vec![part]).await.unwrap();
    let listed = store.list("plain", "").await.unwrap();
    let dates: Vec<_> = listed
        .iter()
        .map(|object| (object.key.as_str(), object.modified.iso()))
        .collect();
    let (first, second) = ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:02.000Z");
    let expected = [
        ("put", second),
        ("put-new", second),
        ("seed", first),
        ("upload", first),
    ];
    assert_eq!(dates, expected.map(|(key, date)| (key, date.to_owned())));
}

#[tokio::test]
async fn parts_that_s3_would_not_join_are_refused() {
    let store = store();
    let upload = store.begin_upload("plain", "k").await.unwrap();
    let small = store
        .upload_part(&upload, 1, Bytes::from_static(b"small"))
        .await
        .unwrap();
    let last = store
        .upload_part(&upload, 2, Bytes::from_static(b"last"))
        .await
        .unwrap();
    let unknown = UploadedPart {
        number: 3,
        ..last.clone()
    };
    for parts in [
        vec![small.clone(), last.clone()],
        vec![last.clone(), small],
        vec![last.clone(), last.clone()],
        vec![unknown],
        vec![],
    ] {
        let error = store.complete_upload(&upload, parts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
    assert_eq!(store.open_uploads(), std::slice::from_ref(&upload));
    store.complete_upload(&upload, vec![last]).await.unwrap();
    assert_eq!(store.content("plain", "k").unwrap(), "last");
    assert!(store.open_uploads().is_empty());
}
