use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};

use crate::{
    Clock, ErrorKind, ListedObject, ObjectBody, ObjectId, ObjectMeta, ObjectStore, StorageError,
    TestClock, Timestamp, Upload, UploadedPart,
};

/// The smallest part of an upload in bytes, except its last one.
const MIN_PART_BYTES: usize = 5 * 1024 * 1024;
const MAX_KEY_BYTES: usize = 1024;
const MAX_PARTS: u16 = 10_000;
/// What bodies are cut into unless a test asks for something else.
const CHUNK_BYTES: usize = 64 * 1024;

/// Buckets in memory, with versions, ETags and multipart uploads. Equal contents have equal ETags, as on S3.
#[derive(Debug, Clone)]
pub struct MemoryObjects {
    state: Arc<Mutex<State>>,
    chunk_bytes: usize,
    clock: Option<TestClock>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    uploads: BTreeMap<String, OpenUpload>,
    /// Version ids and upload ids are counted: the same test makes the same ids.
    ids: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    versioned: bool,
    /// Versions of each key, oldest first; never empty. In a bucket without versions there is one.
    keys: BTreeMap<String, Vec<Version>>,
}

#[derive(Debug, Clone)]
struct Version {
    id: String,
    /// Absent in a delete marker.
    object: Option<Stored>,
}

#[derive(Debug, Clone)]
struct Stored {
    body: Bytes,
    meta: ObjectMeta,
    modified: Timestamp,
}

#[derive(Debug)]
struct OpenUpload {
    bucket: String,
    key: String,
    begun: Timestamp,
    parts: BTreeMap<u16, (String, Bytes)>,
}

/// The version id of an object in a bucket without versions.
const NULL_VERSION: &str = "null";

