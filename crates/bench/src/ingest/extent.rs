//! What is measured how often.

use super::subject::Subject;
use super::{SIZE_2_GB, SIZE_100_MB};

/// A generated row has 110.3 bytes on average.
const ROWS_OF_100_MB: u64 = 907_000;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Rows of the file in the cases with a delay.
    pub rows: u64,
    /// How often each case is measured (the Python subjects: once).
    pub repeats: u32,
    /// Whether the 2 GB file is among the cases.
    pub with_2_gb: bool,
    /// Whether there is a case in which a tenth of the items is handed back.
    pub with_throttling: bool,
    /// Who is measured; empty means everybody.
    pub only: Vec<Subject>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) rows: u64,
    pub(super) delay_ms: u64,
    pub(super) hand_back_percent: u8,
    /// Whether only transload is measured, and only once.
    pub(super) is_about_size: bool,
}

impl Extent {
    pub(super) fn cases(&self) -> Vec<Case> {
        let with_delay = |name, delay_ms, hand_back_percent| Case {
            name,
            rows: self.rows,
            delay_ms,
            hand_back_percent,
            is_about_size: false,
        };
        let of_size = |name, rows| Case {
            name,
            rows,
            delay_ms: 0,
            hand_back_percent: 0,
            is_about_size: true,
        };
        let mut cases = vec![with_delay("delay-0ms", 0, 0), with_delay("delay-5ms", 5, 0)];
        if self.with_throttling {
            cases.push(with_delay("delay-5ms-throttled-10pct", 5, 10));
        }
        cases.push(of_size(SIZE_100_MB, ROWS_OF_100_MB));
        if self.with_2_gb {
            cases.push(of_size(SIZE_2_GB, 20 * ROWS_OF_100_MB));
        }
        cases
    }

    pub(super) fn subjects(&self, case: &Case) -> Vec<Subject> {
        Subject::ALL
            .into_iter()
            .filter(|subject| self.only.is_empty() || self.only.contains(subject))
            .filter(|subject| !case.is_about_size || *subject == Subject::Transload)
            .collect()
    }

    pub(super) fn repeats(&self, case: &Case, subject: Subject) -> u32 {
        match case.is_about_size || subject.is_peer() {
            true => 1,
            false => self.repeats,
        }
    }
}
