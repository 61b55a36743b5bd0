//! Rows of an input file, cut into runs and blocks.

use bulk_writer::{Run, RunBuilder, SettledRun};
use records::{
    BrokenRecord, Delimiter, Encoding, Limits, Position, Record, RecordFault, RowBuffer,
    RowMapping, RowPlan, Split, Splitter, TableShape, TextDecoder, choose_delimiter,
};
use serde::Serialize;

use crate::input::{Input, InputError, Source};
use crate::job::{Checkpoint, RowCounts};

/// Most bytes of the header.
const MAX_HEADER_BYTES: usize = 256 * 1024;
/// Most columns: each needs some memory for as long as the file is read.
const MAX_COLUMNS: usize = 10_000;

/// Why an input has no readable rows at all.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The bytes cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file is empty.
    #[error("the file has no header: expected a first line with the names of the columns")]
    NoHeader,
    /// The first line is not readable.
    #[error(
        "the header cannot be read: {0}: expected one line of column names in UTF-8, or in UTF-16 with a byte order mark"
    )]
    Unreadable(String),
    /// The header is longer than one can be.
    #[error(
        "the header does not end, or has too many columns: expected {MAX_HEADER_BYTES} bytes and {MAX_COLUMNS} columns at most"
    )]
    TooLarge,
    /// Header, mapping and table do not fit together.
    #[error(transparent)]
    Plan(#[from] records::PlanError),
}

/// Reads rows, maps them and cuts them into runs.
pub struct RowReader {
    decoder: TextDecoder,
    decoded: Vec<u8>,
    encoding: Encoding,
    delimiter: Delimiter,
    splitter: Splitter,
    plan: RowPlan,
    builder: RunBuilder,
    lines: RunLines,
    buffer: RowBuffer,
    block_rows: u64,
    block: u64,
    rows_in_block: u64,
    rows_read: u64,
}

/// What [`RowReader::next_run`] comes back with.
pub enum Step {
    /// A run is complete.
    Run(Run<RunLines>),
    /// More bytes are needed.
    NeedMore,
    /// There are no more rows.
    End,
}

/// The backup lines and the rejects of a run, kept until it has settled.
#[derive(Debug, Default)]
pub struct RunLines {
    rows: u64,
    backup: Vec<u8>,
    raw: Vec<u8>,
    accepted: Vec<AcceptedRow>,
    /// Encoded reject lines, each with the number of accepted rows before it.
    rejects: Vec<(usize, Vec<u8>)>,
    block_end: Option<Checkpoint>,
}

#[derive(Debug)]
struct AcceptedRow {
    backup_end: usize,
    raw_end: usize,
    position: Position,
}

/// A settled run, as it is to be recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordedRun {
    /// JSON lines of the accepted rows, in file order.
    pub backup: Vec<u8>,
    /// JSON lines of the rejected rows, in file order.
    pub unprocessed: Vec<u8>,
    /// What became of the rows.
    pub counts: RowCounts,
    /// Set on the last run of a block: where the next block begins.
    pub block_end: Option<Checkpoint>,
}

/// One line of an unprocessed part.
#[derive(Serialize)]
struct RejectLine<'a> {
    line: u64,
    byte_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'a str>,
    reason: &'a str,
    /// The record's text as it is in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a str>,
    /// The same where it is not valid UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_base64: Option<String>,
    /// Bytes of the whole record, where only its beginning is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_bytes: Option<u64>,
}

