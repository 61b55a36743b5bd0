//! Reading and changing rows of the ledger, on condition that nobody else did meanwhile.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use storage::{Clock, ErrorKind, Ledger, LedgerRow, StorageError, Timestamp};

/// Times that a change is tried anew when somebody else wrote the row in between.
const MAX_CONFLICTS: u32 = 50;

/// A row of the ledger of one kind.
pub trait Row: Serialize + DeserializeOwned + Clone + PartialEq {
    /// What it is, for messages: `a part's row`.
    const WHAT: &'static str;

    /// Whether it has ended for good and must not be changed any more.
    fn is_completed(&self) -> bool;

    /// Notes when it is written.
    fn written_at(&mut self, now: Timestamp);
}

/// A row as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<R> {
    /// What it says.
    pub row: R,
    /// Times that it was written.
    pub revision: u64,
}

/// One row, or nothing.
///
/// # Errors
/// If the ledger fails, or the row is none of this version.
pub async fn read<R: Row, L: Ledger>(
    ledger: &L,
    job: &str,
    part: &str,
) -> Result<Option<Stored<R>>, StorageError> {
    let stored = ledger.read(job, part).await?;
    stored
        .map(|stored| {
            let revision = stored.revision;
            serde_json::from_value(Value::Object(stored.attributes))
                .map(|row| Stored { row, revision })
                .map_err(|error| {
                    StorageError::new(
                        ErrorKind::Internal,
                        "GetItem",
                        format!("the ledger row {job} / {part}"),
                        format!(
                            "the row is not as this version writes it: expected {}",
                            R::WHAT
                        ),
                    )
                    .with_source(error)
                })
        })
        .transpose()
}

/// Reads a row, hands it to `transition` (nothing if there is none), and writes what that leaves if it is another one; again
/// from the reading on if somebody else was faster. So `transition` may be called more than once, and must decide by what it
/// is given. A row that has ended for good is handed over, and stays as it is whatever is made of it. What `transition` gave
/// for what was written, or found, is returned.
///
/// # Errors
/// If the ledger fails, the row is none of this version, or others write it all the time.
pub async fn change<R: Row, L: Ledger, C: Clock, T>(
    ledger: &L,
    clock: &C,
    job: &str,
    part: &str,
    mut transition: impl FnMut(&mut Option<R>, Timestamp) -> T,
) -> Result<T, StorageError> {
    let mut conflicts = 0;
    loop {
        let stored = read::<R, L>(ledger, job, part).await?;
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let before = stored.map(|stored| stored.row);
        let now = clock.now();
        let mut after = before.clone();
        let outcome = transition(&mut after, now);
        let Some(mut row) = after.filter(|after| before.as_ref() != Some(after)) else {
            return Ok(outcome);
        };
        if before.is_some_and(|before| before.is_completed()) {
            return Ok(outcome);
        }
        row.written_at(now);
        match ledger
            .write(&as_written(job, part, revision + 1, &row))
            .await
        {
            Ok(()) => return Ok(outcome),
            Err(error) if error.kind() == ErrorKind::Conflict && conflicts < MAX_CONFLICTS => {
                conflicts += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Writes a row where there is none; whether there was none.
///
/// # Errors
/// If the ledger fails.
pub async fn create<R: Row, L: Ledger, C: Clock>(
    ledger: &L,
    clock: &C,
    job: &str,
    part: &str,
    mut row: R,
) -> Result<bool, StorageError> {
    row.written_at(clock.now());
    match ledger.write(&as_written(job, part, 1, &row)).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

fn as_written<R: Row>(job: &str, part: &str, revision: u64, row: &R) -> LedgerRow {
    let attributes = match serde_json::to_value(row) {
        Ok(Value::Object(attributes)) => attributes,
        _ => unreachable!("a row is a struct of texts and counts"),
    };
    LedgerRow {
        job: job.to_owned(),
        part: part.to_owned(),
        revision,
        open: None,
        attributes,
    }
}

#[cfg(test)]
mod tests {
    use storage::TestClock;
    use storage::memory::MemoryLedger;

    use super::*;
    use crate::part::{PartRow, Status};

    #[tokio::test(start_paused = true)]
    async fn a_row_that_is_completed_stays_whatever_is_made_of_it() {
        let (ledger, clock) = (MemoryLedger::new(), TestClock::default());
        let turn = async |status, rows_read| {
            change(
                &ledger,
                &clock,
                "job",
                "part",
                |row: &mut Option<PartRow>, _| {
                    let row = row.get_or_insert_default();
                    let found = row.processing_status;
                    (row.processing_status, row.rows_read) = (status, rows_read);
                    found
                },
            )
            .await
            .unwrap()
        };
        assert_eq!(turn(Status::Failed, 1).await, Status::Pending);
        assert_eq!(turn(Status::Completed, 2).await, Status::Failed);
        let completed = ledger.rows();
        assert_eq!(turn(Status::Failed, 3).await, Status::Completed);
        assert_eq!(ledger.rows(), completed);
        let stored = read::<PartRow, _>(&ledger, "job", "part").await.unwrap();
        let stored = stored.unwrap();
        assert_eq!((stored.row.rows_read, stored.revision), (2, 2));
        let is_new = create(&ledger, &clock, "job", "part", PartRow::default());
        assert!(!is_new.await.unwrap());
        assert_eq!(ledger.rows(), completed);
    }
}
