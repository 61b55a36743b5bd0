//! One row into one item: DynamoDB JSON for the table, plain JSON for the backup, and the key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parse::ColumnType;
use super::plan::{Attribute, Column, RowPlan, ShardColumn};
use crate::csv::Record;
use crate::number::{Number, number_size};
use crate::table::{check_key_len, write_canonical_part};
use crate::value::{MAX_DEPTH, MAX_ITEM_BYTES, Value, write_string};

/// Where an encoded row goes; reused from row to row.
#[derive(Debug, Default)]
pub struct RowBuffer {
    /// The item as DynamoDB JSON: `{"id":{"S":"1"}}`.
    pub item: Vec<u8>,
    /// The item as plain JSON: `{"id":"1"}`.
    pub plain: Vec<u8>,
    /// The canonical key.
    pub key: Vec<u8>,
    key_parts: [Vec<u8>; 2],
    scratch: Vec<u8>,
    text: String,
    size: usize,
}

/// Why a row is no item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The column (or, for what a shard makes, the attribute), if one is to blame.
    pub column: Option<String>,
    /// What is wrong with it and what was expected.
    pub reason: String,
}

impl std::fmt::Display for RowFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column {column}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl RowBuffer {
    fn clear(&mut self) {
        self.item.clear();
        self.plain.clear();
        self.key.clear();
        self.key_parts.iter_mut().for_each(Vec::clear);
        self.size = 0;
    }

    /// `"name":`, with a comma in front unless it is the first.
    fn begin(&mut self, attribute: &Attribute) {
        for out in [&mut self.item, &mut self.plain] {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend_from_slice(&attribute.prefix);
        }
        self.size += attribute.name.len();
    }

    fn string(&mut self, attribute: &Attribute, text: &str) {
        self.begin(attribute);
        let start = self.plain.len();
        write_string(text, &mut self.plain);
        self.item.extend_from_slice(b"{\"S\":");
        self.item.extend_from_slice(&self.plain[start..]);
        self.item.push(b'}');
        self.size += text.len();
    }

    fn number(&mut self, attribute: &Attribute, canonical: &[u8]) {
        self.begin(attribute);
        self.plain.extend_from_slice(canonical);
        self.item.extend_from_slice(b"{\"N\":\"");
        self.item.extend_from_slice(canonical);
        self.item.extend_from_slice(b"\"}");
        self.size += number_size(canonical);
    }

    fn value(&mut self, attribute: &Attribute, value: &Value) {
        self.begin(attribute);
        value.write_dynamodb_json(&mut self.item);
        value.write_plain_json(&mut self.plain);
        self.size += value.size();
    }

    /// Checks a value that is a key of the table or of an index, and keeps a key of the table.
    fn key(&mut self, attribute: &Attribute, bytes: &[u8]) -> Result<(), String> {
        let Some(limit) = attribute.role.max_bytes else { return Ok(()) };
        check_key_len(&attribute.name, bytes.len(), limit).map_err(|error| error.to_string())?;
        if let Some(index) = attribute.role.table_key {
            self.key_parts[index].extend_from_slice(bytes);
        }
        Ok(())
    }
}

impl RowPlan {
    /// Makes the item of a row; what `out` held before is gone. After a fault `out` holds nothing of use.
    pub fn encode(&self, record: &Record<'_>, out: &mut RowBuffer) -> Result<(), RowFault> {
        out.clear();
        if record.len() != self.columns.len() {
            return Err(RowFault {
                column: None,
                reason: format!("the row has {} fields: expected {} as in the header", record.len(), self.columns.len()),
            });
        }
        for (index, column) in self.columns.iter().enumerate() {
            column.encode(record.field(index), out).map_err(|reason| RowFault {
                column: Some(column.name.clone()),
                reason,
            })?;
        }
        for constant in &self.constants {
            out.begin(&constant.attribute);
            out.item.extend_from_slice(&constant.item);
            out.plain.extend_from_slice(&constant.plain);
            // The name is counted by `begin` and in the constant's size.
            out.size += constant.size - constant.attribute.name.len();
            if let Some(index) = constant.attribute.role.table_key {
                out.key_parts[index].extend_from_slice(&constant.key);
            }
        }
        for shard in &self.shards {
            self.encode_shard(shard, record, out).map_err(|reason| RowFault {
                column: Some(shard.attribute.name.clone()),
                reason,
            })?;
        }
        out.item.push(b'}');
        out.plain.push(b'}');
        self.finish_key(out)?;
        if out.size > MAX_ITEM_BYTES {
            return Err(RowFault {
                column: None,
                reason: format!("the item has {} bytes: expected {MAX_ITEM_BYTES} at most", out.size),
            });
        }
        Ok(())
    }

    fn encode_shard(&self, shard: &ShardColumn, record: &Record<'_>, out: &mut RowBuffer) -> Result<(), String> {
        let source = &self.columns[shard.column];
        let cell = source.cell(record.field(shard.column));
        if cell.is_empty() {
            return Err(format!("the column {} is empty: expected a value to compute the shard from", source.name));
        }
        let mut text = std::mem::take(&mut out.text);
        text.clear();
        match source.kind {
            // Readers see the number as the table gives it back.
            ColumnType::N => {
                let number = Number::parse(cell).map_err(|error| error.to_string())?;
                shard.shard.write(number.as_str(), &mut text);
            }
            _ => shard.shard.write(cell, &mut text),
        }
        out.string(&shard.attribute, &text);
        let checked = out.key(&shard.attribute, text.as_bytes());
        out.text = text;
        checked
    }

