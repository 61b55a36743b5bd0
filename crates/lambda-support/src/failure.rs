//! Failures as Lambda and the state machines see them.

use std::error::Error;

use lambda_runtime::Diagnostic;
use storage::{ErrorKind, StorageError};

/// What the one who calls a function can do about its failure. The name is the error type that Lambda reports, on which state
/// machines match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The same call can succeed later.
    Transient,
    /// The call, the input or the configuration is wrong; somebody has to change something first.
    Invalid,
    /// A defect of ours.
    Internal,
}

impl FailureKind {
    /// The error type that Lambda reports.
    pub fn error_type(self) -> &'static str {
        match self {
            Self::Transient => "Transient",
            Self::Invalid => "Invalid",
            Self::Internal => "Internal",
        }
    }
}

/// A failure that leaves a function: its kind, and one message that reads alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What the caller can do.
    pub kind: FailureKind,
    /// What happened, to what, and what was expected.
    pub message: String,
}

impl Failure {
    /// A failure of `kind` with the whole chain of `error` as its message.
    pub fn new(kind: FailureKind, error: &(dyn Error + 'static)) -> Self {
        Self {
            kind,
            message: error_chain(error),
        }
    }
}

/// What a failure of a store is to whoever invoked the function.
impl From<&StorageError> for Failure {
    fn from(error: &StorageError) -> Self {
        let kind = match error.kind() {
            ErrorKind::Throttled | ErrorKind::Unanswered | ErrorKind::Conflict => {
                FailureKind::Transient
            }
            ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Refused => FailureKind::Invalid,
            ErrorKind::Internal => FailureKind::Internal,
        };
        Self::new(kind, error)
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self {
            error_type: failure.kind.error_type().to_owned(),
            error_message: failure.message,
        }
    }
}

/// An error and everything underneath it in one line: `a: b: c`.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let message = inner.to_string();
        // Some errors print their source themselves; saying it twice helps nobody.
        if !message.is_empty() && !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_call_is_for_somebody_to_mend_and_a_throttled_one_for_later() {
        let of = |kind| Failure::from(&StorageError::new(kind, "GetItem", "offers", "no"));
        assert_eq!(of(ErrorKind::Denied).kind, FailureKind::Invalid);
        assert_eq!(of(ErrorKind::Throttled).kind, FailureKind::Transient);
        assert_eq!(of(ErrorKind::Internal).message, "GetItem on offers: no");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("reading the ledger")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_whole_chain_is_one_line() {
        let error = Outer(std::io::Error::other("connection reset"));
        let failure = Failure::new(FailureKind::Transient, &error);
        assert_eq!(failure.message, "reading the ledger: connection reset");
        let diagnostic = Diagnostic::from(failure);
        assert_eq!(diagnostic.error_type, "Transient");
    }
}
