//! Exports of a table as sources of lines: in S3 or copied to this machine, whole by their manifests, or loose files of the same
//! lines.
//!
//! Every reader of exports goes through here, so that each verifies checksums and counts in one way.

mod checked;
mod error;
mod local;
mod manifest;
mod parallel;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use csv_ingester::Source;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream, TryStreamExt};
use records::export::{ChangedItem, ExportKind, ExportSummary};
use storage::{ErrorKind, ObjectId, ObjectStore, StorageError};

use crate::change_log::StoredObject;
use crate::ingest::{LocalFile, LocalFileError};

pub use checked::CheckedLines;
pub use error::ExportSourceError;
pub use parallel::{LineWork, ReadProgress, WorkFault, read};

/// The name of an export's summary in its folder.
pub(crate) const SUMMARY: &str = "manifest-summary.json";
/// Data files that are looked for at a time.
const LOOKS_AT_A_TIME: usize = 16;

/// Lines of DynamoDB JSON in files.
pub struct ExportSource<O> {
    name: String,
    manifest: Option<Manifest>,
    files: Vec<SourceFile<O>>,
}

/// What the manifests of an export say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its summary.
    pub summary: ExportSummary,
    /// The objects or files of its two manifests that have no checksum beside them. DynamoDB writes both.
    pub without_checksum: Vec<String>,
}

/// One file of a source.
#[derive(Debug, Clone)]
pub struct SourceFile<O> {
    /// `s3://bucket/key`, or a path.
    pub name: String,
    /// What the manifest says of it, where there is one.
    pub expected: Option<Expected>,
    origin: Origin<O>,
}

/// What a manifest says of a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Items, one a line.
    pub items: u64,
    /// The MD5 of its bytes as they are stored, as base64.
    pub md5: String,
}

#[derive(Debug)]
enum Origin<O> {
    Object {
        store: Rc<O>,
        bucket: String,
        key: String,
    },
    File {
        path: PathBuf,
        bytes: Option<u64>,
    },
}

// Derived, it would want the store to be `Clone` as well.
impl<O> Clone for Origin<O> {
    fn clone(&self) -> Self {
        match self {
            Self::Object { store, bucket, key } => Self::Object {
                store: Rc::clone(store),
                bucket: bucket.clone(),
                key: key.clone(),
            },
            Self::File { path, bytes } => Self::File {
                path: path.clone(),
                bytes: *bytes,
            },
        }
    }
}

impl<O: ObjectStore + 'static> ExportSource<O> {
    /// Reads the manifests of the export in the folder `s3://bucket/…/<export id>/`, which may also be named by its summary.
    ///
    /// Keys are taken relative to that folder: an export that was copied with its layout can be read where it is.
    ///
    /// # Errors
    /// If there is no export in DYNAMODB_JSON, its manifests are not those of their checksums, or the list of its files is not
    /// whole.
    pub async fn of_objects(store: Rc<O>, address: &str) -> Result<Self, ExportSourceError> {
        let parts = address.strip_prefix("s3://").and_then(|rest| {
            let rest = rest.strip_suffix(SUMMARY).unwrap_or(rest);
            rest.trim_end_matches('/').split_once('/')
        });
        match parts {
            Some((bucket, folder)) if !bucket.is_empty() && !folder.is_empty() => {
                manifest::open_in_store(store, bucket, folder).await
            }
            _ => Err(ExportSourceError::Address(address.to_owned())),
        }
    }

    /// A folder or files of this machine. A folder with a summary is an export, any other one is all files of lines below it.
    ///
    /// # Errors
    /// Paths that lead to nothing that could be read, and what [`ExportSource::of_objects`] finds wrong with manifests.
    pub async fn of_paths(paths: &[PathBuf]) -> Result<Self, ExportSourceError> {
        local::open(paths).await
    }

    /// The folder or files, as `s3://bucket/…/<export id>/` or a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its manifests say; nothing of loose files.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether it says what changed in a window: by its manifest, or by the first line of loose files. Without any line it does not.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn is_incremental(&self) -> Result<bool, ExportSourceError> {
        if let Some(manifest) = &self.manifest {
            return Ok(matches!(
                manifest.summary.kind,
                ExportKind::Incremental { .. }
            ));
        }
        for file in &self.files {
            let mut lines = file.lines().await?;
            while let Some((_, line)) = lines.next().await? {
                if !line.trim_ascii().is_empty() {
                    return Ok(ChangedItem::parse(line).is_ok());
                }
            }
        }
        Ok(false)
    }

    /// The files in the order of the manifest, or by name.
    pub fn files(&self) -> &[SourceFile<O>] {
        &self.files
    }

    /// Whether all files are there, without reading them; how many bytes they are.
    ///
    /// # Errors
    /// The first that is not, or a store that fails.
    pub async fn look_for_files(&self) -> Result<u64, ExportSourceError> {
        stream::iter(&self.files)
            .map(SourceFile::size)
            .buffered(LOOKS_AT_A_TIME)
            .try_fold(0, async |all, bytes| Ok(all + bytes))
            .await
    }
}

impl<O: ObjectStore + 'static> SourceFile<O> {
    /// Its lines, verified when the last one has been taken.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub async fn lines(&self) -> Result<CheckedLines<FileSource<O>>, ExportSourceError> {
        let source = self.source()?;
        CheckedLines::open(source, self.name.clone(), self.expected.clone()).await
    }

    fn source(&self) -> Result<FileSource<O>, ExportSourceError> {
        match &self.origin {
            Origin::Object { store, bucket, key } => {
                Ok(FileSource::Object(StoredObject::new(store, bucket, key)))
            }
            Origin::File { path, .. } => match LocalFile::open(path) {
                Ok(file) => Ok(FileSource::File(file)),
                Err(LocalFileError::Missing(_)) if self.expected.is_some() => {
                    Err(ExportSourceError::FileGone {
                        name: self.name.clone(),
                    })
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn size(&self) -> Result<u64, ExportSourceError> {
        match &self.origin {
            Origin::Object { store, bucket, key } => {
                // From its end on: what is wanted is whether it is there.
                let object = ObjectId {
                    bucket: bucket.clone(),
                    key: key.clone(),
                    version: None,
                    etag: None,
                };
                let opened = store.open(&object, u64::MAX).await;
                opened
                    .map(|opened| opened.meta.size)
                    .map_err(|error| match error.kind() {
                        ErrorKind::NotFound => ExportSourceError::FileGone {
                            name: self.name.clone(),
                        },
                        _ => error.into(),
                    })
            }
            Origin::File { .. } => match self.source()? {
                FileSource::File(file) => Ok(file.bytes()),
                FileSource::Object(_) => Ok(0),
            },
        }
    }

    /// How much of all the work this file is, in the unit of its source: items where there is a manifest, bytes otherwise.
    fn weight(&self) -> u64 {
        match (&self.expected, &self.origin) {
            (Some(expected), _) => expected.items,
            (None, Origin::File { bytes, .. }) => bytes.unwrap_or(0),
            (None, Origin::Object { .. }) => 0,
        }
    }
}

/// The bytes of a file of a source.
pub enum FileSource<O> {
    /// An object, opened again where its body stalls or breaks.
    Object(StoredObject<O>),
    /// A file of this machine.
    File(LocalFile),
}

impl<O: ObjectStore + 'static> Source for FileSource<O> {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        match self {
            Self::Object(object) => object.read_from(offset),
            Self::File(file) => file.read_from(offset),
        }
    }
}

fn path_name(path: &Path) -> String {
    path.display().to_string()
}
