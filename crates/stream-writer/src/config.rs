//! The function's configuration.

use lambda_support::{Environment, EnvironmentError};
use records::changes::Codec;

/// Everything that the environment decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table whose log is written.
    pub table: String,
    /// `LAKE_BUCKET`: where the log is.
    pub lake_bucket: String,
    /// `CHANGES_CODEC` (gzip): how objects are compressed.
    pub codec: Codec,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// Names of the variables that [`Config::read`] reads, for the check of the template.
pub const VARIABLES: [&str; 4] = [
    "TABLE_NAME",
    "LAKE_BUCKET",
    "CHANGES_CODEC",
    "AWS_ENDPOINT_URL",
];

impl Config {
    /// Reads and checks every variable; the error names the one that is wrong.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        Ok(Self {
            table: environment
                .required("TABLE_NAME", "the name of the table whose stream is read")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            codec: environment.parsed("CHANGES_CODEC", Codec::Gzip, "gzip or zstd")?,
            endpoint_url: environment.optional("AWS_ENDPOINT_URL"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_is_gzip_unless_said_and_a_wrong_one_is_named() {
        let read = |codec| {
            Config::read(&Environment::from([
                ("TABLE_NAME", "offers"),
                ("LAKE_BUCKET", "lake"),
                ("CHANGES_CODEC", codec),
            ]))
        };
        assert_eq!(read("").map(|config| config.codec), Ok(Codec::Gzip));
        assert_eq!(read("zstd").map(|config| config.codec), Ok(Codec::Zstd));
        assert_eq!(
            read("lz4").unwrap_err().to_string(),
            "the environment variable CHANGES_CODEC is \"lz4\": expected gzip or zstd"
        );
        let error = Config::read(&Environment::from([("TABLE_NAME", "offers")])).unwrap_err();
        assert!(error.to_string().contains("LAKE_BUCKET"), "{error}");
    }
}
