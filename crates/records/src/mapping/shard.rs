//! Deterministic write shards: a number computed from a value, written into an attribute.

use serde::Deserialize;
use serde_json::value::RawValue;

/// An attribute that is made of a column's text and its shard number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    /// The column.
    pub(crate) from: String,
    count: u32,
    format: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// The shard number, with zeros in front up to this width.
    Number(usize),
    Value,
}

/// What is wrong with a shard's entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not the members that a shard has.
    #[error("{0}: expected the members from (a column), count (1 or more) and format (such as \"false#{{shard:02}}\")")]
    Form(String),
    /// Too few shards.
    #[error("count is 0: expected 1 or more")]
    Count,
    /// A placeholder that does not exist.
    #[error("format has the placeholder {{{0}}}: expected {{shard}}, {{shard:02}} or {{value}}")]
    Placeholder(String),
    /// A brace without its partner.
    #[error("format has an unclosed {{: expected {{shard}}, {{shard:02}} or {{value}}")]
    Unclosed,
    /// No shard number anywhere.
    #[error("format has no {{shard}}: expected the number somewhere in it")]
    NoNumber,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardText {
    from: String,
    count: u32,
    format: String,
}

impl Shard {
    pub(crate) fn parse(value: &RawValue) -> Result<Self, ShardError> {
        let text: ShardText =
            serde_json::from_str(value.get()).map_err(|error| ShardError::Form(error.to_string()))?;
        if text.count == 0 {
            return Err(ShardError::Count);
        }
        Ok(Self {
            from: text.from,
            count: text.count,
            format: parse_format(&text.format)?,
        })
    }

    /// Appends the attribute's text for a value: its shard is CRC-32 of its UTF-8 bytes modulo the count.
    pub(crate) fn write(&self, value: &str, out: &mut String) {
        let number = crc32fast::hash(value.as_bytes()) % self.count;
        for segment in &self.format {
            match segment {
                Segment::Literal(text) => out.push_str(text),
                Segment::Value => out.push_str(value),
                Segment::Number(width) => {
                    let digits = number.to_string();
                    out.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len())));
                    out.push_str(&digits);
                }
            }
        }
    }
}

fn parse_format(format: &str) -> Result<Vec<Segment>, ShardError> {
    let mut segments = Vec::new();
    let mut rest = format;
    while let Some((literal, after)) = rest.split_once('{') {
        let (placeholder, after) = after.split_once('}').ok_or(ShardError::Unclosed)?;
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal.to_owned()));
        }
        segments.push(parse_placeholder(placeholder)?);
        rest = after;
    }
    if !rest.is_empty() {
        segments.push(Segment::Literal(rest.to_owned()));
    }
    let has_number = segments.iter().any(|segment| matches!(segment, Segment::Number(_)));
    has_number.then_some(segments).ok_or(ShardError::NoNumber)
}

fn parse_placeholder(placeholder: &str) -> Result<Segment, ShardError> {
    let unknown = || ShardError::Placeholder(placeholder.to_owned());
    match placeholder.split_once(':') {
        None if placeholder == "shard" => Ok(Segment::Number(0)),
        None if placeholder == "value" => Ok(Segment::Value),
        Some(("shard", width)) if width.starts_with('0') && width.len() > 1 => {
            let width: usize = width.parse().map_err(|_| unknown())?;
            if width > 10 { Err(unknown()) } else { Ok(Segment::Number(width)) }
        }
        _ => Err(unknown()),
    }
}
