//! A data file, read once from its first byte to its last: hashed, inflated, cut into lines.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use storage::{ObjectId, ObjectStore, ResumePolicy, StorageError, open_resuming};

use crate::fault::FileFault;

/// Bytes that a line has at most. An item of 400 KB is at most 3 MB of DynamoDB JSON (a list of BOOL or NULL takes 15 bytes for
/// each 2), and a line of an incremental export holds two of them.
pub(crate) const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that are inflated at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// The base two logarithm of deflate's window: the largest there is.
const GZIP_WINDOW_BITS: u8 = 15;
/// What every gzip member begins with.
const GZIP_MAGIC: u8 = 0x1f;

/// The first bytes of a data file, by which two readings of it are known to have read the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prefix {
    /// How many they are.
    pub(crate) bytes: u64,
    /// Their MD5, in base64.
    pub(crate) md5: String,
}

/// A data file that is being read.
pub(crate) struct DataFile<'a> {
    content: LocalBoxStream<'a, Result<Bytes, StorageError>>,
    /// Bytes that came and are not hashed yet.
    arrived: Bytes,
    /// Bytes that are hashed and not inflated yet.
    hashed: Bytes,
    hash: Md5,
    /// How many bytes were hashed.
    position: u64,
    /// What an earlier reading found the file to begin with.
    expected: Option<Prefix>,
    inflate: Decompress,
    member: Member,
    /// Whether there may be more to inflate of bytes that were taken already, for which there was no room.
    has_more_inside: bool,
    /// Inflated bytes; the first `handed_out` of them were handed out.
    buffer: Vec<u8>,
    handed_out: usize,
    /// Lines handed out, which is the number of the next one.
    lines: u64,
}

/// Where in the sequence of gzip members reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    /// Before the first one.
    First,
    Inside,
    /// Behind the end of one.
    Ended,
}

/// Whole lines that follow each other.
pub(crate) struct Block<'b> {
    text: &'b [u8],
    /// The number of the first one, from 0.
    first: u64,
}

impl<'b> Block<'b> {
    /// The lines without their ends, each with its number from 0; an empty one is none.
    pub(crate) fn lines(self) -> impl Iterator<Item = (u64, Result<&'b [u8], FileFault>)> {
        let mut left = self.text;
        (self.first..).map_while(move |number| {
            if left.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', left).unwrap_or(left.len());
            let line = &left[..end];
            left = &left[left.len().min(end + 1)..];
            let line = match line.is_empty() {
                true => Err(FileFault::EmptyLine { line: number + 1 }),
                false => Ok(line),
            };
            Some((number, line))
        })
    }
}

impl<'a> DataFile<'a> {
    /// Opens a data file. `expected` is what an earlier reading of it began with.
    ///
    /// # Errors
    /// If there is no such object, or the store fails.
    pub(crate) async fn open<O: ObjectStore>(
        objects: &'a O,
        bucket: &str,
        key: &str,
        expected: Option<Prefix>,
        policy: ResumePolicy,
    ) -> Result<Self, FileFault> {
        let object = ObjectId {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: None,
            etag: None,
        };
        let (_, content) = open_resuming(objects, object, 0, policy)
            .await
            .map_err(FileFault::of_read)?;
        Ok(Self {
            content,
            arrived: Bytes::new(),
            hashed: Bytes::new(),
            hash: Md5::new(),
            position: 0,
            expected,
            inflate: Decompress::new_gzip(GZIP_WINDOW_BITS),
            member: Member::First,
            has_more_inside: false,
            buffer: Vec::new(),
            handed_out: 0,
            lines: 0,
        })
    }

