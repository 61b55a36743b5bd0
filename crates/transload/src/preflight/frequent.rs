//! The most frequent value of a stream of values, in bounded memory.

use std::collections::HashMap;

/// Counts of the most frequent values (Misra and Gries, "Finding repeated elements", 1982): exact as long as there are no more
/// different values than counters; from then on each count is too low by at most a fraction of one by the number of counters
/// of all that were counted, so that a value which has a share above that is never missed.
#[derive(Debug)]
pub(super) struct Frequent {
    counters: usize,
    counts: HashMap<Vec<u8>, u64>,
    exact: bool,
}

/// The value with the highest count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) value: Vec<u8>,
    /// At least so often it was there.
    pub(super) at_least: u64,
    /// Whether it was there exactly so often.
    pub(super) exact: bool,
}

impl Frequent {
    pub(super) fn new(counters: usize) -> Self {
        Self {
            counters,
            counts: HashMap::new(),
            exact: true,
        }
    }

    pub(super) fn push(&mut self, value: &[u8]) {
        if let Some(count) = self.counts.get_mut(value) {
            *count += 1;
        } else if self.counts.len() < self.counters {
            self.counts.insert(value.to_owned(), 1);
        } else {
            self.exact = false;
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// The most frequent value; of equals the smallest, so that the same values have the same one.
    pub(super) fn top(&self) -> Option<Top> {
        let top = self
            .counts
            .iter()
            .max_by_key(|(value, count)| (**count, std::cmp::Reverse(*value)));
        top.map(|(value, count)| Top {
            value: value.clone(),
            at_least: *count,
            exact: self.exact,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut frequent = Frequent::new(3);
        assert_eq!(frequent.top(), None);
        for value in ["a", "b", "b", "c", "c"] {
            frequent.push(value.as_bytes());
        }
        let top = Top {
            value: b"b".to_vec(),
            at_least: 2,
            exact: true,
        };
        assert_eq!(frequent.top(), Some(top));
    }

    #[test]
    fn a_value_with_a_large_share_is_found_among_many() {
        let mut frequent = Frequent::new(10);
        for nth in 0..10_000_u32 {
            frequent.push(&nth.to_be_bytes());
            if nth % 2 == 0 {
                frequent.push(b"false");
            }
        }
        let top = frequent.top().unwrap();
        assert_eq!((top.value.as_slice(), top.exact), (&b"false"[..], false));
        // Too low by a tenth of all 15,000 at the most.
        assert!((3_500..=5_000).contains(&top.at_least), "{top:?}");
    }
}
