//! The pages of a segment, one after another, at the segment's pace.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use records::{Item, TableShape};
use storage::{Clock, ItemStore, ScanPage, Scanned, StorageError, Timestamp};

use crate::pace::{Pace, PageSize};

/// The bounds of the waits after a page that was throttled, or got no answer from the SDK's three attempts: each wait is a
/// random share (full jitter) of a bound that doubles from the first to the second, until the segment takes no more pages.
/// Reading again does no harm.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageCounts {
    /// Pages.
    pub pages: u64,
    /// Read units that they took, in tenths.
    pub tenths: u64,
    /// Calls that were throttled or got no answer.
    pub waits: u64,
}

/// The next page, or why there is none.
#[derive(Debug)]
pub enum Turn {
    /// A page, and the first second after it had come: nothing in it is of that second or a later one.
    Page(Scanned, u64),
    /// There is no time for another one.
    TimeOver,
}

/// Reads pages.
pub struct Pages<'a, T, C> {
    tables: &'a T,
    clock: &'a C,
    shape: &'a TableShape,
    /// The next page, but for its limit.
    page: ScanPage,
    pace: Pace,
    size: PageSize,
    jitter: StdRng,
    take_until: Timestamp,
    /// What was read.
    pub counts: PageCounts,
    /// Why the last call failed, if no page came since.
    trouble: Option<StorageError>,
}

impl<'a, T: ItemStore, C: Clock> Pages<'a, T, C> {
    /// The pages from the one that `page` asks for.
    pub fn new(
        tables: &'a T,
        clock: &'a C,
        shape: &'a TableShape,
        page: ScanPage,
        pace: Pace,
        take_until: Timestamp,
        seed: u64,
    ) -> Self {
        Self {
            tables,
            clock,
            shape,
            page,
            pace,
            size: PageSize::default(),
            jitter: StdRng::seed_from_u64(seed),
            take_until,
            counts: PageCounts::default(),
            trouble: None,
        }
    }

    /// When what was read is paid for.
    pub fn paid_until(&self) -> Timestamp {
        self.pace.paid_until()
    }

    /// The service's failure, if not one page came because of it.
    pub fn fruitless(&mut self) -> Option<StorageError> {
        match self.counts.pages {
            0 => self.trouble.take(),
            _ => None,
        }
    }

    /// The next page, once the last one is paid for.
    ///
    /// # Errors
    /// What cannot succeed later.
    pub async fn next(&mut self) -> Result<Turn, StorageError> {
        let (mut bound, longest) = BACK_OFF;
        loop {
            let now = self.clock.now();
            if now >= self.take_until {
                return Ok(Turn::TimeOver);
            }
            let paid = self.pace.paid_until();
            if paid > now {
                // Whoever is called again waits for the rest.
                tokio::time::sleep(now.until(paid.min(self.take_until))).await;
                continue;
            }
            self.page.limit = Some(self.size.limit());
            match self.tables.scan_page(self.shape, &self.page).await {
                Ok(scanned) => {
                    self.take(now, &scanned);
                    let come = self.clock.now().0 / 1_000 + 1;
                    return Ok(Turn::Page(scanned, come));
                }
                Err(error) if error.kind().is_transient() => self.trouble = Some(error),
                Err(error) => return Err(error),
            }
            self.counts.waits += 1;
            let wait = self.jitter.random_range(Duration::ZERO..=bound);
            bound = bound.saturating_mul(2).min(longest);
            let left = self.clock.now().until(self.take_until);
            tokio::time::sleep(wait.min(left)).await;
        }
    }

    fn take(&mut self, begun: Timestamp, scanned: &Scanned) {
        self.counts.pages += 1;
        self.counts.tenths += scanned.capacity_tenths;
        self.trouble = None;
        self.pace.took(begun, scanned.capacity_tenths);
        self.size
            .saw(&scanned.items, scanned.capacity_tenths, &self.pace);
        self.page.start.clone_from(&scanned.next);
    }
}

/// The key attributes of an item: the key after which a page would go on that ended with it. A page that its limit ends is
/// followed by one from the key of its last item on, so that this is what DynamoDB would have said of a shorter page.
pub fn key_of(shape: &TableShape, item: &Item) -> Item {
    shape
        .keys()
        .filter_map(|key| item.get_key_value(&key.name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
