//! A file of this machine as an object of a bucket.

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use csv_ingester::Source;
use futures_util::TryStreamExt;
use futures_util::stream::LocalBoxStream;
use storage::{
    ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, Upload, UploadedPart,
    open_resuming,
};

use crate::ingest::LocalFile;

/// Bytes of a part, of which S3 takes 5 MiB to 5 GiB.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// Parts of an upload.
const MAX_PARTS: u64 = 10_000;

/// Why a file is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store or the file failed.
    #[error("the file cannot be put into the bucket; running the command again is safe")]
    Store(#[from] StorageError),
    /// There is no such bucket.
    #[error(
        "there is no bucket {bucket}: check --bucket (output LakeBucket of the stack) and the region (AWS_REGION or the profile's)"
    )]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// The store's answer.
        source: StorageError,
    },
    /// Access is denied.
    #[error(
        "access to s3://{bucket}/imports/ is denied: check the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID), which need s3:ListBucket, s3:GetObject and s3:PutObject"
    )]
    Denied {
        /// The bucket.
        bucket: String,
        /// The store's answer.
        source: StorageError,
    },
    /// The file has changed meanwhile.
    #[error(
        "{0:?} changed while it was read, and nothing was imported: run the command again when nobody writes it"
    )]
    Changed(PathBuf),
    /// An import of the object would take another one with it.
    #[error(
        "s3://{bucket}/{other} is there too, and an import of {key} would take it with it, as its key begins in the same way: delete it, or rename the file"
    )]
    Neighbour {
        /// The bucket.
        bucket: String,
        /// The key of the file's object.
        key: String,
        /// The other key.
        other: String,
    },
}

/// Whether the file is in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It was there before.
    Before,
    /// It has been uploaded.
    Now,
    /// It is not, and was not to be uploaded.
    NotThere,
}

/// Makes the object of a file, unless it is there already, byte for byte: then it is left alone, as an import may be reading
/// it. `on_progress` gets the bytes that have been uploaded or compared.
pub(super) async fn place<O: ObjectStore>(
    store: &O,
    bucket: &str,
    key: &str,
    file: &LocalFile,
    may_upload: bool,
    on_progress: &mut impl FnMut(u64),
) -> Result<Placed, UploadError> {
    let placed = place_as_it_is(store, bucket, key, file, may_upload, on_progress).await;
    let placed = placed.map_err(|error| advised(error, bucket))?;
    // What was checked before it was uploaded is what is there now.
    match file.has_changed() {
        true => Err(UploadError::Changed(file.path().to_owned())),
        false => Ok(placed),
    }
}

/// What a person can do about an answer of the store.
fn advised(error: UploadError, bucket: &str) -> UploadError {
    let bucket = bucket.to_owned();
    match error {
        UploadError::Store(source) if source.kind() == ErrorKind::NotFound => {
            UploadError::NoBucket { bucket, source }
        }
        UploadError::Store(source) if source.kind() == ErrorKind::Denied => {
            UploadError::Denied { bucket, source }
        }
        error => error,
    }
}

async fn place_as_it_is<O: ObjectStore>(
    store: &O,
    bucket: &str,
    key: &str,
    file: &LocalFile,
    may_upload: bool,
    on_progress: &mut impl FnMut(u64),
) -> Result<Placed, UploadError> {
    let listed = store.list(bucket, key).await?;
    if let Some(other) = listed.iter().find(|object| object.key != key) {
        return Err(UploadError::Neighbour {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            other: other.key.clone(),
        });
    }
    let has_size = listed.iter().any(|object| object.bytes == file.bytes());
    if has_size && is_same(store, bucket, key, file, on_progress).await? {
        return Ok(Placed::Before);
    }
    if !may_upload {
        return Ok(Placed::NotThere);
    }
    upload(store, bucket, key, file, on_progress).await?;
    Ok(Placed::Now)
}

type Chunks<'a> = LocalBoxStream<'a, Result<Bytes, StorageError>>;

