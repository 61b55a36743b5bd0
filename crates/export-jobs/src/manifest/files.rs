//! The list of an export's data files, gone through in bounded memory.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use md5::{Digest, Md5};
use memchr::memchr;
use records::export::DataFile;
use storage::StorageError;

use super::error::{MAX_LINE_BYTES, ManifestError};
use super::opened;
use super::place::ManifestPlace;

/// The data files of an export, one after another.
pub struct DataFiles<'a> {
    name: String,
    pub(super) etag: Option<String>,
    content: LocalBoxStream<'a, Result<Bytes, StorageError>>,
    buffer: BytesMut,
    pub(super) line: u64,
    pub(super) md5: Md5,
}

impl<'a> DataFiles<'a> {
    pub(super) async fn open(
        place: &impl ManifestPlace<'a>,
        key: &str,
        etag: Option<&str>,
    ) -> Result<Self, ManifestError> {
        let list = opened(place, key, etag).await?;
        Ok(Self {
            name: place.name(key),
            etag: list.etag,
            content: list.content,
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
