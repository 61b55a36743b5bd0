//! Reads back what a subject wrote, of whatever format, row by row.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use super::canonical::add_row;
use crate::digest::Digest;

/// An output that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It is not there, or breaks off.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Its name has another end.
    #[error("{} is no output: expected a name in .jsonl.gz, .jsonl.zst or .parquet", .0.display())]
    Name(PathBuf),
    /// A row of it is none.
    #[error("row {row} of {} cannot be read ({fault}): expected a JSON object or a row of Parquet", .file.display())]
    Row {
        /// The file.
        file: PathBuf,
        /// The row, from 1.
        row: u64,
        /// What is wrong with it.
        fault: String,
    },
}

/// What all rows in the files of a folder and of those in it come to.
///
/// # Errors
/// See [`OutputError`].
pub fn digest_of_folder(folder: &Path) -> Result<Digest, OutputError> {
    let mut digest = Digest::default();
    for file in files(folder).map_err(|error| OutputError::Read(folder.to_owned(), error))? {
        add_file(&file, &mut digest)?;
    }
    Ok(digest)
}

/// All files of a folder and of those in it.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => found.extend(files(&entry.path())?),
            false => found.push(entry.path()),
        }
    }
    Ok(found)
}

fn add_file(file: &Path, digest: &mut Digest) -> Result<(), OutputError> {
    let failed = |error| OutputError::Read(file.to_owned(), error);
    let name = file.to_string_lossy();
    if name.ends_with(".parquet") {
        return add_parquet(file, digest);
    }
    let opened = File::open(file).map_err(failed)?;
    if name.ends_with(".jsonl.gz") {
        let lines = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(opened));
        add_lines(lines, file, digest)
    } else if name.ends_with(".jsonl.zst") {
        let lines = zstd::Decoder::new(opened).map_err(failed)?;
        add_lines(BufReader::with_capacity(1 << 16, lines), file, digest)
    } else {
        Err(OutputError::Name(file.to_owned()))
    }
}

fn add_lines(mut lines: impl BufRead, file: &Path, digest: &mut Digest) -> Result<(), OutputError> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line);
        if read.map_err(|error| OutputError::Read(file.to_owned(), error))? == 0 {
            return Ok(());
        }
        number += 1;
        serde_json::from_slice(&line)
            .map_err(|error| error.to_string())
            .and_then(|row| add_row(digest, row))
            .map_err(|fault| fault_of_row(file, number, fault))?;
    }
}

fn add_parquet(file: &Path, digest: &mut Digest) -> Result<(), OutputError> {
    let unreadable = |fault: String| fault_of_row(file, 0, fault);
    let opened = File::open(file).map_err(|error| OutputError::Read(file.to_owned(), error))?;
    let reader =
        SerializedFileReader::new(opened).map_err(|error| unreadable(error.to_string()))?;
    let rows = reader
        .get_row_iter(None)
        .map_err(|error| unreadable(error.to_string()))?;
    for (number, row) in (1..).zip(rows) {
        row.map_err(|error| error.to_string())
            .and_then(|row| add_row(digest, members_of(&row)?))
            .map_err(|fault| fault_of_row(file, number, fault))?;
    }
    Ok(())
}

fn fault_of_row(file: &Path, row: u64, fault: String) -> OutputError {
    OutputError::Row {
        file: file.to_owned(),
        row,
        fault,
    }
}

fn members_of(row: &Row) -> Result<Map<String, Value>, String> {
    row.get_column_iter()
        .map(|(name, field)| Ok((name.clone(), value_of(field)?)))
        .collect()
}

/// A column's value as JSON has it: bytes in base64, decimals as numbers.
fn value_of(field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Decimal(decimal) => number_of(decimal.data(), decimal.scale())?,
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => BASE64_STANDARD.encode(bytes.data()).into(),
        Field::Group(row) => Value::Object(members_of(row)?),
        Field::ListInternal(list) => {
            let elements = list.elements().iter();
            Value::Array(elements.map(value_of).collect::<Result<_, _>>()?)
        }
        other => return Err(format!("no subject was to write a value such as {other}")),
    })
}

/// The number of a big-endian integer and its scale.
fn number_of(bytes: &[u8], scale: i32) -> Result<Value, String> {
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        -1
    } else {
        0
    };
    let unscaled = bytes
        .iter()
        .fold(sign, |number: i128, byte| number << 8 | i128::from(*byte));
    // The digits of an integer and an exponent are a number of JSON, rounded to a double once.
    serde_json::from_str(&format!("{unscaled}e-{scale}")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_numbers() {
        for (bytes, scale, expected) in [
            (&[0x04, 0xe2][..], 2, "12.5"),
            (&[0xff, 0xff], 2, "-0.01"),
            (&[0x80, 0, 0, 0], 0, "-2147483648.0"),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0], 5, "0.0"),
        ] {
            assert_eq!(number_of(bytes, scale).unwrap().to_string(), expected);
        }
    }
}
