//! Exports and files of lines on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use storage::ObjectStore;

use super::{ExportSource, ExportSourceError, Origin, SUMMARY, SourceFile, manifest, path_name};
use crate::ingest::{LocalFile, LocalFileError};

/// How files of lines are called.
const ENDINGS: [&str; 6] = [
    ".json",
    ".jsonl",
    ".json.gz",
    ".jsonl.gz",
    ".json.zst",
    ".jsonl.zst",
];

pub(super) async fn open<O: ObjectStore + 'static>(
    paths: &[PathBuf],
) -> Result<ExportSource<O>, ExportSourceError> {
    if let [path] = paths {
        let folder = match path.file_name() {
            Some(name) if name == SUMMARY => path.parent().unwrap_or(Path::new("")),
            _ => path,
        };
        if folder.join(SUMMARY).is_file() {
            return manifest::open(&manifest::Folder::Disk(folder)).await;
        }
    }
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => collect(path, &mut files)?,
            false => files.push(path.clone()),
        }
    }
    if files.is_empty() {
        return Err(ExportSourceError::Nothing(
            paths.first().cloned().unwrap_or_default(),
        ));
    }
    let files = files.into_iter().map(|path| {
        let bytes = match LocalFile::open(&path) {
            Ok(file) => file.bytes(),
            Err(LocalFileError::Missing(path)) => return Err(ExportSourceError::Missing(path)),
            Err(error) => return Err(error.into()),
        };
        Ok(SourceFile {
            name: path_name(&path),
            expected: None,
            origin: Origin::File {
                path,
                bytes: Some(bytes),
            },
        })
    });
    let names: Vec<String> = paths.iter().map(|path| path_name(path)).collect();
    Ok(ExportSource {
        name: names.join(", "),
        manifest: None,
        files: files.collect::<Result<_, ExportSourceError>>()?,
    })
}

/// All files of lines below a folder, by their names.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ExportSourceError> {
    let unread = |source| ExportSourceError::Unread {
        path: folder.to_owned(),
        source,
    };
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unread)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a folder is not followed, since it may lead back here.
        if entry.file_type().map_err(unread)?.is_dir() {
            collect(&path, files)?;
        } else if is_of_lines(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_of_lines(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // What this program writes beside its data begins with `_`, as with Hive, Spark and Athena.
    let hidden = name.starts_with(['.', '_']) || name.starts_with("manifest-");
    !hidden && ENDINGS.iter().any(|ending| name.ends_with(ending))
}
