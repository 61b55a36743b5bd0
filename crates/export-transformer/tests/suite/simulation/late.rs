//! A ledger of which one write arrives late.

use std::cell::RefCell;

use storage::memory::MemoryLedger;
use storage::{ErrorKind, Ledger, LedgerRow, StorageError};

/// The `held`th write gets no answer, and arrives before the operation of the number `lands`.
pub struct LateLedger {
    inner: MemoryLedger,
    held: usize,
    lands: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    operations: usize,
    writes: usize,
    on_the_wire: Option<LedgerRow>,
}

impl LateLedger {
    pub fn new(inner: MemoryLedger, held: usize, lands: usize) -> Self {
        Self {
            inner,
            held,
            lands,
            state: RefCell::default(),
        }
    }

    /// Whether the write has arrived, by now.
    pub async fn settle(&self) -> bool {
        self.arrive(true).await
    }

    async fn arrive(&self, is_due: bool) -> bool {
        let row = {
            let mut state = self.state.borrow_mut();
            state.operations += 1;
            let is_due = is_due || state.operations >= self.lands;
            state.on_the_wire.take_if(|_| is_due)
        };
        match row {
            // Nobody hears what the store says of it.
            Some(row) => self.inner.write(&row).await.is_ok(),
            None => false,
        }
    }
}

impl Ledger for &LateLedger {
    async fn read(&self, job: &str, part: &str) -> Result<Option<LedgerRow>, StorageError> {
        self.arrive(false).await;
        self.inner.read(job, part).await
    }

    async fn write(&self, row: &LedgerRow) -> Result<(), StorageError> {
        self.arrive(false).await;
        let is_late = {
            let mut state = self.state.borrow_mut();
            state.writes += 1;
            state.writes == self.held
        };
        if is_late {
            self.state.borrow_mut().on_the_wire = Some(row.clone());
            let name = format!("{}, part {}", row.job, row.part);
            let kind = ErrorKind::Unanswered;
            return Err(StorageError::new(kind, "PutItem", name, "no answer came"));
        }
        self.inner.write(row).await
    }

    async fn open_jobs(&self, kind: &str) -> Result<Vec<(String, String)>, StorageError> {
        self.inner.open_jobs(kind).await
    }
}
