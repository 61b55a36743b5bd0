//! Why an object cannot be gone on with, and whether it ever can.

use lambda_support::{Failure, error_chain};
use storage::{ErrorKind, StorageError};

use crate::input::InputError;
use crate::rows::HeaderError;

/// Why an object cannot be gone on with now.
pub(crate) enum Problem {
    /// It can never succeed as it is.
    Permanent(String),
    /// Its bytes were replaced before they were read; the newer version has its own event.
    Replaced(String),
    /// It may succeed later.
    Passing(Failure),
}

impl Problem {
    pub(crate) fn of_store(error: &StorageError) -> Self {
        Self::Passing(Failure::from(error))
    }

    /// The input object itself: gone is gone, and another ETag is another object.
    pub(crate) fn of_input(error: &StorageError) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Permanent(format!(
                "the object is gone: {}: expected it to stay in the inbox until it has been read; upload it again",
                error_chain(error)
            )),
            ErrorKind::Conflict => Self::Replaced(error_chain(error)),
            // An archived object, for one.
            ErrorKind::Refused => Self::Permanent(format!(
                "the object cannot be read as it is: {}: expected one that a plain GET returns; restore it or upload it again",
                error_chain(error)
            )),
            _ => Self::of_store(error),
        }
    }
}

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Store(error) => Self::of_input(&error),
            broken => Self::Permanent(error_chain(&broken)),
        }
    }
}

impl From<HeaderError> for Problem {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Input(error) => error.into(),
            other => Self::Permanent(error_chain(&other)),
        }
    }
}
