//! The function's configuration.

use std::time::Duration;

use export_jobs::{Format, OutputVariables};
use lambda_support::{Environment, EnvironmentError};
use records::changes::Codec;
use storage::ExportView;

/// Everything that the environment decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table that is exported.
    pub table: String,
    /// `LEDGER_TABLE`: the table that holds jobs and parts.
    pub ledger_table: String,
    /// `LAKE_BUCKET`: where exports, and what is made of them, go.
    pub lake_bucket: String,
    /// `EXPORT_PREFIX` (exports): what DynamoDB's keys begin with.
    pub prefix: String,
    /// `EXPORT_LAG_SECONDS` (600): how long ago the newest time is that is exported. DynamoDB can restore up to about five
    /// minutes ago.
    pub lag: Duration,
    /// `WINDOW_SECONDS` (3600): the length of an incremental window.
    pub window: Duration,
    /// `EXPORT_VIEW` (NEW_AND_OLD_IMAGES): what incremental exports show of an item.
    pub view: ExportView,
    /// `OUTPUT_FORMAT` (json-lines): what is made of the lines unless the event says otherwise.
    pub format: Format,
    /// `OUTPUT_CODEC` (gzip): how lines are compressed.
    pub codec: Codec,
    /// `SPLIT_MB` (256): megabytes after which an object ends and the next one begins.
    pub split_bytes: u64,
    /// `SCHEMA_KEY`: the key in the lake bucket of the declared schema of Parquet, unless the event says otherwise.
    pub schema_key: Option<String>,
    /// `DISCRIMINATOR`: the attribute that tells which data set an item belongs to.
    pub discriminator: Option<String>,
    /// `SHAPING_KEY`: the key in the lake bucket of what is renamed, dropped and kept.
    pub shaping_key: Option<String>,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// Names of the variables that [`Config::read`] reads, for the check of the template.
pub const VARIABLES: [&str; 15] = [
    "TABLE_NAME",
    "LEDGER_TABLE",
    "LAKE_BUCKET",
    "EXPORT_PREFIX",
    "EXPORT_LAG_SECONDS",
    "WINDOW_SECONDS",
    "MIN_WINDOW_SECONDS",
    "EXPORT_VIEW",
    "OUTPUT_FORMAT",
    "OUTPUT_CODEC",
    "SPLIT_MB",
    "SCHEMA_KEY",
    "DISCRIMINATOR",
    "SHAPING_KEY",
    "AWS_ENDPOINT_URL",
];

/// What DynamoDB takes as an incremental window at most.
const MAX_WINDOW_SECONDS: u64 = 24 * 3_600;

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// If a variable is missing or cannot be used; the message names it.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        let prefix = environment
            .optional("EXPORT_PREFIX")
            .unwrap_or_else(|| "exports".to_owned());
        if prefix.starts_with('/') || prefix.ends_with('/') {
            return Err(EnvironmentError::Malformed(
                "EXPORT_PREFIX",
                prefix,
                "a prefix without a slash at either end",
            ));
        }
        let view = match environment.optional("EXPORT_VIEW").as_deref() {
            None | Some("NEW_AND_OLD_IMAGES") => ExportView::NewAndOldImages,
            Some("NEW_IMAGE") => ExportView::NewImage,
            Some(other) => {
                return Err(EnvironmentError::Malformed(
                    "EXPORT_VIEW",
                    other.to_owned(),
                    "NEW_IMAGE or NEW_AND_OLD_IMAGES",
                ));
            }
        };
        // AWS takes no shorter window than 15 minutes; the local cloud does.
        let least = environment.parsed("MIN_WINDOW_SECONDS", 900, "a number of seconds")?;
        let window = environment.in_range(
            "WINDOW_SECONDS",
            3_600,
            least..=MAX_WINDOW_SECONDS,
            "a number of seconds from MIN_WINDOW_SECONDS (900) to 86400",
        )?;
        let OutputVariables {
            format,
            codec,
            split_bytes,
        } = OutputVariables::read(environment, 256)?;
        Ok(Self {
            table: environment.required("TABLE_NAME", "the name of the table to export")?,
            ledger_table: environment.required("LEDGER_TABLE", "the name of the ledger's table")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            prefix,
            lag: Duration::from_secs(environment.in_range(
                "EXPORT_LAG_SECONDS",
                600,
                0..=86_400,
                "0 to 86400 seconds",
            )?),
            window: Duration::from_secs(window),
            view,
            format,
            codec,
            split_bytes,
            schema_key: environment.optional("SCHEMA_KEY"),
            discriminator: environment.optional("DISCRIMINATOR"),
            shaping_key: environment.optional("SHAPING_KEY"),
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
        assert_eq!(config.prefix, "exports");
        assert_eq!(config.lag, Duration::from_secs(600));
        assert_eq!(config.window, Duration::from_secs(3_600));
        assert_eq!(config.view, ExportView::NewAndOldImages);
        assert_eq!(config.format, Format::JsonLines);
        assert_eq!(config.split_bytes, 268_435_456);
        assert_eq!(
            read("EXPORT_VIEW", "NEW_IMAGE").unwrap().view,
            ExportView::NewImage
        );
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value) in [
            ("EXPORT_PREFIX", "a/"),
            ("EXPORT_LAG_SECONDS", "soon"),
            ("WINDOW_SECONDS", "899"),
            ("WINDOW_SECONDS", "86401"),
            ("EXPORT_VIEW", "OLD_IMAGE"),
            ("OUTPUT_FORMAT", "csv"),
            ("OUTPUT_CODEC", "lz4"),
            ("SPLIT_MB", "0"),
        ] {
            let message = read(name, value).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
        let missing = Config::read(&Environment::from([])).unwrap_err();
        assert!(missing.to_string().contains("TABLE_NAME"), "{missing}");
    }
}
