//! The function's configuration.

use lambda_support::{Environment, EnvironmentError};

/// Everything that the environment decides. What becomes of the lines is in the job's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `LEDGER_TABLE`: the table with the rows of jobs and parts.
    pub ledger_table: String,
    /// `LAKE_BUCKET`: where exports are and objects go.
    pub lake_bucket: String,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// Names of the variables that [`Config::read`] reads, for the check of the template.
pub const VARIABLES: [&str; 3] = ["LEDGER_TABLE", "LAKE_BUCKET", "AWS_ENDPOINT_URL"];

impl Config {
    /// Reads and checks every variable; the error names the one that is wrong.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        Ok(Self {
            ledger_table: environment.required("LEDGER_TABLE", "the name of the ledger's table")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            endpoint_url: environment.optional("AWS_ENDPOINT_URL"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = Config::read(&Environment::from([("LEDGER_TABLE", "ledger")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable LAKE_BUCKET is not set: expected the name of the lake bucket"
        );
    }
}
