//! The lines of an object in DynamoDB JSON, as an export has them: `{"Item":{…}}`.

use std::io;

use memchr::memchr;
use records::{Item, MAX_DEPTH, Value, item_from_dynamodb_json, item_size};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::cell::{Cell, cell_of_value};
use super::findings::Kind;
use super::intake::Intake;
use crate::change_log::MAX_LINE_BYTES;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "Item", borrow)]
    item: &'a RawValue,
}

/// Reads one object.
#[derive(Debug, Default)]
pub(super) struct JsonScan {
    buffer: Vec<u8>,
    line: u64,
    cells: Vec<Cell>,
}

impl JsonScan {
    /// Takes the next bytes of the object, none at its end. Returns whether more are wanted.
    pub(super) fn feed(&mut self, chunk: Option<&[u8]>, intake: &mut Intake) -> io::Result<bool> {
        let Some(mut chunk) = chunk else {
            let last = std::mem::take(&mut self.buffer);
            self.take(&last, intake)?;
            return Ok(false);
        };
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(end);
            match self.buffer.is_empty() {
                true => self.take(line, intake)?,
                false => {
                    let mut whole = std::mem::take(&mut self.buffer);
                    whole.extend_from_slice(line);
                    self.take(&whole, intake)?;
                    whole.clear();
                    self.buffer = whole;
                }
            }
            chunk = &rest[1..];
        }
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() > MAX_LINE_BYTES {
            intake.reject(Kind::NotAnItem, self.line + 1, || {
                format!("the line is longer than {MAX_LINE_BYTES} bytes; the rest is not read")
            });
            self.buffer = Vec::new();
            return Ok(false);
        }
        Ok(true)
    }

    fn take(&mut self, line: &[u8], intake: &mut Intake) -> io::Result<()> {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match item_of(line) {
            Err(reason) => {
                intake.reject(Kind::NotAnItem, self.line, || reason);
                Ok(())
            }
            Ok(item) => {
                self.cells.clear();
                for key in &intake.plan.attributes {
                    self.cells
                        .push(cell_of_value(key.kind, item.get(&key.name)));
                }
                intake.take(self.line, item_size(&item), &self.cells)
            }
        }
    }
}

fn item_of(line: &[u8]) -> Result<Item, String> {
    let expected = |error: &dyn std::fmt::Display| {
        format!("{error}: expected {{\"Item\":{{…}}}} in DynamoDB JSON")
    };
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| expected(&error))?;
    let item = item_from_dynamodb_json(line.item.get()).map_err(|error| expected(&error))?;
    match item.values().find_map(flaw) {
        Some(flaw) => Err(flaw),
        None => Ok(item),
    }
}

/// What DynamoDB refuses of a value that is well written.
fn flaw(value: &Value) -> Option<String> {
    if value.depth() > MAX_DEPTH {
        return Some(format!("a value is nested deeper than {MAX_DEPTH} levels"));
    }
    let empty_set = || Some("a set is empty: expected at least one member".to_owned());
    match value {
        Value::Ss(members) if members.is_empty() => empty_set(),
        Value::Ns(members) if members.is_empty() => empty_set(),
        Value::Bs(members) if members.is_empty() => empty_set(),
        Value::L(elements) => elements.iter().find_map(flaw),
        Value::M(members) => members.values().find_map(flaw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dynamodb_takes_is_an_item() {
        assert!(item_of(br#"{"Item":{"id":{"S":"1"},"l":{"L":[{"SS":["a"]}]}}}"#).is_ok());
        let nested = format!(
            r#"{{"Item":{{"l":{}{}}}}}"#,
            r#"{"L":["#.repeat(33),
            "]}".repeat(33)
        );
        let cases = [
            (r#"{"id":{"S":"1"}}"#, "unknown field `id`"),
            (r#"{"Item":{"id":{"S":"1"}}} x"#, "trailing characters"),
            (r#"{"Item":{"id":"1"}}"#, "expected a DynamoDB value"),
            (r#"{"Item":{"id":{"N":"x"}}}"#, "not a number"),
            (r#"{"Item":{"a":{"M":{"b":{"NS":[]}}}}}"#, "a set is empty"),
            (&nested, "deeper than 32"),
        ];
        for (line, wanted) in cases {
            let reason = item_of(line.as_bytes()).unwrap_err();
            assert!(reason.contains(wanted), "{line}: {reason}");
        }
    }
}
