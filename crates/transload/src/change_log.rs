//! Reading the change log: its objects hour by hour, what is complete in it, and the lines of an object.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use csv_ingester::{Input, InputError, Source};
use futures_util::future::try_join_all;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use records::changes::{
    COMPLETIONS, ChangeFault, Codec, Completion, LogLine, SECONDS_PER_HOUR, hour_folder, log_folder,
};
use storage::{
    ErrorKind, ListedObject, ObjectId, ObjectStore, ResumePolicy, StorageError, resuming,
};

/// The longest line that is read, in bytes, whether of the log, of an export or of what was set aside. The longest record that
/// DynamoDB Streams makes has two images of 400 KB, which as JSON may take six bytes for one; this is three times as much.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
/// Lists of hours that are under way at a time, and so hours whose objects are known at a time.
const LISTS_AT_A_TIME: usize = 16;
/// Completions that are read at a time: one line each.
const COMPLETIONS_AT_A_TIME: usize = 16;

/// A table's change log in a lake.
#[derive(Debug)]
pub struct Log<O> {
    objects: Rc<O>,
    bucket: String,
    table: String,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// An object is not what it should be; the rest of it is not read.
    #[error(
        "{object} cannot be read after line {lines}: expected lines of JSON, plain or compressed with gzip or zstd"
    )]
    Broken {
        /// `s3://bucket/key`.
        object: String,
        /// Lines that were read before.
        lines: u64,
        /// Where it breaks.
        source: InputError,
    },
    /// A line has no end within [`MAX_LINE_BYTES`]; the rest of the object is not read.
    #[error("{object}, line {line}: it is too long: expected at most {MAX_LINE_BYTES} bytes")]
    TooLong {
        /// `s3://bucket/key`.
        object: String,
        /// The line's number, from 1.
        line: u64,
    },
    /// A line is no text; those after it can be read.
    #[error("{object}, line {line}: it is not UTF-8: expected a line of JSON")]
    NotText {
        /// `s3://bucket/key`.
        object: String,
        /// The line's number, from 1.
        line: u64,
    },
    /// A line is not one of the log.
    #[error("{object}, line {line}")]
    Line {
        /// `s3://bucket/key`.
        object: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        source: ChangeFault,
    },
    /// An object that should say what is complete does not.
    #[error("{object}: it says nothing of a completion: expected one line with \"COMPLETE\"")]
    NoCompletion {
        /// `s3://bucket/key`.
        object: String,
    },
}

/// The objects of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourObjects {
    /// Hours since 1970.
    pub hour: u64,
    /// In order of their keys.
    pub objects: Vec<ListedObject>,
}

impl<O: ObjectStore + 'static> Log<O> {
    /// The log of `table` in the lake `bucket`.
    pub fn new(objects: Rc<O>, bucket: &str, table: &str) -> Self {
        Self {
            objects,
            bucket: bucket.to_owned(),
            table: table.to_owned(),
        }
    }

    /// The objects of a source (`stream`, `export` or `scan`) in some hours (since 1970), in their order; hours without objects
    /// among them. One list per hour, 16 at a time, none of which is under way while a found hour is dealt with.
    pub fn hours<'a>(
        &'a self,
        source: &'a str,
        hours: impl IntoIterator<Item = u64> + 'a,
    ) -> impl Stream<Item = Result<HourObjects, StorageError>> + 'a {
        stream::iter(hours)
            .chunks(LISTS_AT_A_TIME)
            .then(move |hours| self.list(source, hours))
            .map_ok(|found| stream::iter(found.into_iter().map(Ok)))
            .try_flatten()
    }

    async fn list(&self, source: &str, hours: Vec<u64>) -> Result<Vec<HourObjects>, StorageError> {
        let lists = hours.into_iter().map(|hour| async move {
            let folder = hour_folder(&self.table, source, hour * SECONDS_PER_HOUR);
            let objects = self.list_folder(&folder).await?;
            Ok(HourObjects { hour, objects })
        });
        try_join_all(lists).await
    }

    /// All objects of a source, in order of their keys and so of their hours. Some 200 bytes of memory each.
    pub async fn all(&self, source: &str) -> Result<Vec<ListedObject>, StorageError> {
        let folder = format!("{}source={source}/", log_folder(&self.table));
        self.list_folder(&folder).await
    }

    async fn list_folder(&self, folder: &str) -> Result<Vec<ListedObject>, StorageError> {
        let mut objects = self.objects.list(&self.bucket, folder).await?;
        objects.retain(|object| is_of_log(&object.key));
        Ok(objects)
    }

    /// The snapshots and repairs that are complete in the log.
    pub async fn completions(&self) -> Result<Vec<Completion>, LogError> {
        stream::iter(self.all(COMPLETIONS).await?)
            .map(|object| async move { self.completion(&object.key).await })
            .buffered(COMPLETIONS_AT_A_TIME)
            .try_collect()
            .await
    }

    async fn completion(&self, key: &str) -> Result<Completion, LogError> {
        let mut lines = self.lines(key).await?;
        if let Some((line, json)) = lines.next().await? {
            let parsed = LogLine::parse(json).map_err(|source| LogError::Line {
                object: self.name(key),
                line,
                source,
            });
            if let LogLine::Complete(completion) = parsed? {
                return Ok(completion);
            }
        }
        Err(LogError::NoCompletion {
            object: self.name(key),
        })
    }

    /// The lines of one of its objects.
    pub async fn lines(&self, key: &str) -> Result<Lines<StoredObject<O>>, LogError> {
        let source = StoredObject::new(&self.objects, &self.bucket, key);
        Lines::open(source, self.name(key)).await
    }

    /// `s3://bucket/key`.
    pub fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Where the log is kept.
    pub fn store(&self) -> &Rc<O> {
        &self.objects
    }

    /// The bucket that it is kept in.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }
}

