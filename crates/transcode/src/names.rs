//! Names that are there twice in an object.

use std::borrow::Cow;

use crate::fault::LineFault;
use crate::text::Text;

/// The names of all objects that are open, and those that are expected: kept between lines.
///
/// Objects of a table are much alike, so a name is expected to follow the one that it followed last time. The first names that
/// are met are known from then on: to see that a name is the expected one takes no look at where it ends, and each has a bit
/// by which a second one in the same object is found. Other names are kept with their objects.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Vec<Known>,
    /// For the highest byte of a fingerprint, the number of the known name that has it, and one.
    slots: Vec<u8>,
    /// The known name that was met last.
    last: usize,
    /// The known name that is expected.
    next: usize,
    /// Whether the name that was met last is a known one.
    is_known: bool,
    /// Names that are not known, of all objects that are open, innermost last.
    seen: Vec<Seen>,
    /// Whether names may be there twice.
    allows_twice: bool,
}

/// What is known of the members of one open object.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Members {
    /// A bit for each known name that was there.
    known: u64,
    /// How many others there were.
    others: usize,
    /// One bit for each fingerprint of them: where a bit is new, so is its name.
    filter: u64,
    /// Whether one of them has escapes, and may be the name of one that is met later without.
    escaped: bool,
}

/// A name that was met in an earlier object.
#[derive(Debug)]
struct Known {
    /// The name, its quote and its colon, and a mask of them.
    text: [u8; LONGEST],
    mask: [u8; LONGEST],
    /// Bytes of the name alone.
    length: usize,
    fingerprint: u64,
    /// The number of the name that followed last time.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    fingerprint: u64,
    /// Where the name stands in the line, which is shorter than 4 GiB.
    start: u32,
    end: u32,
}

/// Bytes of a known name with what stands behind it.
const LONGEST: usize = 24;

/// Names that can be known.
pub(crate) const KNOWN: usize = 64;

/// Members of an object from which on names are compared once at its end, by sorting, and no more one by one.
const MANY: usize = 64;

impl Members {
    /// Whether no member was read yet.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.known == 0 && self.others == 0
    }
}

impl Names {
    /// For who does not mind names that are there twice.
    pub(crate) fn allowing_twice() -> Self {
        Self {
            allows_twice: true,
            ..Self::default()
        }
    }

    /// Forgets what a line that ended in a fault left behind.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.seen.clear();
    }

    /// Bytes of the name that begins at `start`, if it is the one that is expected and was not there before.
    #[inline(always)]
    pub(crate) fn expected(
        &mut self,
        members: &mut Members,
        bytes: &[u8],
        start: usize,
    ) -> Option<usize> {
        let name = self.known.get(self.next)?;
        let there = bytes.get(start..)?.first_chunk::<LONGEST>()?;
        let word = |bytes: &[u8; LONGEST], index: usize| {
            let (words, _) = bytes.as_chunks::<8>();
            u64::from_le_bytes(words[index])
        };
        let differs =
            |index| (word(there, index) & word(&name.mask, index)) ^ word(&name.text, index);
        let bit = 1 << (self.next % KNOWN);
        if differs(0) | differs(1) | differs(2) | (members.known & bit) != 0 {
            return None;
        }
        members.known |= bit;
        self.is_known = true;
        self.last = self.next;
        self.next = name.next;
        Some(name.length)
    }

    /// The number of the name that was met last, below [`KNOWN`]; nothing if it is not known. A number is of one name for good.
    #[inline(always)]
    pub(crate) fn number(&self) -> Option<usize> {
        self.is_known.then_some(self.last)
    }

    /// Notes the name between two places of the line. Fails if it was there before, at once or where the object ends.
    #[inline(never)]
    pub(crate) fn add(
        &mut self,
        members: &mut Members,
        start: usize,
        end: usize,
        escaped: bool,
        bytes: &[u8],
    ) -> Result<(), LineFault> {
        self.is_known = false;
        if self.allows_twice {
            // The object is no longer empty, and that is all.
            members.known = 1;
            return Ok(());
        }
        let seen = Seen {
            fingerprint: match escaped {
                true => fingerprint_of_escaped(bytes, start, end),
                false => fingerprint(bytes, start, end),
            },
            start: start as u32,
            end: end as u32,
        };
        if let Some(known) = self.known(members, &seen, escaped, bytes) {
            let bit = 1 << known;
            if members.known & bit != 0 {
                return Err(twice(&decoded(&seen, bytes)));
            }
            members.known |= bit;
            if let Some(last) = self.known.get_mut(self.last) {
                last.next = known;
            }
            self.is_known = true;
            self.last = known;
            self.next = self.known[known].next;
            return Ok(());
        }
        let bit = 1 << (seen.fingerprint & 63);
        if members.filter & bit != 0 && members.others < MANY {
            self.check(members, &seen, bytes)?;
        }
        members.filter |= bit;
        members.others += 1;
        members.escaped |= escaped;
        self.seen.push(seen);
        Ok(())
    }

    /// The number of a name if it is known, or can be from now on.
    fn known(
        &mut self,
        members: &Members,
        seen: &Seen,
        escaped: bool,
        bytes: &[u8],
    ) -> Option<usize> {
        let name = &bytes[seen.start as usize..seen.end as usize];
        if self.slots.is_empty() {
            self.slots.resize(256, 0);
        }
        let slot = &mut self.slots[(seen.fingerprint >> 56) as usize];
        if let Some(number) = slot.checked_sub(1) {
            let number = usize::from(number);
            let known = &self.known[number];
            if known.fingerprint != seen.fingerprint {
                return None;
            }
            let text = &known.text[..known.length];
            let is_it = match escaped {
                true => decoded(seen, bytes).as_bytes() == text,
                false => name == text,
            };
            return is_it.then_some(number);
        }
        let number = self.known.len();
        if number == KNOWN || name.len() + 2 > LONGEST || escaped || members.escaped {
            return None;
        }
        let (mut text, mut mask) = ([0; LONGEST], [0; LONGEST]);
        text[..name.len()].copy_from_slice(name);
        text[name.len()..name.len() + 2].copy_from_slice(b"\":");
        mask[..name.len() + 2].fill(0xff);
        self.known.push(Known {
            text,
            mask,
            length: name.len(),
            fingerprint: seen.fingerprint,
            next: 0,
        });
        *slot = number as u8 + 1;
        Some(number)
    }

    fn check(&self, members: &Members, seen: &Seen, bytes: &[u8]) -> Result<(), LineFault> {
        for other in &self.seen[self.seen.len() - members.others..] {
            if other.fingerprint == seen.fingerprint {
                compare(other, seen, bytes)?;
            }
        }
        Ok(())
    }

    /// Ends an object: forgets its names.
    #[inline]
    pub(crate) fn close(&mut self, members: &Members, bytes: &[u8]) -> Result<(), LineFault> {
        if members.others == 0 {
            return Ok(());
        }
        let start = self.seen.len() - members.others;
        if members.others > MANY {
            check_many(&mut self.seen[start..], bytes)?;
        }
        self.seen.truncate(start);
        Ok(())
    }
}

