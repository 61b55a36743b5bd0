//! The second in which a scan begins, which no other scan of the table has: event ids of the change log are made of it.

use export_jobs::{Row, change};
use serde::{Deserialize, Serialize};
use storage::{Clock, Ledger, Timestamp};

use crate::error::ScanError;

/// The `part` of the row.
const PART: &str = "clock";

/// The row that says which seconds are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ClockRow {
    /// `scan-clock`.
    kind: String,
    /// The second, counted from 1970, in which the last scan of the table began.
    last_snapshot_time: u64,
    last_updated: String,
}

impl Row for ClockRow {
    const WHAT: &'static str = "the row of the last scan's second";

    fn is_completed(&self) -> bool {
        false
    }

    fn written_at(&mut self, now: Timestamp) {
        self.last_updated = now.iso();
    }
}

/// Takes a second that no other scan of the table has, and waits until it has come: nothing that the scan reads is older.
///
/// # Errors
/// If the ledger fails, or the second does not come before `until`.
pub async fn take_second<L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    table: &str,
    until: Timestamp,
) -> Result<u64, ScanError> {
    let job = format!("scan/{table}");
    let second = change::<ClockRow, _, _, _>(ledger, clock, &job, PART, |row, now| {
        let free = row.as_ref().map_or(0, |row| row.last_snapshot_time + 1);
        let second = free.max(now.0 / 1_000);
        *row = Some(ClockRow {
            kind: "scan-clock".to_owned(),
            last_snapshot_time: second,
            last_updated: String::new(),
        });
        second
    })
    .await?;
    let begins = Timestamp(second.saturating_mul(1_000));
    if begins > until {
        return Err(ScanError::ClockAhead(second));
    }
    tokio::time::sleep(clock.now().until(begins)).await;
    Ok(second)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage::TestClock;
    use storage::memory::MemoryLedger;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_two_scans_of_a_table_begin_in_the_same_second() {
        let (ledger, clock) = (MemoryLedger::new(), TestClock::default());
        let until = clock.now().plus(Duration::from_secs(10));
        let now = clock.now().0 / 1_000;
        for (table, expected) in [("offers", 0), ("offers", 1), ("orders", 1), ("offers", 2)] {
            let second = take_second(&ledger, &clock, table, until).await.unwrap();
            assert_eq!(second, now + expected, "{table}");
            assert!(clock.now().0 / 1_000 >= second, "it has come");
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let at_once = take_second(&ledger, &clock, "offers", clock.now()).await;
        assert_eq!(at_once.unwrap(), now + 62);
        let error = take_second(&ledger, &clock, "offers", clock.now()).await;
        let message = error.unwrap_err().to_string();
        assert!(message.contains("expected clocks that agree"), "{message}");
    }
}
