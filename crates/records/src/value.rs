//! Attribute values and items, and their two JSON forms.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base64_text;
use crate::number::{Number, NumberError};

/// Most levels of lists and maps.
pub const MAX_DEPTH: usize = 32;
/// Most bytes of an item, names and values.
pub const MAX_ITEM_BYTES: usize = 400 * 1024;

/// A DynamoDB attribute value. Sets are sorted and hold a member once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// String.
    S(String),
    /// Number.
    N(Number),
    /// Binary.
    B(Vec<u8>),
    /// Boolean.
    Bool(bool),
    /// Null.
    Null,
    /// Set of strings.
    Ss(Vec<String>),
    /// Set of numbers.
    Ns(Vec<Number>),
    /// Set of binaries.
    Bs(Vec<Vec<u8>>),
    /// List.
    L(Vec<Value>),
    /// Map.
    M(BTreeMap<String, Value>),
}

/// A DynamoDB item.
pub type Item = BTreeMap<String, Value>;

/// Why a JSON text is no value. The message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not JSON.
    #[error("not valid JSON: {0}")]
    NotJson(String),
    /// JSON, but not of the form that is expected.
    #[error("{0}")]
    WrongForm(String),
    /// A number that DynamoDB cannot hold.
    #[error("{0}: {1}")]
    Number(String, #[source] NumberError),
    /// Lists and maps inside each other, too deep.
    #[error("nested more than {MAX_DEPTH} levels deep: expected {MAX_DEPTH} at most")]
    TooDeep,
}

impl Value {
    /// A set of strings.
    pub fn string_set(members: impl IntoIterator<Item = String>) -> Self {
        Self::Ss(sorted_once(members))
    }

    /// A set of numbers.
    pub fn number_set(members: impl IntoIterator<Item = Number>) -> Self {
        Self::Ns(sorted_once(members))
    }

    /// Appends DynamoDB JSON: `{"S":"text"}`.
    pub fn write_dynamodb_json(&self, out: &mut Vec<u8>) {
        let open = |out: &mut Vec<u8>, tag: &str| {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(b"\":");
        };
        match self {
            Self::S(text) => {
                open(out, "S");
                write_string(text, out);
            }
            Self::N(number) => {
                open(out, "N");
                write_string(number.as_str(), out);
            }
            Self::B(bytes) => {
                open(out, "B");
                write_string(&base64_text(bytes), out);
            }
            Self::Bool(value) => {
                open(out, "BOOL");
                out.extend_from_slice(if *value { b"true" } else { b"false" });
            }
            Self::Null => {
                open(out, "NULL");
                out.extend_from_slice(b"true");
            }
            Self::Ss(members) => {
                open(out, "SS");
                write_list(members, out, |text, out| write_string(text, out));
            }
            Self::Ns(members) => {
                open(out, "NS");
                write_list(members, out, |number, out| write_string(number.as_str(), out));
            }
            Self::Bs(members) => {
                open(out, "BS");
                write_list(members, out, |bytes, out| write_string(&base64_text(bytes), out));
            }
            Self::L(members) => {
                open(out, "L");
                write_list(members, out, Self::write_dynamodb_json);
            }
            Self::M(members) => {
                open(out, "M");
                write_map(members, out, Self::write_dynamodb_json);
            }
        }
        out.push(b'}');
    }

    /// Appends plain JSON: numbers as bare digits, binary as base64 text, sets as arrays.
    pub fn write_plain_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::S(text) => write_string(text, out),
            Self::N(number) => out.extend_from_slice(number.as_str().as_bytes()),
            Self::B(bytes) => write_string(&base64_text(bytes), out),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Null => out.extend_from_slice(b"null"),
            Self::Ss(members) => write_list(members, out, |text, out| write_string(text, out)),
            Self::Ns(members) => write_list(members, out, |number, out| {
                out.extend_from_slice(number.as_str().as_bytes());
            }),
            Self::Bs(members) => {
                write_list(members, out, |bytes, out| write_string(&base64_text(bytes), out));
            }
            Self::L(members) => write_list(members, out, Self::write_plain_json),
            Self::M(members) => write_map(members, out, Self::write_plain_json),
        }
    }

    /// Reads DynamoDB JSON.
    pub fn from_dynamodb_json(json: &[u8]) -> Result<Self, ValueError> {
        tagged_value(raw(json)?, 0)
    }

    /// Reads plain JSON: text, number (in every digit), boolean, null, array and object.
    pub fn from_plain_json(json: &str) -> Result<Self, ValueError> {
        plain_value(raw(json.as_bytes())?, 0)
    }

    /// Bytes that DynamoDB counts for the value.
    pub fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::Ss(members) => members.iter().map(String::len).sum(),
            Self::Ns(members) => members.iter().map(Number::size).sum(),
            Self::Bs(members) => members.iter().map(Vec::len).sum(),
            Self::L(members) => 3 + members.iter().map(|value| value.size() + 1).sum::<usize>(),
            Self::M(members) => {
                let member = |(name, value): (&String, &Self)| name.len() + value.size() + 1;
                3 + members.iter().map(member).sum::<usize>()
            }
        }
    }

    /// Levels of lists and maps: none for a text, one for a flat list.
    pub fn depth(&self) -> usize {
        match self {
            Self::L(members) => 1 + members.iter().map(Self::depth).max().unwrap_or(0),
            Self::M(members) => 1 + members.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Bytes that DynamoDB counts for an item: names and values.
pub fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}

/// Reads an item from DynamoDB JSON: `{"id":{"S":"1"}}`.
pub fn item_from_dynamodb_json(json: &[u8]) -> Result<Item, ValueError> {
    members(raw(json)?)?
        .into_iter()
        .map(|(name, value)| Ok((name, tagged_value(value, 0)?)))
        .collect()
}

fn sorted_once<T: Ord>(members: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut members: Vec<T> = members.into_iter().collect();
    members.sort_unstable();
    members.dedup();
    members
}

pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing a text into memory");
}

