//! Keeping the lease while the rows move, and saying why to stop.

use std::cell::Cell;
use std::time::Duration;

use bulk_writer::SendWindow;
use lambda_support::error_chain;
use storage::{Clock, Ledger, Timestamp};
use tracing::warn;

use crate::claims::{InboxKey, change_inbox};
use crate::inbox::Timing;

/// Why a worker stops before the end of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The function's time is up.
    Deadline,
    /// Somebody else may own the key by now.
    LeaseLost,
    /// A newer version of the object waits.
    Superseded,
}

/// The lease of a worker: how long it may send, and why no longer.
pub struct LeaseKeeper<'a, L, C> {
    ledger: &'a L,
    clock: &'a C,
    key: &'a InboxKey,
    fence: u64,
    timing: Timing,
    deadline: Timestamp,
    window: SendWindow,
    /// Until when the key is this worker's, with room for clocks that differ.
    held_until: Cell<Timestamp>,
    stop: Cell<Option<Stop>>,
}

impl<'a, L: Ledger, C: Clock> LeaseKeeper<'a, L, C> {
    /// For a lease that was taken at `taken`. Nothing is sent after `deadline`.
    pub fn new(
        ledger: &'a L,
        clock: &'a C,
        key: &'a InboxKey,
        fence: u64,
        timing: Timing,
        taken: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        let keeper = Self {
            ledger,
            clock,
            key,
            fence,
            timing,
            deadline,
            window: SendWindow::until(deadline),
            held_until: Cell::new(Timestamp(0)),
            stop: Cell::new(None),
        };
        keeper.extend_to(taken.plus(timing.lease));
        keeper
    }

    /// Until when attempts may start: well before the lease ends, and not after the deadline.
    pub fn window(&self) -> &SendWindow {
        &self.window
    }

    /// No further attempt, because of `why`. The first reason stays.
    pub fn stop(&self, why: Stop) {
        if self.stop.get().is_none() {
            self.stop.set(Some(why));
        }
        self.window.close();
    }

    /// Why sending ended, once it has.
    pub fn why_stopped(&self) -> Stop {
        self.stop
            .get()
            .unwrap_or(if self.clock.now() >= self.deadline {
                Stop::Deadline
            } else {
                Stop::LeaseLost
            })
    }

    /// Whether the key is still this worker's: also after the deadline, and when a newer version waits.
    pub fn holds_key(&self) -> bool {
        self.clock.now() < self.held_until.get()
    }

    /// Renews for ever; to be dropped when the work has ended. A renewal that fails is tried again: until one succeeds the
    /// window ends by itself.
    pub async fn keep(&self) {
        let pause = self.timing.lease / 4;
        loop {
            tokio::time::sleep(pause).await;
            if self.stop.get() == Some(Stop::LeaseLost) {
                std::future::pending::<()>().await;
            }
            let renewed = change_inbox(self.ledger, self.clock, self.key, |inbox, now| {
                inbox.renew(self.fence, now, self.timing)
            });
            match renewed.await {
                Ok(Some(end)) => self.extend_to(end),
                Ok(None) => {
                    self.held_until.set(Timestamp(0));
                    self.stop(Stop::LeaseLost);
                }
                Err(error) => warn!(
                    error = error_chain(&error),
                    "the lease could not be renewed; trying again"
                ),
            }
        }
    }

    fn extend_to(&self, lease_end: Timestamp) {
        let margin = self.timing.lease / 4;
        let end = Timestamp(lease_end.0.saturating_sub(millis(margin)));
        self.held_until.set(end);
        if self.stop.get().is_none() {
            self.window.set_end(end.min(self.deadline));
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
