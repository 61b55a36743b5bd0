//! How fast a segment may read, and how much a page may hold. Without IO and without a clock of its own.

use records::{Item, heap_bytes};
use storage::Timestamp;

/// What the items of a page may take in memory: as the SDK reads them, as they are kept, as a line is made of them.
const BUDGET_BYTES: usize = 24 * 1024 * 1024;
/// Items of the first page: nothing is known of their size yet, and a page of the largest ones ends after two.
const FIRST_LIMIT: u32 = 2;
/// Items of a page at most; a page of DynamoDB's ends at 1 MiB in any case.
const MAX_LIMIT: u32 = 20_000;

/// A segment's share of the scan's read units: each page is paid for in time before the next one is read, so the units of a long
/// stretch never exceed the share by more than one page.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Of all segments together, a second; 0 for no limit.
    read_units: u64,
    segments: u32,
    paid_until: Timestamp,
}

impl Pace {
    /// The pace of one of the segments, of which what was read before is paid for at `paid_until`.
    pub fn new(read_units: u64, segments: u32, paid_until: Timestamp) -> Self {
        Self {
            read_units,
            segments,
            paid_until,
        }
    }

    /// When what was read is paid for, and the next page may be read.
    pub fn paid_until(&self) -> Timestamp {
        self.paid_until
    }

    /// Notes a page that was asked for at `begun` and took so many tenths of a read unit.
    pub fn took(&mut self, begun: Timestamp, tenths: u64) {
        if self.read_units == 0 {
            return;
        }
        // tenths / 10 units, at read_units / segments a second, in milliseconds; rounded up, so that the share is kept.
        let millis = (u128::from(tenths) * 100 * u128::from(self.segments))
            .div_ceil(u128::from(self.read_units));
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let from = self.paid_until.max(begun);
        self.paid_until = Timestamp(from.0.saturating_add(millis));
    }

    /// Tenths of a unit that a second pays for.
    fn tenths_per_second(&self) -> Option<u64> {
        (self.read_units > 0).then(|| (self.read_units * 10 / u64::from(self.segments)).max(1))
    }
}

/// How many items a page may hold: it begins with a few, doubles, and stays below what the largest item so far leaves room for in
/// memory, and below what a second of the segment's share pays for.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    limit: u32,
    largest: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self {
            limit: FIRST_LIMIT,
            largest: 1,
        }
    }
}

impl PageSize {
    /// Items that the next page may hold.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Learns from a page that took so many tenths of a read unit.
    pub fn saw(&mut self, items: &[Item], tenths: u64, pace: &Pace) {
        let largest = items.iter().map(heap_bytes).max().unwrap_or(1);
        self.largest = self.largest.max(largest);
        let fitting = (BUDGET_BYTES / self.largest) as u64;
        let affordable = match pace.tenths_per_second() {
            Some(share) if !items.is_empty() => share * items.len() as u64 / tenths.max(1),
            _ => u64::MAX,
        };
        let limit = fitting
            .min(affordable)
            .min(u64::from(self.limit) * 2)
            .clamp(1, MAX_LIMIT.into());
        self.limit = u32::try_from(limit).expect("it is at most MAX_LIMIT");
    }
}

#[cfg(test)]
mod tests {
    use records::Value;

    use super::*;

    fn texts(count: usize, bytes: usize) -> Vec<Item> {
        vec![Item::from([("t".to_owned(), Value::S("x".repeat(bytes)))]); count]
    }

    #[test]
    fn a_page_is_paid_for_before_the_next_one_is_read() {
        // 500 units a second over 8 segments are 62.5 a second each: 12.5 units take 200 ms.
        let mut pace = Pace::new(500, 8, Timestamp(0));
        pace.took(Timestamp(1_000), 125);
        assert_eq!(pace.paid_until(), Timestamp(1_200));
        // One that begins before the last one is paid for waits for it; a rest earns nothing.
        pace.took(Timestamp(1_100), 125);
        assert_eq!(pace.paid_until(), Timestamp(1_400));
        pace.took(Timestamp(9_000), 1);
        assert_eq!(pace.paid_until(), Timestamp(9_002));
        let mut free = Pace::new(0, 8, Timestamp(0));
        free.took(Timestamp(1_000), u64::MAX);
        assert_eq!(free.paid_until(), Timestamp(0));
        let mut slowest = Pace::new(1, 1_000, Timestamp(u64::MAX - 1));
        slowest.took(Timestamp(1), u64::MAX);
        assert_eq!(slowest.paid_until(), Timestamp(u64::MAX));
    }

    #[test]
    fn pages_grow_to_what_memory_and_a_second_of_the_share_allow() {
        let free = Pace::new(0, 8, Timestamp(0));
        let mut size = PageSize::default();
        assert_eq!(size.limit(), 2);
        let mut limits = Vec::new();
        for _ in 0..6 {
            size.saw(&texts(2, 10), 5, &free);
            limits.push(size.limit());
        }
        assert_eq!(limits, [4, 8, 16, 32, 64, 128]);
        // An item of 400 KB leaves room for twenty of its kind, from then on.
        size.saw(&texts(1, 400_000), 1_000, &free);
        assert_eq!(size.limit(), 20);
        size.saw(&texts(1, 10), 5, &free);
        assert_eq!(size.limit(), 20);

        // A second pays for 62.5 units; four items took two.
        let paced = Pace::new(500, 8, Timestamp(0));
        let mut size = PageSize { limit: 500, ..size };
        size.largest = 1;
        size.saw(&texts(4, 10), 20, &paced);
        assert_eq!(size.limit(), 125);
        // A share of nearly nothing still reads an item at a time, and an empty page says nothing of the price.
        let slow = Pace::new(1, 1_000, Timestamp(0));
        size.saw(&texts(4, 10), 20, &slow);
        assert_eq!(size.limit(), 1);
        size.saw(&[], 5, &slow);
        assert_eq!(size.limit(), 2);
    }

    #[test]
    fn small_things_are_large_in_memory() {
        let map = Value::M(Item::from([("a".to_owned(), Value::Null)]));
        let item = Item::from([("m".to_owned(), Value::L(vec![map; 50_000]))]);
        let mut size = PageSize::default();
        size.saw(&[item], 1_000, &Pace::new(0, 1, Timestamp(0)));
        assert_eq!(size.limit(), 1);
    }
}
