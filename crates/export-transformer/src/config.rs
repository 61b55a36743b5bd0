//! The function's configuration.

use lambda_support::{Environment, EnvironmentError};

/// Everything that the environment decides. What becomes of the lines is in the job's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `LEDGER_TABLE`: the table with the rows of jobs and parts.
    pub ledger_table: String,
    /// `LAKE_BUCKET`: where exports are and objects go.
    pub lake_bucket: String,
    /// Bytes of output that are held back: a quarter of the function's memory, which Lambda says in
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` in MB (Lambda developer guide, "Defined runtime environment variables").
    pub held_bytes: usize,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// Names of the variables that [`Config::read`] reads and the template sets, for the check of the template.
pub const VARIABLES: [&str; 3] = ["LEDGER_TABLE", "LAKE_BUCKET", "AWS_ENDPOINT_URL"];

impl Config {
    /// Reads and checks every variable; the error names the one that is wrong.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        Ok(Self {
            ledger_table: environment.required("LEDGER_TABLE", "the name of the ledger's table")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            held_bytes: environment.in_range(
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                128,
                128..=10_240,
                "the function's memory, 128 to 10240 MB",
            )? * (1 << 20)
                / 4,
            endpoint_url: environment.optional("AWS_ENDPOINT_URL"),
        })
    }
}

#[cfg(test)]
mod tests {
    use export_jobs::output::HELD_BYTES;

    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = Config::read(&Environment::from([("LEDGER_TABLE", "ledger")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable LAKE_BUCKET is not set: expected the name of the lake bucket"
        );
    }

    #[test]
    fn a_quarter_of_the_memory_is_held_back() {
        let read = |memory: &'static str| {
            let variables = [
                ("LEDGER_TABLE", "ledger"),
                ("LAKE_BUCKET", "lake"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory),
            ];
            Config::read(&Environment::from(variables)).map(|config| config.held_bytes)
        };
        assert_eq!(read(""), Ok(HELD_BYTES));
        assert_eq!(read("512"), Ok(4 * HELD_BYTES));
        assert!(read("64").unwrap_err().to_string().contains("128 to 10240"));
    }
}
