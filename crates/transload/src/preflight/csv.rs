//! The rows of a CSV object, as ImportTable would take them.

use std::io;

use records::{
    Delimiter, Encoding, KeyType, Limits, Position, Record, RecordFault, Split, Splitter,
    TextDecoder, choose_delimiter,
};

use super::cell::{Cell, cell_of_text};
use super::findings::Kind;
use super::intake::Intake;
use super::quotes::{Quotes, quotes_of};
use crate::wording::quoted;

/// Bytes within which a header has to end.
const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Reads one object.
pub(super) struct CsvScan {
    decoder: TextDecoder,
    decoded: Vec<u8>,
    /// How many bytes there have to be before a header is looked for again: twice as many as the last time, so that a long one
    /// that comes in small chunks is not read again for each of them.
    next_look: usize,
    state: State,
}

enum State {
    /// The header has not come to its end.
    Head,
    Rows(Box<Rows>),
    /// Nothing more can be read.
    Over,
}

struct Rows {
    splitter: Splitter,
    layout: Layout,
    cells: Vec<Cell>,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) delimiter: Delimiter,
    pub(super) columns: Vec<String>,
    /// For each column the key attribute that it holds.
    keys: Vec<Option<(usize, KeyType)>>,
}

impl CsvScan {
    pub(super) fn new() -> Self {
        Self {
            decoder: TextDecoder::new(),
            decoded: Vec::new(),
            next_look: 0,
            state: State::Head,
        }
    }

    /// Takes the next bytes of the object, none at its end. Returns whether more are wanted.
    pub(super) fn feed(&mut self, chunk: Option<&[u8]>, intake: &mut Intake) -> io::Result<bool> {
        match chunk {
            Some(chunk) => self.decoder.decode(chunk, &mut self.decoded),
            None => self.decoder.finish(&mut self.decoded),
        }
        let look = chunk.is_none() || self.decoded.len() >= self.next_look;
        if let (State::Head, true) = (&self.state, look) {
            self.next_look = 2 * self.decoded.len();
            self.state = self.open(chunk.is_none(), intake);
        }
        match &mut self.state {
            State::Head => Ok(true),
            State::Over => Ok(false),
            State::Rows(rows) => {
                rows.splitter.feed(&self.decoded);
                self.decoded.clear();
                if chunk.is_none() {
                    rows.splitter.finish();
                }
                rows.read(intake)?;
                Ok(true)
            }
        }
    }

    /// What the object says of its columns, once it has.
    pub(super) fn layout(&self) -> Option<&Layout> {
        match &self.state {
            State::Rows(rows) => Some(&rows.layout),
            _ => None,
        }
    }

    fn open(&mut self, at_end: bool, intake: &mut Intake) -> State {
        let wanted: Vec<&str> = intake.plan.table_attributes().collect();
        let delimiter = choose_delimiter(&self.decoded, &wanted);
        let mut splitter = self.splitter(delimiter);
        splitter.feed(&self.decoded);
        if at_end {
            splitter.finish();
        }
        // Without the keys this may be the beginning of another header, cut where the bytes end: look further.
        let decided = at_end || self.decoded.len() >= MAX_HEADER_BYTES;
        let layout = match splitter.next() {
            Split::Row(record) => {
                let columns: Vec<String> = record.fields().map(str::to_owned).collect();
                let complete = wanted
                    .iter()
                    .all(|name| columns.iter().any(|column| column == name));
                match complete || decided {
                    true => Some(Ok(columns)),
                    false => None,
                }
            }
            Split::Broken(record) => Some(Err(record.reason())),
            Split::End => Some(Err("there is no line".to_owned())),
            Split::NeedMore => Some(Err(format!(
                "the first line does not end within {MAX_HEADER_BYTES} bytes"
            ))),
        };
        match layout {
            None => State::Head,
            Some(Err(_)) if !decided => State::Head,
            Some(Err(reason)) => {
                intake.note(Kind::NoHeader, reason);
                State::Over
            }
            Some(Ok(columns)) => {
                self.decoded.clear();
                self.begin(splitter, delimiter, columns, intake)
            }
        }
    }

    fn splitter(&self, delimiter: Delimiter) -> Splitter {
        let encoding = self.decoder.encoding();
        let start = Position {
            line: 1,
            byte_offset: encoding.bom_len(),
        };
        Splitter::new(delimiter, encoding, start, Limits::default())
    }

