//! Exports by their manifests, in S3 or copied to this machine.

use std::path::Path;
use std::rc::Rc;

use csv_ingester::Source;
use export_jobs::{ManifestError, ManifestPlace, OpenManifest, read_manifests};
use storage::{ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, open_resuming};

use super::{
    Expected, ExportSource, ExportSourceError, Manifest, Origin, SUMMARY, SourceFile, path_name,
};
use crate::ingest::{LocalFile, LocalFileError};

/// Where an export lies: its folder, and how names of things in it are made of relative ones.
pub(super) enum Folder<'a, O> {
    Store {
        store: Rc<O>,
        bucket: &'a str,
        key: &'a str,
    },
    Disk(&'a Path),
}

pub(super) async fn open_in_store<O: ObjectStore + 'static>(
    store: Rc<O>,
    bucket: &str,
    key: &str,
) -> Result<ExportSource<O>, ExportSourceError> {
    open(&Folder::Store { store, bucket, key }).await
}

pub(super) async fn open<O: ObjectStore + 'static>(
    folder: &Folder<'_, O>,
) -> Result<ExportSource<O>, ExportSourceError> {
    let mut listed = Vec::new();
    let read = read_manifests(folder, SUMMARY, |line, file| listed.push((line, file))).await;
    let read = read.map_err(|error| match error {
        ManifestError::Gone { name, source } if name == folder.name(SUMMARY) => {
            ExportSourceError::NoManifest { name, source }
        }
        error => error.into(),
    })?;
    let files_key = &read.summary.files_key;
    let files = listed.into_iter().map(|(line, file)| {
        let origin = folder.data_file(files_key, &file.key);
        let (name, origin) = origin.ok_or_else(|| ExportSourceError::Elsewhere {
            name: folder.name(files_key),
            line,
            key: file.key.clone(),
            expected: up(files_key, 2).to_owned(),
        })?;
        Ok(SourceFile {
            name,
            expected: Some(Expected {
                items: file.item_count,
                md5: file.md5_checksum,
            }),
            origin,
        })
    });
    let files = files.collect::<Result<_, ExportSourceError>>()?;
    Ok(ExportSource {
        name: folder.name(""),
        files,
        manifest: Some(Manifest {
            summary: read.summary,
            without_checksum: read.without_checksum,
        }),
    })
}

/// The manifests name one another by the keys of the bucket that they were written to; a copy has them in its own folder.
impl<O: ObjectStore + 'static> ManifestPlace<'static> for Folder<'_, O> {
    fn name(&self, key: &str) -> String {
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        match self {
            Self::Store { bucket, key, .. } => format!("s3://{bucket}/{key}/{name}"),
            Self::Disk(folder) if name.is_empty() => path_name(folder),
            Self::Disk(folder) => path_name(&folder.join(name)),
        }
    }

    async fn open(
        &self,
        key: &str,
        etag: Option<&str>,
    ) -> Result<OpenManifest<'static>, StorageError> {
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        match self {
            Self::Store { store, bucket, key } => {
                let object = ObjectId {
                    bucket: (*bucket).to_owned(),
                    key: format!("{key}/{name}"),
                    version: None,
                    etag: etag.map(str::to_owned),
                };
                let policy = ResumePolicy::default();
                let (meta, content) = open_resuming(Rc::clone(store), object, 0, policy).await?;
                Ok(OpenManifest {
                    bytes: meta.size,
                    etag: Some(meta.etag),
                    content,
                })
            }
            Self::Disk(folder) => {
                let path = folder.join(name);
                let file = LocalFile::open(&path).map_err(|error| unopened(&path, error))?;
                Ok(OpenManifest {
                    bytes: file.bytes(),
                    etag: None,
                    content: file.read_from(0),
                })
            }
        }
    }
}

fn unopened(path: &Path, error: LocalFileError) -> StorageError {
    let failed = |kind, message| StorageError::new(kind, "open", path_name(path), message);
    match error {
        LocalFileError::Missing(_) => failed(ErrorKind::NotFound, "there is no such file"),
        LocalFileError::NotAFile(_) => failed(ErrorKind::Refused, "it is no regular file"),
        LocalFileError::Unopened { source, .. } => {
            failed(ErrorKind::Denied, "the system does not open it").with_source(source)
        }
    }
}

impl<O: ObjectStore + 'static> Folder<'_, O> {
    /// Where a data file lies, by its key in the manifest: in the export's folder, or, of an incremental one, in the folder
    /// `data` beside it. The manifest's keys are those of the bucket that it was written to.
    fn data_file(&self, files_key: &str, key: &str) -> Option<(String, Origin<O>)> {
        let below = |folder: &str| match folder {
            "" => Some(key),
            _ => key.strip_prefix(folder)?.strip_prefix('/'),
        };
        let (levels, rest) = match below(up(files_key, 1)) {
            Some(rest) => (0, rest),
            None => (1, below(up(files_key, 2))?),
        };
        if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return None;
        }
        match self {
            Self::Store {
                store,
                bucket,
                key: folder,
            } => {
                let base = up(folder, levels);
                let key = match base {
                    "" => rest.to_owned(),
                    _ => format!("{base}/{rest}"),
                };
                let origin = Origin::Object {
                    store: Rc::clone(store),
                    bucket: (*bucket).to_owned(),
                    key: key.clone(),
                };
                Some((format!("s3://{bucket}/{key}"), origin))
            }
            Self::Disk(folder) => {
                let base = match levels {
                    0 => folder.to_path_buf(),
                    _ => folder.join(".."),
                };
                let path = base.join(rest);
                Some((path_name(&path), Origin::File { path, bytes: None }))
            }
        }
    }
}

/// The folder so many levels up, without a slash at its end; empty for the top.
fn up(key: &str, levels: usize) -> &str {
    (0..levels).fold(key, |key, _| key.rsplit_once('/').map_or("", |(up, _)| up))
}
