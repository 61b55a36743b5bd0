//! The variables that the functions of exports and scans have in common: what is made of lines unless an event says otherwise.

use lambda_support::{Environment, EnvironmentError};
use records::changes::Codec;

use crate::settings::Format;

/// Bytes of a megabyte of `SPLIT_MB`.
const MEGABYTE: u64 = 1024 * 1024;

/// What is made of lines, as the environment has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputVariables {
    /// `OUTPUT_FORMAT` (json-lines).
    pub format: Format,
    /// `OUTPUT_CODEC` (gzip): how lines are compressed.
    pub codec: Codec,
    /// `SPLIT_MB`, in bytes: after so many an object ends and the next one begins.
    pub split_bytes: u64,
}

impl OutputVariables {
    /// Reads the three variables; `split_mb` is what `SPLIT_MB` is unless it is set.
    ///
    /// # Errors
    /// The variable that cannot be used, by its name.
    pub fn read(environment: &Environment, split_mb: u64) -> Result<Self, EnvironmentError> {
        let format = environment.parsed(
            "OUTPUT_FORMAT",
            Format::JsonLines,
            "json-lines, changes or parquet",
        )?;
        let codec = environment.parsed("OUTPUT_CODEC", Codec::Gzip, "gzip or zstd")?;
        // An upload has 10,000 parts at most, of 8 MiB each here.
        let split_mb =
            environment.in_range("SPLIT_MB", split_mb, 1..=65_536, "1 to 65536 megabytes")?;
        Ok(Self {
            format,
            codec,
            split_bytes: split_mb * MEGABYTE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<OutputVariables, EnvironmentError> {
        OutputVariables::read(&Environment::from([(name, value)]), 64)
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let expected = OutputVariables {
            format: Format::JsonLines,
            codec: Codec::Gzip,
            split_bytes: 67_108_864,
        };
        assert_eq!(read("", ""), Ok(expected));
        assert_eq!(read("SPLIT_MB", "2").unwrap().split_bytes, 2_097_152);
        assert_eq!(read("OUTPUT_CODEC", "zstd").unwrap().codec, Codec::Zstd);
        let format = read("OUTPUT_FORMAT", "parquet").unwrap().format;
        assert_eq!(format, Format::Parquet);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_was_expected() {
        for (name, value, expected) in [
            ("OUTPUT_FORMAT", "csv", "json-lines, changes or parquet"),
            ("OUTPUT_CODEC", "lz4", "gzip or zstd"),
            ("SPLIT_MB", "0", "1 to 65536 megabytes"),
            ("SPLIT_MB", "65537", "1 to 65536 megabytes"),
        ] {
            assert_eq!(
                read(name, value).unwrap_err().to_string(),
                format!("the environment variable {name} is {value:?}: expected {expected}")
            );
        }
    }
}
