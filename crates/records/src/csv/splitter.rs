use std::fmt;
use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr2, memchr2_iter};

use super::Delimiter;
use crate::text::{Encoding, source_len};

/// Bytes that are kept of a line that is longer than a record may be.
const LONG_LINE_KEPT_BYTES: usize = 64 * 1024;
/// Bytes that are kept of a shorter line that is broken.
const BROKEN_LINE_KEPT_BYTES: usize = 1024 * 1024;
const FIRST_FIELD_BYTES: usize = 4 * 1024;
const FIRST_FIELDS: usize = 64;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Counted from 1.
    pub line: u64,
    /// Counted from 0, in the decompressed file as it is encoded there.
    pub byte_offset: u64,
}

/// What a [`Splitter`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a record as UTF-8, without its line ending.
    pub max_record_bytes: usize,
}

impl Default for Limits {
    /// 2 MiB a record: five times what an item may have.
    fn default() -> Self {
        Self {
            max_record_bytes: 2 * 1024 * 1024,
        }
    }
}

/// What [`Splitter::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A record.
    Row(Record<'a>),
    /// A line that cannot be read as a record.
    Broken(BrokenRecord<'a>),
    /// Nothing until more is fed.
    NeedMore,
    /// There are no more records.
    End,
}

/// A record whose text is valid UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
    /// Where the record begins.
    pub position: Position,
    /// The record as it is in the file (as UTF-8), without its line ending.
    pub raw: &'a [u8],
}

impl<'a> Record<'a> {
    /// Number of fields.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a record has at least one field"
    )]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a field, counted from 0. Panics if there is no such field.
    #[inline]
    pub fn field(&self, index: usize) -> &'a str {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        &self.text[start..self.ends[index]]
    }

    /// The texts of all fields.
    pub fn fields(&self) -> impl Iterator<Item = &'a str> + '_ {
        (0..self.len()).map(|index| self.field(index))
    }
}

/// A line that cannot be read as a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenRecord<'a> {
    /// Where the line begins.
    pub position: Position,
    /// The beginning of the line, or the record, as it is in the file (UTF-16 as UTF-8), without its line ending.
    pub raw: &'a [u8],
    /// Bytes of all of it.
    pub raw_len: u64,
    /// What is wrong with it.
    pub fault: RecordFault,
}

impl BrokenRecord<'_> {
    /// What is wrong, as a sentence.
    pub fn reason(&self) -> String {
        self.fault.to_string()
    }
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// A field is not valid UTF-8.
    InvalidUtf8 {
        /// The field's number, counted from 0.
        column: usize,
    },
    /// A quote that begins on this line is still open where the file ends.
    UnclosedQuote,
    /// The record that begins on this line is longer than a record may be.
    TooLong {
        /// Bytes that a record may have.
        max_bytes: usize,
    },
}

impl fmt::Display for RecordFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUtf8 { column } => {
                write!(formatter, "field {} is not valid UTF-8", column + 1)
            }
            Self::UnclosedQuote => {
                formatter.write_str("a quote that begins on this line is never closed")
            }
            Self::TooLong { max_bytes } => write!(
                formatter,
                "the record is longer than {max_bytes} bytes (is a quote left open on this line?)"
            ),
        }
    }
}

/// Cuts a stream of decoded text into CSV records.
///
/// The rules of fields and quotes are those of `csv-core` (RFC 4180). Records end at `\n`, `\r\n` or `\r`; blank lines
/// are skipped. Where a record is longer than the limit, or its quote is open at the end of the file, the line on which
/// it begins is broken and reading goes on at the next line. What comes out depends on the text and the start alone,
/// not on how the text is cut into chunks. At most about a record and a chunk are held.
#[derive(Debug)]
pub struct Splitter {
    encoding: Encoding,
    max_record_bytes: usize,
    delimiter: Delimiter,
    reader: Reader,
    buffer: Vec<u8>,
    /// Where in `buffer` the next unread record begins.
    start: usize,
    /// Up to where `reader` has read that record.
    scanned: usize,
    /// Where `start` is in the file.
    position: Position,
    /// The texts of the record's fields, one behind the other, and their ends; the lengths used are below.
    text: Vec<u8>,
    ends: Vec<usize>,
    text_len: usize,
    ends_len: usize,
    state: State,
    /// Set after a line was given up because the record that begins on it does not end.
    open_record: Option<OpenRecord>,
    /// The beginning of a line that is longer than a record may be.
    long_line: Vec<u8>,
    finished: bool,
    #[cfg(test)]
    pub(super) parsed_bytes: usize,
}

