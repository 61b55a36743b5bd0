//! Objects of any size that take no memory.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;

use crate::{
    ListedObject, ObjectBody, ObjectId, ObjectMeta, ObjectStore, StorageError, Upload, UploadedPart,
};

/// A store all of whose objects have the same bytes, made while they are read, and which forgets what it is given. By it a test
/// sees how much memory the one has who reads and writes, since the store has none.
pub struct EndlessObjects<F> {
    chunks: F,
    size: u64,
    max_part_bytes: usize,
}

impl<F, I> EndlessObjects<F>
where
    F: Fn() -> I,
    I: Iterator<Item = Bytes> + 'static,
{
    /// A store of objects with the bytes that `chunks` gives, each time the same, which are counted here once.
    ///
    /// A part of more than `max_part_bytes` is a panic, as is a body that is opened in its middle: nothing breaks here.
    pub fn new(max_part_bytes: usize, chunks: F) -> Self {
        Self {
            size: chunks().map(|chunk| chunk.len() as u64).sum(),
            chunks,
            max_part_bytes,
        }
    }
}

impl<F, I> ObjectStore for EndlessObjects<F>
where
    F: Fn() -> I,
    I: Iterator<Item = Bytes> + 'static,
{
    async fn open(&self, _: &ObjectId, from: u64) -> Result<ObjectBody, StorageError> {
        assert_eq!(from, 0, "nothing breaks here");
        Ok(ObjectBody {
            meta: ObjectMeta {
                size: self.size,
                etag: "e".to_owned(),
                metadata: Default::default(),
            },
            content: stream::iter((self.chunks)().map(Ok)).boxed_local(),
        })
    }

    async fn put(&self, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put_new(&self, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put_replacing(&self, _: &str, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError> {
        Ok(Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id: "u".to_owned(),
        })
    }

    async fn upload_part(
        &self,
        _: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError> {
        let bytes = body.len();
        assert!(bytes <= self.max_part_bytes, "a part of {bytes} bytes");
        Ok(UploadedPart {
            number,
            etag: "e".to_owned(),
        })
    }

    async fn complete_upload(&self, _: &Upload, _: Vec<UploadedPart>) -> Result<(), StorageError> {
        Ok(())
    }

    async fn abort_upload(&self, _: &Upload) -> Result<(), StorageError> {
        Ok(())
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<ListedObject>, StorageError> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), StorageError> {
        Ok(())
    }
}
