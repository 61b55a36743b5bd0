//! A ledger whose writes may land after their callers have given them up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::memory::MemoryLedger;
use storage::{ErrorKind, Ledger, LedgerRow, StorageError};

/// When the SDK repeats a write whose answer was lost.
const REPEATED_AFTER: Duration = Duration::from_secs(60);

/// A ledger in memory, and what is on its wire.
#[derive(Clone)]
pub struct LateLedger {
    pub inner: MemoryLedger,
    wire: Rc<RefCell<Vec<LedgerRow>>>,
    random: Rc<RefCell<StdRng>>,
    late_of_1000: u32,
    pub late: Rc<RefCell<u64>>,
    /// The number of the write, from now on, that lands, and whose answer is lost and asked for again by the SDK, later. 0 for
    /// none.
    pub repeated: Rc<Cell<u64>>,
}

impl LateLedger {
    pub fn new(seed: u64, late_of_1000: u32) -> Self {
        Self {
            inner: MemoryLedger::new(),
            wire: Rc::default(),
            random: Rc::new(RefCell::new(StdRng::seed_from_u64(seed))),
            late_of_1000,
            late: Rc::default(),
            repeated: Rc::default(),
        }
    }

    fn chance(&self, of_1000: u32) -> bool {
        self.random.borrow_mut().random_range(0..1_000_u32) < of_1000
    }

    /// Lets some of what is on the wire land.
    pub async fn arrive(&self, of_1000: u32) {
        let waiting = std::mem::take(&mut *self.wire.borrow_mut());
        for row in waiting {
            match self.chance(of_1000) {
                // Nobody hears whether its condition held.
                true => drop(self.inner.write(&row).await),
                false => self.wire.borrow_mut().push(row),
            }
        }
    }
}

impl Ledger for LateLedger {
    async fn read(&self, job: &str, part: &str) -> Result<Option<LedgerRow>, StorageError> {
        self.arrive(300).await;
        self.inner.read(job, part).await
    }

    async fn write(&self, row: &LedgerRow) -> Result<(), StorageError> {
        self.arrive(300).await;
        if self.chance(self.late_of_1000) {
            *self.late.borrow_mut() += 1;
            self.wire.borrow_mut().push(row.clone());
            let message = "the answer was lost";
            return Err(StorageError::new(
                ErrorKind::Unanswered,
                "PutItem",
                "ledger",
                message,
            ));
        }
        let left = self.repeated.get();
        self.repeated.set(left.saturating_sub(1));
        self.inner.write(row).await?;
        match left {
            1 => {
                tokio::time::sleep(REPEATED_AFTER).await;
                self.inner.write(row).await
            }
            _ => Ok(()),
        }
    }

    async fn open_jobs(&self, kind: &str) -> Result<Vec<(String, String)>, StorageError> {
        self.inner.open_jobs(kind).await
    }
}
