//! Which columns of a row group are worth a dictionary.
//!
//! One that holds nearly every value once costs the hashing of all of them and saves nothing. So the first values are looked
//! at, which is the same for the same lines.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::builder::{Builder, Spans, Values};

/// Values that are looked at.
const SAMPLE: usize = 8_192;

/// Appends for each leaf of a column, in Parquet's order, whether it is to have a dictionary.
pub(super) fn choose(builder: &Builder, leaves: &mut Vec<bool>) {
    match &builder.values {
        Values::Bytes(spans) | Values::Json(spans) | Values::Text(spans) => {
            leaves.push(repeats(spans.iter()));
        }
        Values::Integer(values) => leaves.push(repeats(values.iter().filter(|value| **value != 0))),
        Values::Decimal { values, .. } => {
            leaves.push(repeats(values.iter().filter(|value| **value != 0)));
        }
        Values::Double(values) => leaves.push(repeats(values.iter().map(|value| value.to_bits()))),
        Values::Boolean(_) => leaves.push(false),
        Values::List { element, .. } | Values::Set { element, .. } => choose(element, leaves),
        Values::Struct { members, .. } => {
            for member in members {
                choose(member, leaves);
            }
        }
        Values::Map { keys, value, .. } => {
            leaves.push(repeats(keys.iter()));
            choose(value, leaves);
        }
    }
}

impl Spans {
    /// The strings that are not empty, as those of null slots are.
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let places = self.ends.0.windows(2).filter(|pair| pair[0] < pair[1]);
        places.map(|pair| {
            let [start, end] =
                [pair[0], pair[1]].map(|end| usize::try_from(end).unwrap_or_default());
            &self.bytes[start..end]
        })
    }
}

/// Whether of five values more than one was there before.
fn repeats<T: Hash + Eq>(values: impl Iterator<Item = T>) -> bool {
    let mut seen = HashSet::with_capacity_and_hasher(SAMPLE, BuildHasherDefault::<Mix>::default());
    let mut looked_at = 0;
    for value in values.take(SAMPLE) {
        looked_at += 1;
        seen.insert(value);
    }
    seen.len() * 5 < looked_at * 4
}

/// A quick hash. Who makes values that collide on purpose makes at most [`SAMPLE`] of them slow.
#[derive(Default)]
struct Mix(u64);

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.write_u64(u64::from_le_bytes(*chunk));
        }
        for byte in rest {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(ODD);
        self.0 ^= self.0 >> 29;
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(ODD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_repeat_where_a_fifth_of_them_was_there_before() {
        assert!(!repeats(0..100));
        assert!(repeats((0..100).map(|value| value % 79)));
        assert!(!repeats((0..100).map(|value| value % 80)));
        assert!(repeats((0..20_000).map(|value| value % 5_000)));
        assert!(!repeats(std::iter::empty::<u8>()));
        // What comes behind the sample is no matter.
        assert!(!repeats(
            (0..100_000u64).map(|value| value.min(SAMPLE as u64))
        ));
        let texts: Vec<String> = (0..200)
            .map(|value| format!("a text that is long {}", value % 3))
            .collect();
        assert!(repeats(texts.iter().map(String::as_bytes)));
    }
}
