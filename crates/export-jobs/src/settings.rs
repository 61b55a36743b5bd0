//! What a job makes of its lines: recorded when it begins, so that every retry does the same.

use std::str::FromStr;

use records::changes::Codec;
use serde::{Deserialize, Serialize};

/// What becomes of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Plain JSON Lines, compressed.
    JsonLines,
    /// Lines of the change log, compressed.
    Changes,
    /// Parquet.
    Parquet,
}

/// Where the columns of Parquet come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemaMode {
    /// A first pass over all files.
    Inferred,
    /// A schema that the user wrote.
    Declared,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No format.
    #[error("the format is {0:?}: expected json-lines, changes or parquet")]
    Format(String),
    /// A change record is the whole item.
    #[error(
        "the change log takes items as they are, and all of them: expected no shaping and no discriminator with the format changes"
    )]
    ShapedChanges,
    /// A schema without columns to describe.
    #[error("a schema is given for the format {0}: expected it with the format parquet alone")]
    NeedlessSchema(&'static str),
    /// Nothing says what the columns are.
    #[error("the format is parquet without a schema: expected inferred or declared")]
    NoSchema,
    /// A split that never ends, or one with a file a line.
    #[error("the size of a split is {0} bytes: expected at least 1 MiB")]
    Split(u64),
}

/// The least that a split may have.
const MIN_SPLIT_BYTES: u64 = 1024 * 1024;

/// What a job makes of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The format.
    pub format: Format,
    /// How lines are compressed; Parquet is always compressed with zstd.
    #[serde(with = "codec_name")]
    pub codec: Codec,
    /// Bytes after which an object ends and the next one begins: of lines before they are compressed, of Parquet as it is
    /// written. An object passes it by at most one line, or one row group.
    pub split_bytes: u64,
    /// What is renamed, dropped and kept, as JSON ([`transcode::Shaping`]).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shaping: Option<String>,
    /// Where Parquet's columns come from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<SchemaMode>,
    /// The attribute that tells which data set an item belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub discriminator: Option<String>,
}

impl Settings {
    /// Refuses what does not go together.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.split_bytes < MIN_SPLIT_BYTES {
            return Err(SettingsError::Split(self.split_bytes));
        }
        match (self.format, self.schema) {
            (Format::Parquet, None) => Err(SettingsError::NoSchema),
            (Format::JsonLines | Format::Changes, Some(_)) => {
                Err(SettingsError::NeedlessSchema(self.format.name()))
            }
            (Format::Changes, None) if self.shaping.is_some() || self.discriminator.is_some() => {
                Err(SettingsError::ShapedChanges)
            }
            _ => Ok(()),
        }
    }

    /// What the names of objects end in, with the dot.
    pub fn suffix(&self) -> String {
        match self.format {
            Format::Parquet => ".parquet".to_owned(),
            Format::JsonLines | Format::Changes => format!(".{}", self.codec.suffix()),
        }
    }
}

impl Format {
    /// As in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "json-lines",
            Self::Changes => "changes",
            Self::Parquet => "parquet",
        }
    }
}

impl FromStr for Format {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        [Self::JsonLines, Self::Changes, Self::Parquet]
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| SettingsError::Format(text.to_owned()))
    }
}

mod codec_name {
    use records::changes::Codec;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(codec: &Codec, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(codec)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Codec, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(format: Format) -> Settings {
        Settings {
            format,
            codec: Codec::Gzip,
            split_bytes: MIN_SPLIT_BYTES,
            shaping: None,
            schema: None,
            discriminator: None,
        }
    }

    #[test]
    fn the_ledger_gives_back_what_was_recorded() {
        let written = Settings {
            schema: Some(SchemaMode::Declared),
            discriminator: Some("kind".to_owned()),
            ..settings(Format::Parquet)
        };
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(
            json,
            r#"{"format":"parquet","codec":"gzip","split_bytes":1048576,"schema":"declared","discriminator":"kind"}"#
        );
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), written);
        assert_eq!(written.suffix(), ".parquet");
        assert_eq!(settings(Format::Changes).suffix(), ".jsonl.gz");
    }

    #[test]
    fn what_does_not_go_together_says_so() {
        let mut shaped = settings(Format::Changes);
        shaped.shaping = Some("{}".to_owned());
        let mut small = settings(Format::JsonLines);
        small.split_bytes = 1;
        let mut needless = settings(Format::JsonLines);
        needless.schema = Some(SchemaMode::Inferred);
        let cases = [
            (shaped, SettingsError::ShapedChanges),
            (small, SettingsError::Split(1)),
            (needless, SettingsError::NeedlessSchema("json-lines")),
            (settings(Format::Parquet), SettingsError::NoSchema),
        ];
        for (settings, expected) in cases {
            assert_eq!(settings.check(), Err(expected));
        }
        assert_eq!(settings(Format::JsonLines).check(), Ok(()));
        assert_eq!(
            "csv".parse::<Format>().unwrap_err().to_string(),
            "the format is \"csv\": expected json-lines, changes or parquet"
        );
    }
}