impl RowReader {
    /// Reads the header and plans the rows. Gives back the input, whose first bytes are with the reader.
    pub async fn open<S: Source>(
        mut input: Input<S>,
        mapping: &RowMapping,
        table: &TableShape,
        block_rows: u64,
    ) -> Result<(Self, Input<S>), HeaderError> {
        let mut decoder = TextDecoder::new();
        let mut head = Vec::new();
        let wanted = mapping.wanted_columns(table);
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let (delimiter, splitter, plan) = loop {
            let at_end = match input.next_chunk().await? {
                Some(chunk) => {
                    decoder.decode(&chunk, &mut head);
                    false
                }
                None => {
                    decoder.finish(&mut head);
                    true
                }
            };
            let delimiter = choose_delimiter(&head, &wanted);
            let mut splitter = splitter_at_start(delimiter, decoder.encoding(), &head, at_end);
            // Without the key columns this may be another header's beginning, cut where the bytes end: look further.
            let decided = at_end || head.len() > MAX_HEADER_BYTES;
            match splitter.next() {
                Split::Row(record) => {
                    let header: Vec<&str> = record.fields().collect();
                    if decided || wanted.iter().all(|name| header.contains(name)) {
                        check_size(record.raw.len(), header.len())?;
                        let plan = RowPlan::new(mapping, &header, table)?;
                        break (delimiter, splitter, plan);
                    }
                }
                Split::Broken(record) if decided => {
                    return Err(HeaderError::Unreadable(record.reason()));
                }
                Split::End if at_end => return Err(HeaderError::NoHeader),
                _ if decided => return Err(HeaderError::TooLarge),
                _ => {}
            }
        };
        let encoding = decoder.encoding();
        let reader = Self {
            decoder,
            decoded: Vec::new(),
            encoding,
            delimiter,
            splitter,
            plan,
            builder: RunBuilder::default(),
            lines: RunLines::default(),
            buffer: RowBuffer::default(),
            block_rows,
            block: 0,
            rows_in_block: 0,
            rows_read: 0,
        };
        Ok((reader, input))
    }

    /// Goes on at a checkpoint instead of at the first row.
    pub async fn resume<S: Source>(
        mut self,
        input: Input<S>,
        checkpoint: Checkpoint,
    ) -> Result<(Self, Input<S>), InputError> {
        let position = Position {
            line: checkpoint.line,
            byte_offset: checkpoint.byte_offset,
        };
        self.decoder = TextDecoder::resume(self.encoding);
        self.splitter = Splitter::new(self.delimiter, self.encoding, position, Limits::default());
        self.block = checkpoint.block;
        let input = input.go_to(checkpoint.byte_offset).await?;
        Ok((self, input))
    }

    /// Adds bytes of the file.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.decoded.clear();
        self.decoder.decode(chunk, &mut self.decoded);
        self.splitter.feed(&self.decoded);
    }

    /// The file ends here.
    pub fn finish(&mut self) {
        self.decoded.clear();
        self.decoder.finish(&mut self.decoded);
        self.splitter.feed(&self.decoded);
        self.splitter.finish();
    }

    /// Rows read so far, the ones of the unfinished run among them.
    pub fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// The next complete run, as far as the bytes reach.
    pub fn next_run(&mut self) -> Step {
        loop {
            match self.splitter.next() {
                Split::Row(record) => {
                    let weight = accept_or_reject(
                        &record,
                        &self.plan,
                        &mut self.buffer,
                        &mut self.builder,
                        &mut self.lines,
                    );
                    self.builder.count(weight);
                }
                Split::Broken(record) => {
                    let line = broken_line(&record, &self.plan);
                    self.builder.count(line.len());
                    self.lines.reject(line);
                }
                Split::NeedMore => return Step::NeedMore,
                Split::End => return self.last_run().map_or(Step::End, Step::Run),
            }
            self.rows_read += 1;
            self.rows_in_block += 1;
            if self.rows_in_block == self.block_rows {
                return Step::Run(self.close_run(true));
            }
            if self.builder.is_full() {
                return Step::Run(self.close_run(false));
            }
        }
    }

    /// What is left when no further rows come; it ends its block. Nothing if the last block has ended already.
    pub fn last_run(&mut self) -> Option<Run<RunLines>> {
        (self.rows_in_block > 0).then(|| self.close_run(true))
    }

    fn close_run(&mut self, ends_block: bool) -> Run<RunLines> {
        // The next run will be about as large; growing by doubling would hold twice its memory.
        let next = RunLines {
            backup: Vec::with_capacity(self.lines.backup.len()),
            raw: Vec::with_capacity(self.lines.raw.len()),
            accepted: Vec::with_capacity(self.lines.accepted.len()),
            ..RunLines::default()
        };
        let mut lines = std::mem::replace(&mut self.lines, next);
        if ends_block {
            self.block += 1;
            self.rows_in_block = 0;
            let position = self.splitter.position();
            lines.block_end = Some(Checkpoint {
                block: self.block,
                line: position.line,
                byte_offset: position.byte_offset,
            });
        }
        self.builder.finish(lines)
    }
}

fn splitter_at_start(
    delimiter: Delimiter,
    encoding: Encoding,
    head: &[u8],
    whole: bool,
) -> Splitter {
    let start = Position {
        line: 1,
        byte_offset: encoding.bom_len(),
    };
    let mut splitter = Splitter::new(delimiter, encoding, start, Limits::default());
    splitter.feed(head);
    if whole {
        splitter.finish();
    }
    splitter
}

