//! Cuts decoded text into records. csv-core does the parsing; this keeps the raw text, the position, and the way on after a
//! record that is broken.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::Delimiter;
use crate::text::Encoding;

/// Most bytes of a broken record that are kept.
const MAX_KEPT_BYTES: usize = 1024 * 1024;
/// Most bytes that are kept of a line that is longer than a record may be.
const MAX_KEPT_OF_LONG_LINE: usize = 64 * 1024;

/// A place in the decompressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Byte, from 0.
    pub byte_offset: u64,
}

/// What bounds a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a record, as UTF-8.
    pub max_record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_record_bytes: 2 * 1024 * 1024,
        }
    }
}

/// A record whose text is valid UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
    /// Where it begins.
    pub position: Position,
    /// Its text as in the file (as UTF-8), without the line ending.
    pub raw: &'a [u8],
}

impl<'a> Record<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no field; a record has always one.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One field, without its quotes.
    pub fn field(&self, index: usize) -> &'a str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = &'a str> {
        let record = *self;
        (0..record.len()).map(move |index| record.field(index))
    }
}

/// Why a record cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// A field is not valid UTF-8 (or UTF-16); its number, from 0.
    InvalidText {
        /// Number of the field, from 0.
        column: usize,
    },
    /// A quote is opened and not closed before the end of the file.
    UnclosedQuote,
    /// The record has more bytes than a record may have.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A record that cannot be used, or the line on which one begins.
#[derive(Debug, Clone, Copy)]
pub struct BrokenRecord<'a> {
    /// Where it begins.
    pub position: Position,
    /// Its text, or the beginning of it.
    pub raw: &'a [u8],
    /// Bytes of the whole text.
    pub raw_len: u64,
    /// What is wrong.
    pub fault: RecordFault,
}

impl BrokenRecord<'_> {
    /// What is wrong, and what was expected.
    pub fn reason(&self) -> String {
        match self.fault {
            RecordFault::InvalidText { column } => {
                format!("field {} is not valid text: expected UTF-8, or UTF-16 with a byte order mark", column + 1)
            }
            RecordFault::UnclosedQuote => {
                "a quote is opened and never closed: expected a closing quote before the end of the file; reading went on at the next line".to_owned()
            }
            RecordFault::TooLong { limit } => {
                format!("the record is longer than {limit} bytes: expected a shorter one, or a closing quote; reading went on at the next line")
            }
        }
    }
}