#[cold]
fn check_many(seen: &mut [Seen], bytes: &[u8]) -> Result<(), LineFault> {
    seen.sort_unstable_by_key(|seen| seen.fingerprint);
    for alike in seen.chunk_by_mut(|left, right| left.fingerprint == right.fingerprint) {
        if alike.len() > 1 {
            alike.sort_by_cached_key(|seen| decoded(seen, bytes));
            for pair in alike.windows(2) {
                compare(&pair[0], &pair[1], bytes)?;
            }
        }
    }
    Ok(())
}

fn decoded<'a>(seen: &Seen, bytes: &'a [u8]) -> Cow<'a, str> {
    Text::new(bytes, seen.start as usize, seen.end as usize).to_text()
}

/// Fails if both are one name.
#[cold]
fn compare(one: &Seen, other: &Seen, bytes: &[u8]) -> Result<(), LineFault> {
    let name = decoded(one, bytes);
    match name == decoded(other, bytes) {
        true => Err(twice(&name)),
        false => Ok(()),
    }
}

#[cold]
fn twice(name: &str) -> LineFault {
    LineFault::named(
        "member",
        name,
        "is there twice",
        "each name once in an object",
    )
}

/// Equal for equal names; others have the same one so rarely that they may cost a comparison.
#[inline(always)]
fn fingerprint(bytes: &[u8], start: usize, end: usize) -> u64 {
    let length = end - start;
    match (bytes[start..].first_chunk(), bytes[..end].last_chunk()) {
        (Some(first), _) if length <= 8 => {
            // What stands behind the name is shifted out.
            let unused = 64 - 8 * length as u32;
            let word = u64::from_le_bytes(*first).checked_shl(unused).unwrap_or(0);
            mix(length as u64, word)
        }
        (Some(first), Some(last)) if length <= 16 => {
            let hash = mix(length as u64, u64::from_le_bytes(*first));
            mix(hash, u64::from_le_bytes(*last))
        }
        _ => any_fingerprint(&bytes[start..end]),
    }
}

/// As [`fingerprint`], of a name of any length that may stand at the line's end.
#[inline(never)]
fn any_fingerprint(name: &[u8]) -> u64 {
    let length = name.len() as u64;
    let Some(last) = name.last_chunk::<8>() else {
        let word = name
            .iter()
            .rfold(0, |word, byte| word << 8 | u64::from(*byte));
        let unused = 64 - 8 * length as u32;
        return mix(length, word.checked_shl(unused).unwrap_or(0));
    };
    let last = u64::from_le_bytes(*last);
    if length == 8 {
        return mix(length, last);
    }
    let (chunks, _) = name.as_chunks::<8>();
    let whole = (name.len() - 1) / 8;
    let hash = chunks[..whole]
        .iter()
        .fold(length, |hash, chunk| mix(hash, u64::from_le_bytes(*chunk)));
    mix(hash, last)
}

/// The highest bits depend on all bits of the word.
#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    const ODD: u64 = 0xd6e8_feb8_6659_fd93;
    (hash.rotate_left(32) ^ word).wrapping_mul(ODD)
}

#[cold]
fn fingerprint_of_escaped(bytes: &[u8], start: usize, end: usize) -> u64 {
    let name = Text::new(bytes, start, end).to_text();
    fingerprint(name.as_bytes(), 0, name.len())
}