impl Default for MemoryObjects {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryObjects {
    /// A store without any bucket.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            chunk_bytes: CHUNK_BYTES,
            clock: None,
        }
    }

    /// Adds a bucket without versions.
    #[must_use]
    pub fn with_bucket(self, name: &str) -> Self {
        self.add_bucket(name, false)
    }

    /// Adds a bucket that keeps every version.
    #[must_use]
    pub fn with_versioned_bucket(self, name: &str) -> Self {
        self.add_bucket(name, true)
    }

    /// The same store, whose bodies come in chunks of `bytes`.
    #[must_use]
    pub fn with_chunks_of(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a chunk has at least one byte");
        self.chunk_bytes = bytes;
        self
    }

    /// The same store, whose objects are dated by `clock`, to the second as on S3; without one, they are all of 1970.
    #[must_use]
    pub fn with_clock(mut self, clock: TestClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Stores an object with user metadata (names in lower case) and says what it now is: version, where the bucket has
    /// them, and ETag.
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn seed(
        &self,
        bucket: &str,
        key: &str,
        body: impl Into<Bytes>,
        metadata: &[(&str, &str)],
    ) -> ObjectId {
        let mut object = Stored::whole(body.into(), self.now());
        object.meta.metadata = metadata
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let etag = object.meta.etag.clone();
        let version = self
            .lock()
            .store(bucket, key, Some(object))
            .expect("a test seeds a bucket that it has made");
        ObjectId {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: (version != NULL_VERSION).then_some(version),
            etag: Some(etag),
        }
    }

    /// The newest content under a key, unless it is deleted.
    pub fn content(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let state = self.lock();
        Some(state.buckets.get(bucket)?.newest(key)?.body.clone())
    }

    /// Every key of a bucket with its newest content: what tests compare.
    pub fn snapshot(&self, bucket: &str) -> BTreeMap<String, Bytes> {
        let state = self.lock();
        let Some(bucket) = state.buckets.get(bucket) else {
            return BTreeMap::new();
        };
        bucket
            .present()
            .map(|(key, stored)| (key.clone(), stored.body.clone()))
            .collect()
    }

    /// Uploads begun and neither completed nor aborted: what a bucket owner would go on paying for.
    pub fn open_uploads(&self) -> Vec<Upload> {
        self.lock()
            .uploads
            .iter()
            .map(|(id, upload)| Upload {
                bucket: upload.bucket.clone(),
                key: upload.key.clone(),
                id: id.clone(),
            })
            .collect()
    }

    /// Whether there is a bucket of this name.
    pub(super) fn has_bucket(&self, name: &str) -> bool {
        self.lock().buckets.contains_key(name)
    }

    fn add_bucket(self, name: &str, versioned: bool) -> Self {
        let bucket = Bucket {
            versioned,
            ..Bucket::default()
        };
        let before = self.lock().buckets.insert(name.to_owned(), bucket);
        assert!(before.is_none(), "bucket {name} is made once");
        self
    }

    fn now(&self) -> Timestamp {
        let millis = self.clock.map_or(0, |clock| clock.now().0);
        Timestamp(millis - millis % 1000)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Stored {
    /// What one PUT of `body` makes.
    fn whole(body: Bytes, modified: Timestamp) -> Self {
        let meta = ObjectMeta {
            size: body.len() as u64,
            etag: fingerprint(&body),
            metadata: BTreeMap::new(),
        };
        Self {
            body,
            meta,
            modified,
        }
    }
}

impl State {
    fn bucket(&self, operation: &'static str, name: &str) -> Result<&Bucket, StorageError> {
        self.buckets
            .get(name)
            .ok_or_else(|| no_bucket(operation, name))
    }

    fn next_id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{:08}", self.ids)
    }

    /// Makes `object` (absent: a delete marker) the newest version of the key, and returns its version id.
    fn store(
        &mut self,
        bucket: &str,
        key: &str,
        object: Option<Stored>,
    ) -> Result<String, StorageError> {
        let operation = match object {
            Some(_) => "PutObject",
            None => "DeleteObject",
        };
        check_key(operation, bucket, key)?;
        let versioned = self.bucket(operation, bucket)?.versioned;
        let id = match versioned {
            true => self.next_id("version-"),
            false => NULL_VERSION.to_owned(),
        };
        let keys = &mut self
            .buckets
            .get_mut(bucket)
            .ok_or_else(|| no_bucket(operation, bucket))?
            .keys;
        if !versioned {
            keys.remove(key);
            if object.is_none() {
                return Ok(id);
            }
        }
        keys.entry(key.to_owned()).or_default().push(Version {
            id: id.clone(),
            object,
        });
        Ok(id)
    }

    fn find(&self, object: &ObjectId) -> Result<Stored, StorageError> {
        let versions = self
            .bucket("GetObject", &object.bucket)?
            .keys
            .get(&object.key);
        let stored = versions
            .and_then(|versions| match &object.version {
                Some(id) => versions.iter().find(|version| version.id == *id),
                None => versions.last(),
            })
            .and_then(|version| version.object.clone())
            .ok_or_else(|| {
                StorageError::new(
                    ErrorKind::NotFound,
                    "GetObject",
                    object.to_string(),
                    "there is no such object",
                )
            })?;
        match &object.etag {
            Some(etag) if *etag != stored.meta.etag => Err(StorageError::new(
                ErrorKind::Conflict,
                "GetObject",
                object.to_string(),
                format!(
                    "asked for the ETag {etag}, but the object's is {}",
                    stored.meta.etag
                ),
            )),
            _ => Ok(stored),
        }
    }

    /// The upload, if it is still open under this bucket and key.
    fn upload(
        &mut self,
        operation: &'static str,
        upload: &Upload,
    ) -> Result<&mut OpenUpload, StorageError> {
        self.uploads
            .get_mut(&upload.id)
            .filter(|open| open.bucket == upload.bucket && open.key == upload.key)
            .ok_or_else(|| {
                upload_error(
                    ErrorKind::NotFound,
                    operation,
                    upload,
                    "there is no such upload",
                )
            })
    }
}

impl Bucket {
    /// The newest content under a key, unless it is deleted.
    fn newest(&self, key: &str) -> Option<&Stored> {
        self.keys.get(key)?.last()?.object.as_ref()
    }

    /// Keys that are not deleted, with their newest content.
    fn present(&self) -> impl Iterator<Item = (&String, &Stored)> {
        self.keys
            .keys()
            .filter_map(|key| Some((key, self.newest(key)?)))
    }
}

impl ObjectStore for MemoryObjects {
    async fn open(&self, object: &ObjectId, from: u64) -> Result<ObjectBody, StorageError> {
        let Stored { body, meta, .. } = self.lock().find(object)?;
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(body.len());
        Ok(ObjectBody {
            meta,
            content: chunks(body.slice(from..), self.chunk_bytes),
        })
    }

    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        let object = Stored::whole(body, self.now());
        self.lock().store(bucket, key, Some(object)).map(drop)
    }

    async fn put_new(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        let object = Stored::whole(body, self.now());
        let mut state = self.lock();
        let is_there = state.bucket("PutObject", bucket)?.newest(key).is_some();
        if is_there {
            return Err(StorageError::new(
                ErrorKind::Conflict,
                "PutObject",
                format!("s3://{bucket}/{key}"),
                "there is an object under this key",
            ));
        }
        state.store(bucket, key, Some(object)).map(drop)
    }

    async fn put_replacing(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        body: Bytes,
    ) -> Result<(), StorageError> {
        let object = Stored::whole(body, self.now());
        let mut state = self.lock();
        let refused = |kind, message| {
            let target = format!("s3://{bucket}/{key}");
            Err(StorageError::new(kind, "PutObject", target, message))
        };
        match state.bucket("PutObject", bucket)?.newest(key) {
            None => refused(
                ErrorKind::NotFound,
                "there is no object to replace".to_owned(),
            ),
            Some(held) if held.meta.etag != etag => refused(
                ErrorKind::Conflict,
                format!(
                    "the object's ETag was to be {etag}, but is {}",
                    held.meta.etag
                ),
            ),
            Some(_) => state.store(bucket, key, Some(object)).map(drop),
        }
    }

    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError> {
        check_key("CreateMultipartUpload", bucket, key)?;
        let mut state = self.lock();
        state.bucket("CreateMultipartUpload", bucket)?;
        let id = state.next_id("upload-");
        state.uploads.insert(
            id.clone(),
            OpenUpload {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                begun: self.now(),
                parts: BTreeMap::new(),
            },
        );
        Ok(Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id,
        })
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError> {
        let mut state = self.lock();
        let open = state.upload("UploadPart", upload)?;
        if !(1..=MAX_PARTS).contains(&number) {
            return Err(upload_error(
                ErrorKind::Refused,
                "UploadPart",
                upload,
                &format!("part numbers are 1 to {MAX_PARTS}, this one is {number}"),
            ));
        }
        let etag = fingerprint(&body);
        open.parts.insert(number, (etag.clone(), body));
        Ok(UploadedPart { number, etag })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
    ) -> Result<(), StorageError> {
        let mut state = self.lock();
        let open = state.upload("CompleteMultipartUpload", upload)?;
        let body = assemble(open, &parts).map_err(|fault| {
            upload_error(
                ErrorKind::Refused,
                "CompleteMultipartUpload",
                upload,
                &fault,
            )
        })?;
        let meta = ObjectMeta {
            size: body.len() as u64,
            etag: format!("{}-{}", fingerprint(&body), parts.len()),
            metadata: BTreeMap::new(),
        };
        let modified = open.begun;
        let object = Stored {
            body,
            meta,
            modified,
        };
        state.uploads.remove(&upload.id);
        state
            .store(&upload.bucket, &upload.key, Some(object))
            .map(drop)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StorageError> {
        let mut state = self.lock();
        state.bucket("AbortMultipartUpload", &upload.bucket)?;
        if state.upload("AbortMultipartUpload", upload).is_ok() {
            state.uploads.remove(&upload.id);
        }
        Ok(())
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ListedObject>, StorageError> {
        Ok(self
            .lock()
            .bucket("ListObjectsV2", bucket)?
            .present()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, stored)| ListedObject {
                key: key.clone(),
                bytes: stored.meta.size,
                modified: stored.modified,
            })
            .collect())
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), StorageError> {
        self.lock().store(bucket, key, None).map(drop)
    }
}

