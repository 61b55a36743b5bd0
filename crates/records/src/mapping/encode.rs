use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parse::ColumnType;
use super::plan::{Attribute, Column, KeySource, RowPlan, Shard};
use crate::csv::Record;
use crate::json::write_string;
use crate::number::{Number, number_size};
use crate::size::MAX_ITEM_BYTES;
use crate::table::{KeyType, push_part};
use crate::value::Value;

/// Encoded rows, one behind the other.
#[derive(Debug, Default)]
pub struct RowBuffer {
    /// Items as DynamoDB JSON.
    pub item: Vec<u8>,
    /// Items as plain JSON.
    pub plain: Vec<u8>,
    /// Canonical keys.
    pub key: Vec<u8>,
    /// Where cells are decoded.
    scratch: Vec<u8>,
}

impl RowBuffer {
    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(&EncodedRow {
            item: 0..0,
            plain: 0..0,
            key: 0..0,
        });
    }

    /// Forgets a row and what is behind it.
    fn truncate(&mut self, row: &EncodedRow) {
        self.item.truncate(row.item.start);
        self.plain.truncate(row.plain.start);
        self.key.truncate(row.key.start);
    }

    /// What lies behind the row that begins where `row` does.
    fn end(&self, row: EncodedRow) -> EncodedRow {
        EncodedRow {
            item: row.item.start..self.item.len(),
            plain: row.plain.start..self.plain.len(),
            key: row.key.start..self.key.len(),
        }
    }
}

/// Where an encoded row is in its [`RowBuffer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRow {
    /// The item as a DynamoDB JSON object.
    pub item: Range<usize>,
    /// The item as a plain JSON object, without a line ending.
    pub plain: Range<usize>,
    /// The canonical key, as [`crate::TableShape::canonical_key`] has it.
    pub key: Range<usize>,
}

/// Why a row is no item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The column, or the attribute that no column gives, that is to blame.
    pub column: Option<String>,
    /// What is wrong, without the row's contents.
    pub reason: String,
}

impl fmt::Display for RowFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(formatter, "column {column:?}: {}", self.reason),
            None => formatter.write_str(&self.reason),
        }
    }
}

impl std::error::Error for RowFault {}

/// What is wrong with a cell.
type CellFault = Cow<'static, str>;

impl RowPlan {
    /// Appends a row to the buffers, or says why it is no item and leaves them as they were.
    pub fn encode(&self, record: &Record<'_>, out: &mut RowBuffer) -> Result<EncodedRow, RowFault> {
        let begin = EncodedRow {
            item: out.item.len()..out.item.len(),
            plain: out.plain.len()..out.plain.len(),
            key: out.key.len()..out.key.len(),
        };
        match self.encode_row(record, out, &begin) {
            Ok(()) => Ok(out.end(begin)),
            Err(fault) => {
                out.truncate(&begin);
                Err(fault)
            }
        }
    }

    fn encode_row(
        &self,
        record: &Record<'_>,
        out: &mut RowBuffer,
        begin: &EncodedRow,
    ) -> Result<(), RowFault> {
        self.check_fields(record)?;
        let mut size = self.constants_size;
        for (index, column) in self.columns.iter().enumerate() {
            size += column
                .encode(record.field(index), out)
                .map_err(|reason| column.fault(reason))?;
        }
        for constant in &self.constants {
            out.item.extend_from_slice(&constant.item);
            out.plain.extend_from_slice(&constant.plain);
        }
        self.push_key(&self.partition, record, out)?;
        if let Some(sort) = &self.sort {
            self.push_key(sort, record, out)?;
        }
        for shard in &self.shards {
            size += self.encode_shard(shard, record, out)?;
        }
        if size > MAX_ITEM_BYTES {
            return Err(RowFault {
                column: None,
                reason: format!("the item has {size} bytes; DynamoDB takes {MAX_ITEM_BYTES}"),
            });
        }
        // Every member began with a comma; there is at least one, the key.
        out.item[begin.item.start] = b'{';
        out.item.push(b'}');
        out.plain[begin.plain.start] = b'{';
        out.plain.push(b'}');
        Ok(())
    }

    fn check_fields(&self, record: &Record<'_>) -> Result<(), RowFault> {
        match record.len() == self.columns.len() {
            true => Ok(()),
            false => Err(RowFault {
                column: None,
                reason: format!(
                    "the row has {} fields, the header has {}",
                    record.len(),
                    self.columns.len()
                ),
            }),
        }
    }

