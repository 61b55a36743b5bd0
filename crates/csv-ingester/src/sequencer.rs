//! The order of an object's versions.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// S3's sequencer of one event: a hexadecimal number that grows with each version of a key. It says nothing across keys.
///
/// S3's guide has said both "left pad" and "right pad the shorter value with zeros" over the years. Left it is, a comparison
/// of numbers, because the same upload comes as `0055AED6DCD90281E5` in a notification and without the leading zeros in
/// EventBridge's form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequencer(String);

impl Sequencer {
    /// From an event's text, in either case, with or without leading zeros; nothing if it is no hexadecimal number.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid.then(|| Self(text.trim_start_matches('0').to_ascii_lowercase()))
    }

    /// In lower case and without leading zeros.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Sequencer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Sequencer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for Sequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequencer(text: &str) -> Sequencer {
        Sequencer::parse(text).expect("hexadecimal")
    }

    #[test]
    fn order_is_that_of_the_numbers() {
        assert!(sequencer("0055AED6DCD90281E5") < sequencer("0055AED6DCD90281E6"));
        assert!(sequencer("FF") < sequencer("100"));
        assert_eq!(sequencer("00ab"), sequencer("AB"));
        assert_eq!(Sequencer::parse("xyz"), None);
        assert_eq!(Sequencer::parse(""), None);
    }
}
