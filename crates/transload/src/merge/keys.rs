//! Rows with the same key, counted in constant memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

/// Into so many parts keys are cut by their hash. A billion rows make parts of 140 MB.
const PARTS: usize = 256;
/// Bytes of a part that are gathered before they go to the disk: 16 MiB over all parts.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pairs of rows that are named.
const EXAMPLES: usize = 5;

/// A row of a sheet, both as numbers: which sheet of all that are merged, and which row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowPlace {
    pub(super) sheet: u32,
    pub(super) row: u64,
}

/// What is kept of a row: hashes of its key (128 bits) and of all of it (64 bits), and where it is.
///
/// Two different keys are taken for one with a chance of less than 10^-20 at a billion rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: [u8; 16],
    place: RowPlace,
    row: [u8; 8],
}

impl Entry {
    const BYTES: usize = 16 + 4 + 8 + 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.place.sheet.to_le_bytes());
        out.extend_from_slice(&self.place.row.to_le_bytes());
        out.extend_from_slice(&self.row);
    }

    fn read(bytes: &[u8; Self::BYTES]) -> Self {
        let array = "the lengths are those that were written";
        Self {
            key: bytes[..16].try_into().expect(array),
            place: RowPlace {
                sheet: u32::from_le_bytes(bytes[16..20].try_into().expect(array)),
                row: u64::from_le_bytes(bytes[20..28].try_into().expect(array)),
            },
            row: bytes[28..].try_into().expect(array),
        }
    }
}

/// Takes the keys in. They are in one file without a name, which is gone when the process is, however that ends.
#[derive(Debug)]
pub(super) struct KeySpill {
    file: File,
    length: u64,
    chunk_bytes: usize,
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    buffer: Vec<u8>,
    /// Where its chunks are in the file: offset and length.
    chunks: Vec<(u64, usize)>,
}

/// Rows whose key a row before them has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Duplicates {
    /// Such rows.
    pub(super) rows: u64,
    /// Those of them of which some value differs from the row with the same key before them.
    pub(super) differing: u64,
    /// Keys that more than one row has.
    pub(super) keys: u64,
    /// The first few such rows, each behind the row with the same key before it.
    pub(super) examples: Vec<(RowPlace, RowPlace)>,
}

impl Duplicates {
    fn keep_example(&mut self, before: RowPlace, later: RowPlace) {
        let place = self.examples.partition_point(|(_, kept)| *kept < later);
        if place < EXAMPLES {
            self.examples.insert(place, (before, later));
            self.examples.truncate(EXAMPLES);
        }
    }
}

impl KeySpill {
    /// Begins a file in the folder for temporary files (TMPDIR).
    pub(super) fn new() -> io::Result<Self> {
        Self::with_chunks_of(CHUNK_BYTES)
    }

    fn with_chunks_of(chunk_bytes: usize) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            length: 0,
            chunk_bytes,
            parts: (0..PARTS).map(|_| Part::default()).collect(),
        })
    }

    /// Keeps a row by the texts of its key; `row` is all of it. Rows come in the order of their places.
    pub(super) fn push<'a>(
        &mut self,
        key: impl Iterator<Item = &'a str>,
        row: &[u8],
        place: RowPlace,
    ) -> io::Result<()> {
        let mut hash = Sha256::new();
        for text in key {
            // With the length before it, no text can go over into the next.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let (key, row) = (hash.finalize(), Sha256::digest(row));
        let entry = Entry {
            key: *key.first_chunk().expect("SHA-256 has 32 bytes"),
            place,
            row: *row.first_chunk().expect("SHA-256 has 32 bytes"),
        };
        let part = usize::from(entry.key[0]);
        entry.write(&mut self.parts[part].buffer);
        match self.parts[part].buffer.len() + Entry::BYTES > self.chunk_bytes {
            true => self.write_out(part),
            false => Ok(()),
        }
    }

    fn write_out(&mut self, part: usize) -> io::Result<()> {
        let part = &mut self.parts[part];
        self.file.write_all(&part.buffer)?;
        part.chunks.push((self.length, part.buffer.len()));
        self.length += part.buffer.len() as u64;
        part.buffer.clear();
        Ok(())
    }

    /// Every row has been taken in: what they have in common.
    pub(super) fn finish(mut self) -> io::Result<Duplicates> {
        let mut found = Duplicates::default();
        for part in 0..PARTS {
            let mut entries = self.entries(part)?;
            entries.sort_unstable();
            for same in entries.chunk_by(|one, other| one.key == other.key) {
                found.keys += u64::from(same.len() > 1);
                for pair in same.windows(2) {
                    found.rows += 1;
                    found.differing += u64::from(pair[0].row != pair[1].row);
                    found.keep_example(pair[0].place, pair[1].place);
                }
            }
        }
        Ok(found)
    }

    fn entries(&mut self, part: usize) -> io::Result<Vec<Entry>> {
        let part = std::mem::take(&mut self.parts[part]);
        let on_disk: usize = part.chunks.iter().map(|(_, length)| length).sum();
        let mut entries = Vec::with_capacity((on_disk + part.buffer.len()) / Entry::BYTES);
        let mut chunk = Vec::new();
        for (offset, length) in part.chunks {
            chunk.resize(length, 0);
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut chunk)?;
            entries.extend(chunk.as_chunks().0.iter().map(Entry::read));
        }
        entries.extend(part.buffer.as_chunks().0.iter().map(Entry::read));
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn place(sheet: u32, row: u64) -> RowPlace {
        RowPlace { sheet, row }
    }

    fn duplicates(rows: &[(Vec<String>, String)], chunk_bytes: usize) -> Duplicates {
        let mut spill = KeySpill::with_chunks_of(chunk_bytes).unwrap();
        for (index, (key, row)) in rows.iter().enumerate() {
            let key = key.iter().map(String::as_str);
            let place = place(index as u32 / 10, index as u64);
            spill.push(key, row.as_bytes(), place).unwrap();
        }
        spill.finish().unwrap()
    }

    /// The same by a map of all rows.
    fn naive(rows: &[(Vec<String>, String)]) -> Duplicates {
        let mut last: HashMap<&Vec<String>, (usize, &String, bool)> = HashMap::new();
        let mut found = Duplicates::default();
        for (index, (key, row)) in rows.iter().enumerate() {
            let seen_twice = match last.get(key) {
                None => false,
                Some((before, row_before, seen_twice)) => {
                    found.rows += 1;
                    found.keys += u64::from(!seen_twice);
                    found.differing += u64::from(*row_before != row);
                    if found.examples.len() < EXAMPLES {
                        let at = |index: usize| place(index as u32 / 10, index as u64);
                        found.examples.push((at(*before), at(index)));
                    }
                    true
                }
            };
            last.insert(key, (index, row, seen_twice));
        }
        found
    }

    proptest! {
        #[test]
        fn duplicates_are_those_of_a_map(
            rows in prop::collection::vec(
                (prop::collection::vec("[ab]{0,2}", 2), "[xy]"), 0..200,
            ),
        ) {
            prop_assert_eq!(duplicates(&rows, 100), naive(&rows));
        }
    }

    #[test]
    fn keys_that_went_to_the_disk_are_found_again() {
        let rows: Vec<_> = (0..60_000)
            .map(|nth| (vec![(nth % 50_000).to_string()], "row".to_owned()))
            .collect();
        // Some 8,000 bytes a part: none, one or several chunks of it are on the disk.
        for chunk_bytes in [64 * 1024, 8_000, 1_000] {
            assert_eq!(duplicates(&rows, chunk_bytes), naive(&rows));
        }
    }
}
