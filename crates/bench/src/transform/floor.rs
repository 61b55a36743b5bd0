//! The least that a transform costs: the data files inflated, and the lines that come of them compressed, without looking at
//! either. For Parquet, of which nobody knows the least, inflating alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::Format;
use super::outputs::files;

/// The level of zstd that the bench is about.
pub const ZSTD_LEVEL: i32 = 1;
/// The level of gzip that the bench is about.
pub const GZIP_LEVEL: u32 = 6;
/// How many bytes are read at a time.
const CHUNK: usize = 256 * 1024;

/// Inflates the data files in a folder, and writes the lines of another one as the format wants it. Returns how many bytes the
/// data files had when inflated, and how many the lines.
///
/// # Errors
/// Whatever reading or writing fails with.
pub fn transform(
    data: &Path,
    plain: &Path,
    output: &Path,
    format: Format,
) -> io::Result<(u64, u64)> {
    let (mut inflated, mut lines, mut chunk) = (0, 0, vec![0; CHUNK]);
    for file in files(data)? {
        let mut stored = MultiGzDecoder::new(File::open(file)?);
        inflated += copy(&mut stored, &mut io::sink(), &mut chunk)?;
    }
    for file in files(plain)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let to = output.join(format!("{name}.{}", format.suffix()));
        let mut from = File::open(&file)?;
        lines += match format {
            Format::Parquet => 0,
            Format::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                let mut to = GzEncoder::new(File::create(to)?, level);
                let bytes = copy(&mut from, &mut to, &mut chunk)?;
                to.finish()?;
                bytes
            }
            Format::Zstd => {
                let mut to = zstd::Encoder::new(File::create(to)?, ZSTD_LEVEL)?;
                let bytes = copy(&mut from, &mut to, &mut chunk)?;
                to.finish()?;
                bytes
            }
        };
    }
    Ok((inflated, lines))
}

fn copy(from: &mut impl Read, to: &mut impl Write, chunk: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match from.read(chunk)? {
            0 => return Ok(bytes),
            read => {
                to.write_all(&chunk[..read])?;
                bytes += read as u64;
            }
        }
    }
}
