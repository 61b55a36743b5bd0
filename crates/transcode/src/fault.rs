//! Why a line cannot be read.

use std::fmt;

/// Why a line is none of a DynamoDB export, or cannot be shaped as asked. It says the byte and what was expected there, and
/// nothing of the row but names of attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineFault(Box<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// Something else stands at a byte of the line.
    Unexpected {
        offset: usize,
        expected: &'static str,
    },
    /// Something is wrong with an attribute or member of this name.
    Named {
        what: &'static str,
        name: String,
        wrong: &'static str,
        expected: &'static str,
    },
}

/// Characters of a name that a message holds.
const SHOWN_CHARS: usize = 60;

impl LineFault {
    #[cold]
    pub(crate) fn at(offset: usize, expected: &'static str) -> Self {
        Self(Box::new(Fault::Unexpected { offset, expected }))
    }

    /// `the <what> "<name>" <wrong>: expected <expected>`; a long name is cut.
    #[cold]
    pub(crate) fn named(
        what: &'static str,
        name: &str,
        wrong: &'static str,
        expected: &'static str,
    ) -> Self {
        let mut shown: String = name.chars().take(SHOWN_CHARS).collect();
        if shown.len() < name.len() {
            shown.push('…');
        }
        Self(Box::new(Fault::Named {
            what,
            name: shown,
            wrong,
            expected,
        }))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { offset, expected } => {
                write!(
                    formatter,
                    "the line cannot be read at byte {offset}: expected {expected}"
                )
            }
            Self::Named {
                what,
                name,
                wrong,
                expected,
            } => write!(
                formatter,
                "the {what} {name:?} {wrong}: expected {expected}"
            ),
        }
    }
}
