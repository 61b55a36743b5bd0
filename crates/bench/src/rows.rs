//! The rows of a CSV file, read with csv-core and nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use csv_core::{ReadRecordResult, Reader};

use crate::digest::{Digest, ItemHash};

const BUFFER_BYTES: usize = 64 * 1024;

/// Reads the records of a comma-separated file one after the other, in constant memory.
#[derive(Debug)]
pub struct Rows<R> {
    source: R,
    reader: Reader,
    buffer: Vec<u8>,
    from: usize,
    until: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
}

impl<R: Read> Rows<R> {
    /// The records of `source`, the header among them.
    pub fn new(source: R) -> Self {
        Self {
            source,
            reader: Reader::new(),
            buffer: vec![0; BUFFER_BYTES],
            from: 0,
            until: 0,
            text: vec![0; 1024],
            ends: vec![0; 32],
            fields: 0,
        }
    }

    /// Goes on to the next record; false at the end.
    ///
    /// # Errors
    /// Whatever reading the source fails with.
    pub fn advance(&mut self) -> io::Result<bool> {
        let (mut text_used, mut ends_used) = (0, 0);
        loop {
            if self.from == self.until {
                self.until = self.source.read(&mut self.buffer)?;
                self.from = 0;
            }
            let (result, read, written, ended) = self.reader.read_record(
                &self.buffer[self.from..self.until],
                &mut self.text[text_used..],
                &mut self.ends[ends_used..],
            );
            self.from += read;
            text_used += written;
            ends_used += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.fields = ends_used;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// The fields of the current record.
    pub fn fields(&self) -> impl Iterator<Item = io::Result<&str>> {
        let mut start = 0;
        self.ends[..self.fields].iter().map(move |end| {
            let field = &self.text[start..*end];
            start = *end;
            std::str::from_utf8(field).map_err(io::Error::other)
        })
    }

    /// Reads a header.
    ///
    /// # Errors
    /// Whatever reading fails with, also where there is no record.
    pub fn header(&mut self) -> io::Result<Vec<String>> {
        if !self.advance()? {
            return Err(io::Error::other("the file has no header"));
        }
        self.fields()
            .map(|field| field.map(str::to_owned))
            .collect()
    }
}

/// The items that the rows of a file make: every column a string, empty ones left out.
///
/// # Errors
/// Whatever reading the file fails with.
pub fn digest_of_file(path: &Path) -> io::Result<Digest> {
    let mut rows = Rows::new(File::open(path)?);
    let names = rows.header()?;
    let mut digest = Digest::default();
    while rows.advance()? {
        let mut item = ItemHash::default();
        for (name, field) in names.iter().zip(rows.fields()) {
            let field = field?;
            if !field.is_empty() {
                item.add(name, field);
            }
        }
        digest.add(item);
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_whole_across_buffers() {
        let long = "x".repeat(BUFFER_BYTES + 10);
        let file = format!("a,b\n1,\"two\nlines\"\n{long},\n");
        let mut rows = Rows::new(file.as_bytes());
        assert_eq!(rows.header().unwrap(), ["a", "b"]);
        let mut records = Vec::new();
        while rows.advance().unwrap() {
            records.push(
                rows.fields()
                    .map(|field| field.unwrap().to_owned())
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(records, [["1", "two\nlines"], [long.as_str(), ""]]);
    }
}
