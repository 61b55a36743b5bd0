//! The progress bar of a pass over a source.

use indicatif::HumanCount;
use storage::Clock;

use super::paced_bar::PacedBar;
use crate::preflight::Progress;

pub(super) struct PreflightBar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> PreflightBar<C> {
    pub(super) fn new(clock: C) -> Self {
        let template = "{bar:20} {percent}% {bytes} of {total_bytes} read, {msg}, {left} left";
        Self {
            bar: PacedBar::new(template, 1, clock),
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        bar.set_length(progress.bytes_total);
        bar.set_message(format!("{} rows", HumanCount(progress.rows)));
        bar.set_position(progress.bytes_done);
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_template_is_one() {
        assert_eq!(PreflightBar::new(SystemClock).bar.length(), Some(1));
    }
}
