//! The least that a stream's batches cost: gzip of their lines, with what stream-writer's objects are made with (flate2 with
//! zlib-rs, level 6), and nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::batches::read_batch;

/// Compresses every batch of a file, one at a time, and drops the result. Returns how many bytes the lines had.
///
/// # Errors
/// Whatever reading the file fails with.
pub fn compress(file: &Path) -> io::Result<u64> {
    let mut file = File::open(file)?;
    let (mut lines, mut object, mut bytes) = (Vec::new(), Vec::new(), 0);
    while read_batch(&mut file, &mut lines)? {
        object.clear();
        object.reserve(lines.len() / 4);
        let mut encoder = GzEncoder::new(std::mem::take(&mut object), Compression::default());
        encoder.write_all(&lines)?;
        object = encoder.finish()?;
        bytes += lines.len() as u64;
    }
    Ok(bytes)
}
