//! A clock that follows tokio's, so that a test with paused time decides what time it is.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Clock, Timestamp};

/// A wall clock that shows `base` when it is made and then advances with tokio's time: with `start_paused = true` it moves
/// exactly when the test sleeps or calls `tokio::time::advance`.
#[derive(Debug, Clone, Copy)]
pub struct TestClock {
    base: Timestamp,
    made: Instant,
}

impl TestClock {
    /// A clock that shows `base` now.
    #[must_use]
    pub fn at(base: Timestamp) -> Self {
        Self {
            base,
            made: tokio_now(),
        }
    }

    /// How long this clock has been running.
    pub fn elapsed(&self) -> Duration {
        tokio_now().duration_since(self.made)
    }
}

impl Default for TestClock {
    /// Shows 2026-01-31T12:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp(1_769_860_800_000))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.base.plus(self.elapsed())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokio's clock is the one that a test drives"
)]
pub(crate) fn tokio_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_paused_time() {
        let clock = TestClock::default();
        let start = clock.now();
        assert_eq!(start.iso(), "2026-01-31T12:00:00.000Z");
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(start.until(clock.now()), Duration::from_secs(90));
    }
}
