//! What can go wrong in a store, in the few kinds that a caller acts on.

use std::fmt;

/// The kinds of failure that callers tell apart; everything finer is in the message and its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bucket, object, version, table or upload is not there.
    NotFound,
    /// A condition did not hold: the object is another one than asked for, the ledger row has another revision.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// The request itself is wrong and would be wrong again (DynamoDB's `ValidationException`): nothing of it was done.
    Refused,
    /// The store asks for a slower pace; nothing of the request was done.
    Throttled,
    /// No definite answer came: a time-out, a reset connection or a 5xx. The request may have been carried out, and, if
    /// the connection broke, may still be carried out until its signature expires.
    Unanswered,
    /// A defect on our side: an answer that cannot be understood, a request that cannot be built.
    Internal,
}

impl ErrorKind {
    /// Whether the same request can succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unanswered)
    }
}

/// One failed operation on a store: which operation, on what, and why.
#[derive(Debug)]
pub struct StorageError {
    kind: ErrorKind,
    operation: &'static str,
    target: Box<str>,
    message: Box<str>,
    request: Option<Box<str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// An error of `operation` (the store's own name of it, such as `BatchWriteItem`) on `target` (a table, `s3://bucket/key`).
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        target: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            operation,
            target: target.into().into(),
            message: message.into().into(),
            request: None,
            source: None,
        }
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the store's id of the request, for which AWS Support asks.
    #[must_use]
    pub fn with_request(mut self, id: impl Into<String>) -> Self {
        self.request = Some(id.into().into());
        self
    }

    /// What a caller may act on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The store's own words, without operation, target and request: the same for the same refusal.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.operation, self.target, self.message)?;
        match &self.request {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
