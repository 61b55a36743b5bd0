//! How an object of the log is compressed.

use std::fmt;
use std::str::FromStr;

/// The compression of an object, which its name ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// `.jsonl.gz`, which everything reads.
    Gzip,
    /// `.jsonl.zst`: smaller for less CPU; Athena, DuckDB and Spark read it.
    Zstd,
}

impl Codec {
    /// What a name ends in, without the dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "jsonl.gz",
            Self::Zstd => "jsonl.zst",
        }
    }

    /// The codec of an object of this name, if the name is one of an object of lines that is compressed.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Gzip, Self::Zstd].into_iter().find(|codec| {
            name.strip_suffix(codec.suffix())
                .is_some_and(|name| name.ends_with('.'))
        })
    }
}

/// A text that names no codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no codec: expected gzip or zstd")]
pub struct UnknownCodec(String);

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, UnknownCodec> {
        match text {
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => Err(UnknownCodec(other.to_owned())),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}