/// ETags of multipart uploads and of encrypted objects are no checksums of the content, so the bytes are compared.
async fn is_same<O: ObjectStore>(
    store: &O,
    bucket: &str,
    key: &str,
    file: &LocalFile,
    on_progress: &mut impl FnMut(u64),
) -> Result<bool, UploadError> {
    let id = ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let (_, mut theirs) = open_resuming(store, id, 0, ResumePolicy::default()).await?;
    let mut ours: Chunks<'_> = file.read_from(0);
    let (mut left, mut right) = (Bytes::new(), Bytes::new());
    let mut compared = 0;
    loop {
        fill(&mut left, &mut ours).await?;
        fill(&mut right, &mut theirs).await?;
        let length = left.len().min(right.len());
        if left.split_to(length) != right.split_to(length) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        compared += length as u64;
        on_progress(compared);
    }
}

/// The next chunk, where there is nothing left of the one before.
async fn fill(chunk: &mut Bytes, chunks: &mut Chunks<'_>) -> Result<(), StorageError> {
    while chunk.is_empty() {
        match chunks.try_next().await? {
            Some(next) => *chunk = next,
            None => break,
        }
    }
    Ok(())
}

async fn upload<O: ObjectStore>(
    store: &O,
    bucket: &str,
    key: &str,
    file: &LocalFile,
    on_progress: &mut impl FnMut(u64),
) -> Result<(), UploadError> {
    let mut parts = Parts {
        chunks: file.read_from(0),
        next: BytesMut::new(),
        part_bytes: PART_BYTES.max(file.bytes().div_ceil(MAX_PARTS)),
        read: 0,
    };
    if file.bytes() <= PART_BYTES {
        let body = parts.next().await?;
        parts.check(file)?;
        on_progress(file.bytes());
        return Ok(store.put(bucket, key, body).await?);
    }
    let upload = store.begin_upload(bucket, key).await?;
    let sent = send(store, &upload, &mut parts, file, on_progress).await;
    let completed = match sent {
        Ok(sent) => store
            .complete_upload(&upload, sent)
            .await
            .map_err(UploadError::Store),
        Err(error) => Err(error),
    };
    if completed.is_err() {
        // The first error is the one to tell; what stays of an upload is removed by the bucket's rule.
        let _ = store.abort_upload(&upload).await;
    }
    completed
}

async fn send<O: ObjectStore>(
    store: &O,
    upload: &Upload,
    parts: &mut Parts<'_>,
    file: &LocalFile,
    on_progress: &mut impl FnMut(u64),
) -> Result<Vec<UploadedPart>, UploadError> {
    let mut sent = Vec::new();
    for number in 1.. {
        let body = parts.next().await?;
        if body.is_empty() {
            break;
        }
        sent.push(store.upload_part(upload, number, body).await?);
        on_progress(parts.read.min(file.bytes()));
    }
    parts.check(file)?;
    Ok(sent)
}

/// A file, cut into parts.
struct Parts<'a> {
    chunks: Chunks<'a>,
    next: BytesMut,
    part_bytes: u64,
    read: u64,
}

impl Parts<'_> {
    /// The next part; empty at the end.
    async fn next(&mut self) -> Result<Bytes, StorageError> {
        let wanted = usize::try_from(self.part_bytes).unwrap_or(usize::MAX);
        while self.next.len() < wanted {
            match self.chunks.try_next().await? {
                Some(chunk) => {
                    self.read += chunk.len() as u64;
                    self.next.extend_from_slice(&chunk);
                }
                None => break,
            }
        }
        let length = self.next.len().min(wanted);
        Ok(self.next.split_to(length).freeze())
    }

    fn check(&self, file: &LocalFile) -> Result<(), UploadError> {
        match self.read == file.bytes() {
            true => Ok(()),
            false => Err(UploadError::Changed(file.path().to_owned())),
        }
    }
}
