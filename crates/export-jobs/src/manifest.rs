//! The manifests of an export: read, verified, and gone through file by file in bounded memory.

use std::collections::HashSet;

use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use md5::{Digest, Md5};
use memchr::memchr;
use records::base64_text;
use records::export::{DataFile, ExportFault, ExportSummary};
use storage::{ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, open_resuming};

use crate::names::file_part;

/// A summary has about 1 KB; whatever is much larger is none.
const MAX_SUMMARY_BYTES: u64 = 1024 * 1024;
/// A line of the list of files has about 200 bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// An export's manifests, verified: both have the MD5 that lies beside them, and the files' items add up.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What the summary says.
    pub summary: ExportSummary,
    /// How many data files there are.
    pub file_count: u64,
    /// The list of files, by the ETag of what was verified.
    files: ObjectId,
}

/// Why an export's manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The store failed, or an object is not there.
    #[error("the export's manifests cannot be read")]
    Store(#[from] StorageError),
    /// A manifest is not as DynamoDB writes it.
    #[error("{name}: {fault}")]
    Summary {
        /// `s3://bucket/key`.
        name: String,
        /// What is wrong.
        fault: ExportFault,
    },
    /// A line of the list of files is not as DynamoDB writes it.
    #[error("{name}, line {line}: {fault}")]
    Line {
        /// `s3://bucket/key`.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        fault: ExportFault,
    },
    /// A line of the list of files is too long, or no UTF-8.
    #[error("{name}, line {line}: expected UTF-8 text of at most {MAX_LINE_BYTES} bytes")]
    Text {
        /// `s3://bucket/key`.
        name: String,
        /// The line's number, from 1.
        line: u64,
    },
    /// A file is listed twice.
    #[error("{name}, line {line}: the file {file} is listed before: expected each file once")]
    Twice {
        /// `s3://bucket/key`.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// The file's name.
        file: String,
    },
    /// A number or checksum is another one than it should be.
    #[error("{name} has the {what} {found}: expected {expected}, as {says}")]
    NotWhole {
        /// `s3://bucket/key`.
        name: String,
        /// What was compared.
        what: &'static str,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
        /// Where that is said.
        says: String,
    },
    /// A summary that is none.
    #[error("{name} has {bytes} bytes: expected a manifest-summary.json of about 1 KB")]
    TooLarge {
        /// `s3://bucket/key`.
        name: String,
        /// Its size.
        bytes: u64,
    },
}

impl Manifest {
    /// Reads and verifies the manifests of the export whose `manifest-summary.json` has this key.
    ///
    /// # Errors
    /// If one is missing, has another MD5 than the `.md5` object beside it says (or `.checksum`: AWS's guides call it so), or
    /// is not as DynamoDB writes it; if a file is listed twice, or the files' items do not add up to the summary's.
    pub async fn open<O: ObjectStore>(
        objects: &O,
        bucket: &str,
        summary_key: &str,
    ) -> Result<Self, ManifestError> {
        let name = address(bucket, summary_key);
        let content = small_object(objects, bucket, summary_key).await?;
        check_md5(
            objects,
            bucket,
            summary_key,
            Md5::digest(&content).as_slice(),
        )
        .await?;
        let summary = ExportSummary::parse(&String::from_utf8_lossy(&content))
            .map_err(|fault| ManifestError::Summary { name, fault })?;

        let files_name = address(bucket, &summary.files_key);
        let object = ObjectId {
            bucket: bucket.to_owned(),
            key: summary.files_key.clone(),
            version: None,
            etag: None,
        };
        let mut files = DataFiles::open(objects, object.clone()).await?;
        let mut known = HashSet::new();
        let mut items = 0_u64;
        while let Some(file) = files.next().await? {
            if !known.insert(file_part(&file.key).to_owned()) {
                return Err(ManifestError::Twice {
                    name: files_name,
                    line: files.line,
                    file: file_part(&file.key).to_owned(),
                });
            }
            items = items.saturating_add(file.item_count);
        }
        check_md5(
            objects,
            bucket,
            &summary.files_key,
            files.md5.finalize().as_slice(),
        )
        .await?;
        if items != summary.item_count {
            return Err(ManifestError::NotWhole {
                name: files_name,
                what: "item count",
                found: items.to_string(),
                expected: summary.item_count.to_string(),
                says: address(bucket, summary_key),
            });
        }
        Ok(Self {
            summary,
            file_count: known.len() as u64,
            files: ObjectId {
                etag: Some(files.etag),
                ..object
            },
        })
    }

