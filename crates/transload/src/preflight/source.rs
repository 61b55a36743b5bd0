//! Where rows come from: a file of this machine, or the objects under a prefix, as ImportTable would find them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use csv_ingester::Source;
use futures_util::stream::LocalBoxStream;
use sha2::{Digest, Sha256};
use storage::{ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, resuming};

use crate::ingest::{LocalFile, LocalFileError};

/// What an argument names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A file of this machine.
    File(PathBuf),
    /// All objects whose keys begin with a prefix, which may be a whole key.
    Objects {
        /// The bucket.
        bucket: String,
        /// The key or prefix; empty for the whole bucket.
        prefix: String,
    },
}

impl Address {
    /// Reads `s3://bucket/prefix`, or else a path.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text.is_empty() {
                true => Err("expected a file or s3://BUCKET/KEY".to_owned()),
                false => Ok(Self::File(Path::new(text).to_owned())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        match bucket.is_empty() {
            true => Err("expected s3://BUCKET/KEY or s3://BUCKET/PREFIX/".to_owned()),
            false => Ok(Self::Objects {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            }),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Objects { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be an input.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// There is no such bucket.
    #[error(
        "there is no bucket {bucket}: check the address and the region (AWS_REGION or the profile's)"
    )]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// The store's answer.
        source: StorageError,
    },
    /// Access is denied.
    #[error(
        "access to the bucket {bucket} is denied: check the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID), which need s3:ListBucket and s3:GetObject"
    )]
    Denied {
        /// The bucket.
        bucket: String,
        /// The store's answer.
        source: StorageError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// No key begins so.
    #[error("there is no object under {0}: expected a key, or a prefix such as s3://my-lake/rows/")]
    Nothing(Address),
    /// Nothing has a byte.
    #[error("{0} is empty: expected rows")]
    Empty(Address),
}

impl SourceError {
    /// Whether another source has to be named, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::File(error) => error.is_usage(),
            Self::Nothing(_) | Self::Empty(_) | Self::NoBucket { .. } => true,
            Self::Denied { .. } | Self::Store(_) => false,
        }
    }
}

/// A source that has been found.
pub struct SourceSet<O> {
    pub(super) parts: Vec<Part<O>>,
    bytes: u64,
}

/// One file or object.
pub(super) struct Part<O> {
    pub(super) name: Rc<str>,
    pub(super) bytes: u64,
    origin: Origin<O>,
}

enum Origin<O> {
    File(LocalFile),
    Object { store: Rc<O>, id: ObjectId },
}

impl<O: ObjectStore + 'static> SourceSet<O> {
    /// A file.
    ///
    /// # Errors
    /// A path that leads to no file, or to an empty one.
    pub fn of_file(path: &Path) -> Result<Self, SourceError> {
        Self::of_open_file(LocalFile::open(path)?)
    }

    /// A file that is open.
    ///
    /// # Errors
    /// An empty file.
    pub fn of_open_file(file: LocalFile) -> Result<Self, SourceError> {
        let bytes = file.bytes();
        if bytes == 0 {
            return Err(SourceError::Empty(Address::File(file.path().to_owned())));
        }
        let part = Part {
            name: file.path().to_string_lossy().as_ref().into(),
            bytes,
            origin: Origin::File(file),
        };
        Ok(Self {
            parts: vec![part],
            bytes,
        })
    }

    /// All objects under a prefix.
    ///
    /// # Errors
    /// A store that fails, or has none of them, or only empty ones.
    pub async fn of_objects(
        store: &Rc<O>,
        bucket: &str,
        prefix: &str,
    ) -> Result<Self, SourceError> {
        let address = || Address::Objects {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        let listed = store.list(bucket, prefix).await;
        let listed = listed.map_err(|source| match source.kind() {
            ErrorKind::NotFound => SourceError::NoBucket {
                bucket: bucket.to_owned(),
                source,
            },
            ErrorKind::Denied => SourceError::Denied {
                bucket: bucket.to_owned(),
                source,
            },
            _ => SourceError::Store(source),
        })?;
        if listed.is_empty() {
            return Err(SourceError::Nothing(address()));
        }
        let parts: Vec<Part<O>> = listed
            .into_iter()
            .map(|object| Part {
                name: format!("s3://{bucket}/{}", object.key).into(),
                bytes: object.bytes,
                origin: Origin::Object {
                    store: Rc::clone(store),
                    id: ObjectId {
                        bucket: bucket.to_owned(),
                        key: object.key,
                        version: None,
                        etag: None,
                    },
                },
            })
            .collect();
        let bytes = parts.iter().map(|part| part.bytes).sum();
        match bytes {
            0 => Err(SourceError::Empty(address())),
            _ => Ok(Self { parts, bytes }),
        }
    }

    /// The keys and ETags of the objects as one number, as [`super::Preflight::fingerprint`] has it; nothing for a file.
    ///
    /// # Errors
    /// A store that fails.
    pub async fn fingerprint(&self) -> Result<Option<[u8; 32]>, SourceError> {
        let mut fingerprint = Fingerprint::default();
        for part in &self.parts {
            part.open(&mut fingerprint).await?;
        }
        Ok(fingerprint.finish())
    }

    /// Bytes as they are stored.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files or objects there are.
    pub fn objects(&self) -> u64 {
        self.parts.len() as u64
    }
}