/// What [`Splitter::next`] comes back with.
#[derive(Debug)]
pub enum Split<'a> {
    /// A record.
    Row(Record<'a>),
    /// Something that is no usable record.
    Broken(BrokenRecord<'a>),
    /// More text is needed.
    NeedMore,
    /// There is no more.
    End,
}

/// Cuts text into records: fed with pieces of any size, bounded in memory by one record and one piece.
///
/// Records end at `\n`, `\r\n` or `\r` outside quotes; blank lines are none. A record that is too long, or whose quote is never
/// closed, is given up on the line where it begins, and reading goes on at the next line: so one stray quote costs one line.
#[derive(Debug)]
pub struct Splitter {
    reader: Reader,
    encoding: Encoding,
    limits: Limits,
    text: Vec<u8>,
    /// Where in `text` the record begins that is being read.
    start: usize,
    /// How far in `text` the parser has read.
    parsed: usize,
    /// The position of `start`.
    position: Position,
    fields: Vec<u8>,
    fields_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    finished: bool,
    /// The parser has seen the end of the record; only the `\n` after a `\r` may be missing.
    complete: bool,
    long_line: Option<LongLine>,
}

/// A line that is being skipped.
#[derive(Debug)]
struct LongLine {
    position: Position,
    kept: Vec<u8>,
    len: u64,
}

enum Parsed {
    Complete,
    Incomplete,
    Unclosed,
}

impl Splitter {
    /// A splitter for text that begins at `start`, which is the start of a record.
    pub fn new(delimiter: Delimiter, encoding: Encoding, start: Position, limits: Limits) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter.byte()).build(),
            encoding,
            limits,
            text: Vec::new(),
            start: 0,
            parsed: 0,
            position: start,
            fields: vec![0; 1024],
            fields_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            finished: false,
            complete: false,
            long_line: None,
        }
    }

    /// Adds decoded text.
    pub fn feed(&mut self, text: &[u8]) {
        if self.start > 0 {
            self.text.drain(..self.start);
            self.parsed -= self.start;
            self.start = 0;
        }
        self.text.extend_from_slice(text);
    }

    /// No more text comes.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Where the next record begins, or blank lines before it: a place from which another splitter can go on.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record.
    #[expect(clippy::should_implement_trait, reason = "records borrow from the splitter")]
    pub fn next(&mut self) -> Split<'_> {
        if self.long_line.is_some() {
            return self.skip_long_line();
        }
        if !self.skip_line_endings() {
            return if self.finished { Split::End } else { Split::NeedMore };
        }
        match self.parse() {
            Parsed::Complete if self.parsed - self.start > self.limits.max_record_bytes => self.give_up_line(self.too_long()),
            Parsed::Complete => self.complete_record(),
            Parsed::Unclosed => self.give_up_line(RecordFault::UnclosedQuote),
            Parsed::Incomplete if self.text.len() - self.start > self.limits.max_record_bytes => self.give_up_line(self.too_long()),
            Parsed::Incomplete => Split::NeedMore,
        }
    }

    fn too_long(&self) -> RecordFault {
        RecordFault::TooLong {
            limit: self.limits.max_record_bytes,
        }
    }

    /// Moves to the first byte of the next record. False if it is not there yet.
    fn skip_line_endings(&mut self) -> bool {
        if self.parsed > self.start || self.complete {
            return true;
        }
        while let Some(ending) = self.line_ending_at(self.start) {
            match ending {
                Some(len) => self.advance_to(self.start + len),
                None => return false,
            }
        }
        self.start < self.text.len()
    }

    /// The length of the line ending at `at`: nothing if there is none, `Some(None)` if a `\n` may still follow the `\r`.
    fn line_ending_at(&self, at: usize) -> Option<Option<usize>> {
        match self.text.get(at..)? {
            [b'\n', ..] => Some(Some(1)),
            [b'\r', b'\n', ..] => Some(Some(2)),
            [b'\r', _, ..] => Some(Some(1)),
            [b'\r'] => Some(self.finished.then_some(1)),
            _ => None,
        }
    }

    fn parse(&mut self) -> Parsed {
        while !self.complete {
            let at_end = self.parsed == self.text.len();
            if at_end && !self.finished {
                return Parsed::Incomplete;
            }
            // A line ending that the file lacks: a record that it does not end is inside a quote.
            let input = if at_end { b"\n" } else { &self.text[self.parsed..] };
            let (result, read, written, ended) = self.reader.read_record(
                input,
                &mut self.fields[self.fields_len..],
                &mut self.ends[self.ends_len..],
            );
            self.fields_len += written;
            self.ends_len += ended;
            if !at_end {
                self.parsed += read;
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => self.complete = true,
                ReadRecordResult::InputEmpty if at_end => return Parsed::Unclosed,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
        // The parser stops behind a `\r`; a `\n` behind that belongs to it.
        if self.parsed > self.start && self.text[self.parsed - 1] == b'\r' {
            match self.text.get(self.parsed) {
                Some(b'\n') => self.parsed += 1,
                None if !self.finished => return Parsed::Incomplete,
                _ => {}
            }
        }
        Parsed::Complete
    }

    fn complete_record(&mut self) -> Split<'_> {
        let (begin, end) = (self.start, self.parsed);
        let raw_end = begin + without_line_ending(&self.text[begin..end]);
        let position = self.position;
        self.advance_to(end);
        let (fields_len, ends_len) = self.restart();
        let raw = &self.text[begin..raw_end];
        let ends = &self.ends[..ends_len];
        let fields = &self.fields[..fields_len];
        match (std::str::from_utf8(raw), std::str::from_utf8(fields)) {
            (Ok(_), Ok(text)) => Split::Row(Record {
                text,
                ends,
                position,
                raw,
            }),
            _ => Split::Broken(BrokenRecord {
                position,
                raw: &raw[..raw.len().min(MAX_KEPT_BYTES)],
                raw_len: raw.len() as u64,
                fault: RecordFault::InvalidText {
                    column: first_invalid_field(fields, ends),
                },
            }),
        }
    }

    /// Gives the record up on the line where it begins.
    fn give_up_line(&mut self, fault: RecordFault) -> Split<'_> {
        let begin = self.start;
        let position = self.position;
        let line_len = memchr::memchr2(b'\n', b'\r', &self.text[begin..]);
        self.restart();
        self.reader.reset();
        match line_len {
            Some(len) => {
                let end = begin + len + self.line_ending_at(begin + len).flatten().unwrap_or(1);
                self.advance_to(end);
            }
            None if self.finished => self.advance_to(self.text.len()),
            None => return self.begin_long_line(),
        }
        let raw = &self.text[begin..begin + line_len.unwrap_or(self.text.len() - begin)];
        Split::Broken(BrokenRecord {
            position,
            raw: &raw[..raw.len().min(MAX_KEPT_BYTES)],
            raw_len: raw.len() as u64,
            fault,
        })
    }

    fn begin_long_line(&mut self) -> Split<'_> {
        let line = &self.text[self.start..];
        self.long_line = Some(LongLine {
            position: self.position,
            kept: line[..line.len().min(MAX_KEPT_OF_LONG_LINE)].to_vec(),
            len: line.len() as u64,
        });
        self.advance_to(self.text.len());
        Split::NeedMore
    }

    fn skip_long_line(&mut self) -> Split<'_> {
        let rest = &self.text[self.start..];
        let ending = memchr::memchr2(b'\n', b'\r', rest);
        let len = ending.unwrap_or(rest.len());
        if let Some(line) = &mut self.long_line {
            line.len += len as u64;
        }
        self.advance_to(self.start + len);
        if ending.is_none() && !self.finished {
            return Split::NeedMore;
        }
        let Some(line) = self.long_line.take() else { return Split::NeedMore };
        // The text of the line is gone; what was kept of it lies where fields do.
        let kept = line.kept.len();
        if self.fields.len() < kept {
            self.fields.resize(kept, 0);
        }
        self.fields[..kept].copy_from_slice(&line.kept);
        Split::Broken(BrokenRecord {
            position: line.position,
            raw: &self.fields[..kept],
            raw_len: line.len,
            fault: self.too_long(),
        })
    }

    /// Moves the start of the next record, and its position, to `end`.
    fn advance_to(&mut self, end: usize) {
        let passed = &self.text[self.start..end];
        self.position.byte_offset += self.encoding.source_len(passed);
        self.position.line += line_endings(passed);
        self.start = end;
        self.parsed = end;
    }

    /// Forgets the fields of the record; returns how many bytes and fields there were.
    fn restart(&mut self) -> (usize, usize) {
        self.complete = false;
        (
            std::mem::take(&mut self.fields_len),
            std::mem::take(&mut self.ends_len),
        )
    }
}

fn without_line_ending(text: &[u8]) -> usize {
    match text {
        [.., b'\r', b'\n'] => text.len() - 2,
        [.., b'\n' | b'\r'] => text.len() - 1,
        _ => text.len(),
    }
}

/// `\n`, and `\r` that no `\n` follows.
fn line_endings(text: &[u8]) -> u64 {
    let newlines = memchr::memchr_iter(b'\n', text).count();
    let lone_returns = memchr::memchr_iter(b'\r', text)
        .filter(|at| text.get(at + 1) != Some(&b'\n'))
        .count();
    (newlines + lone_returns) as u64
}

fn first_invalid_field(fields: &[u8], ends: &[usize]) -> usize {
    let mut start = 0;
    for (column, end) in ends.iter().enumerate() {
        if std::str::from_utf8(&fields[start..*end]).is_err() {
            return column;
        }
        start = *end;
    }
    0
}
