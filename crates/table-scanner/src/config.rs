//! The function's configuration.

use export_jobs::{Format, OutputVariables};
use lambda_support::{Environment, EnvironmentError};
use records::changes::Codec;

use crate::request::MAX_SEGMENTS;

/// Everything that the environment decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table that is scanned.
    pub table: String,
    /// `LEDGER_TABLE`: the table that holds jobs and parts.
    pub ledger_table: String,
    /// `LAKE_BUCKET`: where objects go.
    pub lake_bucket: String,
    /// `SEGMENTS` (8): into how many parts the table is cut unless the event says otherwise.
    pub segments: u32,
    /// `READ_UNITS` (0): read units a second that all segments together may take; 0 for no limit.
    pub read_units: u64,
    /// `OUTPUT_FORMAT` (json-lines): what is made of the rows unless the event says otherwise.
    pub format: Format,
    /// `OUTPUT_CODEC` (gzip): how lines are compressed unless the event says otherwise.
    pub codec: Codec,
    /// `SPLIT_MB` (64): megabytes after which an object ends and the next one begins.
    pub split_bytes: u64,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// Names of the variables that [`Config::read`] reads, for the check of the template.
pub const VARIABLES: [&str; 9] = [
    "TABLE_NAME",
    "LEDGER_TABLE",
    "LAKE_BUCKET",
    "SEGMENTS",
    "READ_UNITS",
    "OUTPUT_FORMAT",
    "OUTPUT_CODEC",
    "SPLIT_MB",
    "AWS_ENDPOINT_URL",
];

impl Config {
    /// Reads and checks every variable.
    ///
    /// # Errors
    /// The variable that is missing or cannot be used, by its name.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        let OutputVariables {
            format,
            codec,
            split_bytes,
        } = OutputVariables::read(environment, 64)?;
        Ok(Self {
            table: environment.required("TABLE_NAME", "the name of the table to scan")?,
            ledger_table: environment.required("LEDGER_TABLE", "the name of the ledger's table")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            segments: environment.in_range(
                "SEGMENTS",
                8,
                1..=MAX_SEGMENTS,
                "1 to 1000 segments",
            )?,
            read_units: environment.parsed(
                "READ_UNITS",
                0,
                "a whole number of read units a second, or 0 for no limit",
            )?,
            format,
            codec,
            split_bytes,
            endpoint_url: environment.optional("AWS_ENDPOINT_URL"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Config, EnvironmentError> {
        Config::read(&Environment::from([
            ("TABLE_NAME", "offers"),
            ("LEDGER_TABLE", "ledger"),
            ("LAKE_BUCKET", "lake"),
            (name, value),
        ]))
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let config = read("", "").unwrap();
        assert_eq!((config.segments, config.read_units), (8, 0));
        assert_eq!(config.format, Format::JsonLines);
        assert_eq!(config.codec, Codec::Gzip);
        assert_eq!(config.split_bytes, 67_108_864);
        assert_eq!(config.endpoint_url, None);
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value) in [
            ("SEGMENTS", "0"),
            ("SEGMENTS", "1001"),
            ("READ_UNITS", "0.5"),
            ("OUTPUT_FORMAT", "csv"),
            ("OUTPUT_CODEC", "lz4"),
            ("SPLIT_MB", "0"),
        ] {
            let message = read(name, value).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
            assert!(message.contains(": expected "), "{message}");
        }
        let missing = Config::read(&Environment::from([])).unwrap_err();
        assert!(missing.to_string().contains("TABLE_NAME"), "{missing}");
    }
}
