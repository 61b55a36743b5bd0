//! The progress bar.

use indicatif::HumanCount;
use storage::Clock;

use crate::commands::paced_bar::PacedBar;
use crate::verify_changes::Progress;

pub(super) struct Bar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(hours: u64, clock: C) -> Self {
        let template = "{bar:20} {percent}%, {pos} of {len} hours, {msg}, {left} left";
        Self {
            bar: PacedBar::new(template, hours, clock),
        }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        let records = HumanCount(progress.lines);
        bar.set_message(format!("{records} records"));
        bar.set_position(progress.hours);
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_template_is_one() {
        let bar = Bar::new(24, SystemClock);
        assert_eq!(bar.bar.length(), Some(24));
    }
}
