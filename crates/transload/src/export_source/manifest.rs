//! The manifests of an export.

use std::path::Path;
use std::rc::Rc;

use md5::{Digest, Md5};
use records::base64_text;
use records::export::{DataFile, ExportSummary};
use storage::{ErrorKind, ObjectStore};

use super::error::check_whole;
use super::{
    Expected, ExportSource, ExportSourceError, Manifest, Origin, SUMMARY, SourceFile, path_name,
};
use crate::change_log::whole;

/// A summary has about 1 KB.
const MAX_SUMMARY_BYTES: usize = 1024 * 1024;
/// A list of files has about 200 bytes a file: this is one of a million files.
const MAX_FILES_BYTES: usize = 256 * 1024 * 1024;
/// A checksum is 24 bytes of base64.
const MAX_CHECKSUM_BYTES: usize = 1024;

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
    let mut without_checksum = Vec::new();
    let name = folder.name(SUMMARY);
    let content = folder.read(SUMMARY, MAX_SUMMARY_BYTES).await;
    let content = content.map_err(|error| match error {
        ExportSourceError::Store(source) if source.kind() == ErrorKind::NotFound => {
            ExportSourceError::NoManifest {
                name: name.clone(),
                source,
            }
        }
        error => error,
    })?;
    let summary = ExportSummary::parse(&String::from_utf8_lossy(&content)).map_err(|fault| {
        ExportSourceError::Manifest {
            name: name.clone(),
            fault,
        }
    })?;
    if !folder.check(SUMMARY, &content).await? {
        without_checksum.push(name);
    }
    let list = match summary.files_key.rsplit_once('/') {
        Some((_, list)) => list,
        None => &summary.files_key,
    };
    let content = folder.read(list, MAX_FILES_BYTES).await?;
    let files = parse_files(&summary, &content, folder, list)?;
    if !folder.check(list, &content).await? {
        without_checksum.push(folder.name(list));
    }
    Ok(ExportSource {
        name: folder.name(""),
        files,
        manifest: Some(Manifest {
            summary,
            without_checksum,
        }),
    })
}

fn parse_files<O: ObjectStore + 'static>(
    summary: &ExportSummary,
    content: &[u8],
    folder: &Folder<'_, O>,
    list: &str,
) -> Result<Vec<SourceFile<O>>, ExportSourceError> {
    let content = String::from_utf8_lossy(content);
    let mut files = Vec::new();
    let mut items = 0;
    for (line, json) in (1..).zip(content.lines()) {
        let file = DataFile::parse(json).map_err(|fault| ExportSourceError::ManifestLine {
            name: folder.name(list),
            line,
            fault,
        })?;
        let origin = folder.data_file(&summary.files_key, &file.key);
        let (name, origin) = origin.ok_or_else(|| ExportSourceError::Elsewhere {
            name: folder.name(list),
            line,
            key: file.key.clone(),
            expected: up(&summary.files_key, 2).to_owned(),
        })?;
        items += file.item_count;
        files.push(SourceFile {
            name,
            expected: Some(Expected {
                items: file.item_count,
                md5: file.md5_checksum,
            }),
            origin,
        });
    }
    check_whole(
        &folder.name(list),
        "item count",
        &items,
        &summary.item_count,
    )?;
    Ok(files)
}

impl<O: ObjectStore + 'static> Folder<'_, O> {
    /// The name for people of something in the folder.
    fn name(&self, relative: &str) -> String {
        match self {
            Self::Store { bucket, key, .. } => format!("s3://{bucket}/{key}/{relative}"),
            Self::Disk(folder) if relative.is_empty() => path_name(folder),
            Self::Disk(folder) => path_name(&folder.join(relative)),
        }
    }

    async fn read(&self, relative: &str, max_bytes: usize) -> Result<Vec<u8>, ExportSourceError> {
        match self {
            Self::Store { store, bucket, key } => {
                Ok(whole(store, bucket, &format!("{key}/{relative}"), max_bytes).await?)
            }
            Self::Disk(folder) => {
                let path = folder.join(relative);
                std::fs::read(&path).map_err(|source| ExportSourceError::Unread { path, source })
            }
        }
    }

    /// Compares a manifest with the checksum beside it; false where there is none.
    async fn check(&self, relative: &str, content: &[u8]) -> Result<bool, ExportSourceError> {
        let beside = match relative.strip_suffix(".json") {
            Some(stem) => format!("{stem}.md5"),
            None => format!("{relative}.md5"),
        };
        let expected = match self.read(&beside, MAX_CHECKSUM_BYTES).await {
            Ok(expected) => String::from_utf8_lossy(&expected).trim().to_owned(),
            Err(ExportSourceError::Store(error)) if error.kind() == ErrorKind::NotFound => {
                return Ok(false);
            }
            Err(ExportSourceError::Unread { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let found = base64_text(&Md5::digest(content));
        match found == expected {
            true => Ok(true),
            false => Err(ExportSourceError::NotWhole {
                name: self.name(relative),
                what: "MD5",
                found,
                expected: format!("{expected} ({})", self.name(&beside)),
            }),
        }
    }

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
