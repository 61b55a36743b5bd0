//! Backup and unprocessed parts in the lake, one object of each a block, in bounded memory.

use bytes::Bytes;
use storage::{ErrorKind, ObjectStore, StorageError, Upload, UploadedPart};

use crate::names::{PartKind, block_of_part, part_folder, part_key};

/// Bytes that are gathered before they go out as one part of a multipart upload: the least that S3 takes. Of 10,000 parts an
/// object then has 50 GB at the most, and a block of 50,000 rows of the largest items has 20.
const UPLOAD_PART_BYTES: usize = 5 * 1024 * 1024;
/// What a run adds at the most to a buffer that is not full yet, most of the time; a larger one makes the buffer grow.
const USUAL_RUN_BYTES: usize = 512 * 1024;

/// The object of one block that is being written.
pub struct PartWriter<'a, O> {
    objects: &'a O,
    bucket: &'a str,
    inbox_key: &'a str,
    kind: PartKind,
    block: u64,
    buffer: Vec<u8>,
    upload: Option<(Upload, Vec<UploadedPart>)>,
}

impl<'a, O: ObjectStore> PartWriter<'a, O> {
    /// A writer that begins with `block`.
    pub fn new(
        objects: &'a O,
        bucket: &'a str,
        inbox_key: &'a str,
        kind: PartKind,
        block: u64,
    ) -> Self {
        Self {
            objects,
            bucket,
            inbox_key,
            kind,
            block,
            buffer: Vec::new(),
            upload: None,
        }
    }

    /// Adds whole lines.
    pub async fn append(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        // Made once per part: a buffer that grows by doubling would hold twice its memory.
        if self.buffer.capacity() == 0 && !lines.is_empty() {
            self.buffer
                .reserve_exact(UPLOAD_PART_BYTES + USUAL_RUN_BYTES);
        }
        self.buffer.extend_from_slice(lines);
        if self.buffer.len() >= UPLOAD_PART_BYTES {
            self.upload_buffer().await?;
        }
        Ok(())
    }

    /// The block is complete: its object appears, whole. A block without lines has no object; one that an earlier version of
    /// the input left under this name goes.
    pub async fn finish_block(&mut self) -> Result<(), StorageError> {
        let key = part_key(self.kind, self.inbox_key, self.block);
        if self.upload.is_some() && !self.buffer.is_empty() {
            self.upload_buffer().await?;
        }
        match self.upload.take() {
            Some((upload, parts)) => self.objects.complete_upload(&upload, parts).await?,
            None if self.buffer.is_empty() => self.objects.delete(self.bucket, &key).await?,
            None => {
                let body = Bytes::from(std::mem::take(&mut self.buffer));
                self.objects.put(self.bucket, &key, body).await?;
            }
        }
        self.block += 1;
        Ok(())
    }

    /// The block will not be completed by this worker.
    pub async fn abandon(&mut self) -> Result<(), StorageError> {
        self.buffer.clear();
        match self.upload.take() {
            Some((upload, _)) => self.objects.abort_upload(&upload).await,
            None => Ok(()),
        }
    }

    /// Removes the parts from `end` on, which an earlier, longer version of the input left.
    pub async fn remove_from(&self, end: u64) -> Result<(), StorageError> {
        let folder = part_folder(self.kind, self.inbox_key);
        for object in self
            .objects
            .list(self.bucket, &format!("{folder}part-"))
            .await?
        {
            let key = object.key;
            let block = key.strip_prefix(&folder).and_then(block_of_part);
            if block.is_some_and(|block| block >= end) {
                self.objects.delete(self.bucket, &key).await?;
            }
        }
        Ok(())
    }

    async fn upload_buffer(&mut self) -> Result<(), StorageError> {
        let (upload, parts) = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let key = part_key(self.kind, self.inbox_key, self.block);
                let upload = self.objects.begin_upload(self.bucket, &key).await?;
                none.insert((upload, Vec::new()))
            }
        };
        let number = u16::try_from(parts.len() + 1).map_err(|_| too_many_parts(upload))?;
        let body = Bytes::from(std::mem::take(&mut self.buffer));
        parts.push(self.objects.upload_part(upload, number, body).await?);
        Ok(())
    }
}

fn too_many_parts(upload: &Upload) -> StorageError {
    StorageError::new(
        ErrorKind::Internal,
        "UploadPart",
        format!("s3://{}/{}", upload.bucket, upload.key),
        "the block needs more parts than an upload can have: expected smaller blocks (BLOCK_ROWS)",
    )
}
