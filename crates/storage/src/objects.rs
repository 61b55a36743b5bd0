//! Objects in buckets, as far as the suite needs them.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::LocalBoxStream;

use crate::{StorageError, Timestamp};

/// Names exactly one sequence of bytes: a version, or a key as long as its ETag is the one given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectId {
    /// Bucket name.
    pub bucket: String,
    /// Key, decoded.
    pub key: String,
    /// Version id, where the bucket is versioned.
    pub version: Option<String>,
    /// ETag (without quotes) that the bytes must have; sent as If-Match.
    pub etag: Option<String>,
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        match &self.version {
            Some(version) => write!(f, " (version {version})"),
            None => Ok(()),
        }
    }
}

/// What a store says of an object when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Size of the whole object in bytes, also when only a range was asked for.
    pub size: u64,
    /// ETag without quotes.
    pub etag: String,
    /// User metadata, names in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

/// An opened object: what it is, and its bytes from the offset asked for. Not resumed: see [`crate::open_resuming`].
pub struct ObjectBody {
    /// What the store says of the object.
    pub meta: ObjectMeta,
    /// The bytes. An error ends the stream.
    pub content: LocalBoxStream<'static, Result<Bytes, StorageError>>,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Bucket name.
    pub bucket: String,
    /// Key that the finished object will have.
    pub key: String,
    /// The store's id of the upload.
    pub id: String,
}

/// One part of a multipart upload that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// From 1 to 10,000.
    pub number: u16,
    /// What the store called its content.
    pub etag: String,
}

/// What a list says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Key, decoded.
    pub key: String,
    /// Size of the object in bytes.
    pub bytes: u64,
    /// When it was written, or its multipart upload begun, as the store's clock had it; S3 gives whole seconds.
    pub modified: Timestamp,
}

/// A store of objects. Every operation retries what is transient inside (the SDK's standard retry); what it returns is final
/// for this call.
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait ObjectStore {
    /// Opens the object at byte `from`. `Conflict` when the ETag is another one, `NotFound` when the object or version is gone.
    /// An offset at or past the end gives an empty stream.
    async fn open(&self, object: &ObjectId, from: u64) -> Result<ObjectBody, StorageError>;

    /// Writes a whole object of at most 5 GiB, replacing what was there.
    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError>;

    /// Writes a whole object of at most 5 GiB where there is none under the key. `Conflict` when one is there, and nothing is
    /// written then; it may be the caller's own, if a first try landed and only its answer was lost: the caller reads it.
    async fn put_new(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError>;

    /// Writes a whole object of at most 5 GiB in place of the one that has this ETag (If-Match). `Conflict` when another one is
    /// there, which may be the caller's own, if a first try landed and only its answer was lost; `NotFound` when none is.
    async fn put_replacing(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        body: Bytes,
    ) -> Result<(), StorageError>;

    /// Begins a multipart upload; nothing can be seen under the key until it is completed.
    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError>;

    /// Writes one part (at least 5 MiB except the last one).
    async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError>;

    /// Makes the object out of the parts, which are in ascending order.
    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
    ) -> Result<(), StorageError>;

    /// Forgets an upload; one that is not there any more is no error.
    async fn abort_upload(&self, upload: &Upload) -> Result<(), StorageError>;

    /// All objects whose keys begin with a prefix, in UTF-8 order of their keys.
    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ListedObject>, StorageError>;

    /// Deletes an object; one that is not there is no error.
    async fn delete(&self, bucket: &str, key: &str) -> Result<(), StorageError>;
}
