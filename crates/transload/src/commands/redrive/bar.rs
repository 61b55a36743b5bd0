use gsi_reprocessor::Redriven;
use storage::Clock;

use super::super::paced_bar::PacedBar;

const TEMPLATE: &str = "{bar:30} {human_pos} of {human_len} items put back, {left} left";

/// How many items have been put back.
pub(super) struct Bar<C>(PacedBar<C>);

impl<C: Clock> Bar<C> {
    pub(super) fn new(items: u64, clock: C) -> Self {
        Self(PacedBar::new(TEMPLATE, items, clock))
    }

    pub(super) fn show(&mut self, redriven: Redriven) {
        if let Some(bar) = self.0.due() {
            bar.set_position(redriven.put_back + redriven.changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::TestClock;

    use super::*;

    #[tokio::test]
    async fn the_bar_has_the_length_of_what_was_found() {
        let mut bar = Bar::new(7, TestClock::default());
        bar.show(Redriven {
            found: 7,
            put_back: 3,
            changed: 1,
        });
        assert_eq!(bar.0.length(), Some(7));
    }
}
