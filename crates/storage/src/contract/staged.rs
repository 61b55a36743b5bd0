//! The contract of objects that are staged: what an upload is after it was completed or aborted.

use bytes::Bytes;

use super::kind;
use super::objects::{keys, newest, read};
use crate::staged::{Staged, StagedWriter, discard, publish};
use crate::{ErrorKind, ObjectStore, UploadedPart};

const KEY: &str = "contract/staged";

/// What `staged` rests on, in a bucket that may or may not have versions.
///
/// # Panics
/// Where the store does not keep it.
pub(super) async fn staged(store: &impl ObjectStore, bucket: &str) {
    completed_again(store, bucket).await;

    let object = stage(store, bucket, b"staged").await;
    assert!(keys(store, bucket, KEY).await.is_empty());
    for _ in 0..2 {
        publish(store, &object).await.expect("a publication");
        assert_eq!(read(store, &newest(bucket, KEY), 0).await, "staged");
    }
    let discarded = discard(store, &object).await;
    discarded.expect("a discard of what is published");
    assert_eq!(read(store, &newest(bucket, KEY), 0).await, "staged");
    store.delete(bucket, KEY).await.expect("a delete");

    let object = stage(store, bucket, b"discarded").await;
    for _ in 0..2 {
        discard(store, &object).await.expect("a discard");
    }
    let error = publish(store, &object).await.err();
    assert_eq!(kind(error), Some(ErrorKind::NotFound));
    assert!(keys(store, bucket, KEY).await.is_empty());
    let other = Bytes::from_static(b"another");
    store.put(bucket, KEY, other).await.expect("a put");
    let error = publish(store, &object).await.err();
    assert_eq!(kind(error), Some(ErrorKind::Conflict));
    assert_eq!(read(store, &newest(bucket, KEY), 0).await, "another");
    store.delete(bucket, KEY).await.expect("a delete");
}

/// A completion may be repeated: the store says that it is done, or that there is no such upload, and the object is the same.
async fn completed_again(store: &impl ObjectStore, bucket: &str) {
    let upload = store.begin_upload(bucket, KEY).await.expect("an upload");
    let body = Bytes::from_static(b"completed");
    let part = store.upload_part(&upload, 1, body).await.expect("a part");
    let parts = || -> Vec<UploadedPart> { vec![part.clone()] };
    let completed = store.complete_upload(&upload, parts()).await;
    completed.expect("a completion");
    for _ in 0..2 {
        let again = store.complete_upload(&upload, parts()).await;
        let again = kind(again.err());
        assert!(
            matches!(again, None | Some(ErrorKind::NotFound)),
            "{again:?}"
        );
        assert_eq!(read(store, &newest(bucket, KEY), 0).await, "completed");
    }
    store.delete(bucket, KEY).await.expect("a delete");
}

async fn stage(store: &impl ObjectStore, bucket: &str, content: &[u8]) -> Staged {
    let mut writer = StagedWriter::new(store, bucket, KEY);
    writer.write(content).await.expect("a write");
    let object = writer.finish().await.expect("a finish");
    object.expect("an object with bytes")
}
