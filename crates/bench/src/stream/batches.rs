//! The file of batches: before each batch the number of its bytes, as eight digits and a line end, then its records, a line
//! each.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::changes::Changes;
use crate::digest::{Digest, ItemHash};

/// What the payload of an invocation may have: 6 MB (Lambda Developer Guide, "Lambda quotas").
pub const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;
const BEFORE_RECORDS: &[u8] = b"{\"Records\":[";
const AFTER_RECORDS: &[u8] = b"]}";
/// The records of a batch, each with its line end: all but the last of these are the event's commas.
const MAX_BATCH_BYTES: usize = MAX_EVENT_BYTES + 1 - BEFORE_RECORDS.len() - AFTER_RECORDS.len();
const HEADER_BYTES: usize = 9;

/// What a file of batches holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// How many batches.
    pub batches: u64,
    /// Bytes of all records with their line ends.
    pub bytes: u64,
    /// All records; see [`add_record`].
    pub records: Digest,
}

/// Adds one record, byte for byte, to those of a digest.
pub fn add_record(digest: &mut Digest, record: &str) {
    let mut hash = ItemHash::default();
    hash.add("record", record);
    digest.add(hash);
}

/// Generates a file of batches in little memory, the same one each time. Each batch is as large as an event can be.
///
/// # Errors
/// Whatever writing fails with, and if so many records have no room in an event.
pub fn generate(path: &Path, batches: u64, records_each: u64) -> io::Result<Contents> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut changes = Changes::new(records_each);
    let mut contents = Contents::default();
    for _ in 0..batches {
        let start = out.stream_position()?;
        out.write_all(&[0; HEADER_BYTES])?;
        let mut left = MAX_BATCH_BYTES;
        for records_left in (1..=records_each).rev() {
            let record = changes.next_record(left, records_left);
            left = left
                .checked_sub(record.len() + 1)
                .ok_or_else(|| io::Error::other("the records of a batch have no room in it"))?;
            out.write_all(record.as_bytes())?;
            out.write_all(b"\n")?;
            add_record(&mut contents.records, record);
        }
        out.flush()?;
        let bytes = MAX_BATCH_BYTES - left;
        out.get_ref()
            .write_all_at(format!("{bytes:08}\n").as_bytes(), start)?;
        contents.bytes += bytes as u64;
        contents.batches += 1;
    }
    Ok(contents)
}

/// Reads the next batch, the lines of its records, into a buffer that keeps its room; false at the end.
///
/// # Errors
/// Whatever reading fails with, and if the source is no such file.
pub fn read_batch(source: &mut impl Read, lines: &mut Vec<u8>) -> io::Result<bool> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    source
        .by_ref()
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(false);
    }
    let bytes = std::str::from_utf8(&header)
        .ok()
        .and_then(|header| header.strip_suffix('\n')?.parse().ok())
        .ok_or_else(|| io::Error::other("it is no file of batches"))?;
    lines.resize(bytes, 0);
    source.read_exact(lines)?;
    Ok(true)
}

/// The event of a batch, as the event source mapping sends it.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
pub fn event(lines: &[u8]) -> Vec<u8> {
    let records = lines.strip_suffix(b"\n").unwrap_or(lines);
    let mut event = Vec::with_capacity(MAX_EVENT_BYTES);
    event.extend_from_slice(BEFORE_RECORDS);
    let between = |byte: &u8| match byte {
        b'\n' => b',',
        byte => *byte,
    };
    event.extend(records.iter().map(between));
    event.extend_from_slice(AFTER_RECORDS);
    event
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;
    use tempfile::NamedTempFile;

    use super::*;

    /// The events of a generated file, each with its size.
    fn events(batches: u64, records_each: u64) -> (Contents, Vec<(usize, Value)>) {
        let file = NamedTempFile::new().unwrap();
        let contents = generate(file.path(), batches, records_each).unwrap();
        let mut file = File::open(file.path()).unwrap();
        let (mut events, mut lines, mut found) = (Vec::new(), Vec::new(), Contents::default());
        while read_batch(&mut file, &mut lines).unwrap() {
            found.batches += 1;
            found.bytes += lines.len() as u64;
            for line in std::str::from_utf8(&lines).unwrap().lines() {
                add_record(&mut found.records, line);
            }
            let event = event(&lines);
            events.push((event.len(), serde_json::from_slice(&event).unwrap()));
        }
        assert_eq!(found, contents);
        (contents, events)
    }

    #[test]
    fn a_batch_fills_an_event_and_no_record_comes_twice() {
        for records_each in [1_000, 10_000] {
            let (contents, events) = events(1, records_each);
            let (mut ids, mut last) = (HashSet::new(), 0);
            for (bytes, event) in events {
                assert!(
                    (MAX_EVENT_BYTES - 10_000..=MAX_EVENT_BYTES).contains(&bytes),
                    "{bytes} bytes with {records_each} records"
                );
                let records = event["Records"].as_array().unwrap();
                assert_eq!(records.len() as u64, records_each);
                for record in records {
                    ids.insert(record["eventID"].to_string());
                    let sequence = &record["dynamodb"]["SequenceNumber"];
                    let sequence = sequence.as_str().unwrap().parse::<u128>().unwrap();
                    assert!(sequence > last);
                    last = sequence;
                }
            }
            assert_eq!(ids.len() as u64, contents.records.items);
        }
    }

    #[test]
    fn images_are_as_the_kind_of_change_wants_them() {
        let (_, events) = events(1, 1_000);
        let mut kinds = HashSet::new();
        for record in events[0].1["Records"].as_array().unwrap() {
            let change = &record["dynamodb"];
            let has = |image: &str| change[image].is_object();
            let images = (has("NewImage"), has("OldImage"));
            let expected = match record["eventName"].as_str().unwrap() {
                "INSERT" => (true, false),
                "MODIFY" => (true, true),
                "REMOVE" => (false, true),
                other => panic!("{other}"),
            };
            assert_eq!(images, expected);
            kinds.insert(record["eventName"].to_string());
            assert_ne!(
                change["NewImage"]["revision"],
                change["OldImage"]["revision"]
            );
        }
        assert_eq!(kinds.len(), 3);
    }

    #[test]
    fn what_is_no_file_of_batches_is_an_error() {
        for bytes in [
            &b"00000003\nab"[..],
            b"0000000",
            b"99999999\n",
            b"0000000x\na",
        ] {
            assert!(read_batch(&mut &bytes[..], &mut Vec::new()).is_err());
        }
    }
}
