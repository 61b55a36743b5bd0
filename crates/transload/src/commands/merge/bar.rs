//! The progress bar.

use indicatif::HumanCount;
use storage::Clock;

use crate::commands::paced_bar::PacedBar;
use crate::merge::MergeProgress;

pub(super) struct Bar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(clock: C) -> Self {
        let template = "{bar:20} {percent}% {bytes} of {total_bytes}, {msg}, {left} left";
        Self {
            bar: PacedBar::new(template, 1, clock),
        }
    }

    pub(super) fn show(&mut self, progress: &MergeProgress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        bar.set_length(progress.bytes);
        bar.set_message(format!("{} rows written", HumanCount(progress.rows)));
        bar.set_position(progress.bytes_done);
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_template_is_one() {
        assert_eq!(Bar::new(SystemClock).bar.length(), Some(1));
    }
}
