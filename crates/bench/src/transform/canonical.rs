//! Rows of whatever format, and what each comes to: two rows are the same if a reader cannot tell them apart.
//!
//! A number is what it is as a double, so that `12.50` is `12.5`. A member that is null is one that is not there: the columns
//! of a peer cannot tell. Members of a list are in no order, since the sets of Python are in none.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::digest::{Digest, ItemHash};

/// The column in which what fits no other one is, as DynamoDB JSON.
const EXTRA: &str = "_extra";

/// Adds one row.
pub(super) fn add_row(digest: &mut Digest, mut row: Map<String, Value>) -> Result<(), String> {
    if let Some(Value::String(extra)) = row.remove(EXTRA) {
        let extra: Map<String, Value> =
            serde_json::from_str(&extra).map_err(|error| format!("{EXTRA}: {error}"))?;
        for (name, tagged) in extra {
            let value = untagged(&tagged).ok_or_else(|| format!("{EXTRA} has {name}: {tagged}"))?;
            row.insert(name, value);
        }
    }
    let mut hash = ItemHash::default();
    let mut text = String::new();
    for (name, value) in &row {
        if !value.is_null() {
            text.clear();
            write(value, &mut text);
            hash.add(name, &text);
        }
    }
    digest.add(hash);
    Ok(())
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            // Writing to a string never fails.
            let _ = write!(out, "{:?}", number.as_f64().unwrap_or(f64::NAN));
        }
        Value::String(text) => {
            let _ = write!(out, "{text:?}");
        }
        Value::Array(values) => {
            let mut texts: Vec<String> = values.iter().map(written).collect();
            texts.sort_unstable();
            out.push('[');
            out.push_str(&texts.join(","));
            out.push(']');
        }
        Value::Object(members) => {
            let there = members.iter().filter(|(_, value)| !value.is_null());
            let mut texts: Vec<String> = there
                .map(|(name, value)| format!("{name:?}:{}", written(value)))
                .collect();
            texts.sort_unstable();
            out.push('{');
            out.push_str(&texts.join(","));
            out.push('}');
        }
    }
}

fn written(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// The plain JSON of an attribute in DynamoDB JSON; nothing if it is none.
fn untagged(tagged: &Value) -> Option<Value> {
    let members = tagged.as_object().filter(|members| members.len() == 1)?;
    let (tag, value) = members.iter().next()?;
    Some(match (tag.as_str(), value) {
        ("NULL", _) => Value::Null,
        ("S" | "B", Value::String(_)) | ("BOOL", Value::Bool(_)) => value.clone(),
        ("SS" | "BS", Value::Array(_)) => value.clone(),
        ("N", Value::String(digits)) => serde_json::from_str(digits).ok()?,
        ("NS", Value::Array(numbers)) => {
            let numbers = numbers.iter();
            let read = numbers.map(|digits| serde_json::from_str(digits.as_str()?).ok());
            Value::Array(read.collect::<Option<_>>()?)
        }
        ("L", Value::Array(values)) => {
            Value::Array(values.iter().map(untagged).collect::<Option<_>>()?)
        }
        ("M", Value::Object(members)) => {
            let members = members.iter();
            let plain = members.map(|(name, value)| Some((name.clone(), untagged(value)?)));
            Value::Object(plain.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(row: Value) -> Digest {
        let mut digest = Digest::default();
        let Value::Object(row) = row else {
            panic!("{row}")
        };
        add_row(&mut digest, row).unwrap();
        digest
    }

    #[test]
    fn spelling_does_not_matter_and_everything_else_does() {
        let row = json!({"a": 12.5, "b": [1, 2], "c": {"x": "1", "y": null}, "d": null});
        assert_eq!(
            digest(row.clone()),
            digest(json!({"b": [2.0, 1.0], "a": 12.50, "c": {"x": "1"}}))
        );
        for other in [
            json!({"a": 12.5, "b": [1, 2], "c": {"x": 1}}),
            json!({"a": 12.5, "b": [1, 2], "c": {"y": "1"}}),
            json!({"a": 12.5, "b": [1], "c": {"x": "1"}}),
            json!({"a": 12.4, "b": [1, 2], "c": {"x": "1"}}),
            json!({"a": 12.5, "b": [1, 2]}),
            json!({"a": "12.5", "b": [1, 2], "c": {"x": "1"}}),
        ] {
            assert_ne!(digest(row.clone()), digest(other.clone()), "{other}");
        }
    }

    #[test]
    fn what_fits_no_column_is_part_of_its_row() {
        let extra = json!({"n": {"N": "1.0"}, "l": {"L": [{"M": {"x": {"NS": ["1", "2"]}}}, {"NULL": true}]}});
        assert_eq!(
            digest(json!({"a": "b", "n": null, "_extra": extra.to_string()})),
            digest(json!({"a": "b", "n": 1, "l": [{"x": [1, 2]}, null]}))
        );
        let row = json!({"_extra": r#"{"n":{"Q":"1"}}"#});
        let fault = add_row(&mut Digest::default(), row.as_object().unwrap().clone());
        assert_eq!(fault, Err(r#"_extra has n: {"Q":"1"}"#.to_owned()));
    }
}
