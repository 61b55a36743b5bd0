//! The progress bar.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressFinish, ProgressStyle};
use storage::{Clock, Timestamp};

use crate::touch::TouchProgress;

/// How often the text of the progress bar changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// A progress bar on the standard error, drawn only where that is a terminal.
pub(super) struct Bar<C> {
    bar: ProgressBar,
    clock: C,
    next: Timestamp,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(clock: C) -> Self {
        let style = ProgressStyle::with_template("{bar:20} {msg}, about {eta} left")
            .expect("the template is constant and tested");
        let bar = ProgressBar::new(1)
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        Self {
            bar,
            clock,
            next: Timestamp(0),
        }
    }

    pub(super) fn show(&mut self, progress: &TouchProgress) {
        let now = self.clock.now();
        if self.bar.is_hidden() || now < self.next {
            return;
        }
        self.next = now.plus(PROGRESS_EVERY);
        if self.bar.position() == 0 {
            // What an earlier try has done took none of this one's time.
            self.bar.set_position(progress.seen_before);
            self.bar.reset_eta();
        }
        // DynamoDB counts a table's items every six hours or so.
        self.bar
            .set_length(progress.about.max(progress.counts.seen));
        self.bar.set_message(described(progress));
        self.bar.set_position(progress.counts.seen);
    }
}

fn described(progress: &TouchProgress) -> String {
    let counts = progress.counts;
    format!(
        "{} of about {} items seen, {} touched, {} held the value already, {} gone",
        HumanCount(counts.seen),
        HumanCount(progress.about),
        HumanCount(counts.touched),
        HumanCount(counts.held),
        HumanCount(counts.gone),
    )
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;
    use crate::touch::TouchedCounts;

    #[test]
    fn the_bar_says_how_far_it_is() {
        let progress = TouchProgress {
            counts: TouchedCounts {
                seen: 12_000,
                touched: 11_000,
                held: 990,
                gone: 10,
                refused: 0,
            },
            seen_before: 0,
            about: 1_000_000,
        };
        insta::assert_snapshot!(described(&progress), @"12,000 of about 1,000,000 items seen, 11,000 touched, 990 held the value already, 10 gone");
    }

    #[test]
    fn the_template_is_one() {
        assert_eq!(Bar::new(SystemClock).bar.length(), Some(1));
    }
}
