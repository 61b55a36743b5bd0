//! Rows with the same key: counted exactly, on the disk, in memory that does not grow with their number.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

/// Into so many parts rows are cut by the hash of their key.
const PARTS: usize = 256;
/// Rows of a part that are gathered before they go to the disk: 64 KB a part, 17 MB over all of them.
const CHUNK_ROWS: usize = 1_820;
/// Rows that are compared at a time, 40 MB. A part that has more of them, as all have from 268 million rows on, is read more than once.
const COMPARED_ROWS: u64 = 1024 * 1024;
/// Pairs of rows that are named.
const EXAMPLES: usize = 5;

/// Where a row is: of which sheet, file or object, counted from 0, and in which row or line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowPlace {
    pub(crate) source: u32,
    pub(crate) row: u64,
}

/// What is kept of a row: hashes of its key (128 bits) and of its content (64 bits), and where it is.
///
/// Two different keys are taken for one with a chance of less than 10^-20 at a billion rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: [u8; 16],
    place: RowPlace,
    content: [u8; 8],
}

impl Entry {
    const BYTES: usize = 16 + 4 + 8 + 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.place.source.to_le_bytes());
        out.extend_from_slice(&self.place.row.to_le_bytes());
        out.extend_from_slice(&self.content);
    }

    fn read(bytes: &[u8; Self::BYTES]) -> Self {
        let array = "the lengths are those that were written";
        Self {
            key: bytes[..16].try_into().expect(array),
            place: RowPlace {
                source: u32::from_le_bytes(bytes[16..20].try_into().expect(array)),
                row: u64::from_le_bytes(bytes[20..28].try_into().expect(array)),
            },
            content: bytes[28..].try_into().expect(array),
        }
    }

    /// Which of so many slices of its part the row is in, by bits of the hash that did not choose the part.
    fn slice(&self, slices: u64) -> u64 {
        let bits = self.key[8..].try_into().expect("the hash has 16 bytes");
        u64::from_le_bytes(bits) % slices
    }
}

/// Takes the keys in. They are in one file without a name, which is gone when the process is, however that ends.
#[derive(Debug)]
pub(crate) struct DuplicateKeys {
    file: File,
    /// Chunks that are in the file. All are of the same length.
    chunks: u32,
    chunk_bytes: usize,
    compared_rows: u64,
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    buffer: Vec<u8>,
    /// Its chunks in the file, by their numbers.
    chunks: Vec<u32>,
}

/// What the keys of all rows came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Duplicates {
    /// Different keys.
    pub(crate) keys: u64,
    /// Keys that more than one row has.
    pub(crate) repeated_keys: u64,
    /// Rows whose key a row before them has.
    pub(crate) rows: u64,
    /// Those of them whose content is not that of the row with the same key before them.
    pub(crate) differing: u64,
    /// The first few such rows, each behind the row with the same key before it.
    pub(crate) examples: Vec<(RowPlace, RowPlace)>,
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

impl DuplicateKeys {
    /// Begins a file in the folder for temporary files (TMPDIR), which takes 36 bytes a row.
    pub(crate) fn new() -> io::Result<Self> {
        Self::with(CHUNK_ROWS, COMPARED_ROWS)
    }