/// The reading of a record that does not end as far as it was read.
///
/// All line endings in it are inside quotes. So a record that begins on a later line and is open at a line ending too is
/// in the same state there, and reads on in the same way: it need not be read again, or a file of such lines would cost
/// a whole record for each line.
#[derive(Debug)]
struct OpenRecord {
    reader: Reader,
    /// Up to where in the buffer it was read.
    scanned: usize,
}

impl OpenRecord {
    /// Whether the record is still open at the end of `text`, which goes on where it was read to.
    fn stays_open(&mut self, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            let (result, read, _, _) = self.reader.read_record(text, &mut [0; 4096], &mut [0; 64]);
            if result == ReadRecordResult::Record {
                return false;
            }
            self.scanned += read;
            text = &text[read..];
        }
        true
    }

    /// Whether the record ends if the file ends where it was read to.
    fn ends_here(&mut self) -> bool {
        let (result, _, _, _) = self.reader.read_record(b"\n", &mut [0; 2], &mut [0; 2]);
        result == ReadRecordResult::Record
    }
}

/// What the splitter is doing when it needs more text.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Reading a record, or about to begin one.
    Reading,
    /// A record has ended with `\r`; whether a `\n` belongs to it is still to be seen.
    Ended,
    /// The record cannot be read; the line on which it begins is to be passed over.
    Breaking(RecordFault),
    /// The same, and the line is too long to be held: it began at `position`, and `len` bytes of it are passed.
    Skipping { position: Position, len: u64 },
}

/// [`Split`] with ranges of the buffer in place of what is borrowed from it.
enum Step {
    Row(Range<usize>, Position),
    Broken(Range<usize>, Position, RecordFault),
    BrokenLong(Position, u64),
    NeedMore,
    End,
}

impl Splitter {
    /// For text that begins at `start`, where a record begins. The first line of a file is 1, its first byte the one
    /// behind the byte-order mark.
    pub fn new(delimiter: Delimiter, encoding: Encoding, start: Position, limits: Limits) -> Self {
        Self {
            encoding,
            max_record_bytes: limits.max_record_bytes,
            delimiter,
            reader: reader_of(delimiter),
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            position: start,
            text: vec![0; FIRST_FIELD_BYTES],
            ends: vec![0; FIRST_FIELDS],
            text_len: 0,
            ends_len: 0,
            state: State::Reading,
            open_record: None,
            long_line: Vec::new(),
            finished: false,
            #[cfg(test)]
            parsed_bytes: 0,
        }
    }

