//! How many rows have a key that another row has too, counted on the disk.

use std::io;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::findings::Place;
use crate::replay::spill::{Spill, parts_for};

/// Compressed bytes of the source of which one part is made: even if a row takes but three of them, a part has a million and
/// a half keys, of which each takes 32 bytes when it is sorted.
const SOURCE_BYTES_OF_PART: u64 = 4 * 1024 * 1024;
/// Examples that are kept.
const EXAMPLES: usize = 3;

/// Takes the keys in, as the first 16 bytes of their SHA-256. Two keys that share them would be counted as one: among 10^12
/// keys that has a chance of about 10^-15.
#[derive(Debug)]
pub(super) struct Duplicates {
    spill: Spill,
    line: String,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Different keys.
    pub(super) keys: u64,
    /// Keys that more than one row has.
    pub(super) repeated_keys: u64,
    /// Rows that go if one row of each key stays.
    pub(super) surplus_rows: u64,
    /// The first rows with a key that an earlier row has.
    pub(super) examples: Vec<Place>,
}

/// A row with its key's hash, in the order of the source.
type Row = (u128, u32, u64);

impl Duplicates {
    /// For a source of so many bytes as it is stored.
    pub(super) fn new(stored_bytes: u64) -> io::Result<Self> {
        Ok(Self {
            spill: Spill::new(parts_for(stored_bytes, SOURCE_BYTES_OF_PART))?,
            line: String::new(),
        })
    }

    /// Adds a row by its canonical key.
    pub(super) fn push(&mut self, key: &[u8], object: usize, line: u64) -> io::Result<()> {
        use std::fmt::Write;

        let digest = Sha256::digest(key);
        let (hash, _) = digest.split_at(16);
        self.line.clear();
        let hash = u128::from_be_bytes(hash.try_into().expect("it was split there"));
        write!(self.line, "{hash:032x} {object} {line}").expect("a String takes every text");
        self.spill.push(&hash.to_be_bytes(), &self.line)
    }

    /// All rows have been added; `objects` are the names of the objects.
    pub(super) fn finish(self, objects: &[Rc<str>]) -> io::Result<Counted> {
        let spilled = self.spill.finish()?;
        let mut counted = Counted::default();
        let mut first: Vec<(Row, Row)> = Vec::new();
        for part in 0..spilled.parts() {
            let mut rows: Vec<Row> = Vec::new();
            spilled.read(part, |line| rows.extend(parsed(line)))?;
            rows.sort_unstable();
            for group in rows.chunk_by(|one, other| one.0 == other.0) {
                counted.keys += 1;
                if let [original, repeated, ..] = group {
                    counted.repeated_keys += 1;
                    counted.surplus_rows += group.len() as u64 - 1;
                    first.push((*repeated, *original));
                }
            }
            first.sort_unstable_by_key(|(repeated, _)| (repeated.1, repeated.2));
            first.truncate(EXAMPLES);
        }
        counted.examples = first
            .into_iter()
            .map(|(repeated, original)| example(repeated, original, objects))
            .collect();
        Ok(counted)
    }
}

fn parsed(line: &str) -> Option<Row> {
    let mut words = line.split(' ');
    let hash = u128::from_str_radix(words.next()?, 16).ok()?;
    Some((
        hash,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    ))
}

fn example(repeated: Row, original: Row, objects: &[Rc<str>]) -> Place {
    let name = |row: Row| -> Rc<str> {
        let index = usize::try_from(row.1).unwrap_or(usize::MAX);
        objects.get(index).cloned().unwrap_or_default()
    };
    let of = match repeated.1 == original.1 {
        true => String::new(),
        false => format!(" of {}", name(original)),
    };
    Place {
        object: name(repeated),
        line: Some(repeated.2),
        detail: format!("it has the key of line {}{of}", original.2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_but_one_of_a_key_is_surplus() {
        // A small source has one part, one that is said to be large has many.
        for stored_bytes in [0, 3 << 30] {
            let mut duplicates = Duplicates::new(stored_bytes).unwrap();
            for (key, object, line) in [
                ("a", 0, 2),
                ("b", 0, 3),
                ("a", 1, 2),
                ("c", 1, 3),
                ("a", 1, 9),
                ("b", 0, 4),
            ] {
                duplicates.push(key.as_bytes(), object, line).unwrap();
            }
            let counted = duplicates
                .finish(&["x.csv".into(), "y.csv".into()])
                .unwrap();
            assert_eq!(
                (counted.keys, counted.repeated_keys, counted.surplus_rows),
                (3, 2, 3)
            );
            let examples: Vec<String> = counted.examples.iter().map(Place::to_string).collect();
            assert_eq!(
                examples,
                [
                    "x.csv, line 4: it has the key of line 3",
                    "y.csv, line 2: it has the key of line 2 of x.csv"
                ]
            );
        }
    }

    #[test]
    fn no_rows_have_no_duplicates() {
        let counted = Duplicates::new(0).unwrap().finish(&[]).unwrap();
        assert_eq!(counted, Counted::default());
    }
}
