//! The lines of a file, and whether the file is what its manifest says.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use csv_ingester::Source;
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use md5::{Digest, Md5};
use records::base64_text;
use storage::StorageError;

use super::error::check_whole;
use super::{Expected, ExportSourceError};
use crate::change_log::Lines;

/// The lines of a file whose bytes are summed up as they are read. At its end its MD5 and the count of its items have to be those
/// of the manifest, where there is one.
pub struct CheckedLines<S> {
    lines: Lines<Summed<S>>,
    md5: Rc<RefCell<Md5>>,
    name: String,
    expected: Option<Expected>,
    items: u64,
}

impl<S: Source> CheckedLines<S> {
    pub(super) async fn open(
        source: S,
        name: String,
        expected: Option<Expected>,
    ) -> Result<Self, ExportSourceError> {
        let md5 = Rc::default();
        let summed = Summed {
            inner: source,
            md5: Rc::clone(&md5),
        };
        let lines = Lines::open(summed, name.clone()).await;
        Ok(Self {
            lines: lines.map_err(ExportSourceError::Lines)?,
            md5,
            name,
            expected,
            items: 0,
        })
    }

    /// The next line with its number from 1, without its ending; nothing at the end of a file that is whole.
    ///
    /// # Errors
    /// A file that cannot be read, or is not whole. There is nothing more to take then.
    pub async fn next(&mut self) -> Result<Option<(u64, &str)>, ExportSourceError> {
        if let Some(line) = self.lines.next().await.map_err(ExportSourceError::Lines)? {
            self.items += 1;
            return Ok(Some(line));
        }
        if let Some(expected) = &self.expected {
            let md5 = base64_text(&self.md5.take().finalize());
            check_whole(&self.name, "MD5", &md5, &expected.md5)?;
            check_whole(&self.name, "item count", &self.items, &expected.items)?;
        }
        Ok(None)
    }

    /// `s3://bucket/key`, or a path.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A source whose bytes are summed up as they are read.
struct Summed<S> {
    inner: S,
    md5: Rc<RefCell<Md5>>,
}

impl<S: Source> Source for Summed<S> {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        let md5 = Rc::clone(&self.md5);
        self.inner
            .read_from(offset)
            .inspect(move |chunk| {
                if let Ok(chunk) = chunk {
                    md5.borrow_mut().update(chunk);
                }
            })
            .boxed_local()
    }
}
