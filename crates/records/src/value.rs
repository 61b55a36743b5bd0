//! DynamoDB's attribute values and their two JSON forms.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{base64_bytes, base64_text, write_string};
use crate::number::{Number, NumberError};

/// Levels of lists and maps inside one another that DynamoDB takes.
pub const MAX_DEPTH: usize = 32;

/// An item: attribute values by name.
pub type Item = BTreeMap<String, Value>;

/// A DynamoDB attribute value.
///
/// The functions that read JSON, and [`Value::string_set`], [`Value::number_set`] and [`Value::binary_set`], keep sets
/// sorted and without duplicates, so that `==` is equality of sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    S(String),
    /// A number.
    N(Number),
    /// Bytes.
    B(Vec<u8>),
    /// True or false.
    Bool(bool),
    /// The null value.
    Null,
    /// A set of texts.
    Ss(Vec<String>),
    /// A set of numbers, sorted by their canonical texts.
    Ns(Vec<Number>),
    /// A set of bytes.
    Bs(Vec<Vec<u8>>),
    /// A list.
    L(Vec<Value>),
    /// A map.
    M(BTreeMap<String, Value>),
}

/// Why a text is no value.
#[derive(Debug, thiserror::Error)]
pub enum JsonValueError {
    /// The text is not JSON, or not the JSON of a value.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A number cannot be kept as it is.
    #[error("the number {text}: {source}")]
    Number {
        /// The number's text, cut if it is long.
        text: String,
        /// What is wrong with it.
        source: NumberError,
    },
    /// An object has a member twice.
    #[error("the member {name:?} is there twice")]
    DuplicateMember {
        /// The member's name.
        name: String,
    },
    /// Lists and maps are nested more than [`MAX_DEPTH`] levels.
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Value {
    /// A set of texts.
    pub fn string_set(mut elements: Vec<String>) -> Self {
        elements.sort_unstable();
        elements.dedup();
        Self::Ss(elements)
    }

    /// A set of numbers.
    pub fn number_set(mut elements: Vec<Number>) -> Self {
        elements.sort_unstable_by(|left, right| left.as_str().cmp(right.as_str()));
        elements.dedup();
        Self::Ns(elements)
    }

    /// A set of bytes.
    pub fn binary_set(mut elements: Vec<Vec<u8>>) -> Self {
        elements.sort_unstable();
        elements.dedup();
        Self::Bs(elements)
    }

    /// Levels of lists and maps: 0 for anything else, 1 for a list of texts.
    pub fn depth(&self) -> usize {
        match self {
            Self::L(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
            Self::M(members) => 1 + members.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Appends the tagged form, such as `{"S":"text"}`.
    pub fn write_dynamodb_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::S(text) => tagged(out, "S", |out| write_string(text, out)),
            Self::N(number) => tagged(out, "N", |out| write_string(number.as_str(), out)),
            Self::B(bytes) => tagged(out, "B", |out| write_string(&base64_text(bytes), out)),
            Self::Bool(value) => tagged(out, "BOOL", |out| write_bool(*value, out)),
            Self::Null => tagged(out, "NULL", |out| write_bool(true, out)),
            Self::Ss(elements) => tagged(out, "SS", |out| {
                write_array(elements, out, |text, out| write_string(text, out));
            }),
            Self::Ns(elements) => tagged(out, "NS", |out| {
                write_array(elements, out, |number, out| {
                    write_string(number.as_str(), out)
                });
            }),
            Self::Bs(elements) => tagged(out, "BS", |out| {
                write_array(elements, out, |bytes, out| {
                    write_string(&base64_text(bytes), out)
                });
            }),
            Self::L(elements) => tagged(out, "L", |out| {
                write_array(elements, out, Self::write_dynamodb_json);
            }),
            Self::M(members) => tagged(out, "M", |out| {
                write_object(members, out, Self::write_dynamodb_json);
            }),
        }
    }

    /// Appends plain JSON: numbers as digits, bytes as base64 text, sets as arrays.
    pub fn write_plain_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::S(text) => write_string(text, out),
            Self::N(number) => out.extend_from_slice(number.as_str().as_bytes()),
            Self::B(bytes) => write_string(&base64_text(bytes), out),
            Self::Bool(value) => write_bool(*value, out),
            Self::Null => out.extend_from_slice(b"null"),
            Self::Ss(elements) => write_array(elements, out, |text, out| write_string(text, out)),
            Self::Ns(elements) => write_array(elements, out, |number, out| {
                out.extend_from_slice(number.as_str().as_bytes());
            }),
            Self::Bs(elements) => {
                write_array(elements, out, |bytes, out| {
                    write_string(&base64_text(bytes), out)
                });
            }
            Self::L(elements) => write_array(elements, out, Self::write_plain_json),
            Self::M(members) => write_object(members, out, Self::write_plain_json),
        }
    }

