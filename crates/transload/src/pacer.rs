//! Writes at an even pace.

use std::time::Duration;

use storage::Clock;

/// How far behind its pace it may be and still catch up: the timer wakes up to some milliseconds late, which would add up.
const SLACK_NANOS: u64 = 20_000_000;

/// Gives so many turns a second, evenly spaced. A pause is not caught up with, so that there are no bursts.
#[derive(Debug)]
pub(crate) struct Pacer<'a, C> {
    clock: &'a C,
    nanos_per_turn: u64,
    /// When the next turn is, in nanoseconds from 1970.
    next: u64,
}

impl<'a, C: Clock> Pacer<'a, C> {
    /// `per_second` turns a second, one at the least.
    pub(crate) fn new(clock: &'a C, per_second: u32) -> Self {
        Self {
            clock,
            nanos_per_turn: 1_000_000_000 / u64::from(per_second.max(1)),
            next: 0,
        }
    }

    /// Returns when it is the caller's turn.
    pub(crate) async fn turn(&mut self) {
        let now = self.clock.now().0.saturating_mul(1_000_000);
        self.next = self.next.max(now.saturating_sub(SLACK_NANOS));
        // No longer than to the next turn, even if the wall clock was put back.
        let wait = self.next.saturating_sub(now).min(self.nanos_per_turn);
        self.next += self.nanos_per_turn;
        tokio::time::sleep(Duration::from_nanos(wait)).await;
    }
}

#[cfg(test)]
mod tests {
    use storage::{TestClock, Timestamp};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_evenly_spaced_and_a_pause_is_not_caught_up_with() {
        let clock = TestClock::default();
        for per_second in [1, 7, 100, 1_000, 20_000] {
            let mut pacer = Pacer::new(&clock, per_second);
            for _ in 0..2 {
                // The first turns after a pause may be those of the slack.
                let start = clock.elapsed();
                let turns = per_second * 3;
                for _ in 0..turns {
                    pacer.turn().await;
                }
                let millis = (clock.elapsed() - start).as_millis();
                assert!((1_950..3_100).contains(&millis), "{per_second}: {millis}");
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_put_back_stops_nothing() {
        struct Jumping(std::cell::Cell<u64>);
        impl Clock for Jumping {
            fn now(&self) -> Timestamp {
                Timestamp(self.0.get())
            }
        }
        let clock = Jumping(std::cell::Cell::new(10_000_000));
        let real = TestClock::default();
        let mut pacer = Pacer::new(&clock, 10);
        pacer.turn().await;
        clock.0.set(5);
        pacer.turn().await;
        pacer.turn().await;
        assert!(real.elapsed() <= Duration::from_millis(210));
    }
}
