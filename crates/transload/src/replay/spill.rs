//! Lines on the disk, in parts by the hash of a key, each part small enough to be merged in memory.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

/// Compressed bytes of the log of which one part is made: about sixteen times as much, 256 MB, is what a part's state takes in
/// memory if hardly any line replaces another.
pub(super) const LOG_BYTES_OF_PART: u64 = 16 * 1024 * 1024;
/// Enough for a log of 64 GB; a larger one has larger parts.
const MAX_PARTS: u64 = 4_096;
/// What is gathered in memory before it goes to the disk, over all parts…
const BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// …and of one part.
const MAX_CHUNK_BYTES: usize = 256 * 1024;
const ZSTD_LEVEL: i32 = 1;

/// Takes lines in. Everything is in one file without a name, which is gone when the process is, however that ends.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    length: u64,
    chunk_bytes: usize,
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    buffer: Vec<u8>,
    /// Where its chunks are in the file: offset and length.
    chunks: Vec<(u64, u64)>,
}

/// The lines, to be read part by part, as often as it takes.
#[derive(Debug)]
pub(super) struct Spilled {
    file: File,
    parts: Vec<Vec<(u64, u64)>>,
}

/// How many parts a log of this many compressed bytes is cut into, where a part is to be made of so many of them.
pub(super) fn parts_for(log_bytes: u64, part_bytes: u64) -> usize {
    let parts = log_bytes.div_ceil(part_bytes).clamp(1, MAX_PARTS);
    usize::try_from(parts).expect("at most 4,096")
}

/// Where a key belongs, the same in every run of a program.
pub(super) fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Spill {
    /// Begins a file in the folder for temporary files (TMPDIR).
    pub(super) fn new(parts: usize) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            length: 0,
            chunk_bytes: (BUFFERED_BYTES / parts).min(MAX_CHUNK_BYTES),
            parts: (0..parts).map(|_| Part::default()).collect(),
        })
    }

    /// Keeps a line, which has no line ending, in its key's part.
    pub(super) fn push(&mut self, key: &[u8], line: &str) -> io::Result<()> {
        let part = hash_of(key) % self.parts.len() as u64;
        let part = usize::try_from(part).expect("below the number of parts");
        let buffer = &mut self.parts[part].buffer;
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
        match buffer.len() >= self.chunk_bytes {
            true => self.write_out(part),
            false => Ok(()),
        }
    }

    fn write_out(&mut self, part: usize) -> io::Result<()> {
        let part = &mut self.parts[part];
        let chunk = zstd::bulk::compress(&part.buffer, ZSTD_LEVEL)?;
        part.buffer.clear();
        self.file.write_all(&chunk)?;
        part.chunks.push((self.length, chunk.len() as u64));
        self.length += chunk.len() as u64;
        Ok(())
    }

    /// Every line has been taken in.
    pub(super) fn finish(mut self) -> io::Result<Spilled> {
        for part in 0..self.parts.len() {
            if !self.parts[part].buffer.is_empty() {
                self.write_out(part)?;
            }
            self.parts[part].buffer = Vec::new();
        }
        Ok(Spilled {
            file: self.file,
            parts: self.parts.into_iter().map(|part| part.chunks).collect(),
        })
    }
}

impl Spilled {
    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Hands on every line of a part, in the order in which they came.
    pub(super) fn read(&self, part: usize, mut take: impl FnMut(&str)) -> io::Result<()> {
        let mut line = String::new();
        for (offset, length) in &self.parts[part] {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(*offset))?;
            let mut lines = BufReader::new(zstd::Decoder::new(file.take(*length))?);
            loop {
                line.clear();
                if lines.read_line(&mut line)? == 0 {
                    break;
                }
                take(line.strip_suffix('\n').unwrap_or(&line));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_part_is_made_of_sixteen_mebibytes_of_the_log() {
        let mib = 1024 * 1024;
        assert_eq!(parts_for(0, LOG_BYTES_OF_PART), 1);
        assert_eq!(parts_for(16 * mib, LOG_BYTES_OF_PART), 1);
        assert_eq!(parts_for(16 * mib + 1, LOG_BYTES_OF_PART), 2);
        assert_eq!(parts_for(u64::MAX, LOG_BYTES_OF_PART), 4_096);
    }

    #[test]
    fn the_lines_of_a_key_come_back_from_one_part_in_their_order_and_again() {
        for parts in [1, 7, 4_096] {
            let mut spill = Spill::new(parts).unwrap();
            let long = "x".repeat(1_000);
            for nth in 0..20_000 {
                let key = format!("key-{}", nth % 50);
                spill
                    .push(key.as_bytes(), &format!("{key} {nth} {long}"))
                    .unwrap();
            }
            let spilled = spill.finish().unwrap();
            assert_eq!(spilled.parts(), parts);
            for _ in 0..2 {
                let mut part_of = BTreeMap::new();
                let mut last = BTreeMap::new();
                let mut count = 0;
                for part in 0..parts {
                    let read = spilled.read(part, |line| {
                        let mut words = line.split(' ');
                        let key = words.next().unwrap().to_owned();
                        let nth: i64 = words.next().unwrap().parse().unwrap();
                        assert_eq!(words.next(), Some(long.as_str()));
                        assert_eq!(*part_of.entry(key.clone()).or_insert(part), part);
                        assert!(last.insert(key, nth).is_none_or(|before| before < nth));
                        count += 1;
                    });
                    read.unwrap();
                }
                assert_eq!(count, 20_000);
                assert_eq!(part_of.len(), 50);
            }
        }
    }
}