    /// The data files, in the manifest's order.
    ///
    /// # Errors
    /// If the list is not there any more, or is another one than was verified.
    pub async fn files<'a, O: ObjectStore>(
        &self,
        objects: &'a O,
    ) -> Result<DataFiles<'a>, ManifestError> {
        DataFiles::open(objects, self.files.clone()).await
    }
}

/// The data files of an export, one after another.
pub struct DataFiles<'a> {
    name: String,
    etag: String,
    content: LocalBoxStream<'a, Result<bytes::Bytes, StorageError>>,
    buffer: BytesMut,
    line: u64,
    md5: Md5,
}

impl<'a> DataFiles<'a> {
    async fn open<O: ObjectStore>(objects: &'a O, object: ObjectId) -> Result<Self, ManifestError> {
        let name = object.to_string();
        let (meta, content) = open_resuming(objects, object, 0, ResumePolicy::default()).await?;
        Ok(Self {
            name,
            etag: meta.etag,
            content,
            buffer: BytesMut::new(),
            line: 0,
            md5: Md5::new(),
        })
    }

    /// The next one; nothing at the end.
    ///
    /// # Errors
    /// If the list cannot be read on, or its next line is none.
    pub async fn next(&mut self) -> Result<Option<DataFile>, ManifestError> {
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                let file = self.parse(end)?;
                self.buffer.advance(end + 1);
                return Ok(Some(file));
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                self.line += 1;
                return Err(self.text_fault());
            }
            match self.content.next().await.transpose()? {
                Some(chunk) => {
                    self.md5.update(&chunk);
                    self.buffer.extend_from_slice(&chunk);
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let file = self.parse(self.buffer.len())?;
                    self.buffer.clear();
                    return Ok(Some(file));
                }
            }
        }
    }

    /// The next ones, at most so many; none at the end.
    ///
    /// # Errors
    /// As [`DataFiles::next`].
    pub async fn batch(&mut self, most: usize) -> Result<Vec<DataFile>, ManifestError> {
        let mut batch = Vec::new();
        while batch.len() < most {
            match self.next().await? {
                Some(file) => batch.push(file),
                None => break,
            }
        }
        Ok(batch)
    }

    fn parse(&mut self, end: usize) -> Result<DataFile, ManifestError> {
        self.line += 1;
        let line = std::str::from_utf8(&self.buffer[..end]).map_err(|_| self.text_fault())?;
        DataFile::parse(line).map_err(|fault| ManifestError::Line {
            name: self.name.clone(),
            line: self.line,
            fault,
        })
    }

    fn text_fault(&self) -> ManifestError {
        ManifestError::Text {
            name: self.name.clone(),
            line: self.line,
        }
    }
}

fn address(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

/// Compares a digest with the object of checksums beside `key`.
async fn check_md5<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
    digest: &[u8],
) -> Result<(), ManifestError> {
    let stem = key.strip_suffix(".json").unwrap_or(key);
    let mut beside = format!("{stem}.md5");
    let checksum = match small_object(objects, bucket, &beside).await {
        Err(ManifestError::Store(error)) if error.kind() == ErrorKind::NotFound => {
            beside = format!("{stem}.checksum");
            match small_object(objects, bucket, &beside).await {
                // The name that real exports have is the one to look for.
                Err(ManifestError::Store(other)) if other.kind() == ErrorKind::NotFound => {
                    return Err(error.into());
                }
                other => other?,
            }
        }
        other => other?,
    };
    let expected = String::from_utf8_lossy(&checksum).trim().to_owned();
    let found = base64_text(digest);
    match found == expected {
        true => Ok(()),
        false => Err(ManifestError::NotWhole {
            name: address(bucket, key),
            what: "MD5",
            found,
            expected,
            says: address(bucket, &beside),
        }),
    }
}

async fn small_object<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
) -> Result<Vec<u8>, ManifestError> {
    let object = ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let name = object.to_string();
    let (meta, mut content) = open_resuming(objects, object, 0, ResumePolicy::default()).await?;
    if meta.size > MAX_SUMMARY_BYTES {
        return Err(ManifestError::TooLarge {
            name,
            bytes: meta.size,
        });
    }
    let mut whole = Vec::new();
    while let Some(chunk) = content.next().await.transpose()? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}
