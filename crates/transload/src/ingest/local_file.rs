//! A file of this machine as a source of bytes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use csv_ingester::Source;
use futures_util::stream::{self, LocalBoxStream, StreamExt};
use storage::{ErrorKind, StorageError};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Why a file cannot be an input. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum LocalFileError {
    /// There is no such file.
    #[error("there is no file {0:?}: expected a CSV file, plain or compressed with gzip or zstd")]
    Missing(PathBuf),
    /// A folder, a pipe or a device.
    #[error(
        "{0:?} is no regular file, but a folder, a pipe or a device: write the rows into a file first"
    )]
    NotAFile(PathBuf),
    /// The system refused to open it.
    #[error("cannot open {path:?}")]
    Unopened {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
}

impl LocalFileError {
    /// Whether another file has to be named, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Unopened { .. })
    }
}

/// A regular file that is open for reading.
#[derive(Debug, Clone)]
pub struct LocalFile {
    path: PathBuf,
    file: Arc<File>,
    version: FileVersion,
}

/// By which it is seen that somebody wrote into a file: size and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl FileVersion {
    /// That of the file which the path leads to.
    ///
    /// # Errors
    /// A path that leads nowhere.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self::of(&found))
    }

    fn of(found: &Metadata) -> Self {
        Self {
            bytes: found.len(),
            modified: found.modified().ok(),
        }
    }
}

impl LocalFile {
    /// Opens the file.
    ///
    /// # Errors
    /// A path that leads to no file, or to one that may not be read.
    pub fn open(path: &Path) -> Result<Self, LocalFileError> {
        let unopened = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                LocalFileError::Missing(path.to_owned())
            }
            _ => LocalFileError::Unopened {
                path: path.to_owned(),
                source,
            },
        };
        // Asked before it is opened: opening a pipe would wait for its writer.
        let found = fs::metadata(path).map_err(unopened)?;
        if !found.is_file() {
            return Err(LocalFileError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).map_err(unopened)?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            version: FileVersion::of(&found),
        })
    }

    /// As it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size in bytes when it was opened.
    pub fn bytes(&self) -> u64 {
        self.version.bytes
    }

    /// Whether somebody wrote into it since it was opened.
    pub fn has_changed(&self) -> bool {
        let found = self.file.metadata();
        found.map_or(true, |found| FileVersion::of(&found) != self.version)
    }

    /// The next bytes from `offset` on, read on a thread that may wait for the disk; none at the end.
    async fn read_chunk(&self, offset: u64) -> Result<Bytes, StorageError> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || {
            let mut file = file.as_ref();
            let mut chunk = vec![0; CHUNK_BYTES];
            file.seek(SeekFrom::Start(offset))?;
            let length = file.read(&mut chunk)?;
            chunk.truncate(length);
            Ok(chunk)
        });
        let read = match read.await {
            Ok(read) => read,
            Err(stopped) => Err(io::Error::other(stopped)),
        };
        read.map(Bytes::from).map_err(|error| {
            StorageError::new(
                ErrorKind::Internal,
                "read",
                format!("{:?}", self.path),
                error.to_string(),
            )
        })
    }
}

impl Source for LocalFile {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        let file = self.clone();
        stream::try_unfold((file, offset), |(file, offset)| async move {
            let chunk = file.read_chunk(offset).await?;
            let next = offset + chunk.len() as u64;
            Ok((!chunk.is_empty()).then_some((chunk, (file, next))))
        })
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn the_bytes_come_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        let content: Vec<u8> = (0..CHUNK_BYTES * 2 + 10)
            .map(|index| (index % 251) as u8)
            .collect();
        fs::write(&path, &content).unwrap();
        let file = LocalFile::open(&path).unwrap();
        assert_eq!(file.bytes(), content.len() as u64);
        for offset in [0, 1, CHUNK_BYTES, content.len(), content.len() + 5] {
            let chunks: Vec<Bytes> = file.read_from(offset as u64).try_collect().await.unwrap();
            assert_eq!(chunks.concat(), content.get(offset..).unwrap_or_default());
        }
    }

    #[test]
    fn only_a_regular_file_is_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| LocalFile::open(path).unwrap_err().to_string();
        let missing = folder.path().join("missing.csv");
        assert!(message(&missing).starts_with("there is no file"));
        fs::write(folder.path().join("plain"), "").unwrap();
        assert!(message(&folder.path().join("plain/x.csv")).starts_with("there is no file"));
        assert!(message(folder.path()).contains("is no regular file"));
        assert!(message(Path::new("/dev/null")).contains("is no regular file"));
    }
}
