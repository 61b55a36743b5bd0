//! The progress bar of a pass over files or objects.

use indicatif::HumanCount;
use storage::Clock;

use super::paced_bar::PacedBar;

pub(super) struct ReadingBar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> ReadingBar<C> {
    pub(super) fn new(clock: C) -> Self {
        let template = "{bar:20} {percent}% {bytes} of {total_bytes} read, {msg}, {left} left";
        Self {
            bar: PacedBar::new(template, 1, clock),
        }
    }

    /// Shows how many of all bytes are read, and the rows in them.
    pub(super) fn show(&mut self, bytes: u64, all_bytes: u64, rows: u64) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        bar.set_length(all_bytes);
        bar.set_message(format!("{} rows", HumanCount(rows)));
        bar.set_position(bytes);
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_template_is_one() {
        assert_eq!(ReadingBar::new(SystemClock).bar.length(), Some(1));
    }
}
