//! What the progress bars of all commands share.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressFinish, ProgressState, ProgressStyle};
use storage::{Clock, Timestamp};

/// How often the text of a progress bar changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// A progress bar on the standard error, drawn only where that is a terminal.
pub(super) struct PacedBar<C> {
    bar: ProgressBar,
    clock: C,
    next: Timestamp,
}

impl<C: Clock> PacedBar<C> {
    /// A bar of this length; `template` is indicatif's, with `{left}` for the time that is left.
    pub(super) fn new(template: &str, length: u64, clock: C) -> Self {
        let style = ProgressStyle::with_template(template)
            .expect("the template is constant and tested")
            .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
                let left = HumanDuration(state.eta());
                // A bar that cannot be drawn is no reason to stop.
                let _ = match state.pos() {
                    0 => out.write_char('?'),
                    _ => write!(out, "{left:#}"),
                };
            });
        let bar = ProgressBar::new(length)
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        Self {
            bar,
            clock,
            next: Timestamp(0),
        }
    }

    /// The bar, where it can be seen and it is time for it to change.
    pub(super) fn due(&mut self) -> Option<&ProgressBar> {
        let now = self.clock.now();
        if self.bar.is_hidden() || now < self.next {
            return None;
        }
        self.next = now.plus(PROGRESS_EVERY);
        Some(&self.bar)
    }
}

#[cfg(test)]
impl<C> PacedBar<C> {
    pub(super) fn length(&self) -> Option<u64> {
        self.bar.length()
    }
}