    /// Begins with the rows; the splitter has given out the header.
    fn begin(
        &self,
        splitter: Splitter,
        delimiter: Delimiter,
        columns: Vec<String>,
        intake: &mut Intake,
    ) -> State {
        match self.decoder.encoding() {
            Encoding::Utf16Le | Encoding::Utf16Be => intake.note(Kind::Utf16, "UTF-16"),
            Encoding::Utf8Bom => intake.note(Kind::ByteOrderMark, "UTF-8 with a byte-order mark"),
            Encoding::Utf8 => {}
        }
        check_names(&columns, intake);
        let missing: Vec<String> = intake
            .plan
            .table_attributes()
            .filter(|name| columns.iter().all(|column| column != name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !missing.is_empty() {
            let detail = format!(
                "no column {} among {}",
                missing.join(" and "),
                quoted(columns.iter().map(String::as_str))
            );
            intake.note(Kind::NoKeyColumn, detail);
            return State::Over;
        }
        let attributes = &intake.plan.attributes;
        let keys = columns
            .iter()
            .map(|column| {
                let index = attributes.iter().position(|key| key.name == *column)?;
                Some((index, attributes[index].kind))
            })
            .collect();
        let rows = Rows {
            splitter,
            layout: Layout {
                delimiter,
                columns,
                keys,
            },
            cells: vec![Cell::Absent; attributes.len()],
        };
        State::Rows(Box::new(rows))
    }
}

impl Rows {
    fn read(&mut self, intake: &mut Intake) -> io::Result<()> {
        loop {
            match self.splitter.next() {
                Split::Row(record) => take(&record, &self.layout, &mut self.cells, intake)?,
                Split::Broken(record) => {
                    let column = match record.fault {
                        RecordFault::InvalidUtf8 { column } => self.layout.columns.get(column),
                        RecordFault::UnclosedQuote | RecordFault::TooLong { .. } => None,
                    };
                    intake.reject(Kind::BrokenRow, record.position.line, || match column {
                        Some(column) => format!("{} (column {column:?})", record.reason()),
                        None => record.reason(),
                    });
                }
                Split::NeedMore | Split::End => return Ok(()),
            }
        }
    }
}

fn take(
    record: &Record<'_>,
    layout: &Layout,
    cells: &mut [Cell],
    intake: &mut Intake,
) -> io::Result<()> {
    let line = record.position.line;
    match quotes_of(record.raw, layout.delimiter.byte()) {
        Quotes::Plain => {}
        Quotes::LineBreak => intake.note_row(Kind::LineBreak, line, || {
            "a line break between quotes".to_owned()
        }),
        Quotes::Loose => {
            intake.reject(Kind::LooseQuote, line, || {
                "a quote inside a field: expected \"\" inside a field between quotes".to_owned()
            });
            return Ok(());
        }
    }
    if record.len() != layout.columns.len() {
        intake.reject(Kind::FieldCount, line, || {
            format!(
                "the row has {} fields, the header has {}",
                record.len(),
                layout.columns.len()
            )
        });
        return Ok(());
    }
    cells.fill(Cell::Absent);
    let mut size = 0;
    for (index, text) in record.fields().enumerate() {
        let column = &layout.columns[index];
        if text.is_empty() {
            // "Empty columns are omitted": the item has no attribute for them.
            intake.note_row(Kind::EmptyCells, line, || format!("column {column:?}"));
            continue;
        }
        size += column.len();
        match layout.keys[index] {
            None => size += text.len(),
            Some((key, kind)) => {
                cells[key] = cell_of_text(kind, text);
                size += match &cells[key] {
                    Cell::Good(value) => value.size(),
                    _ => text.len(),
                };
            }
        }
    }
    intake.take(line, size, cells)
}

/// Each column needs a name of its own.
fn check_names(columns: &[String], intake: &mut Intake) {
    let mut seen = std::collections::HashMap::new();
    for (index, name) in columns.iter().enumerate() {
        let number = index + 1;
        if name.is_empty() {
            intake.note(Kind::UnnamedColumn, format!("column {number} has no name"));
        } else if let Some(first) = seen.insert(name, number) {
            intake.note(
                Kind::RepeatedColumn,
                format!("columns {first} and {number} are both called {name:?}"),
            );
        }
    }
}