fn write_list<T>(members: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(member, out);
    }
    out.push(b']');
}

fn write_map(
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

fn raw(json: &[u8]) -> Result<&RawValue, ValueError> {
    serde_json::from_slice(json).map_err(|error| ValueError::NotJson(error.to_string()))
}

fn typed<T: DeserializeOwned>(value: &RawValue, expected: &str) -> Result<T, ValueError> {
    serde_json::from_str(value.get())
        .map_err(|_| ValueError::WrongForm(format!("{}: expected {expected}", shorten(value.get()))))
}

/// The members of an object, in order; the same name twice is an error, since one of the two would be lost.
#[derive(Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = access.next_entry::<String, &RawValue>()? {
                    if !seen.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!("the member {name:?} twice")));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

fn members(value: &RawValue) -> Result<Vec<(String, &RawValue)>, ValueError> {
    serde_json::from_str::<Members<'_>>(value.get())
        .map(|members| members.0)
        .map_err(|error| ValueError::WrongForm(format!("{}: {error}", shorten(value.get()))))
}

fn elements(value: &RawValue) -> Result<Vec<&RawValue>, ValueError> {
    serde_json::from_str(value.get())
        .map_err(|_| ValueError::WrongForm(format!("{}: expected a list", shorten(value.get()))))
}

fn number(text: &str) -> Result<Number, ValueError> {
    Number::parse(text).map_err(|error| ValueError::Number(shorten(text), error))
}

fn binary(text: &str) -> Result<Vec<u8>, ValueError> {
    STANDARD
        .decode(text)
        .map_err(|_| ValueError::WrongForm(format!("{}: expected base64", shorten(text))))
}

fn plain_value(value: &RawValue, depth: usize) -> Result<Value, ValueError> {
    let nested = || if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(ValueError::TooDeep) };
    let json = value.get();
    Ok(match json.as_bytes().first() {
        Some(b'"') => Value::S(typed(value, "text")?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        Some(b'[') => {
            let depth = nested()?;
            let list: Result<_, _> = elements(value)?.into_iter().map(|member| plain_value(member, depth)).collect();
            Value::L(list?)
        }
        Some(b'{') => {
            let depth = nested()?;
            let map: Result<_, ValueError> = members(value)?
                .into_iter()
                .map(|(name, member)| Ok((name, plain_value(member, depth)?)))
                .collect();
            Value::M(map?)
        }
        _ => Value::N(number(json)?),
    })
}

fn tagged_value(value: &RawValue, depth: usize) -> Result<Value, ValueError> {
    let nested = || if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(ValueError::TooDeep) };
    let tagged = members(value)?;
    let [(tag, inner)] = tagged.as_slice() else {
        return Err(ValueError::WrongForm(format!(
            "{}: expected an object with one type, such as {{\"S\": \"text\"}}",
            shorten(value.get())
        )));
    };
    Ok(match tag.as_str() {
        "S" => Value::S(typed(inner, "text")?),
        "N" => Value::N(number(&typed::<String>(inner, "a number as text")?)?),
        "B" => Value::B(binary(&typed::<String>(inner, "base64")?)?),
        "BOOL" => Value::Bool(typed(inner, "true or false")?),
        "NULL" => {
            typed::<bool>(inner, "true")?;
            Value::Null
        }
        "SS" => Value::string_set(typed::<Vec<String>>(inner, "a list of texts")?),
        "NS" => {
            let texts: Vec<String> = typed(inner, "a list of numbers as text")?;
            let numbers: Result<Vec<_>, _> = texts.iter().map(|text| number(text)).collect();
            Value::number_set(numbers?)
        }
        "BS" => {
            let texts: Vec<String> = typed(inner, "a list of base64 texts")?;
            let members: Result<Vec<_>, _> = texts.iter().map(|text| binary(text)).collect();
            Value::Bs(sorted_once(members?))
        }
        "L" => {
            let depth = nested()?;
            let list: Result<_, _> = elements(inner)?.into_iter().map(|member| tagged_value(member, depth)).collect();
            Value::L(list?)
        }
        "M" => {
            let depth = nested()?;
            let map: Result<_, ValueError> = members(inner)?
                .into_iter()
                .map(|(name, member)| Ok((name, tagged_value(member, depth)?)))
                .collect();
            Value::M(map?)
        }
        other => {
            return Err(ValueError::WrongForm(format!(
                "the type {other:?}: expected S, N, B, BOOL, NULL, SS, NS, BS, L or M"
            )));
        }
    })
}

/// The beginning of a text, for a message.
fn shorten(text: &str) -> String {
    const MAX: usize = 40;
    if text.len() <= MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX)])
}
