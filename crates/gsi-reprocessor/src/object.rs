//! The object of one item: made once, and replaced only by what a later reading of the item gives.
//!
//! A PUT that is overtaken (its run lost the lane, or its answer never came) must not bring an older state of the item back over
//! a newer one. So the first PUT wants that there is no object. If there is one, the item is read *again, after* the object, and
//! only if it still is what was processed, the object that was seen is replaced: whoever puts a newer state either comes before
//! that reading, which then shows it, or changes the object, which then is not the one that was seen.

use bytes::Bytes;
use futures_util::TryStreamExt;
use storage::{ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, open_resuming};

/// Times that the object is looked at anew because somebody else wrote it meanwhile.
const ATTEMPTS: u32 = 5;

/// What became of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is there with this body.
    Held,
    /// The item is not what was processed any more; the object is as it was.
    Outdated,
}

/// Puts the body under the key, unless the item has changed. `is_current` reads the item again.
pub async fn store<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
    body: Bytes,
    is_current: &impl AsyncFn() -> Result<bool, StorageError>,
) -> Result<Stored, StorageError> {
    for _ in 0..ATTEMPTS {
        match objects.put_new(bucket, key, body.clone()).await {
            Ok(()) => return Ok(Stored::Held),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
        let held = match held(objects, bucket, key, &body).await {
            Ok(Some(held)) => held,
            Ok(None) => continue,
            // It was replaced while it was read.
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            Err(error) => return Err(error),
        };
        if held.is_equal {
            return Ok(Stored::Held);
        }
        if !is_current().await? {
            return Ok(Stored::Outdated);
        }
        match objects
            .put_replacing(bucket, key, &held.etag, body.clone())
            .await
        {
            Ok(()) => return Ok(Stored::Held),
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StorageError::new(
        ErrorKind::Conflict,
        "PutObject",
        format!("s3://{bucket}/{key}"),
        "the object was written by others again and again",
    ))
}

struct Held {
    etag: String,
    is_equal: bool,
}

/// The object that is there, compared with a body; nothing if there is none.
async fn held<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
    body: &[u8],
) -> Result<Option<Held>, StorageError> {
    let object = ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let (meta, mut content) = match open_resuming(objects, object, 0, ResumePolicy::default()).await
    {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut rest = body;
    let mut is_equal = meta.size == body.len() as u64;
    while is_equal && let Some(chunk) = content.try_next().await? {
        match rest.strip_prefix(&*chunk) {
            Some(behind) => rest = behind,
            None => is_equal = false,
        }
    }
    Ok(Some(Held {
        etag: meta.etag,
        is_equal: is_equal && rest.is_empty(),
    }))
}
