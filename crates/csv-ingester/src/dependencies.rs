//! What the handler is given.

use std::rc::Rc;

use storage::Timestamp;

use crate::config::Config;

/// What the handler borrows from `main`, or from a test.
pub struct Dependencies<O, T, L, N, C> {
    /// Inbox and lake.
    pub objects: Rc<O>,
    /// The target table.
    pub tables: T,
    /// Jobs and leases.
    pub ledger: L,
    /// The on-failure queue.
    pub notices: N,
    /// Wall-clock time.
    pub clock: C,
    /// The environment's settings.
    pub config: Config,
}

/// What is particular to one invocation.
#[derive(Debug, Clone, Copy)]
pub struct Invocation {
    /// When the function will be killed.
    pub deadline: Timestamp,
    /// A random number: makes leases distinct, and seeds the jitter of retries.
    pub random: u64,
}
