//! Objects that are written first and made visible later, at once.
//!
//! The bytes are the parts of a multipart upload that is not completed. Who decides that the object shall be seen (typically
//! by a row that is written on a condition, with the [`Staged`] in it) completes the upload with [`publish`], and anybody who
//! reads the decision can do so again. Nothing partial is ever visible, and a repeat publishes the same bytes.

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, ObjectId, ObjectStore, StorageError, Upload, UploadedPart};

/// How many bytes a part has, but for the last one of an object. A store takes 10,000 parts.
pub const STAGED_PART_BYTES: usize = 8 * 1024 * 1024;

/// An object whose bytes are all in the store and which cannot be seen yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The bucket that it will be in.
    pub bucket: String,
    /// The key that it will have.
    pub key: String,
    /// Id of the upload that holds its bytes.
    pub upload: String,
    /// The parts' ETags, in their order.
    pub parts: Vec<String>,
    /// How many bytes it has.
    pub bytes: u64,
}

/// Writes an object that cannot be seen before it is published.
#[derive(Debug)]
pub struct StagedWriter<'a, O> {
    objects: &'a O,
    bucket: String,
    key: String,
    /// Bytes of the part that is not full yet.
    buffer: BytesMut,
    /// Begun with the first part, so that an object without a byte needs none.
    upload: Option<Upload>,
    parts: Vec<String>,
    bytes: u64,
}

impl<'a, O: ObjectStore> StagedWriter<'a, O> {
    /// A writer of the object that will be in this bucket under this key. Asks nothing of the store yet.
    pub fn new(objects: &'a O, bucket: &str, key: &str) -> Self {
        Self {
            objects,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            buffer: BytesMut::new(),
            upload: None,
            parts: Vec::new(),
            bytes: 0,
        }
    }

    /// How many bytes were written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes more bytes, of which whole parts go to the store at once. However the bytes are cut, the parts are the same.
    ///
    /// # Errors
    /// What the store says of the upload or a part; the object cannot be finished then, only abandoned.
    pub async fn write(&mut self, mut content: &[u8]) -> Result<(), StorageError> {
        while !content.is_empty() {
            let room = STAGED_PART_BYTES - self.buffer.len();
            let (now, later) = content.split_at(room.min(content.len()));
            self.buffer.extend_from_slice(now);
            self.bytes += now.len() as u64;
            content = later;
            if self.buffer.len() == STAGED_PART_BYTES {
                self.upload_buffer().await?;
            }
        }
        Ok(())
    }

    /// Sends what is left, and says how to publish the object; nothing if no byte was written.
    ///
    /// # Errors
    /// What the store says of the upload or its last part. The upload is abandoned then, as far as the store allows it.
    pub async fn finish(mut self) -> Result<Option<Staged>, StorageError> {
        if !self.buffer.is_empty()
            && let Err(error) = self.upload_buffer().await
        {
            // The first error is the one that says why.
            let _ = self.abandon().await;
            return Err(error);
        }
        Ok(self.upload.map(|upload| Staged {
            bucket: upload.bucket,
            key: upload.key,
            upload: upload.id,
            parts: self.parts,
            bytes: self.bytes,
        }))
    }

    /// Forgets what was written.
    ///
    /// # Errors
    /// What the store says; the parts then stay until the bucket's lifecycle removes incomplete uploads.
    pub async fn abandon(self) -> Result<(), StorageError> {
        match &self.upload {
            Some(upload) => self.objects.abort_upload(upload).await,
            None => Ok(()),
        }
    }

    async fn upload_buffer(&mut self) -> Result<(), StorageError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.objects.begin_upload(&self.bucket, &self.key).await?),
        };
        // The store takes 10,000 parts, and refuses a number that is beyond them.
        let number = u16::try_from(self.parts.len() + 1).unwrap_or(u16::MAX);
        let body = self.buffer.split().freeze();
        let part = self.objects.upload_part(upload, number, body).await?;
        self.parts.push(part.etag);
        Ok(())
    }
}

impl Staged {
    fn upload(&self) -> Upload {
        Upload {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            id: self.upload.clone(),
        }
    }
}

/// Makes a staged object the one under its key. Once that has happened, by whomever, it is success again: S3 answers a
/// repeated completion as it did the first, for as long as it remembers the upload (seen, not documented), and an upload that
/// is gone while there is an object of its size under the key was completed. A repeat does not bring back an object that was
/// deleted or replaced since.
///
/// # Errors
/// `NotFound` if upload and object are gone, `Conflict` if the upload is gone and the object under the key has another size:
/// somebody aborted the upload, as a bucket's lifecycle does with old ones. Else what the store says; after a transient error
/// the object may have been published.
pub async fn publish<O: ObjectStore>(objects: &O, staged: &Staged) -> Result<(), StorageError> {
    let numbered = (1..).zip(&staged.parts);
    let parts = numbered.map(|(number, etag)| UploadedPart {
        number,
        etag: etag.clone(),
    });
    match objects
        .complete_upload(&staged.upload(), parts.collect())
        .await
    {
        Err(gone) if gone.kind() == ErrorKind::NotFound => published(objects, staged, gone).await,
        answer => answer,
    }
}

/// Whether the object of an upload that is gone is there.
async fn published<O: ObjectStore>(
    objects: &O,
    staged: &Staged,
    gone: StorageError,
) -> Result<(), StorageError> {
    let object = ObjectId {
        bucket: staged.bucket.clone(),
        key: staged.key.clone(),
        version: None,
        etag: None,
    };
    let conflict = |message: String| {
        let target = object.to_string();
        let operation = "CompleteMultipartUpload";
        StorageError::new(ErrorKind::Conflict, operation, target, message)
    };
    // Its last byte is enough to learn the size of the whole.
    match objects.open(&object, staged.bytes.saturating_sub(1)).await {
        Ok(opened) if opened.meta.size == staged.bytes => Ok(()),
        Ok(opened) => Err(conflict(format!(
            "the upload is gone, and the object under its key has {} bytes: expected {}",
            opened.meta.size, staged.bytes
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(gone),
        Err(error) => Err(error),
    }
}

/// Forgets a staged object that will not be published; one that was forgotten or published before is no error.
///
/// # Errors
/// What the store says of the upload.
pub async fn discard<O: ObjectStore>(objects: &O, staged: &Staged) -> Result<(), StorageError> {
    objects.abort_upload(&staged.upload()).await
}

#[cfg(test)]
mod tests;
