//! Quotes of a CSV record, read by the letter.

use memchr::memchr;

/// What the quotes of a record are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// There are none, or they stand around whole fields and are doubled inside of them.
    Plain,
    /// The same, and there is a line break between two of them.
    LineBreak,
    /// One stands in a field without quotes, or behind the end of one. The project's own reader takes it as it is; an import
    /// fails (Developer Guide, "Amazon S3 import formats for DynamoDB": "Any double quotes characters that exist in the CSV
    /// file must be escaped").
    Loose,
}

/// Looks at a record as it is in the file, without its line ending.
pub(super) fn quotes_of(raw: &[u8], delimiter: u8) -> Quotes {
    if memchr(b'"', raw).is_none() {
        return Quotes::Plain;
    }
    let mut place = Place::Start;
    let mut line_break = false;
    for byte in raw {
        place = match (place, byte) {
            (Place::Start, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Closed,
            (Place::Quoted, b'\n' | b'\r') => {
                line_break = true;
                Place::Quoted
            }
            (Place::Quoted, _) => Place::Quoted,
            (Place::Closed, b'"') => Place::Quoted,
            (Place::Start | Place::Bare | Place::Closed, byte) if *byte == delimiter => {
                Place::Start
            }
            (Place::Bare, b'"') | (Place::Closed, _) => return Quotes::Loose,
            (Place::Start | Place::Bare, _) => Place::Bare,
        };
    }
    match line_break {
        true => Quotes::LineBreak,
        false => Quotes::Plain,
    }
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Where a field begins.
    Start,
    /// In a field without quotes.
    Bare,
    /// Between quotes.
    Quoted,
    /// Behind a quote that ends the field, or is the first of two.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_doubled_or_stands_around_a_field() {
        let cases = [
            ("a,b", Quotes::Plain),
            ("\"a\",b", Quotes::Plain),
            ("\"a,b\",\"\"", Quotes::Plain),
            ("\"\"\"123\"\"\",x", Quotes::Plain),
            ("x,\"a\"\"b\"", Quotes::Plain),
            ("x,\"a\nb\"", Quotes::LineBreak),
            ("x,\"a\rb\",\"\"\"\"", Quotes::LineBreak),
            ("a\"b,c", Quotes::Loose),
            ("a,5\"", Quotes::Loose),
            ("\"a\"b,c", Quotes::Loose),
            ("\"a\" ,c", Quotes::Loose),
            ("\"a\nb\"c,d", Quotes::Loose),
        ];
        for (raw, wanted) in cases {
            assert_eq!(quotes_of(raw.as_bytes(), b','), wanted, "{raw:?}");
        }
        assert_eq!(quotes_of(b"\"a\"|b", b'|'), Quotes::Plain);
        assert_eq!(quotes_of(b"\"a\"|b", b','), Quotes::Loose);
    }
}
