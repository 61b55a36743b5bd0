//! Where the manifests of an export lie.

use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use storage::{ObjectId, ObjectStore, ResumePolicy, StorageError, open_resuming};

/// Where the manifests of an export lie: the bucket that DynamoDB wrote them to, or a copy of it.
#[expect(
    async_fn_in_trait,
    reason = "all callers run on one thread, so no one needs to name the futures' bounds"
)]
pub trait ManifestPlace<'a> {
    /// What people call the manifest of this key: `s3://bucket/key`, or a path.
    fn name(&self, key: &str) -> String;

    /// Opens the manifest of this key, of this ETag if one is given.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it has another ETag by now, and whatever else opening it comes to.
    async fn open(&self, key: &str, etag: Option<&str>) -> Result<OpenManifest<'a>, StorageError>;
}

/// A manifest, or a checksum of one, that is being read.
pub struct OpenManifest<'a> {
    /// How many bytes it has.
    pub bytes: u64,
    /// By which it is found again as it is; nothing where there are none.
    pub etag: Option<String>,
    /// Its bytes.
    pub content: LocalBoxStream<'a, Result<Bytes, StorageError>>,
}

/// The bucket that DynamoDB wrote the manifests to, where they have the keys by which they name one another.
pub(super) struct InBucket<'a, 'b, O> {
    pub(super) objects: &'a O,
    pub(super) bucket: &'b str,
}

impl<'a, O: ObjectStore> ManifestPlace<'a> for InBucket<'a, '_, O> {
    fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    async fn open(&self, key: &str, etag: Option<&str>) -> Result<OpenManifest<'a>, StorageError> {
        let object = ObjectId {
            bucket: self.bucket.to_owned(),
            key: key.to_owned(),
            version: None,
            etag: etag.map(str::to_owned),
        };
        let opened = open_resuming(self.objects, object, 0, ResumePolicy::default()).await;
        let (meta, content) = opened?;
        Ok(OpenManifest {
            bytes: meta.size,
            etag: Some(meta.etag),
            content,
        })
    }
}