    /// Reads the tagged form, such as `{"S":"text"}`. Does not check depth or whether sets are empty.
    pub fn from_dynamodb_json(json: impl AsRef<[u8]>) -> Result<Self, JsonValueError> {
        let Tagged(value) = serde_json::from_slice(json.as_ref())?;
        Ok(value)
    }

    /// Reads plain JSON: null, true and false, texts, numbers (exactly), arrays to lists and objects to maps.
    ///
    /// Fails on a number that DynamoDB cannot keep, on a member that is there twice and below [`MAX_DEPTH`] levels.
    pub fn from_plain_json(json: &str) -> Result<Self, JsonValueError> {
        plain_value(serde_json::from_str(json)?, MAX_DEPTH)
    }
}

/// Appends an item as DynamoDB JSON: `{"id":{"S":"1"}}`.
pub fn write_item_dynamodb_json(item: &Item, out: &mut Vec<u8>) {
    write_object(item, out, Value::write_dynamodb_json);
}

/// Appends an item as plain JSON: `{"id":"1"}`, with each value as [`Value::write_plain_json`] has it.
pub fn write_item_plain_json(item: &Item, out: &mut Vec<u8>) {
    write_object(item, out, Value::write_plain_json);
}

/// Reads an item as DynamoDB JSON: `{"id":{"S":"1"}}`, without an `Item` around it.
pub fn item_from_dynamodb_json(json: impl AsRef<[u8]>) -> Result<Item, JsonValueError> {
    let Members(item) = serde_json::from_slice(json.as_ref())?;
    Ok(item)
}

fn tagged(out: &mut Vec<u8>, tag: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(b"\":");
    write(out);
    out.push(b'}');
}

fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn write_array<T>(elements: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_object(
    members: &BTreeMap<String, Value>,
    out: &mut Vec<u8>,
    write: impl Fn(&Value, &mut Vec<u8>),
) {
    out.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// A value in DynamoDB JSON.
struct Tagged(Value);

impl<'de> Deserialize<'de> for Tagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TaggedVisitor).map(Self)
    }
}

struct TaggedVisitor;

impl<'de> Visitor<'de> for TaggedVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a DynamoDB value such as {\"S\":\"text\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some(tag) = map.next_key::<String>()? else {
            return Err(A::Error::custom("a DynamoDB value needs a type"));
        };
        let value = match tag.as_str() {
            "S" => Value::S(map.next_value()?),
            "N" => Value::N(map.next_value::<NumberText>()?.0),
            "B" => Value::B(map.next_value::<Base64Text>()?.0),
            "BOOL" => Value::Bool(map.next_value()?),
            "NULL" => match map.next_value()? {
                true => Value::Null,
                false => return Err(A::Error::custom("NULL is true or nothing")),
            },
            "SS" => Value::string_set(map.next_value()?),
            "NS" => Value::number_set(
                map.next_value::<Vec<NumberText>>()?
                    .into_iter()
                    .map(|element| element.0)
                    .collect(),
            ),
            "BS" => Value::binary_set(
                map.next_value::<Vec<Base64Text>>()?
                    .into_iter()
                    .map(|element| element.0)
                    .collect(),
            ),
            "L" => Value::L(
                map.next_value::<Vec<Tagged>>()?
                    .into_iter()
                    .map(|element| element.0)
                    .collect(),
            ),
            "M" => Value::M(map.next_value::<Members>()?.0),
            other => {
                return Err(A::Error::custom(format_args!(
                    "there is no DynamoDB type {other:?}"
                )));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("a DynamoDB value has exactly one type")),
        }
    }
}

