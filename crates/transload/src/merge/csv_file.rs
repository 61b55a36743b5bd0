//! The rows of a CSV file, read by the code of `transload ingest`.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv_ingester::{Input, InputError};
use records::{
    Delimiter, Encoding, Limits, Position, Split, Splitter, TextDecoder, choose_delimiter,
};
use tokio::runtime::Runtime;

use super::error::MergeError;
use super::header::{self, HeaderRow, WINDOW_ROWS, Wanted};
use super::input::TakeRow;
use super::place::Place;
use super::row::{Content, Row};
use crate::ingest::LocalFile;

/// Decoded bytes by which the delimiter is chosen.
const HEAD_BYTES: usize = 1024 * 1024;
/// A CSV file: plain, gzip or zstd, in UTF-8 or UTF-16.
pub(super) struct CsvFile {
    path: PathBuf,
    file: LocalFile,
    runtime: Runtime,
    bytes_read: Rc<Cell<u64>>,
}

impl CsvFile {
    pub(super) fn open(path: &Path, bytes_read: &Rc<Cell<u64>>) -> Result<Self, MergeError> {
        // Reading waits for the disk on a thread of the runtime; nothing else goes on here.
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Ok(Self {
            path: path.to_owned(),
            file: LocalFile::open(path).map_err(MergeError::CsvFile)?,
            runtime: runtime.map_err(MergeError::Runtime)?,
            bytes_read: Rc::clone(bytes_read),
        })
    }

    /// The delimiter under which a header fits best, see [`header::merit`].
    pub(super) fn delimiter(
        &self,
        rule: HeaderRow,
        wanted: Wanted<'_>,
    ) -> Result<Delimiter, MergeError> {
        let extension = self.path.extension().unwrap_or_default();
        if extension.eq_ignore_ascii_case("tsv") {
            return Ok(Delimiter::Tab);
        }
        let mut text = self.text()?;
        let mut head = Vec::new();
        while head.len() < HEAD_BYTES && text.read(&mut head)? {}
        let mut best = None;
        for delimiter in Delimiter::ALL {
            let mut window = Vec::new();
            let mut splitter = splitter(delimiter);
            splitter.feed(&head);
            // What a broken record is, is said when the rows are read.
            let _ = split(&mut splitter, &self.path, &mut Row::default(), &mut |row| {
                window.push(std::mem::take(row));
                Ok(
                    match window.len() < WINDOW_ROWS || rule != HeaderRow::Found {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    },
                )
            });
            if let Some(header) = header::find(&window, rule, wanted) {
                let merit = header::merit(&header, &window, wanted);
                // A header without the delimiter says nothing for it; commas in the rows below must not become text.
                let is_in_header = header.names.len() > 1 || delimiter == Delimiter::Comma;
                if header.row > 0 && is_in_header && best.is_none_or(|(most, _)| merit > most) {
                    best = Some((merit, delimiter));
                }
            }
        }
        Ok(best.map_or_else(|| choose_delimiter(&head, &[]), |(_, delimiter)| delimiter))
    }

    /// Hands on every row that has a value.
    pub(super) fn rows(
        &mut self,
        delimiter: Delimiter,
        take: TakeRow<'_>,
    ) -> Result<(), MergeError> {
        let mut text = self.text()?;
        let mut splitter = splitter(delimiter);
        let (mut row, mut chunk) = (Row::default(), Vec::new());
        loop {
            chunk.clear();
            match text.read(&mut chunk)? {
                true => splitter.feed(&chunk),
                false => splitter.finish(),
            }
            if split(&mut splitter, &self.path, &mut row, take)?.is_break() {
                return Ok(());
            }
            if text.has_ended {
                return Ok(());
            }
        }
    }

    fn text(&self) -> Result<Text<'_>, MergeError> {
        let input = self.runtime.block_on(Input::open(self.file.clone()));
        Ok(Text {
            csv: self,
            input: input.map_err(|source| self.unreadable(source))?,
            decoder: TextDecoder::new(),
            has_ended: false,
        })
    }

    fn unreadable(&self, source: InputError) -> MergeError {
        MergeError::Csv {
            path: self.path.clone(),
            source,
        }
    }
}

/// The text of a file, chunk by chunk.
struct Text<'a> {
    csv: &'a CsvFile,
    input: Input<LocalFile>,
    decoder: TextDecoder,
    has_ended: bool,
}

impl Text<'_> {
    /// Appends the next of it; false at the end.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, MergeError> {
        if self.has_ended {
            return Ok(false);
        }
        let chunk = self.csv.runtime.block_on(self.input.next_chunk());
        let chunk = chunk.map_err(|source| self.csv.unreadable(source))?;
        let raw_bytes = self.input.raw_bytes().get();
        self.csv.bytes_read.set(raw_bytes);
        match chunk {
            Some(chunk) => self.decoder.decode(&chunk, out),
            None if self.decoder.is_finished() => self.has_ended = true,
            None => self.decoder.finish(out),
        }
        Ok(!self.has_ended)
    }
}

fn splitter(delimiter: Delimiter) -> Splitter {
    let start = Position {
        line: 1,
        byte_offset: 0,
    };
    // The encoding matters for byte offsets alone, which are not used here.
    Splitter::new(delimiter, Encoding::Utf8, start, Limits::default())
}

/// Hands on the rows that the splitter has. `row.gap` counts across calls.
fn split(
    splitter: &mut Splitter,
    path: &Path,
    row: &mut Row,
    take: TakeRow<'_>,
) -> Result<ControlFlow<()>, MergeError> {
    let mut gap = row.gap;
    loop {
        match splitter.next() {
            Split::Row(record) => {
                row.begin(record.position.line);
                for (column, field) in record.fields().enumerate() {
                    row.push(column, Content::Text(field), None);
                }
                if row.is_empty() {
                    gap += 1;
                    continue;
                }
                row.gap = gap;
                gap = 0;
                if take(row)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Split::Broken(record) => {
                return Err(MergeError::BrokenRecord {
                    place: Place::sheet(path, None)
                        .row(record.position.line)
                        .to_string(),
                    reason: record.reason(),
                });
            }
            Split::NeedMore | Split::End => {
                row.gap = gap;
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}
