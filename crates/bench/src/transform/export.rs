//! An export that is made up: data files as DynamoDB writes them, their manifest, and what must come of them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::attribute::{write_export_line, write_plain_line};
use super::canonical::add_row;
use super::items::{Items, Shape};
use crate::digest::Digest;

/// How many data files an export has.
const FILES: u64 = 8;
/// The folder of the export in its bucket.
const EXPORT: &str = "exports/AWSDynamoDB/01790000000000-aaaaaaaa";
/// Key of its list of data files.
pub(super) const MANIFEST_KEY: &str =
    "exports/AWSDynamoDB/01790000000000-aaaaaaaa/manifest-files.json";

/// A data file.
#[derive(Debug, Clone)]
pub(super) struct DataFile {
    /// Its key in the lake.
    pub(super) key: String,
    /// Lines in it.
    pub(super) items: u64,
    /// The MD5 of its bytes in base64.
    pub(super) md5: String,
}

impl DataFile {
    /// Its line of the manifest, and what an event says of it.
    pub(super) fn manifest_line(&self) -> Value {
        json!({
            "itemCount": self.items,
            "md5Checksum": self.md5,
            "etag": "0ff2316cb07cefd6e7acb0d1ea9c167d-1",
            "dataFileS3Key": self.key,
        })
    }
}

/// An export on the disk.
#[derive(Debug, Clone)]
pub(super) struct Export {
    /// What its items look like.
    pub(super) shape: Shape,
    /// The objects by their keys.
    pub(super) objects: PathBuf,
    /// The items of each data file as lines of plain JSON.
    pub(super) plain: PathBuf,
    /// The data files.
    pub(super) files: Vec<DataFile>,
    /// Bytes of all lines, inflated.
    pub(super) bytes: u64,
    /// All items.
    pub(super) rows: Digest,
}

/// Makes up an export whose lines have about `bytes` bytes, the same one each time, in little memory.
///
/// # Errors
/// Whatever writing fails with.
pub(super) fn generate(folder: &Path, shape: Shape, bytes: u64) -> io::Result<Export> {
    // What another size left would be read with the rest.
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (objects, plain) = (folder.join("objects"), folder.join("plain"));
    fs::create_dir_all(objects.join(EXPORT).join("data"))?;
    fs::create_dir_all(&plain)?;
    let mut export = Export {
        shape,
        objects,
        plain,
        files: Vec::new(),
        bytes: 0,
        rows: Digest::default(),
    };
    let mut items = Items::new(shape);
    for number in 0..FILES {
        export.add_file(number, bytes / FILES, &mut items)?;
    }
    let mut manifest = String::new();
    for file in &export.files {
        manifest.push_str(&file.manifest_line().to_string());
        manifest.push('\n');
    }
    fs::write(export.objects.join(MANIFEST_KEY), manifest)?;
    Ok(export)
}

impl Export {
    /// The folder of the data files on the disk.
    pub(super) fn data_folder(&self) -> PathBuf {
        self.objects.join(EXPORT).join("data")
    }

    fn add_file(&mut self, number: u64, bytes: u64, items: &mut Items) -> io::Result<()> {
        let letter = char::from(b'a' + u8::try_from(number).unwrap_or_default());
        let stem = letter.to_string().repeat(26);
        let key = format!("{EXPORT}/data/{stem}.json.gz");
        let stored = Summed::new(BufWriter::new(File::create(self.objects.join(&key))?));
        let mut lines = GzEncoder::new(stored, Compression::default());
        let mut plain = BufWriter::new(File::create(self.plain.join(format!("{stem}.jsonl")))?);
        let (mut count, mut written, mut line) = (0, 0, String::new());
        while written < bytes {
            let item = items.next_item();
            line.clear();
            write_export_line(&item, &mut line);
            line.push('\n');
            lines.write_all(line.as_bytes())?;
            written += line.len() as u64;
            line.clear();
            write_plain_line(&item, &mut line);
            let row = serde_json::from_str(&line)?;
            add_row(&mut self.rows, row).map_err(io::Error::other)?;
            line.push('\n');
            plain.write_all(line.as_bytes())?;
            count += 1;
        }
        plain.flush()?;
        self.bytes += written;
        self.files.push(DataFile {
            key,
            items: count,
            md5: lines.finish()?.finish()?,
        });
        Ok(())
    }
}

/// Writes on, and sums up what it wrote.
struct Summed<W> {
    to: W,
    sum: Md5,
}

impl<W: Write> Summed<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            sum: Md5::new(),
        }
    }

    fn finish(mut self) -> io::Result<String> {
        self.to.flush()?;
        Ok(BASE64_STANDARD.encode(self.sum.finalize()))
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn an_export_is_the_same_each_time_and_its_lines_are_items() {
        for shape in Shape::ALL {
            let folder = TempDir::new().unwrap();
            let first = generate(folder.path(), shape, 80_000).unwrap();
            let again = generate(folder.path(), shape, 80_000).unwrap();
            assert_eq!((first.bytes, first.rows), (again.bytes, again.rows));
            assert!((80_000..100_000).contains(&first.bytes), "{}", first.bytes);
            let (mut bytes, mut read) = (0, Digest::default());
            for file in &again.files {
                let stored = fs::read(again.objects.join(&file.key)).unwrap();
                assert_eq!(BASE64_STANDARD.encode(Md5::digest(&stored)), file.md5);
                let mut lines = String::new();
                GzDecoder::new(&stored[..])
                    .read_to_string(&mut lines)
                    .unwrap();
                bytes += lines.len() as u64;
                assert_eq!(lines.lines().count() as u64, file.items);
                for line in lines.lines() {
                    let item = line.strip_prefix("{\"Item\":").unwrap();
                    let item = item.strip_suffix('}').unwrap();
                    let item = records::item_from_dynamodb_json(item).unwrap();
                    let mut plain = Vec::new();
                    records::write_item_plain_json(&item, &mut plain);
                    add_row(&mut read, serde_json::from_slice(&plain).unwrap()).unwrap();
                }
            }
            assert_eq!((bytes, read), (again.bytes, again.rows));
        }
    }

    #[test]
    fn the_plain_lines_are_the_items() {
        let folder = TempDir::new().unwrap();
        let export = generate(folder.path(), Shape::Nested, 20_000).unwrap();
        let mut read = Digest::default();
        for file in fs::read_dir(&export.plain).unwrap() {
            let lines = fs::read_to_string(file.unwrap().path()).unwrap();
            for line in lines.lines() {
                add_row(&mut read, serde_json::from_str(line).unwrap()).unwrap();
            }
        }
        assert_eq!(read, export.rows);
    }
}
