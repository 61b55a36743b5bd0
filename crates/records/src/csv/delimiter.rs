use super::splitter::{Limits, Position, Split, Splitter};
use crate::text::Encoding;

/// What stands between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
    /// `|`
    Pipe,
}

impl Delimiter {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe];

    /// The delimiter's byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }
}

/// The delimiter of a file whose header is in `header`, its first decoded bytes.
///
/// It is the one that finds all wanted columns; if none does or none is wanted, the one that finds the most columns. Of
/// equals the first of comma, semicolon, tab and pipe.
pub fn choose_delimiter(header: &[u8], wanted: &[&str]) -> Delimiter {
    let mut best = (Delimiter::Comma, (false, 0));
    for delimiter in Delimiter::ALL {
        let merit = merit_of(delimiter, header, wanted);
        if merit > best.1 {
            best = (delimiter, merit);
        }
    }
    best.0
}

/// Whether all wanted columns are there, and how many columns there are.
fn merit_of(delimiter: Delimiter, header: &[u8], wanted: &[&str]) -> (bool, usize) {
    let start = Position {
        line: 1,
        byte_offset: 0,
    };
    let mut splitter = Splitter::new(delimiter, Encoding::Utf8, start, Limits::default());
    splitter.feed(header);
    splitter.finish();
    let Split::Row(record) = splitter.next() else {
        return (false, 0);
    };
    let has = |name: &&str| record.fields().any(|field| field == *name);
    (wanted.iter().all(has), record.len())
}
