//! The format of a text that holds a shard's number.

use std::io::Write;

/// Digits to which a shard's number can be padded.
const MAX_SHARD_WIDTH: usize = 9;

/// A text with places for a shard's number and for the value that the shard is computed from, such as `false#{shard:02}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFormat {
    pieces: Vec<FormatPiece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FormatPiece {
    Text(String),
    /// The shard's number, padded with zeros to this many digits.
    Shard(usize),
    Value,
}

impl ShardFormat {
    /// Parses a format. `{shard}` is the number, `{shard:02}` the number with zeros up to two digits (1 to 9), `{value}` the
    /// value; everything else stands for itself.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(format: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, behind)) = rest.split_once('{') {
            if !text.is_empty() {
                pieces.push(FormatPiece::Text(text.to_owned()));
            }
            let (placeholder, behind) = behind
                .split_once('}')
                .ok_or_else(|| format!("the format {format:?} has a {{ without a }}"))?;
            pieces.push(parse_placeholder(placeholder).ok_or_else(|| {
                format!(
                    "the format {format:?} has the unknown placeholder {{{placeholder}}}; there are {{shard}}, {{shard:02}} \
                     (zeros up to a width of 1 to {MAX_SHARD_WIDTH}) and {{value}}"
                )
            })?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(FormatPiece::Text(rest.to_owned()));
        }
        match pieces.is_empty() {
            true => Err("the format is empty".to_owned()),
            false => Ok(Self { pieces }),
        }
    }

    /// Whether texts of two shards differ.
    pub fn names_shard(&self) -> bool {
        (self.pieces.iter()).any(|piece| matches!(piece, FormatPiece::Shard(_)))
    }

    /// Whether the text depends on the value.
    pub fn names_value(&self) -> bool {
        self.pieces.contains(&FormatPiece::Value)
    }

    /// The text of a shard, for a format that does not name the value (which is empty here).
    pub fn text(&self, shard: u32) -> String {
        let mut text = Vec::new();
        self.write(shard, "", &mut text);
        String::from_utf8(text).expect("the pieces are texts")
    }

    /// Appends the text of a shard and a value.
    pub(crate) fn write(&self, shard: u32, value: &str, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                FormatPiece::Text(text) => out.extend_from_slice(text.as_bytes()),
                FormatPiece::Value => out.extend_from_slice(value.as_bytes()),
                FormatPiece::Shard(width) => {
                    write!(out, "{shard:0width$}").expect("memory can be written to");
                }
            }
        }
    }
}

fn parse_placeholder(placeholder: &str) -> Option<FormatPiece> {
    match placeholder {
        "value" => Some(FormatPiece::Value),
        "shard" => Some(FormatPiece::Shard(0)),
        _ => {
            let width: usize = placeholder.strip_prefix("shard:0")?.parse().ok()?;
            (1..=MAX_SHARD_WIDTH)
                .contains(&width)
                .then_some(FormatPiece::Shard(width))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_has_its_text() {
        let text = |format: &str, shard| ShardFormat::parse(format).unwrap().text(shard);
        assert_eq!(text("false", 3), "false");
        assert_eq!(text("false#{shard:02}", 3), "false#03");
        assert_eq!(text("{shard}-x", 123), "123-x");
        let names = |format: &str| {
            let format = ShardFormat::parse(format).unwrap();
            (format.names_shard(), format.names_value())
        };
        assert_eq!(names("false"), (false, false));
        assert_eq!(names("{shard}#{value}"), (true, true));
    }
}