    /// Adds the next bytes of decoded text.
    pub fn feed(&mut self, chunk: &[u8]) {
        // What is moved is at most what was read since the last move, so each byte is moved once on average.
        if self.start >= self.buffer.len() - self.start {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            if let Some(open) = &mut self.open_record {
                open.scanned -= self.start;
            }
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The text ends here.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next record, as far as the text reaches.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it returns borrows from the splitter, which an iterator cannot do"
    )]
    pub fn next(&mut self) -> Split<'_> {
        match self.step() {
            Step::NeedMore => Split::NeedMore,
            Step::End => Split::End,
            Step::Broken(raw, position, fault) => {
                let raw_len = raw.len() as u64;
                let kept = raw.start..raw.end.min(raw.start + BROKEN_LINE_KEPT_BYTES);
                Split::Broken(BrokenRecord {
                    position,
                    raw: &self.buffer[kept],
                    raw_len,
                    fault,
                })
            }
            Step::BrokenLong(position, raw_len) => Split::Broken(BrokenRecord {
                position,
                raw: &self.long_line,
                raw_len,
                fault: self.too_long(),
            }),
            Step::Row(raw, position) => self.row(raw, position),
        }
    }

    /// Where the next record, or the blank lines before it, begin: a place to start another splitter from.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Bytes of text that are held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.capacity() + self.text.len() + self.long_line.capacity()
    }

    fn row(&self, raw: Range<usize>, position: Position) -> Split<'_> {
        let raw = &self.buffer[raw];
        let text = match std::str::from_utf8(raw) {
            // Without its quotes and delimiters, which are ASCII, valid text is still valid.
            Ok(_) => std::str::from_utf8(&self.text[..self.text_len]),
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => Split::Row(Record {
                text,
                ends: &self.ends[..self.ends_len],
                position,
                raw,
            }),
            Err(error) => Split::Broken(BrokenRecord {
                position,
                raw: &raw[..raw.len().min(BROKEN_LINE_KEPT_BYTES)],
                raw_len: raw.len() as u64,
                fault: RecordFault::InvalidUtf8 {
                    column: self.column_at(&raw[..error.valid_up_to()]),
                },
            }),
        }
    }

    /// The number of the field in which a record goes on after `beginning`.
    fn column_at(&self, beginning: &[u8]) -> usize {
        let mut reader = reader_of(self.delimiter);
        let mut text = vec![0; beginning.len() + 1];
        let mut ends = vec![0; beginning.len() + 1];
        let (_, _, _, column) = reader.read_record(beginning, &mut text, &mut ends);
        column
    }

    fn step(&mut self) -> Step {
        match self.state {
            State::Reading => self.read_on(),
            State::Ended => self.end_record(),
            State::Breaking(fault) => self.break_line(fault),
            State::Skipping { position, len } => self.skip_long_line(position, len),
        }
    }

    fn read_on(&mut self) -> Step {
        if self.scanned == self.start {
            self.skip_blank_lines();
            self.text_len = 0;
            self.ends_len = 0;
            if !self.finished && self.buffer[self.start..] == *b"\r" {
                return Step::NeedMore;
            }
        }
        // One byte more than a record may have is read: its line ending, or what makes it too long.
        let window_end = self.window_end();
        if self.scanned == self.start && self.open_record.is_some() {
            if !self.finished && window_end - self.start <= self.max_record_bytes {
                return Step::NeedMore;
            }
            if let Some(line_end) = self.first_line_end(window_end) {
                if self.read_up_to(line_end) {
                    return self.end_record();
                }
                if self.shares_open_record(window_end) {
                    return self.break_line(self.fault_of_open_record());
                }
            }
        }
        if self.read_up_to(window_end) {
            return self.end_record();
        }
        if self.scanned - self.start > self.max_record_bytes {
            self.keep_open_record();
            self.break_line(self.fault_of_open_record())
        } else if self.finished {
            self.last_record()
        } else {
            Step::NeedMore
        }
    }

    /// Whether the record ends before `end`; reads up to there, or up to the record's end.
    fn read_up_to(&mut self, end: usize) -> bool {
        while self.scanned < end {
            let (result, read) = self.read(self.scanned..end);
            self.scanned += read;
            if result == ReadRecordResult::Record {
                return true;
            }
        }
        false
    }

    /// Whether the record, which has been read up to its first line ending, goes on as the open one, and that one does
    /// not end before `window_end`.
    fn shares_open_record(&mut self, window_end: usize) -> bool {
        let Some(mut open) = self.open_record.take() else {
            return false;
        };
        let at_end = self.finished && window_end == self.buffer.len();
        let shares = self.scanned <= open.scanned
            && open.stays_open(&self.buffer[open.scanned..window_end])
            && !(at_end && open.ends_here());
        if shares {
            self.open_record = Some(open);
        }
        shares
    }

    /// Remembers the reading of the record that is about to be given up.
    fn keep_open_record(&mut self) {
        self.open_record = Some(OpenRecord {
            reader: std::mem::replace(&mut self.reader, reader_of(self.delimiter)),
            scanned: self.scanned,
        });
    }

    fn fault_of_open_record(&self) -> RecordFault {
        match self.window_end() - self.start > self.max_record_bytes {
            true => self.too_long(),
            false => RecordFault::UnclosedQuote,
        }
    }

    /// Where the first line of the window ends, the first byte of its line ending included.
    fn first_line_end(&self, window_end: usize) -> Option<usize> {
        let length = memchr2(b'\n', b'\r', &self.buffer[self.start..window_end])?;
        Some(self.start + length + 1)
    }

    fn window_end(&self) -> usize {
        self.buffer
            .len()
            .min(self.start + self.max_record_bytes + 1)
    }

    /// Gives csv-core a stretch of the buffer.
    fn read(&mut self, range: Range<usize>) -> (ReadRecordResult, usize) {
        self.make_room();
        let (result, read, text_len, ends_len) = self.reader.read_record(
            &self.buffer[range],
            &mut self.text[self.text_len..],
            &mut self.ends[self.ends_len..],
        );
        self.text_len += text_len;
        self.ends_len += ends_len;
        #[cfg(test)]
        {
            self.parsed_bytes += read;
        }
        (result, read)
    }

    fn make_room(&mut self) {
        if self.text_len == self.text.len() {
            // A record's texts are no longer than the record.
            let most = self.text_len.max(self.max_record_bytes) + 1;
            self.text.resize(most.min(2 * self.text_len), 0);
        }
        if self.ends_len == self.ends.len() {
            self.ends.resize(2 * self.ends.len(), 0);
        }
    }

    fn skip_blank_lines(&mut self) {
        let unread = &self.buffer[self.start..];
        let blank = unread
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        // A `\r` at the end may be the first half of a line ending, and those are not torn apart.
        let torn = !self.finished && blank == unread.len() && unread.ends_with(b"\r");
        if blank > 0 {
            self.consume(blank - usize::from(torn));
        }
    }

    /// csv-core has read up to the line ending's first byte and found the record complete.
    fn end_record(&mut self) -> Step {
        let raw = self.start..self.scanned - 1;
        let Some(end) = self.line_ending(raw.end) else {
            self.state = State::Ended;
            return Step::NeedMore;
        };
        let position = self.position;
        self.consume(end - self.start);
        self.state = State::Reading;
        Step::Row(raw, position)
    }

    /// The record, if there is one, that ends where the text ends.
    fn last_record(&mut self) -> Step {
        let raw = self.start..self.scanned;
        if raw.is_empty() {
            return Step::End;
        }
        self.make_room();
        let (result, _, _, ends_len) = self.reader.read_record(
            b"\n",
            &mut self.text[self.text_len..],
            &mut self.ends[self.ends_len..],
        );
        if result != ReadRecordResult::Record {
            self.keep_open_record();
            return self.break_line(RecordFault::UnclosedQuote);
        }
        self.ends_len += ends_len;
        let position = self.position;
        self.consume(raw.len());
        Step::Row(raw, position)
    }

    /// Where the line ends whose line ending begins at `at`; none if the next byte is needed to say.
    fn line_ending(&self, at: usize) -> Option<usize> {
        match self.buffer[at..] {
            [b'\r', b'\n', ..] => Some(at + 2),
            [b'\r'] if !self.finished => None,
            _ => Some(at + 1),
        }
    }

    /// Passes over the line at which the unread record begins.
    fn break_line(&mut self, fault: RecordFault) -> Step {
        let window = self.start..self.window_end();
        let (raw, end) = match memchr2(b'\n', b'\r', &self.buffer[window.clone()]) {
            Some(length) => {
                let raw = self.start..self.start + length;
                let Some(end) = self.line_ending(raw.end) else {
                    self.state = State::Breaking(fault);
                    return Step::NeedMore;
                };
                (raw, end)
            }
            None if window.len() > self.max_record_bytes => {
                let kept = self.start..self.start + window.len().min(LONG_LINE_KEPT_BYTES);
                self.long_line.clear();
                self.long_line.extend_from_slice(&self.buffer[kept]);
                return self.skip_long_line(self.position, 0);
            }
            None => (window.clone(), window.end),
        };
        let position = self.position;
        self.consume(end - self.start);
        self.restart();
        Step::Broken(raw, position, fault)
    }

    fn skip_long_line(&mut self, position: Position, passed: u64) -> Step {
        let unread = &self.buffer[self.start..];
        let line_end = memchr2(b'\n', b'\r', unread);
        let len = line_end.unwrap_or(unread.len());
        let passed = passed + len as u64;
        self.consume(len);
        let ending = match line_end {
            Some(_) => self.line_ending(self.start),
            None => self.finished.then_some(self.start),
        };
        let Some(end) = ending else {
            self.state = State::Skipping {
                position,
                len: passed,
            };
            return Step::NeedMore;
        };
        self.consume(end - self.start);
        self.restart();
        Step::BrokenLong(position, passed)
    }

    /// Moves on by bytes that do not end inside a line ending.
    fn consume(&mut self, length: usize) {
        let consumed = &self.buffer[self.start..self.start + length];
        self.position.byte_offset += source_len(self.encoding, consumed);
        self.position.line += line_endings(consumed);
        self.start += length;
        self.scanned = self.start;
        self.open_record = self
            .open_record
            .take()
            .filter(|open| open.scanned > self.start);
    }

    /// Forgets the record that was being read.
    fn restart(&mut self) {
        self.state = State::Reading;
        self.reader.reset();
        prime(&mut self.reader);
    }

    fn too_long(&self) -> RecordFault {
        RecordFault::TooLong {
            max_bytes: self.max_record_bytes,
        }
    }
}

/// Lines end with `\n`, and with `\r` where no `\n` follows.
fn line_endings(text: &[u8]) -> u64 {
    memchr2_iter(b'\n', b'\r', text)
        .filter(|index| text[*index] == b'\n' || text.get(index + 1) != Some(&b'\n'))
        .count() as u64
}

fn reader_of(delimiter: Delimiter) -> Reader {
    let mut reader = ReaderBuilder::new().delimiter(delimiter.byte()).build();
    prime(&mut reader);
    reader
}

/// Reads a blank line, or csv-core would drop a byte-order mark, which is an ordinary character where this one begins.
fn prime(reader: &mut Reader) {
    reader.read_record(b"\n", &mut [0], &mut [0]);
}
