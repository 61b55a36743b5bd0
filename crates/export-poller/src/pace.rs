//! How fast the rows of a window's files are read and written.
//!
//! They all lie in one partition of the ledger's table, which takes 1,000 writes a second, refused ones as well as others, and
//! 3,000 reads of small rows ("Quotas" and "Partitions" of the DynamoDB developer guide).

use std::time::Duration;

use storage::{Clock, ErrorKind, StorageError, Timestamp};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Rows that are read or written at the same time.
pub const BATCH: usize = 32;
/// From the beginning of one batch to that of the next, at least: 800 rows a second.
const BETWEEN: Duration = Duration::from_millis(40);
/// The bounds of the waits after a call was throttled: each wait is twice the one before. There is one caller, so no share of
/// them is left to chance.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// What is left of the function's time when no throttled call is made again: it has to say what happened.
const TIME_TO_LEAVE: Duration = Duration::from_secs(30);

/// The pace of one call of the function.
pub struct Pace<'a, C> {
    clock: &'a C,
    ticks: Interval,
    retry_until: Timestamp,
}

impl<'a, C: Clock> Pace<'a, C> {
    /// The pace of a call that will be killed at `deadline`.
    pub fn new(clock: &'a C, deadline: Timestamp) -> Self {
        let mut ticks = interval(BETWEEN);
        // What a slow batch left out is not made up: the partition counts each second for itself.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = clock.now();
        let time = now.until(deadline);
        Self {
            clock,
            ticks,
            retry_until: now.plus(time.saturating_sub(TIME_TO_LEAVE.min(time / 4))),
        }
    }

    /// Waits until the next batch may begin.
    pub async fn next_batch(&mut self) {
        self.ticks.tick().await;
    }

    /// Makes a call. While the ledger throttles it, after the SDK's own tries, it is made again as long as there is time.
    pub async fn patiently<R>(
        &self,
        call: impl AsyncFn() -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        let (mut wait, longest) = BACK_OFF;
        loop {
            match call().await {
                Err(error)
                    if error.kind() == ErrorKind::Throttled
                        && self.clock.now().plus(wait) < self.retry_until => {}
                answer => return answer,
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(longest);
        }
    }
}
