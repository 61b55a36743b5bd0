//! The bytes of an input file: as they are, or inflated.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{Bytes, BytesMut};
use futures_util::stream::LocalBoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::StorageError;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

/// Bytes that are inflated at a time.
const INFLATED_CHUNK: usize = 128 * 1024;
/// Largest zstd window that is accepted, as a power of two: 8 MiB, so that a 128 MB function can inflate anything it accepts.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ZIP_MAGIC: &[u8] = &[b'P', b'K', 3, 4];
const LONGEST_MAGIC: usize = 4;

/// Somewhere that bytes can be read from, from any offset.
pub trait Source {
    /// The bytes from `offset` to the end. Resuming after a broken connection is done inside.
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>>;
}

/// Why no more bytes come.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The store failed.
    #[error("the input cannot be read")]
    Store(#[source] StorageError),
    /// The compressed data is cut off or is not what it says.
    #[error(
        "the {format} data breaks at compressed byte {compressed_bytes} (after {inflated_bytes} inflated bytes): expected a whole {format} file"
    )]
    Broken {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// Compressed bytes that the decoder had been given.
        compressed_bytes: u64,
        /// Bytes that came out before.
        inflated_bytes: u64,
        /// What the decoder says.
        #[source]
        source: io::Error,
    },
    /// A zip archive, which is what an .xlsx file is, too.
    #[error(
        "this is a zip archive or an Excel workbook: expected CSV text, plain or compressed with gzip or zstd"
    )]
    Archive,
}

/// How the file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
}

enum Reader {
    Plain(LocalBoxStream<'static, Result<Bytes, StorageError>>),
    Inflating(Pin<Box<dyn AsyncRead>>, &'static str),
}

/// An open input.
pub struct Input<S> {
    source: S,
    reader: Reader,
    raw_bytes: Rc<Cell<u64>>,
    /// Offset in the decompressed file of the next byte.
    offset: u64,
    ended: bool,
}

impl<S: Source> Input<S> {
    /// Opens the input at its start and finds out how it is compressed, by its first bytes.
    pub async fn open(source: S) -> Result<Self, InputError> {
        let raw_bytes = Rc::new(Cell::new(0));
        let mut stream = source.read_from(0);
        let mut first = BytesMut::new();
        while first.len() < LONGEST_MAGIC {
            match stream.try_next().await.map_err(InputError::Store)? {
                Some(chunk) => first.extend_from_slice(&chunk),
                None => break,
            }
        }
        let first = first.freeze();
        let magic = first.clone();
        let whole = counted(
            &raw_bytes,
            stream::iter([Ok(first)]).chain(stream).boxed_local(),
        );
        let reader = if magic.starts_with(ZIP_MAGIC) {
            return Err(InputError::Archive);
        } else if magic.starts_with(GZIP_MAGIC) {
            let mut decoder = GzipDecoder::new(buffered(whole));
            decoder.multiple_members(true);
            Reader::Inflating(Box::pin(decoder), "gzip")
        } else if magic.starts_with(ZSTD_MAGIC) {
            let window = DParameter::window_log_max(MAX_ZSTD_WINDOW_LOG);
            let mut decoder = ZstdDecoder::with_params(buffered(whole), &[window]);
            decoder.multiple_members(true);
            Reader::Inflating(Box::pin(decoder), "zstd")
        } else {
            Reader::Plain(whole)
        };
        Ok(Self {
            source,
            reader,
            raw_bytes,
            offset: 0,
            ended: false,
        })
    }

    /// The next bytes of the decompressed file; nothing at its end. Cancel safe.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, InputError> {
        if self.ended {
            return Ok(None);
        }
        let chunk = match &mut self.reader {
            Reader::Plain(stream) => stream.try_next().await.map_err(InputError::Store)?,
            Reader::Inflating(decoder, format) => {
                let mut chunk = BytesMut::with_capacity(INFLATED_CHUNK);
                match decoder.read_buf(&mut chunk).await {
                    Ok(0) => None,
                    Ok(_) => Some(chunk.freeze()),
                    Err(error) => {
                        return Err(broken(error, format, self.raw_bytes.get(), self.offset));
                    }
                }
            }
        };
        self.offset += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        self.ended = chunk.is_none();
        Ok(chunk)
    }

    /// Goes on at `offset` of the decompressed file: by a ranged read, or by inflating again what lies before it.
    pub async fn go_to(self, offset: u64) -> Result<Self, InputError> {
        if let Reader::Plain(_) = self.reader {
            self.raw_bytes.set(offset);
            let reader = Reader::Plain(counted(&self.raw_bytes, self.source.read_from(offset)));
            return Ok(Self {
                reader,
                offset,
                ended: false,
                ..self
            });
        }
        let mut input = if offset < self.offset {
            Self::open(self.source).await?
        } else {
            self
        };
        while input.offset < offset {
            let Some(mut chunk) = input.next_chunk().await? else {
                break;
            };
            if input.offset > offset {
                let ahead = usize::try_from(input.offset - offset).expect("less than one chunk");
                let rest = chunk.split_off(chunk.len() - ahead);
                let Reader::Inflating(decoder, format) = input.reader else {
                    unreachable!("the compression of a file does not change");
                };
                let rest = std::io::Cursor::new(rest);
                input.reader = Reader::Inflating(Box::pin(rest.chain(decoder)), format);
                input.offset = offset;
            }
        }
        Ok(input)
    }

    /// Bytes of the file as it is stored that have been read; shared, so that progress can be shown while the input is in use.
    pub fn raw_bytes(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.raw_bytes)
    }

    /// How the file is compressed.
    pub fn compression(&self) -> Compression {
        match &self.reader {
            Reader::Plain(_) => Compression::None,
            Reader::Inflating(_, "gzip") => Compression::Gzip,
            Reader::Inflating(_, _) => Compression::Zstd,
        }
    }
}

fn counted(
    counter: &Rc<Cell<u64>>,
    stream: LocalBoxStream<'static, Result<Bytes, StorageError>>,
) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
    let counter = Rc::clone(counter);
    stream
        .inspect_ok(move |chunk| counter.set(counter.get() + chunk.len() as u64))
        .boxed_local()
}

fn buffered(
    stream: LocalBoxStream<'static, Result<Bytes, StorageError>>,
) -> impl AsyncBufRead + Unpin {
    StreamReader::new(stream.map_err(io::Error::other))
}

fn broken(
    error: io::Error,
    format: &'static str,
    compressed_bytes: u64,
    inflated_bytes: u64,
) -> InputError {
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<StorageError>())
    {
        let inner = error.into_inner().expect("just seen");
        return InputError::Store(*inner.downcast().expect("just seen"));
    }
    InputError::Broken {
        format,
        compressed_bytes,
        inflated_bytes,
        source: error,
    }
}