    fn with(chunk_rows: usize, compared_rows: u64) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            chunks: 0,
            chunk_bytes: chunk_rows * Entry::BYTES,
            compared_rows,
            parts: (0..PARTS).map(|_| Part::default()).collect(),
        })
    }

    /// Keeps a row by the parts of its key. Whether rows with the same key differ is told by `content`.
    pub(crate) fn push<K: AsRef<[u8]>>(
        &mut self,
        key: impl IntoIterator<Item = K>,
        content: &[u8],
        place: RowPlace,
    ) -> io::Result<()> {
        let mut hash = Sha256::new();
        for part in key {
            let part = part.as_ref();
            // With the length before it, no part can go over into the next.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let (key, content) = (hash.finalize(), Sha256::digest(content));
        let entry = Entry {
            key: *key.first_chunk().expect("SHA-256 has 32 bytes"),
            place,
            content: *content.first_chunk().expect("SHA-256 has 32 bytes"),
        };
        let part = &mut self.parts[usize::from(entry.key[0])];
        if part.buffer.capacity() == 0 {
            // As it grew by itself, it could have twice the room that it needs.
            part.buffer.reserve_exact(self.chunk_bytes);
        }
        entry.write(&mut part.buffer);
        if part.buffer.len() == self.chunk_bytes {
            self.file.write_all(&part.buffer)?;
            part.chunks.push(self.chunks);
            part.buffer.clear();
            // 4 billion chunks are 280 TB.
            self.chunks = self
                .chunks
                .checked_add(1)
                .ok_or(io::ErrorKind::FileTooLarge)?;
        }
        Ok(())
    }

    /// Every row has been taken in: what they have in common.
    pub(crate) fn finish(mut self) -> io::Result<Duplicates> {
        let mut found = Duplicates::default();
        let mut entries = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            let bytes = part.chunks.len() * self.chunk_bytes + part.buffer.len();
            let rows = (bytes / Entry::BYTES) as u64;
            let slices = rows.div_ceil(self.compared_rows).max(1);
            for slice in 0..slices {
                entries.clear();
                self.read(&part, |entry| {
                    if entry.slice(slices) == slice {
                        entries.push(entry);
                    }
                })?;
                compare(&mut entries, &mut found);
            }
        }
        Ok(found)
    }

    fn read(&mut self, part: &Part, mut take: impl FnMut(Entry)) -> io::Result<()> {
        let mut chunk = vec![0; self.chunk_bytes];
        for number in &part.chunks {
            let offset = u64::from(*number) * self.chunk_bytes as u64;
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut chunk)?;
            chunk
                .as_chunks()
                .0
                .iter()
                .map(Entry::read)
                .for_each(&mut take);
        }
        part.buffer
            .as_chunks()
            .0
            .iter()
            .map(Entry::read)
            .for_each(take);
        Ok(())
    }
}

/// Counts among all rows of some keys.
fn compare(entries: &mut [Entry], found: &mut Duplicates) {
    entries.sort_unstable();
    for same in entries.chunk_by(|one, other| one.key == other.key) {
        found.keys += 1;
        found.repeated_keys += u64::from(same.len() > 1);
        for pair in same.windows(2) {
            found.rows += 1;
            found.differing += u64::from(pair[0].content != pair[1].content);
            found.keep_example(pair[0].place, pair[1].place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    type Row = (Vec<String>, String);

    fn place(nth: usize) -> RowPlace {
        RowPlace {
            source: nth as u32 / 10,
            row: nth as u64,
        }
    }

    fn duplicates(rows: &[Row], chunk_rows: usize, compared_rows: u64) -> Duplicates {
        let mut keys = DuplicateKeys::with(chunk_rows, compared_rows).unwrap();
        for (nth, (key, content)) in rows.iter().enumerate() {
            keys.push(key, content.as_bytes(), place(nth)).unwrap();
        }
        keys.finish().unwrap()
    }

    /// The same by a map of all rows.
    fn naive(rows: &[Row]) -> Duplicates {
        let mut rows_of: HashMap<&Vec<String>, Vec<usize>> = HashMap::new();
        let mut found = Duplicates::default();
        for (nth, (key, content)) in rows.iter().enumerate() {
            let before = rows_of.entry(key).or_default();
            if let Some(last) = before.last() {
                found.rows += 1;
                found.repeated_keys += u64::from(before.len() == 1);
                found.differing += u64::from(rows[*last].1 != *content);
                found.examples.push((place(*last), place(nth)));
            }
            before.push(nth);
        }
        found.examples.truncate(EXAMPLES);
        found.keys = rows_of.len() as u64;
        found
    }

    proptest! {
        #[test]
        fn duplicates_are_those_of_a_map(
            rows in prop::collection::vec(
                (prop::collection::vec("[ab]{0,2}", 2), "[xy]"), 0..200,
            ),
        ) {
            prop_assert_eq!(duplicates(&rows, 3, 1_000), naive(&rows));
        }
    }

    #[test]
    fn keys_that_went_to_the_disk_are_found_again() {
        let rows: Vec<Row> = (0..60_000)
            .map(|nth| (vec![(nth % 50_000).to_string()], "row".to_owned()))
            .collect();
        // Some 234 rows a part: none, one or several chunks of them are on the disk, and they are compared in one go or in many.
        for chunk_rows in [CHUNK_ROWS, 200, 20] {
            for compared_rows in [COMPARED_ROWS, 100, 7] {
                let found = duplicates(&rows, chunk_rows, compared_rows);
                assert_eq!(found, naive(&rows), "{chunk_rows}, {compared_rows}");
            }
        }
    }
}
