//! Why a record has no place, or a line cannot be read.

/// Why a record cannot be placed in the log, or a line of it not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// It is no JSON object of the right shape.
    #[error("the record cannot be read ({0}): expected a JSON object as DynamoDB Streams sends it")]
    Unreadable(String),
    /// A member is not there, or null.
    #[error("{member} is missing: expected {expected}")]
    Missing {
        /// The member's name with those around it.
        member: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A member holds something else.
    #[error("{member} is {found}: expected {expected}")]
    Malformed {
        /// The member's name with those around it.
        member: &'static str,
        /// The beginning of what it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// It belongs to another table than the log.
    #[error("the record is of the table {found}: expected one of {expected}")]
    OtherTable {
        /// Its table.
        found: String,
        /// The log's table.
        expected: String,
    },
    /// Another record of the batch has the same id and is not the same.
    #[error("another record has the event id {0} as well: expected an id of its own")]
    TwiceTheId(String),
}
