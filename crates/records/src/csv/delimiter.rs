//! Which character separates the fields.

use csv_core::{ReadRecordResult, ReaderBuilder};

/// A character that separates fields.
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
    /// All of them, the likeliest first.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe];

    /// The character.
    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }
}

/// The delimiter of a file that begins with `head` (its header and perhaps more): the one that yields all `wanted` column
/// names, else the one that yields the most columns.
pub fn choose_delimiter(head: &[u8], wanted: &[&str]) -> Delimiter {
    let mut best = (false, 0, Delimiter::Comma);
    for delimiter in Delimiter::ALL {
        let names = first_record(head, delimiter);
        let complete = wanted
            .iter()
            .all(|name| names.iter().any(|field| field == name.as_bytes()));
        let candidate = (complete, names.len(), delimiter);
        if (candidate.0, candidate.1) > (best.0, best.1) {
            best = candidate;
        }
    }
    best.2
}

fn first_record(head: &[u8], delimiter: Delimiter) -> Vec<Vec<u8>> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter.byte()).build();
    let mut output = vec![0; head.len() + 1];
    let mut ends = vec![0; head.len() + 2];
    let (result, _, _, fields) = reader.read_record(head, &mut output, &mut ends);
    let fields = match result {
        ReadRecordResult::Record => fields,
        // The head has no line ending: the file is its header, or the header goes on.
        _ => {
            let written = ends[..fields].last().copied().unwrap_or(0);
            let (_, _, _, more) = reader.read_record(&[], &mut output[written..], &mut ends[fields..]);
            fields + more
        }
    };
    let mut start = 0;
    ends[..fields]
        .iter()
        .map(|end| {
            let field = output[start..*end].to_vec();
            start = *end;
            field
        })
        .collect()
}
