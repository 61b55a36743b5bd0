//! The progress bar: one for the upload, one for the import.

use indicatif::HumanCount;
use storage::Clock;

use crate::commands::paced_bar::PacedBar;
use crate::import::Stage;

pub(super) struct UploadBar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> UploadBar<C> {
    pub(super) fn new(bytes: u64, clock: C) -> Self {
        let template = "{bar:20} {percent}% {bytes} of {total_bytes} in the bucket, {left} left";
        Self {
            bar: PacedBar::new(template, bytes, clock),
        }
    }

    pub(super) fn show(&mut self, bytes: u64) {
        if let Some(bar) = self.bar.due() {
            bar.set_position(bytes);
        }
    }
}

pub(super) struct ImportBar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> ImportBar<C> {
    /// For a source of so many uncompressed bytes.
    pub(super) fn new(bytes: u64, clock: C) -> Self {
        let template = "{bar:20} {percent}% {msg}, about {left} left";
        Self {
            bar: PacedBar::new(template, bytes, clock),
        }
    }

    pub(super) fn show(&mut self, stage: Stage) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        bar.set_message(described(stage));
        match stage {
            Stage::Waiting => {}
            Stage::Importing { bytes, .. } => bar.set_position(bytes),
            Stage::Finishing => bar.set_position(bar.length().unwrap_or(0)),
        }
    }
}

fn described(stage: Stage) -> String {
    match stage {
        Stage::Waiting => "waiting for the import to begin".to_owned(),
        Stage::Importing { items, errors, .. } => format!(
            "{} items read, {} errors",
            HumanCount(items),
            HumanCount(errors)
        ),
        Stage::Finishing => {
            "imported; recovery, stream and deletion protection are being switched on".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_bar_says_items_and_errors() {
        let importing = Stage::Importing {
            bytes: 7,
            items: 12_345,
            errors: 0,
        };
        insta::assert_snapshot!(described(importing), @"12,345 items read, 0 errors");
    }

    #[test]
    fn the_templates_are_some() {
        assert_eq!(UploadBar::new(7, SystemClock).bar.length(), Some(7));
        assert_eq!(ImportBar::new(9, SystemClock).bar.length(), Some(9));
    }
}