fn check_size(bytes: usize, columns: usize) -> Result<(), HeaderError> {
    if bytes > MAX_HEADER_BYTES || columns > MAX_COLUMNS {
        return Err(HeaderError::TooLarge);
    }
    Ok(())
}

/// Returns what the row weighs in memory, in bytes.
fn accept_or_reject(
    record: &Record<'_>,
    plan: &RowPlan,
    buffer: &mut RowBuffer,
    builder: &mut RunBuilder,
    lines: &mut RunLines,
) -> usize {
    buffer.clear();
    match plan.encode(record, buffer) {
        Ok(_) => {
            builder.accept(&buffer.item, &buffer.key);
            lines.accept(record, &buffer.plain);
            buffer.item.len() + buffer.key.len() + buffer.plain.len() + record.raw.len()
        }
        Err(fault) => {
            let line = reject_line(
                record.position,
                fault.column.as_deref(),
                &fault.reason,
                record.raw,
                None,
            );
            let weight = line.len();
            lines.reject(line);
            weight
        }
    }
}

impl RunLines {
    fn accept(&mut self, record: &Record<'_>, plain: &[u8]) {
        self.rows += 1;
        self.backup.extend_from_slice(plain);
        self.backup.push(b'\n');
        self.raw.extend_from_slice(record.raw);
        self.accepted.push(AcceptedRow {
            backup_end: self.backup.len(),
            raw_end: self.raw.len(),
            position: record.position,
        });
    }

    fn reject(&mut self, line: Vec<u8>) {
        self.rows += 1;
        self.rejects.push((self.accepted.len(), line));
    }

    fn bounds(&self, index: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (backup_start, raw_start) = match index.checked_sub(1) {
            Some(before) => (
                self.accepted[before].backup_end,
                self.accepted[before].raw_end,
            ),
            None => (0, 0),
        };
        let row = &self.accepted[index];
        (backup_start..row.backup_end, raw_start..row.raw_end)
    }
}

/// The lines and counts of a settled run. Rows that DynamoDB refused move from the backup to the rejects, in file order.
pub fn record_run(settled: SettledRun<RunLines>) -> RecordedRun {
    let SettledRun {
        tag: mut lines,
        written,
        superseded,
        refused,
    } = settled;
    let mut backup = std::mem::take(&mut lines.backup);
    let mut rejects = std::mem::take(&mut lines.rejects);
    for row in refused.iter().rev() {
        let (backup_range, raw_range) = lines.bounds(row.index);
        backup.drain(backup_range);
        let line = reject_line(
            lines.accepted[row.index].position,
            None,
            &format!("DynamoDB refused the item: {}", row.reason),
            &lines.raw[raw_range],
            None,
        );
        let place = rejects.partition_point(|(before, _)| *before <= row.index);
        rejects.insert(place, (row.index, line));
    }
    RecordedRun {
        backup,
        counts: RowCounts {
            read: lines.rows,
            written,
            superseded,
            rejected: rejects.len() as u64,
        },
        unprocessed: rejects.into_iter().flat_map(|(_, line)| line).collect(),
        block_end: lines.block_end,
    }
}

fn broken_line(record: &BrokenRecord<'_>, plan: &RowPlan) -> Vec<u8> {
    let kept = record.raw.len() as u64;
    let column = match record.fault {
        RecordFault::InvalidUtf8 { column } => plan.column_name(column),
        RecordFault::UnclosedQuote | RecordFault::TooLong { .. } => None,
    };
    reject_line(
        record.position,
        column,
        &record.reason(),
        record.raw,
        (kept < record.raw_len).then_some(record.raw_len),
    )
}

fn reject_line(
    position: Position,
    column: Option<&str>,
    reason: &str,
    raw: &[u8],
    row_bytes: Option<u64>,
) -> Vec<u8> {
    let text = std::str::from_utf8(raw).ok();
    let line = RejectLine {
        line: position.line,
        byte_offset: position.byte_offset,
        column,
        reason,
        row: text,
        row_base64: text.is_none().then(|| records::base64_text(raw)),
        row_bytes,
    };
    let mut encoded =
        serde_json::to_vec(&line).expect("a struct of texts and numbers can be encoded");
    encoded.push(b'\n');
    encoded
}
