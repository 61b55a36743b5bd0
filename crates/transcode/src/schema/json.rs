//! JSON with the order of its members and without any of them twice, to be read with the path to each value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::SchemaError;

/// A JSON value of a schema file. It has no fractions, since nothing there is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    /// A number that is none of the above.
    OtherNumber(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A value and where it is.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    value: &'a Json,
    path: &'a Path<'a>,
}

/// The way to a value, from the innermost step.
pub(super) enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => formatter.write_str("the schema"),
            Self::Member(Self::Root, name) => formatter.write_str(name),
            Self::Member(parent, name) => write!(formatter, "{parent}.{name}"),
            Self::Element(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Json) -> Self {
        Self {
            value,
            path: &Path::Root,
        }
    }

    pub(super) fn new(value: &'a Json, path: &'a Path<'a>) -> Self {
        Self { value, path }
    }

    pub(super) fn json(&self) -> &'a Json {
        self.value
    }

    pub(super) fn path(&self) -> &'a Path<'a> {
        self.path
    }

    /// The error that something else was expected here.
    pub(super) fn unexpected(&self, expected: impl Into<String>) -> SchemaError {
        SchemaError::Unexpected {
            path: self.path.to_string(),
            found: self.value.to_string(),
            expected: expected.into(),
        }
    }

    /// The members of an object in which there are no others than `known`.
    pub(super) fn members(
        &self,
        known: &[&str],
        expected: &'static str,
    ) -> Result<&'a [(String, Json)], SchemaError> {
        let Json::Object(members) = self.value else {
            return Err(self.unexpected(expected));
        };
        match members
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            Some((name, _)) => Err(SchemaError::UnknownMember {
                path: self.path.to_string(),
                member: name.clone(),
                expected,
            }),
            None => Ok(members),
        }
    }

    /// The member of this name, or what its absence is.
    pub(super) fn required(
        &self,
        members: &'a [(String, Json)],
        name: &'static str,
        expected: &'static str,
    ) -> Result<&'a Json, SchemaError> {
        member(members, name).ok_or_else(|| SchemaError::Unexpected {
            path: Path::Member(self.path, name).to_string(),
            found: "missing".to_owned(),
            expected: expected.to_owned(),
        })
    }
}

/// The member of this name.
pub(super) fn member<'a>(members: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    members
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value)
}

/// Short, for messages.
impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Number(value) => write!(formatter, "{value}"),
            Self::OtherNumber(value) => write!(formatter, "{value}"),
            Self::Text(text) => {
                let mut shown: String = text.chars().take(80).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                write!(formatter, "{shown:?}")
            }
            Self::Array(elements) => write!(formatter, "an array of {}", elements.len()),
            Self::Object(members) => match members.as_slice() {
                [] => formatter.write_str("an empty object"),
                [(name, _)] => write!(formatter, "an object with {name:?}"),
                [(name, _), ..] => write!(formatter, "an object with {name:?} and others"),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "it is only shown")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::OtherNumber(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!(
                    "the member {name:?} is there twice"
                )));
            }
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}