    /// Every key attribute has a source, but its cell may have been empty.
    fn finish_key(&self, out: &mut RowBuffer) -> Result<(), RowFault> {
        for (index, kind) in self.keys.iter().enumerate() {
            let part = std::mem::take(&mut out.key_parts[index]);
            if part.is_empty() {
                return Err(RowFault {
                    column: self.key_source(index),
                    reason: "the key is empty: expected a value in every key column".to_owned(),
                });
            }
            write_canonical_part(*kind, &part, &mut out.key);
            out.key_parts[index] = part;
        }
        Ok(())
    }

    fn key_source(&self, index: usize) -> Option<String> {
        let is_key = |column: &&Column| {
            column
                .attribute
                .as_ref()
                .is_some_and(|attribute| attribute.role.table_key == Some(index))
        };
        self.columns.iter().find(is_key).map(|column| column.name.clone())
    }
}

impl Column {
    /// The cell, or the default where it is empty.
    fn cell<'a>(&'a self, cell: &'a str) -> &'a str {
        if cell.is_empty() {
            self.default.as_deref().unwrap_or_default()
        } else {
            cell
        }
    }

    fn encode(&self, cell: &str, out: &mut RowBuffer) -> Result<(), String> {
        let Some(attribute) = &self.attribute else { return Ok(()) };
        let cell = self.cell(cell);
        if cell.is_empty() {
            return if self.required {
                Err("the cell is empty: expected a value, since the column is required".to_owned())
            } else {
                Ok(())
            };
        }
        match self.kind {
            ColumnType::S => {
                out.key(attribute, cell.as_bytes())?;
                out.string(attribute, cell);
            }
            ColumnType::N => {
                let mut canonical = std::mem::take(&mut out.scratch);
                canonical.clear();
                Number::write_canonical(cell, &mut canonical).map_err(|error| about(cell, &error.to_string()))?;
                let checked = out.key(attribute, &canonical);
                out.number(attribute, &canonical);
                out.scratch = canonical;
                checked?;
            }
            _ => {
                let Some(value) = self.parse_cell(cell)? else { return Ok(()) };
                if let Value::B(bytes) = &value {
                    out.key(attribute, bytes)?;
                }
                out.value(attribute, &value);
            }
        }
        Ok(())
    }

    /// Checks a cell that is the same for many rows.
    pub(super) fn check_cell(&self, cell: &str) -> Result<(), String> {
        self.parse_cell(cell).map(|_| ())
    }

    /// The value of a cell that is not empty; nothing for a set without members.
    fn parse_cell(&self, cell: &str) -> Result<Option<Value>, String> {
        let members = || cell.split(self.delimiter.as_str()).filter(|member| !member.is_empty());
        Ok(Some(match self.kind {
            ColumnType::S => Value::S(cell.to_owned()),
            ColumnType::N => Value::N(parse_number(cell)?),
            ColumnType::Bool => match cell {
                "1" => Value::Bool(true),
                "0" => Value::Bool(false),
                _ if cell.eq_ignore_ascii_case("true") => Value::Bool(true),
                _ if cell.eq_ignore_ascii_case("false") => Value::Bool(false),
                _ => return Err(about(cell, "not a boolean: expected true, false, 1 or 0")),
            },
            ColumnType::Null if cell.eq_ignore_ascii_case("null") || cell.eq_ignore_ascii_case("true") => Value::Null,
            ColumnType::Null => return Err(about(cell, "not a null: expected null, true or an empty cell")),
            ColumnType::B => match STANDARD.decode(cell) {
                Ok(bytes) => Value::B(bytes),
                Err(error) => return Err(about(cell, &format!("not base64 ({error}): expected standard base64 with padding"))),
            },
            ColumnType::StringSet => match Value::string_set(members().map(str::to_owned)) {
                Value::Ss(members) if members.is_empty() => return Ok(None),
                set => set,
            },
            ColumnType::NumberSet => {
                let numbers: Result<Vec<Number>, String> = members().map(parse_number).collect();
                match Value::number_set(numbers?) {
                    Value::Ns(members) if members.is_empty() => return Ok(None),
                    set => set,
                }
            }
            ColumnType::Json => {
                let value = Value::from_plain_json(cell).map_err(|error| about(cell, &error.to_string()))?;
                if value.depth() > MAX_DEPTH {
                    return Err(format!("nested more than {MAX_DEPTH} levels deep: expected {MAX_DEPTH} at most"));
                }
                value
            }
        }))
    }
}

fn parse_number(text: &str) -> Result<Number, String> {
    Number::parse(text).map_err(|error| about(text, &error.to_string()))
}

/// A reason that begins with the text that it is about, shortened.
fn about(text: &str, reason: &str) -> String {
    const MAX: usize = 60;
    if text.len() <= MAX {
        return format!("{text:?} is {reason}");
    }
    format!("{:?}… is {reason}", &text[..text.floor_char_boundary(MAX)])
}