    /// Whole lines, with the line feed that ends each (the file's last line may have none); nothing at the end of the file. May
    /// be dropped while it waits, and called again.
    ///
    /// # Errors
    /// If the bytes are no gzip data or no lines, or the store fails.
    pub(crate) async fn next_lines(&mut self) -> Result<Option<Block<'_>>, FileFault> {
        self.buffer.drain(..self.handed_out);
        self.handed_out = 0;
        loop {
            if self.hashed.is_empty() && !self.has_more_inside && !self.hash_more().await? {
                break;
            }
            let searched = self.buffer.len();
            self.inflate()?;
            if let Some(last) = memchr::memrchr(b'\n', &self.buffer[searched..]) {
                return Ok(Some(self.hand_out(searched + last + 1)));
            }
            self.check_line_length()?;
        }
        if self.member != Member::Ended {
            return Err(FileFault::Truncated {
                bytes: self.position,
            });
        }
        let left = self.buffer.len();
        Ok((left > 0).then(|| self.hand_out(left)))
    }

    /// What was read so far.
    pub(crate) fn prefix(&self) -> Prefix {
        Prefix {
            bytes: self.position,
            md5: base64_of(self.hash.clone()),
        }
    }

    /// Checks the whole file, at its end, against its manifest.
    ///
    /// # Errors
    /// If it has another MD5 or another number of lines.
    pub(crate) fn verify(self, md5: &str, items: u64) -> Result<(), FileFault> {
        if self.expected.is_some() {
            // The file ended before all that was read the last time.
            return Err(FileFault::ReplacedMeanwhile);
        }
        let found = base64_of(self.hash);
        if found != md5 {
            return Err(FileFault::Md5 {
                found,
                expected: md5.to_owned(),
            });
        }
        if self.lines != items {
            return Err(FileFault::Items {
                found: self.lines,
                expected: items,
            });
        }
        Ok(())
    }

    fn hand_out(&mut self, bytes: usize) -> Block<'_> {
        self.handed_out = bytes;
        let text = &self.buffer[..bytes];
        let first = self.lines;
        self.lines += memchr::memchr_iter(b'\n', text).count() as u64;
        self.lines += u64::from(!text.ends_with(b"\n"));
        Block { text, first }
    }

    fn check_line_length(&self) -> Result<(), FileFault> {
        match self.buffer.len() > MAX_LINE_BYTES {
            true => Err(FileFault::LongLine {
                line: self.lines + 1,
            }),
            false => Ok(()),
        }
    }

    /// Hashes what came, up to the end of what an earlier reading has seen; false at the end of the object.
    async fn hash_more(&mut self) -> Result<bool, FileFault> {
        if self.arrived.is_empty() {
            match self.content.next().await {
                Some(chunk) => self.arrived = chunk.map_err(FileFault::of_read)?,
                None => return Ok(false),
            }
        }
        let mut take = self.arrived.len();
        if let Some(expected) = &self.expected {
            let left = expected.bytes.saturating_sub(self.position);
            take = take.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        self.hashed = self.arrived.split_to(take);
        self.hash.update(&self.hashed);
        self.position += take as u64;
        if let Some(expected) = self
            .expected
            .take_if(|expected| expected.bytes <= self.position)
            && expected != self.prefix()
        {
            return Err(FileFault::ReplacedMeanwhile);
        }
        Ok(true)
    }

    /// Inflates at most a block of what is hashed.
    fn inflate(&mut self) -> Result<(), FileFault> {
        if self.member != Member::Inside {
            match self.hashed.first() {
                None => return Ok(()),
                Some(&GZIP_MAGIC) => {}
                Some(_) => return Err(self.no_member()),
            }
            self.inflate = Decompress::new_gzip(GZIP_WINDOW_BITS);
            self.member = Member::Inside;
        }
        self.buffer.reserve(BLOCK_BYTES);
        let before = self.inflate.total_in();
        let status =
            self.inflate
                .decompress_vec(&self.hashed, &mut self.buffer, FlushDecompress::None);
        let used = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
        match status {
            Ok(Status::StreamEnd) => self.member = Member::Ended,
            Ok(Status::Ok | Status::BufError) => {}
            Err(error) => {
                return Err(FileFault::Damaged {
                    near: self.position - self.hashed.len() as u64,
                    reason: error.to_string(),
                });
            }
        }
        self.hashed.advance(used.min(self.hashed.len()));
        self.has_more_inside =
            self.member == Member::Inside && self.buffer.len() == self.buffer.capacity();
        Ok(())
    }

    /// What is wrong where a gzip member should begin.
    fn no_member(&self) -> FileFault {
        let at = self.position - self.hashed.len() as u64;
        match self.member {
            Member::First => FileFault::NotGzip,
            _ => FileFault::Trailing { at },
        }
    }
}

fn base64_of(hash: Md5) -> String {
    records::base64_text(&hash.finalize())
}
