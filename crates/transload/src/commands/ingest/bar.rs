//! The progress bar.

use bulk_writer::WriterSettings;
use indicatif::HumanCount;
use storage::Clock;

use super::outcome::rate;
use crate::commands::paced_bar::PacedBar;
use crate::ingest::LoadProgress;

pub(super) struct Bar<C> {
    bar: PacedBar<C>,
}

impl<C: Clock> Bar<C> {
    pub(super) fn new(bytes: u64, clock: C) -> Self {
        let template = "{bar:20} {percent}% {bytes} of {total_bytes}, {msg}, {left} left";
        Self {
            bar: PacedBar::new(template, bytes, clock),
        }
    }

    pub(super) fn show(&mut self, progress: &LoadProgress) {
        let Some(bar) = self.bar.due() else {
            return;
        };
        let rows = rate(progress.rows_done(), bar.elapsed());
        bar.set_message(progress_text(rows, progress));
        bar.set_position(progress.bytes_done());
    }
}

fn progress_text(rows_per_second: u64, progress: &LoadProgress) -> String {
    let mut text = format!(
        "{} rows/s, {} rejected, {} throttled",
        HumanCount(rows_per_second),
        HumanCount(progress.settled.rejected),
        HumanCount(progress.writer.throttled),
    );
    if progress.writer.unanswered > 0 {
        text.push_str(&format!(
            ", {} calls without an answer (their rows wait {} s)",
            HumanCount(progress.writer.unanswered),
            WriterSettings::default().settle.as_secs(),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use bulk_writer::Progress;
    use csv_ingester::RowCounts;
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_bar_says_rows_a_second_rejected_and_throttled() {
        let mut progress = LoadProgress {
            bytes_read: 4_000_000,
            rows_read: 40_000,
            settled: RowCounts {
                read: 30_000,
                written: 29_000,
                superseded: 0,
                rejected: 1_000,
            },
            writer: Progress {
                written: 29_000,
                throttled: 75,
                ..Progress::default()
            },
        };
        assert_eq!(progress.bytes_done(), 3_000_000);
        insta::assert_snapshot!(progress_text(12_345, &progress), @"12,345 rows/s, 1,000 rejected, 75 throttled");
        progress.writer.unanswered = 2;
        insta::assert_snapshot!(progress_text(7, &progress), @"7 rows/s, 1,000 rejected, 75 throttled, 2 calls without an answer (their rows wait 300 s)");
        assert_eq!(LoadProgress::default().bytes_done(), 0);
    }

    #[test]
    fn the_template_is_one() {
        let bar = Bar::new(1_000, SystemClock);
        assert_eq!(bar.bar.length(), Some(1_000));
    }
}
