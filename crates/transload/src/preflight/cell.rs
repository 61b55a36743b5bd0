//! What a row says of the keys of a table and its indexes.

use records::{KeyType, Value};

/// What a row says of a key attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// Nothing, or an empty cell.
    Absent,
    /// A value of the attribute's type.
    Good(Value),
    /// Something else, described without its contents.
    Bad(String),
}

/// A cell of text as a value of a key.
pub(super) fn cell_of_text(kind: KeyType, text: &str) -> Cell {
    if text.is_empty() {
        return Cell::Absent;
    }
    match kind {
        KeyType::S => Cell::Good(Value::S(text.to_owned())),
        KeyType::N => match records::Number::parse(text) {
            Ok(number) => Cell::Good(Value::N(number)),
            Err(error) => Cell::Bad(error.to_string()),
        },
        // Only bytes as base64 can be told in text, as the guides have it for DynamoDB JSON.
        KeyType::B => {
            let json = serde_json::json!({ "B": text }).to_string();
            match Value::from_dynamodb_json(json) {
                Ok(value) => Cell::Good(value),
                Err(_) => Cell::Bad("it is not base64".to_owned()),
            }
        }
    }
}

/// An attribute of an item as a value of a key.
pub(super) fn cell_of_value(kind: KeyType, value: Option<&Value>) -> Cell {
    match (kind, value) {
        (_, None) => Cell::Absent,
        (KeyType::S, Some(Value::S(_)))
        | (KeyType::N, Some(Value::N(_)))
        | (KeyType::B, Some(Value::B(_))) => value.cloned().map_or(Cell::Absent, Cell::Good),
        _ => Cell::Bad(format!("it is not of the type {kind}")),
    }
}
