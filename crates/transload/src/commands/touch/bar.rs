//! The progress bar.

use indicatif::HumanCount;
use storage::Clock;

use crate::commands::paced_bar::PacedBar;
use crate::touch::TouchProgress;

pub(super) struct Bar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(clock: C) -> Self {
        Self {
            bar: PacedBar::new("{bar:20} {msg}, about {left} left", 1, clock),
        }
    }

    pub(super) fn show(&mut self, progress: &TouchProgress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        if bar.position() == 0 {
            // What an earlier try has done took none of this one's time.
            bar.set_position(progress.seen_before);
            bar.reset_eta();
        }
        // DynamoDB counts a table's items every six hours or so.
        bar.set_length(progress.about.max(progress.counts.seen));
        bar.set_message(described(progress));
        bar.set_position(progress.counts.seen);
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
