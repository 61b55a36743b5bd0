//! The function's configuration.

use std::time::Duration;

use lambda_support::{Environment, EnvironmentError};

/// Everything that the environment decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table that rows go into.
    pub table: String,
    /// `LEDGER_TABLE`: the table that tracks jobs.
    pub ledger_table: String,
    /// `LAKE_BUCKET`: where backup, rejects and row mappings are.
    pub lake_bucket: String,
    /// `FAILURE_QUEUE_URL`: where a message goes for each input that can never succeed.
    pub failure_queue_url: String,
    /// `ROW_MAPPING_KEY`: key in the lake of the row mapping for objects that name none.
    pub row_mapping_key: Option<String>,
    /// `SETTLE_SECONDS` (300): how long an attempt that got no answer may still land.
    pub settle: Duration,
    /// `LEASE_SECONDS` (60): how long a worker owns an inbox key without renewing.
    pub lease: Duration,
    /// `BLOCK_ROWS` (50,000): rows of a block, recorded with each job when it starts.
    pub block_rows: u64,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// Names of the variables that [`Config::read`] reads, for the check of the template.
pub const VARIABLES: [&str; 9] = [
    "TABLE_NAME",
    "LEDGER_TABLE",
    "LAKE_BUCKET",
    "FAILURE_QUEUE_URL",
    "ROW_MAPPING_KEY",
    "SETTLE_SECONDS",
    "LEASE_SECONDS",
    "BLOCK_ROWS",
    "AWS_ENDPOINT_URL",
];

/// Shortest lease that can be renewed in time.
const MIN_LEASE_SECONDS: u64 = 10;

impl Config {
    /// Reads and checks every variable; the error names the one that is wrong.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        let settle = environment.parsed("SETTLE_SECONDS", 300, "a whole number of seconds")?;
        let lease =
            environment.parsed("LEASE_SECONDS", 60, "a whole number of seconds, 10 or more")?;
        let block_rows =
            environment.parsed("BLOCK_ROWS", 50_000, "a whole number of rows, 1 or more")?;
        if lease < MIN_LEASE_SECONDS {
            return Err(EnvironmentError::Malformed(
                "LEASE_SECONDS",
                lease.to_string(),
                "a whole number of seconds, 10 or more",
            ));
        }
        if block_rows == 0 {
            return Err(EnvironmentError::Malformed(
                "BLOCK_ROWS",
                "0".to_owned(),
                "a whole number of rows, 1 or more",
            ));
        }
        Ok(Self {
            table: environment.required("TABLE_NAME", "the name of the table to load")?,
            ledger_table: environment.required("LEDGER_TABLE", "the name of the ledger table")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            failure_queue_url: environment
                .required("FAILURE_QUEUE_URL", "the URL of the on-failure queue")?,
            row_mapping_key: environment.optional("ROW_MAPPING_KEY"),
            settle: Duration::from_secs(settle),
            lease: Duration::from_secs(lease),
            block_rows,
            endpoint_url: environment.optional("AWS_ENDPOINT_URL"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> [(&'static str, &'static str); 5] {
        [
            ("TABLE_NAME", "offers"),
            ("LEDGER_TABLE", "ledger"),
            ("LAKE_BUCKET", "lake"),
            ("FAILURE_QUEUE_URL", "http://queue"),
            ("AWS_ENDPOINT_URL", ""),
        ]
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = Config::read(&Environment::from(complete())).expect("complete");
        assert_eq!(config.settle, Duration::from_secs(300));
        assert_eq!(config.lease, Duration::from_secs(60));
        assert_eq!(config.block_rows, 50_000);
        assert_eq!(config.endpoint_url, None);
        assert_eq!(config.row_mapping_key, None);
    }

    #[test]
    fn a_variable_that_is_wrong_is_named() {
        for (name, value) in [
            ("TABLE_NAME", ""),
            ("LEASE_SECONDS", "5"),
            ("BLOCK_ROWS", "0"),
            ("SETTLE_SECONDS", "x"),
        ] {
            let [a, b, c, d, _] = complete();
            let pairs = [a, b, c, d].map(|pair| if pair.0 == name { (name, value) } else { pair });
            let mut environment = vec![(name, value)];
            environment.extend(pairs.iter().filter(|pair| pair.0 != name));
            let five: [(&str, &str); 5] =
                std::array::from_fn(|index| environment[index.min(environment.len() - 1)]);
            let error = Config::read(&Environment::from(five)).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
