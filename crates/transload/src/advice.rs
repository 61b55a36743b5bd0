//! What a person can do about a table that cannot be used.

use bulk_writer::WriteFailure;
use storage::ErrorKind;

/// What the advice of a command speaks of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Advice {
    /// The option that names the table.
    pub(crate) option: &'static str,
    /// What the credentials need.
    pub(crate) rights: &'static str,
    /// What helps against throttling.
    pub(crate) throttled: &'static str,
}

impl Advice {
    /// What can be done about an answer of the table.
    pub(crate) fn about(&self, table: &str, kind: ErrorKind) -> String {
        let Self {
            option,
            rights,
            throttled,
        } = self;
        match kind {
            ErrorKind::NotFound => format!(
                "there is no table {table}: check {option}, the region (AWS_REGION or the profile's) and --endpoint-url"
            ),
            ErrorKind::Denied => format!(
                "access to the table {table} is denied: check the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID), which need {rights}"
            ),
            ErrorKind::Unanswered => format!(
                "the table {table} does not answer: check the network, the region and --endpoint-url"
            ),
            ErrorKind::Throttled => format!("the table {table} is throttled{throttled}"),
            ErrorKind::Refused | ErrorKind::Conflict | ErrorKind::Internal => {
                format!("the table {table} cannot be used")
            }
        }
    }

    /// What can be done about a load that could not go on.
    pub(crate) fn about_failure(&self, table: &str, failure: &WriteFailure) -> String {
        let (WriteFailure::Store(error) | WriteFailure::NoProgress { last: error, .. }) = failure;
        self.about(table, error.kind())
    }
}
