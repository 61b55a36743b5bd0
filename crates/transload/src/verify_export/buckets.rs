//! Sums over rows in any order, by which two sets of rows are compared in memory that does not grow with them.

use crate::digest::Fingerprint;

use super::row::RowDigests;

/// Keys are spread over so many buckets by their hash: with 24 bytes each (32 with their alignment) two megabytes, and of 10^9 rows
/// 15,000 in each, so that few have to be looked at again for a difference.
pub(super) const BUCKETS: usize = 1 << 16;

/// The rows of each bucket: how many, and the sum of their digests. Two sets have equal sums if they are equal, and with a chance
/// of 2^-128 a bucket otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buckets(Vec<Bucket>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    /// Added, not exclusive-ored: a row that is there twice does not vanish.
    sum: u128,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self(vec![Bucket::default(); BUCKETS])
    }

    pub(super) fn add(&mut self, row: RowDigests) {
        let bucket = &mut self.0[bucket_of(&row.key)];
        bucket.rows += 1;
        bucket.sum = bucket.sum.wrapping_add(u128::from_be_bytes(row.state));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, other) in self.0.iter_mut().zip(&other.0) {
            bucket.rows += other.rows;
            bucket.sum = bucket.sum.wrapping_add(other.sum);
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.rows).sum()
    }

    /// The buckets that differ, each with the rows that both sets have in it.
    pub(super) fn differing(&self, other: &Self) -> Vec<(usize, u64)> {
        let both = self.0.iter().zip(&other.0).enumerate();
        both.filter(|(_, (one, other))| one != other)
            .map(|(bucket, (one, other))| (bucket, one.rows + other.rows))
            .collect()
    }
}

/// The bucket of a key.
pub(super) fn bucket_of(key: &Fingerprint) -> usize {
    usize::from(u16::from_be_bytes([key[0], key[1]]))
}

/// As many of the differing buckets, from the first one on, as have at most so many rows; one at the least.
pub(super) fn choose(differing: &[(usize, u64)], max_rows: u64) -> Vec<usize> {
    let mut rows = 0_u64;
    differing
        .iter()
        .enumerate()
        .take_while(|(nth, (_, of_bucket))| {
            rows = rows.saturating_add(*of_bucket);
            *nth == 0 || rows <= max_rows
        })
        .map(|(_, (bucket, _))| *bucket)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::digest::of_event;

    fn sums(rows: &[(u8, u8)]) -> Buckets {
        let mut buckets = Buckets::new();
        for (key, state) in rows {
            buckets.add(RowDigests {
                key: [*key; 16],
                state: of_event(&format!("{key} {state}")),
            });
        }
        buckets
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against sorting: any order and any spread over workers makes the same sums, and any other rows make other ones.
        #[test]
        fn sums_are_equal_just_where_the_rows_are(
            one in vec((0..3_u8, 0..2_u8), 0..5),
            other in vec((0..3_u8, 0..2_u8), 0..5),
            cut in 0..5_usize,
        ) {
            let (first, second) = one.split_at(cut.min(one.len()));
            let mut left = sums(second);
            left.merge(&sums(first));
            let right = sums(&other);
            let sorted = |rows: &[(u8, u8)]| {
                let mut rows = rows.to_vec();
                rows.sort_unstable();
                rows
            };
            prop_assert_eq!(left == right, sorted(&one) == sorted(&other));
            prop_assert_eq!(left.differing(&right).is_empty(), left == right);
            prop_assert_eq!(left.rows(), one.len() as u64);
        }
    }

    #[test]
    fn as_many_buckets_are_chosen_as_may_be_held() {
        let differing = [(3, 10), (7, 5), (9, 1)];
        assert_eq!(choose(&differing, 100), [3, 7, 9]);
        assert_eq!(choose(&differing, 15), [3, 7]);
        assert_eq!(choose(&differing, 1), [3]);
        assert!(choose(&[], 1).is_empty());
    }
}