/// Named values in DynamoDB JSON.
struct Members(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of DynamoDB values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, Tagged(value))) = map.next_entry::<String, Tagged>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the member {name:?} is there twice"
                )));
            }
            members.insert(name, value);
        }
        Ok(members)
    }
}

struct NumberText(Number);

impl<'de> Deserialize<'de> for NumberText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Number::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

struct Base64Text(Vec<u8>);

impl<'de> Deserialize<'de> for Base64Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64_bytes(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Reads one level at a time: only the raw text of a number is exact.
fn plain_value(raw: &RawValue, levels: usize) -> Result<Value, JsonValueError> {
    let text = raw.get();
    let next_level = || levels.checked_sub(1).ok_or(JsonValueError::TooDeep);
    match text.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'"') => Ok(Value::S(serde_json::from_str(text)?)),
        Some(b'[') => {
            let levels = next_level()?;
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            let values = elements
                .into_iter()
                .map(|element| plain_value(element, levels));
            Ok(Value::L(values.collect::<Result<_, _>>()?))
        }
        Some(b'{') => plain_object(text, next_level()?),
        _ => Number::parse(text)
            .map(Value::N)
            .map_err(|source| JsonValueError::Number {
                text: text.chars().take(80).collect(),
                source,
            }),
    }
}

fn plain_object(text: &str, levels: usize) -> Result<Value, JsonValueError> {
    let RawMembers(raw_members) = serde_json::from_str(text)?;
    let mut members = BTreeMap::new();
    for (name, raw) in raw_members {
        let value = plain_value(raw, levels)?;
        if members.contains_key(&name) {
            return Err(JsonValueError::DuplicateMember { name });
        }
        members.insert(name, value);
    }
    Ok(Value::M(members))
}

/// The members of an object in their order, duplicates among them.
struct RawMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawMembersVisitor).map(Self)
    }
}

struct RawMembersVisitor;

