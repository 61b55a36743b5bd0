//! The progress bar: one a phase.

use indicatif::{HumanBytes, HumanCount};
use storage::Clock;

use crate::commands::paced_bar::PacedBar;
use crate::replay::Progress;

pub(super) struct Bar<C> {
    bar: PacedBar<C>,
    phase: &'static str,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(clock: C) -> Self {
        Self {
            bar: PacedBar::new("{bar:20} {percent}%, {msg}, {left} left", 1, clock),
            phase: "",
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        let (phase, done, total, text) = described(progress);
        if self.phase != phase {
            // The time left is that of the phase.
            self.phase = phase;
            bar.reset();
        }
        bar.set_length(total);
        bar.set_message(text);
        bar.set_position(done);
    }
}

/// The phase, how much of it is done, how much there is, and both in words.
fn described(progress: &Progress) -> (&'static str, u64, u64, String) {
    match *progress {
        Progress::Reading { done, total } => {
            let text = format!(
                "{} of {} of the log read",
                HumanBytes(done),
                HumanBytes(total)
            );
            ("reading", done, total, text)
        }
        Progress::Merging { done, total } => {
            let text = format!("{done} of {total} parts merged");
            ("merging", done, total, text)
        }
        Progress::Writing {
            done,
            total,
            throttled,
        } => {
            let mut text = format!("{} of {} keys settled", HumanCount(done), HumanCount(total));
            if throttled > 0 {
                text.push_str(&format!(", {} throttled", HumanCount(throttled)));
            }
            ("writing", done, total, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn each_phase_says_how_far_it_is() {
        let text = |progress| described(&progress).3;
        let writing = |throttled| Progress::Writing {
            done: 12_000,
            total: 1_000_000,
            throttled,
        };
        insta::assert_snapshot!(text(Progress::Reading { done: 2048, total: 1_048_576 }), @"2.00 KiB of 1.00 MiB of the log read");
        insta::assert_snapshot!(text(Progress::Merging { done: 2, total: 7 }), @"2 of 7 parts merged");
        insta::assert_snapshot!(text(writing(0)), @"12,000 of 1,000,000 keys settled");
        insta::assert_snapshot!(text(writing(9)), @"12,000 of 1,000,000 keys settled, 9 throttled");
    }

    #[test]
    fn the_template_is_one() {
        assert_eq!(Bar::new(SystemClock).bar.length(), Some(1));
    }
}