/// Whether an object's name is one of the log: others that lie in its folders are somebody else's.
fn is_of_log(key: &str) -> bool {
    key.ends_with(".jsonl") || Codec::of_name(key).is_some()
}

/// An object as a source of bytes, opened again where its body stalls or breaks.
pub struct StoredObject<O> {
    objects: Rc<O>,
    id: ObjectId,
}

impl<O> StoredObject<O> {
    /// Whatever is under the key when it is first read, and nothing else from then on.
    pub fn new(objects: &Rc<O>, bucket: &str, key: &str) -> Self {
        Self {
            objects: Rc::clone(objects),
            id: ObjectId {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                version: None,
                etag: None,
            },
        }
    }
}

impl<O: ObjectStore + 'static> Source for StoredObject<O> {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        let store = Rc::clone(&self.objects);
        resuming(store, self.id.clone(), offset, ResumePolicy::default())
    }
}

/// All of an object that is small.
pub(crate) async fn whole<O: ObjectStore + 'static>(
    store: &Rc<O>,
    bucket: &str,
    key: &str,
    max_bytes: usize,
) -> Result<Vec<u8>, StorageError> {
    StoredObject::new(store, bucket, key)
        .read_from(0)
        .try_fold(Vec::new(), |mut content: Vec<u8>, chunk: Bytes| {
            content.extend_from_slice(&chunk);
            let fits = content.len() <= max_bytes;
            let too_large = || {
                let fault = format!("the object is too large: expected at most {max_bytes} bytes");
                let name = format!("s3://{bucket}/{key}");
                StorageError::new(ErrorKind::Refused, "GetObject", name, fault)
            };
            std::future::ready(fits.then_some(content).ok_or_else(too_large))
        })
        .await
}

/// The lines of an object of the log, inflated as they are taken: memory for one chunk and one line.
pub struct Lines<S> {
    input: Input<S>,
    object: String,
    /// What has been read and not been given out.
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no line ending.
    searched: usize,
    /// The line that was given out last.
    line: Bytes,
    number: u64,
    ended: bool,
}

impl<S: Source> Lines<S> {
    /// Opens an input that messages call `object`; compression is found out by its first bytes, gzip of many members among it.
    pub async fn open(source: S, object: String) -> Result<Self, LogError> {
        let input = Input::open(source)
            .await
            .map_err(|error| fault(error, &object, 0))?;
        Ok(Self {
            input,
            object,
            buffer: BytesMut::new(),
            searched: 0,
            line: Bytes::new(),
            number: 0,
            ended: false,
        })
    }

    /// The next line with its number from 1, without its ending; nothing at the end.
    ///
    /// # Errors
    /// After [`LogError::NotText`] the lines after it can be taken, after all others there is nothing more.
    pub async fn next(&mut self) -> Result<Option<(u64, &str)>, LogError> {
        // Before more is read: the buffer can use the memory again that the line before shared with it.
        self.line = Bytes::new();
        match self.next_bytes().await {
            Ok(Some(line)) => self.line = line,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.stop();
                return Err(error);
            }
        }
        match std::str::from_utf8(&self.line) {
            Ok(text) => Ok(Some((self.number, text))),
            Err(_) => Err(LogError::NotText {
                object: self.object.clone(),
                line: self.number,
            }),
        }
    }

    fn stop(&mut self) {
        self.buffer.clear();
        self.searched = 0;
        self.ended = true;
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, LogError> {
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.searched..]);
            let length = found.map_or(self.buffer.len(), |at| self.searched + at);
            if length > MAX_LINE_BYTES {
                return Err(LogError::TooLong {
                    object: self.object.clone(),
                    line: self.number + 1,
                });
            }
            if found.is_some() {
                self.searched = 0;
                self.number += 1;
                let mut line = self.buffer.split_to(length + 1);
                line.truncate(length);
                return Ok(Some(line.freeze()));
            }
            if self.ended {
                self.searched = 0;
                let rest = self.buffer.split();
                self.number += u64::from(!rest.is_empty());
                return Ok((!rest.is_empty()).then(|| rest.freeze()));
            }
            self.searched = length;
            match self.input.next_chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => self.ended = true,
                Err(error) => return Err(fault(error, &self.object, self.number)),
            }
        }
    }
}

fn fault(error: InputError, object: &str, lines: u64) -> LogError {
    match error {
        InputError::Store(error) => LogError::Store(error),
        source => LogError::Broken {
            object: object.to_owned(),
            lines,
            source,
        },
    }
}

#[cfg(test)]
mod tests;