/// Joins the parts as the store does, or says what is wrong with them.
fn assemble(open: &OpenUpload, parts: &[UploadedPart]) -> Result<Bytes, String> {
    let numbers: BTreeSet<u16> = parts.iter().map(|part| part.number).collect();
    if parts.is_empty() {
        return Err("an upload has at least one part".to_owned());
    }
    if numbers.len() != parts.len() || !parts.is_sorted_by_key(|part| part.number) {
        return Err("the parts are not in ascending order".to_owned());
    }
    let mut body = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let (_, content) = open
            .parts
            .get(&part.number)
            .filter(|(etag, _)| *etag == part.etag)
            .ok_or_else(|| format!("part {} is not there or has another ETag", part.number))?;
        if index + 1 < parts.len() && content.len() < MIN_PART_BYTES {
            return Err(format!(
                "part {} has {} bytes, and only the last part may have less than {MIN_PART_BYTES}",
                part.number,
                content.len()
            ));
        }
        body.extend_from_slice(content);
    }
    Ok(body.into())
}

fn chunks(body: Bytes, chunk_bytes: usize) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
    stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let chunk = rest.split_to(rest.len().min(chunk_bytes));
        Some((Ok(chunk), rest))
    })
    .boxed_local()
}

/// 32 hexadecimal digits of the content alone, in the form of S3's ETag.
fn fingerprint(body: &[u8]) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        body.hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(1), half(2))
}

fn check_key(operation: &'static str, bucket: &str, key: &str) -> Result<(), StorageError> {
    if (1..=MAX_KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    Err(StorageError::new(
        ErrorKind::Refused,
        operation,
        format!("s3://{bucket}/{key}"),
        format!(
            "a key has 1 to {MAX_KEY_BYTES} bytes, this one has {}",
            key.len()
        ),
    ))
}

fn no_bucket(operation: &'static str, name: &str) -> StorageError {
    StorageError::new(
        ErrorKind::NotFound,
        operation,
        format!("s3://{name}"),
        "there is no such bucket",
    )
}

fn upload_error(
    kind: ErrorKind,
    operation: &'static str,
    upload: &Upload,
    message: &str,
) -> StorageError {
    StorageError::new(
        kind,
        operation,
        format!(
            "s3://{}/{} (upload {})",
            upload.bucket, upload.key, upload.id
        ),
        message,
    )
}

#[cfg(test)]
mod tests;
