use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{ErrorKind, Ledger, LedgerRow, StorageError};

type Rows = BTreeMap<(String, String), LedgerRow>;

/// A ledger in memory. Its index never lags.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger {
    rows: Arc<Mutex<Rows>>,
}

impl MemoryLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All rows, in order of `job` and `part`.
    pub fn rows(&self) -> Vec<LedgerRow> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Ledger for MemoryLedger {
    async fn read(&self, job: &str, part: &str) -> Result<Option<LedgerRow>, StorageError> {
        Ok(self.lock().get(&(job.to_owned(), part.to_owned())).cloned())
    }

    async fn write(&self, row: &LedgerRow) -> Result<(), StorageError> {
        row.check()?;
        let mut rows = self.lock();
        let key = (row.job.clone(), row.part.clone());
        let stored = rows.get(&key);
        if stored == Some(row) {
            return Ok(());
        }
        let stored_revision = stored.map_or(0, |stored| stored.revision);
        if stored_revision + 1 != row.revision {
            return Err(StorageError::new(
                ErrorKind::Conflict,
                "PutItem",
                row.name(),
                format!(
                    "revision {} was to be written over revision {stored_revision}",
                    row.revision
                ),
            ));
        }
        rows.insert(key, row.clone());
        Ok(())
    }

    async fn open_jobs(&self, kind: &str) -> Result<Vec<(String, String)>, StorageError> {
        Ok(self
            .lock()
            .values()
            .filter(|row| row.open.as_deref() == Some(kind))
            .map(|row| (row.job.clone(), row.part.clone()))
            .collect())
    }
}