    fn push_key(
        &self,
        source: &KeySource,
        record: &Record<'_>,
        out: &mut RowBuffer,
    ) -> Result<(), RowFault> {
        match source {
            KeySource::Constant(part) => out.key.extend_from_slice(part),
            KeySource::Column(index) => {
                let column = &self.columns[*index];
                column.push_key(column.text(record.field(*index)), out);
            }
            KeySource::Shard(index) => {
                let shard = &self.shards[*index];
                self.compute_shard(shard, record, &mut out.scratch)?;
                push_part(KeyType::S, &out.scratch, &mut out.key);
            }
        }
        Ok(())
    }

    /// Returns the attribute's size.
    fn encode_shard(
        &self,
        shard: &Shard,
        record: &Record<'_>,
        out: &mut RowBuffer,
    ) -> Result<usize, RowFault> {
        let mut text = std::mem::take(&mut out.scratch);
        let written = self.compute_shard(shard, record, &mut text).and_then(|()| {
            let text = std::str::from_utf8(&text).expect("a shard is made of texts");
            check_key_len(&shard.attribute, text.len())
                .map_err(|reason| self.columns[shard.from].fault(reason))?;
            write_text(&shard.attribute, text, out);
            Ok(shard.attribute.name_len + text.len())
        });
        out.scratch = text;
        written
    }

    /// Puts the shard's text into `out`, in place of what is there.
    fn compute_shard(
        &self,
        shard: &Shard,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowFault> {
        let column = &self.columns[shard.from];
        let cell = column.text(record.field(shard.from));
        if cell.is_empty() {
            return Err(column.fault("the cell is empty, and a shard is computed from it".into()));
        }
        out.clear();
        let canonical;
        let value = match column.kind {
            ColumnType::N => {
                canonical =
                    Number::parse(cell).map_err(|error| column.fault(error.to_string().into()))?;
                canonical.as_str()
            }
            _ => cell,
        };
        let number = crc32fast::hash(value.as_bytes()) % shard.count;
        shard.format.write(number, value, out);
        Ok(())
    }
}

impl Column {
    fn fault(&self, reason: CellFault) -> RowFault {
        RowFault {
            column: Some(self.name.clone()),
            reason: reason.into_owned(),
        }
    }

    /// The cell, or the default of an empty one.
    fn text<'a>(&'a self, cell: &'a str) -> &'a str {
        match &self.default {
            Some(default) if cell.is_empty() => default,
            _ => cell,
        }
    }

    /// Returns the attribute's size.
    #[inline]
    fn encode(&self, cell: &str, out: &mut RowBuffer) -> Result<usize, CellFault> {
        let Some(attribute) = &self.attribute else {
            return Ok(0);
        };
        let text = self.text(cell);
        if text.is_empty() {
            return match (&attribute.key, self.required) {
                (Some(key), _) if key.of_table => {
                    Err(format!("the cell is empty, and it is {}", key.role).into())
                }
                (_, true) => Err("the cell is empty, and the column is required".into()),
                _ => Ok(0),
            };
        }
        match self.kind {
            ColumnType::S => {
                check_key_len(attribute, text.len())?;
                write_text(attribute, text, out);
                Ok(attribute.name_len + text.len())
            }
            ColumnType::N => write_number(attribute, text, out),
            _ => self.encode_other(attribute, text, out),
        }
    }

    fn encode_other(
        &self,
        attribute: &Attribute,
        text: &str,
        out: &mut RowBuffer,
    ) -> Result<usize, CellFault> {
        if self.kind == ColumnType::B {
            decode_base64(text, &mut out.scratch)?;
            let size = out.scratch.len();
            check_key_len(attribute, size)?;
            write_text(attribute, text, out);
            return Ok(attribute.name_len + size);
        }
        let Some(value) = parse_cell(self.kind, &self.delimiter, text)? else {
            return match self.required {
                true => Err("the set is empty, and the column is required".into()),
                false => Ok(0),
            };
        };
        out.item.extend_from_slice(&attribute.member);
        value.write_dynamodb_json(&mut out.item);
        out.plain.extend_from_slice(&attribute.member);
        value.write_plain_json(&mut out.plain);
        Ok(attribute.name_len + value.size())
    }

