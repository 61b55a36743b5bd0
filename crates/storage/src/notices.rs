//! Messages to people who operate the suite.

use crate::StorageError;

/// The longest message in bytes: what SQS takes at its default `MaximumMessageSize` of 256 KiB.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Where a message goes that somebody has to act on: the on-failure queue.
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait Notices {
    /// Sends one message (JSON text of at most 256 KiB); retries what is transient inside.
    async fn send(&self, message: &str) -> Result<(), StorageError>;
}
