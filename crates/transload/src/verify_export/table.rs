//! A live table, read at a pace.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::try_join_all;
use records::{Item, TableShape};
use storage::{Clock, ItemStore, ScanPage, StorageError};

/// How a table is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// Segments that are read at a time, at least 1.
    pub segments: u32,
    /// Whether every write that has been acknowledged is seen, at twice the price.
    pub consistent: bool,
    /// The most read units a second; without a limit all that the table gives.
    pub read_units: Option<u32>,
}

/// What a scan came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) items: u64,
    /// Read units in tenths.
    pub(super) capacity_tenths: u64,
}

/// Reads all items of a table, its segments side by side.
pub(super) async fn scan<I: ItemStore, C: Clock, E: From<StorageError>>(
    tables: &I,
    shape: &TableShape,
    options: ScanOptions,
    clock: &C,
    each: impl FnMut(Item) -> Result<(), E>,
    on_progress: impl FnMut(u64),
) -> Result<Scan, E> {
    let pace = ReadPace::new(clock, options.read_units);
    let (each, on_progress) = (RefCell::new(each), RefCell::new(on_progress));
    let so_far = Cell::new(Scan::default());
    let segments = (0..options.segments).map(async |segment| {
        let mut start = None;
        loop {
            pace.wait().await;
            let page = ScanPage {
                segment,
                segments: options.segments,
                // A page that is small beside the pace, so that it is even.
                limit: options.read_units.map(|units| units.max(100)),
                consistent: options.consistent,
                start,
                attributes: None,
            };
            let scanned = tables.scan_page(shape, &page).await?;
            pace.spend(scanned.capacity_tenths);
            let Scan {
                items,
                capacity_tenths,
            } = so_far.get();
            so_far.set(Scan {
                items: items + scanned.items.len() as u64,
                capacity_tenths: capacity_tenths + scanned.capacity_tenths,
            });
            for item in scanned.items {
                (each.borrow_mut())(item)?;
            }
            (on_progress.borrow_mut())(so_far.get().items);
            start = match scanned.next {
                None => return Ok::<(), E>(()),
                next => next,
            };
        }
    });
    try_join_all(segments).await?;
    Ok(so_far.get())
}

/// Keeps read units below a rate: what a page has cost is waited for before the next one is read.
struct ReadPace<'a, C> {
    clock: &'a C,
    per_second: Option<u32>,
    /// Milliseconds that what was read goes beyond the pace.
    owed: Cell<u64>,
    /// When that was so, in milliseconds from 1970.
    at: Cell<u64>,
}

impl<'a, C: Clock> ReadPace<'a, C> {
    fn new(clock: &'a C, per_second: Option<u32>) -> Self {
        Self {
            owed: Cell::new(0),
            at: Cell::new(clock.now().0),
            clock,
            per_second,
        }
    }

    /// What is owed now. A clock that is put back pays nothing off, and owes no more.
    fn owed(&self) -> u64 {
        let now = self.clock.now().0;
        let passed = now.saturating_sub(self.at.replace(now));
        self.owed.set(self.owed.get().saturating_sub(passed));
        self.owed.get()
    }

    async fn wait(&self) {
        // Other segments may have spent more meanwhile.
        loop {
            match self.owed() {
                0 => return,
                owed => tokio::time::sleep(Duration::from_millis(owed)).await,
            }
        }
    }

    fn spend(&self, tenths: u64) {
        if let Some(per_second) = self.per_second {
            let millis = (tenths * 100).div_ceil(u64::from(per_second.max(1)));
            self.owed.set(self.owed() + millis);
        }
    }
}