    /// Appends the part of the canonical key that a cell gives, which has been encoded before.
    fn push_key(&self, text: &str, out: &mut RowBuffer) {
        match self.kind {
            ColumnType::N => {
                out.scratch.clear();
                Number::write_canonical(text, &mut out.scratch)
                    .expect("the cell was encoded as a number");
                push_part(KeyType::N, &out.scratch, &mut out.key);
            }
            ColumnType::B => {
                decode_base64(text, &mut out.scratch).expect("the cell was encoded as base64");
                push_part(KeyType::B, &out.scratch, &mut out.key);
            }
            _ => push_part(KeyType::S, text.as_bytes(), &mut out.key),
        }
    }
}

/// Whether a cell can be of a type.
pub(crate) fn check_cell(kind: ColumnType, delimiter: &str, text: &str) -> Result<(), String> {
    let checked = match kind {
        ColumnType::S => Ok(()),
        ColumnType::N => Number::parse(text)
            .map(drop)
            .map_err(|error| error.to_string().into()),
        ColumnType::B => decode_base64(text, &mut Vec::new()),
        _ => match parse_cell(kind, delimiter, text) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the set is empty".into()),
            Err(fault) => Err(fault),
        },
    };
    checked.map_err(Cow::into_owned)
}

/// The value of a cell of one of the rarer types; none if it is an empty set.
fn parse_cell(kind: ColumnType, delimiter: &str, text: &str) -> Result<Option<Value>, CellFault> {
    // Parsing needs many times the memory of the text; what is twice as long as an item may be is none.
    if text.len() > 2 * MAX_ITEM_BYTES {
        return Err(format!(
            "the cell has {} bytes; an item has {MAX_ITEM_BYTES} at most",
            text.len()
        )
        .into());
    }
    let elements = || text.split(delimiter).filter(|element| !element.is_empty());
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match kind {
        ColumnType::Bool if text == "1" || is("true") => Ok(Some(Value::Bool(true))),
        ColumnType::Bool if text == "0" || is("false") => Ok(Some(Value::Bool(false))),
        ColumnType::Bool => Err("not true, false, 1 or 0".into()),
        ColumnType::Null if is("null") || is("true") => Ok(Some(Value::Null)),
        ColumnType::Null => Err("not null, true or empty".into()),
        ColumnType::Ss => {
            let set: Vec<String> = elements().map(str::to_owned).collect();
            Ok((!set.is_empty()).then(|| Value::string_set(set)))
        }
        ColumnType::Ns => {
            let set: Vec<Number> = elements()
                .map(Number::parse)
                .collect::<Result<_, _>>()
                .map_err(|error| format!("an element of the set is refused: {error}"))?;
            Ok((!set.is_empty()).then(|| Value::number_set(set)))
        }
        ColumnType::Json => Value::from_plain_json(text)
            .map(Some)
            .map_err(|error| format!("not a JSON value that DynamoDB can hold: {error}").into()),
        ColumnType::S | ColumnType::N | ColumnType::B => {
            unreachable!("these are encoded from their text")
        }
    }
}

#[inline]
fn check_key_len(attribute: &Attribute, len: usize) -> Result<(), CellFault> {
    match &attribute.key {
        Some(key) if len > key.max_bytes => Err(format!(
            "the value has {len} bytes, and {} has at most {}",
            key.role, key.max_bytes
        )
        .into()),
        _ => Ok(()),
    }
}

/// Appends a value that is a JSON string in both forms.
#[inline]
fn write_text(attribute: &Attribute, text: &str, out: &mut RowBuffer) {
    out.item.extend_from_slice(&attribute.tagged_member);
    let start = out.item.len();
    write_string(text, &mut out.item);
    out.plain.extend_from_slice(&attribute.member);
    out.plain.extend_from_slice(&out.item[start..]);
    out.item.push(b'}');
}

fn write_number(
    attribute: &Attribute,
    text: &str,
    out: &mut RowBuffer,
) -> Result<usize, CellFault> {
    out.item.extend_from_slice(&attribute.tagged_member);
    out.item.push(b'"');
    let start = out.item.len();
    Number::write_canonical(text, &mut out.item).map_err(|error| error.to_string())?;
    let canonical = &out.item[start..];
    let size = number_size(canonical);
    out.plain.extend_from_slice(&attribute.member);
    out.plain.extend_from_slice(canonical);
    out.item.extend_from_slice(b"\"}");
    Ok(attribute.name_len + size)
}

/// Puts the bytes of standard, padded base64 into `out`, in place of what is there.
fn decode_base64(text: &str, out: &mut Vec<u8>) -> Result<(), CellFault> {
    out.clear();
    STANDARD
        .decode_vec(text, out)
        .map_err(|error| format!("not standard base64: {error}").into())
}
