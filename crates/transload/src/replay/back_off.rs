//! Waiting for a table that does not answer, or answers that it has no capacity.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bulk_writer::{WriteFailure, WriterSettings};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use storage::{Clock, StorageError, Timestamp};

/// How all writes under way wait, as the bulk writer does: each on its own, with one patience for all of them.
pub(super) struct BackOff<'a, C> {
    clock: &'a C,
    settings: WriterSettings,
    random: RefCell<ChaCha8Rng>,
    /// Since when there were only answers that wrote nothing.
    fruitless_since: Cell<Option<Timestamp>>,
    waits: Cell<u64>,
}

impl<'a, C: Clock> BackOff<'a, C> {
    pub(super) fn new(clock: &'a C, seed: u64) -> Self {
        Self {
            clock,
            settings: WriterSettings::default(),
            random: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            fruitless_since: Cell::new(None),
            waits: Cell::new(0),
        }
    }

    /// How often a write was to be sent again.
    pub(super) fn waits(&self) -> u64 {
        self.waits.get()
    }

    /// Runs `attempt` until it succeeds, fails for good, or all patience is lost: it must be one that may be repeated.
    pub(super) async fn run<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, StorageError>,
    ) -> Result<T, WriteFailure> {
        let (mut bound, longest) = self.settings.back_off;
        loop {
            match attempt().await {
                Err(error) if error.kind().is_transient() => self.lose_patience(error)?,
                answer => {
                    self.fruitless_since.set(None);
                    return answer.map_err(WriteFailure::Store);
                }
            }
            self.waits.update(|waits| waits + 1);
            // Full jitter.
            let wait = self
                .random
                .borrow_mut()
                .random_range(Duration::ZERO..=bound);
            bound = bound.saturating_mul(2).min(longest);
            tokio::time::sleep(wait).await;
        }
    }

    fn lose_patience(&self, last: StorageError) -> Result<(), WriteFailure> {
        let patience = self.settings.patience;
        let now = self.clock.now();
        let since = self.fruitless_since.get().unwrap_or(now);
        self.fruitless_since.set(Some(since));
        match since.until(now) >= patience {
            true => Err(WriteFailure::NoProgress { patience, last }),
            false => Ok(()),
        }
    }
}
