//! What a set of items comes to, whatever the order in which they arrive.

use std::hash::{DefaultHasher, Hasher};

use serde::{Deserialize, Serialize};

/// How many items there were, and a sum over all their attributes. Two collections with equal digests hold the same items the
/// same number of times, as surely as 64 bits can say so; an item that is lost, doubled or changed makes another digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// How many items.
    pub items: u64,
    sum: u64,
}

impl Digest {
    /// Adds one item.
    pub fn add(&mut self, item: ItemHash) {
        self.items += 1;
        self.sum = self.sum.wrapping_add(item.mixed());
    }
}

/// The hash of one item, whose attributes may come in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ItemHash(u64);

impl ItemHash {
    /// Adds one string attribute.
    pub fn add(&mut self, name: &str, text: &str) {
        let mut hasher = DefaultHasher::new();
        hasher.write(name.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(text.as_bytes());
        self.0 = self.0.wrapping_add(hasher.finish());
    }

    /// Another number for each item, such that attributes that moved from one item to another change a sum (splitmix64).
    fn mixed(self) -> u64 {
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(items: &[&[(&str, &str)]]) -> Digest {
        let mut digest = Digest::default();
        for attributes in items {
            let mut item = ItemHash::default();
            for (name, text) in *attributes {
                item.add(name, text);
            }
            digest.add(item);
        }
        digest
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let whole = digest(&[&[("a", "1"), ("b", "2")], &[("a", "3"), ("b", "4")]]);
        assert_eq!(
            whole,
            digest(&[&[("b", "4"), ("a", "3")], &[("a", "1"), ("b", "2")]])
        );
        let others: [&[&[(&str, &str)]]; 5] = [
            &[&[("a", "1"), ("b", "2")]],
            &[&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "2")]],
            &[&[("a", "1"), ("b", "4")], &[("a", "3"), ("b", "2")]],
            &[&[("a", "1"), ("b", "2")], &[("a", "3"), ("b", "5")]],
            &[&[("a", "1"), ("b", "2")], &[("a", "3")]],
        ];
        for other in others {
            assert_ne!(whole, digest(other), "{other:?}");
        }
    }
}