/// The ETags of the objects of a source, in their order, as one number.
#[derive(Debug, Default)]
pub(super) struct Fingerprint {
    digest: Sha256,
    of_objects: bool,
}

impl Fingerprint {
    fn add(&mut self, id: &ObjectId) {
        self.of_objects = true;
        self.digest.update(id.key.as_bytes());
        self.digest.update([0]);
        self.digest.update(id.etag.as_deref().unwrap_or_default());
        self.digest.update([0]);
    }

    /// Nothing for a file: it has no ETag.
    pub(super) fn finish(self) -> Option<[u8; 32]> {
        self.of_objects.then(|| self.digest.finalize().into())
    }
}

impl<O: ObjectStore + 'static> Part<O> {
    /// Holds on to the object that is there now, and none that takes its place.
    pub(super) async fn open(
        &self,
        fingerprint: &mut Fingerprint,
    ) -> Result<OpenPart<O>, StorageError> {
        match &self.origin {
            Origin::File(file) => Ok(OpenPart::File(file.clone())),
            Origin::Object { store, id } => {
                // From its end on: what is wanted is its ETag.
                let opened = store.open(id, self.bytes).await?;
                if opened.meta.size != self.bytes {
                    return Err(StorageError::new(
                        ErrorKind::Conflict,
                        "GetObject",
                        id.to_string(),
                        "the object was replaced after it was listed: run the command again",
                    ));
                }
                let id = ObjectId {
                    etag: Some(opened.meta.etag),
                    ..id.clone()
                };
                fingerprint.add(&id);
                Ok(OpenPart::Object {
                    store: Rc::clone(store),
                    id,
                })
            }
        }
    }
}

/// A file or object whose bytes can be read.
pub(super) enum OpenPart<O> {
    File(LocalFile),
    Object { store: Rc<O>, id: ObjectId },
}

impl<O: ObjectStore + 'static> Source for OpenPart<O> {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        match self {
            Self::File(file) => file.read_from(offset),
            Self::Object { store, id } => resuming(
                Rc::clone(store),
                id.clone(),
                offset,
                ResumePolicy::default(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_begins_with_s3() {
        let objects = |bucket: &str, prefix: &str| Address::Objects {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        let parse = |text| Address::parse(text).unwrap();
        assert_eq!(parse("ids.csv"), Address::File("ids.csv".into()));
        assert_eq!(parse("s3://lake/a/b.csv"), objects("lake", "a/b.csv"));
        assert_eq!(parse("s3://lake"), objects("lake", ""));
        assert_eq!(parse("s3://lake/rows/").to_string(), "s3://lake/rows/");
        for bad in ["", "s3://", "s3:///key"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