impl<'de> Visitor<'de> for RawMembersVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = Number> {
        "-?[1-9][0-9]{0,20}(\\.[0-9]{1,10})?(e-?[0-9]{1,2})?"
            .prop_map(|text| Number::parse(&text).unwrap())
    }

    /// Any value, three levels deep at most.
    pub(crate) fn value() -> impl Strategy<Value = super::Value> {
        let text = "[a-z\"\\\\\n\t\u{1}é😀]{0,6}";
        let bytes = || vec(any::<u8>(), 0..5);
        let scalar = prop_oneof![
            text.prop_map(super::Value::S),
            number().prop_map(super::Value::N),
            bytes().prop_map(super::Value::B),
            any::<bool>().prop_map(super::Value::Bool),
            Just(super::Value::Null),
            vec(text, 1..4).prop_map(super::Value::string_set),
            vec(number(), 1..4).prop_map(super::Value::number_set),
            vec(bytes(), 1..4).prop_map(super::Value::binary_set),
        ];
        scalar.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(super::Value::L),
                btree_map(text, inner, 0..4).prop_map(super::Value::M),
            ]
        })
    }

    fn plain(value: &super::Value) -> String {
        let mut out = Vec::new();
        value.write_plain_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn tagged_form(value: &super::Value) -> String {
        let mut out = Vec::new();
        value.write_dynamodb_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// What plain JSON keeps of a value.
    fn flattened(value: &super::Value) -> super::Value {
        use super::Value;
        match value {
            Value::B(bytes) => Value::S(base64_text(bytes)),
            Value::Ss(elements) => Value::L(elements.iter().cloned().map(Value::S).collect()),
            Value::Ns(elements) => Value::L(elements.iter().cloned().map(Value::N).collect()),
            Value::Bs(elements) => Value::L(
                elements
                    .iter()
                    .map(|bytes| Value::S(base64_text(bytes)))
                    .collect(),
            ),
            Value::L(elements) => Value::L(elements.iter().map(flattened).collect()),
            Value::M(members) => Value::M(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), flattened(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn dynamodb_json_keeps_every_value(value in value()) {
            let json = tagged_form(&value);
            prop_assert_eq!(super::Value::from_dynamodb_json(&json).unwrap(), value.clone());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            let item = Item::from([("name \"1\"".to_owned(), value)]);
            let json = json_of_item(&item);
            prop_assert_eq!(item_from_dynamodb_json(json).unwrap(), item);
        }

        #[test]
        fn plain_json_keeps_what_it_can(value in value()) {
            let json = plain(&value);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            prop_assert_eq!(super::Value::from_plain_json(&json).unwrap(), flattened(&value));
        }
    }

    fn json_of_item(item: &Item) -> Vec<u8> {
        let mut out = Vec::new();
        write_object(item, &mut out, super::Value::write_dynamodb_json);
        out
    }

    #[test]
    fn writes_both_forms() {
        let json = r#"{"M":{"a":{"L":[{"N":"1.50"},{"B":"AQI="},{"BOOL":false},{"NULL":true}]},"b":{"SS":["y","x","y"]},"c":{"NS":["10","1e1","9"]},"d":{"BS":["Ag==","AQ=="]},"e":{"S":"\"\\\u0001\u001f\b\f\n\r\té/"}}}"#;
        let value = super::Value::from_dynamodb_json(json).unwrap();
        assert_eq!(
            tagged_form(&value),
            r#"{"M":{"a":{"L":[{"N":"1.5"},{"B":"AQI="},{"BOOL":false},{"NULL":true}]},"b":{"SS":["x","y"]},"c":{"NS":["10","9"]},"d":{"BS":["AQ==","Ag=="]},"e":{"S":"\"\\\u0001\u001f\b\f\n\r\té/"}}}"#
        );
        assert_eq!(
            plain(&value),
            r#"{"a":[1.5,"AQI=",false,null],"b":["x","y"],"c":[10,9],"d":["AQ==","Ag=="],"e":"\"\\\u0001\u001f\b\f\n\r\té/"}"#
        );
    }

    #[test]
    fn refuses_what_is_no_dynamodb_value() {
        let cases = [
            ("", "EOF"),
            ("{}", "needs a type"),
            (r#"{"S":"a","N":"1"}"#, "exactly one type"),
            (r#"{"S":1}"#, "expected a string"),
            (r#"{"N":1}"#, "expected a string"),
            (r#"{"N":"one"}"#, "not a number"),
            (r#"{"NULL":false}"#, "NULL is true"),
            (r#"{"B":"AQI"}"#, "padding"),
            (r#"{"X":"a"}"#, r#"no DynamoDB type "X""#),
            (
                r#"{"M":{"a":{"S":""},"a":{"S":""}}}"#,
                r#""a" is there twice"#,
            ),
            (r#"{"S":"a"} x"#, "trailing"),
        ];
        for (json, message) in cases {
            let error = super::Value::from_dynamodb_json(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
        assert!(item_from_dynamodb_json(r#"{"a":{"S":"1"},"a":{"S":"1"}}"#).is_err());
    }

    #[test]
    fn reads_plain_numbers_exactly() {
        let json = "[12345678901234567890123456789012345678, 0.1, 1e2, -0]";
        assert_eq!(
            plain(&super::Value::from_plain_json(json).unwrap()),
            "[12345678901234567890123456789012345678,0.1,100,0]"
        );
    }

    #[test]
    fn refuses_what_plain_json_cannot_be_kept() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let cases = [
            (String::new(), "EOF"),
            ("nul".to_owned(), "EOF"),
            ("nil".to_owned(), "expected ident"),
            ("[1,]".to_owned(), "expected value"),
            ("\"\\ud800\"".to_owned(), "hex escape"),
            (
                "{\"a\":{\"b\":1,\"b\":2}}".to_owned(),
                "\"b\" is there twice",
            ),
            ("[1e126]".to_owned(), "the number 1e126: a number lies"),
            (
                "1234567890123456789012345678901234567890.5".to_owned(),
                "38 significant digits",
            ),
            (nested(33), "deeper than 32"),
            (nested(5_000), "deeper than 32"),
        ];
        for (json, message) in cases {
            let error = super::Value::from_plain_json(&json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
        assert_eq!(
            super::Value::from_plain_json(&nested(32)).unwrap().depth(),
            32
        );
    }
}
