//! The progress bar.

use std::fmt;
use std::time::Duration;

use indicatif::{
    HumanCount, HumanDuration, ProgressBar, ProgressFinish, ProgressState, ProgressStyle,
};
use storage::{Clock, Timestamp};

use crate::verify_changes::Progress;

/// How often the text of the progress bar changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// A progress bar on the standard error, drawn only where that is a terminal.
pub(super) struct Bar<C> {
    bar: ProgressBar,
    clock: C,
    next: Timestamp,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(hours: u64, clock: C) -> Self {
        let style = ProgressStyle::with_template(
            "{bar:20} {percent}%, {pos} of {len} hours, {msg}, {left} left",
        )
        .expect("the template is constant and tested")
        .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let left = HumanDuration(state.eta());
            // A bar that cannot be drawn is no reason to stop.
            let _ = match state.pos() {
                0 => out.write_char('?'),
                _ => write!(out, "{left:#}"),
            };
        });
        let bar = ProgressBar::new(hours)
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        Self {
            bar,
            clock,
            next: Timestamp(0),
        }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        let now = self.clock.now();
        if self.bar.is_hidden() || now < self.next {
            return;
        }
        self.next = now.plus(PROGRESS_EVERY);
        let records = HumanCount(progress.lines);
        self.bar.set_message(format!("{records} records"));
        self.bar.set_position(progress.hours);
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
