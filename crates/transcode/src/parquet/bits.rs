//! Bits in a vector: booleans, and which slots of a column hold a value.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// Bits, the first in the lowest place of the first byte, as Arrow has them.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    #[inline]
    pub(super) fn push(&mut self, bit: bool) {
        let place = self.len % 8;
        if place == 0 {
            self.bytes.push(0);
        }
        let last = self.bytes.len() - 1;
        self.bytes[last] |= u8::from(bit) << place;
        self.len += 1;
    }

    pub(super) fn push_many(&mut self, bit: bool, count: usize) {
        let end = self.len + count;
        // Single bits to the end of the byte, whole bytes, and then bits of the last one that do not count.
        while !self.len.is_multiple_of(8) && self.len < end {
            self.push(bit);
        }
        if self.len < end {
            self.bytes
                .resize(end.div_ceil(8), if bit { 0xff } else { 0 });
            self.len = end;
            self.clear_behind();
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.bytes.truncate(len.div_ceil(8));
            self.clear_behind();
        }
    }

    /// [`Bits::push`] adds to the last byte, so what is behind the last bit has to be zero.
    fn clear_behind(&mut self) {
        let used = self.len % 8;
        if let (1.., Some(last)) = (used, self.bytes.last_mut()) {
            *last &= (1 << used) - 1;
        }
    }

    pub(super) fn take(&mut self) -> BooleanBuffer {
        let len = std::mem::take(&mut self.len);
        BooleanBuffer::new(Buffer::from_vec(std::mem::take(&mut self.bytes)), 0, len)
    }
}

/// Which slots hold a value. As long as all do, it is a count.
#[derive(Debug, Default)]
pub(super) struct Validity {
    len: usize,
    /// Nothing while there is no null.
    bits: Option<Bits>,
}

impl Validity {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push_value(&mut self) {
        self.len += 1;
        if let Some(bits) = &mut self.bits {
            bits.push(true);
        }
    }

    pub(super) fn push_nulls(&mut self, count: usize) {
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = Bits::default();
            bits.push_many(true, self.len);
            bits
        });
        bits.push_many(false, count);
        self.len += count;
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            if let Some(bits) = &mut self.bits {
                bits.truncate(len);
            }
        }
    }

    pub(super) fn take(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        self.bits
            .take()
            .map(|mut bits| NullBuffer::new(bits.take()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_those_of_a_vector(
            steps in prop::collection::vec((0u8..3, any::<bool>(), 0usize..40), 0..60)
        ) {
            let (mut bits, mut naive) = (Bits::default(), Vec::new());
            let (mut validity, mut valid) = (Validity::default(), Vec::new());
            for (step, bit, count) in steps {
                match step {
                    0 => {
                        bits.push(bit);
                        naive.push(bit);
                        validity.push_value();
                        valid.push(true);
                    }
                    1 => {
                        bits.push_many(bit, count);
                        naive.extend(std::iter::repeat_n(bit, count));
                        validity.push_nulls(count);
                        valid.extend(std::iter::repeat_n(false, count));
                    }
                    _ => {
                        bits.truncate(count);
                        naive.truncate(count);
                        validity.truncate(count);
                        valid.truncate(count);
                    }
                }
                prop_assert_eq!(validity.len(), valid.len());
            }
            prop_assert_eq!(bits.take().iter().collect::<Vec<_>>(), naive);
            let taken = validity.take();
            let all = taken.map_or_else(|| vec![true; valid.len()], |taken| taken.iter().collect());
            prop_assert_eq!(all, valid);
        }
    }
}
