//! The content of the log's objects.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use memchr::memchr2;
use records::changes::{Codec, event_id_of};

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;
/// What an encoder is given at a time: with a record at a time, the calls cost as much as half of the compression.
const PIECE_BYTES: usize = 64 * 1024;

/// Records as compressed lines. The same records give the same bytes.
pub fn compressed<'a>(
    records: impl Iterator<Item = &'a str> + Clone,
    codec: Codec,
) -> io::Result<Bytes> {
    let bytes: usize = records.clone().map(|record| record.len() + 1).sum();
    // Change records shrink to less than a quarter as a rule; a vector that has to grow would hold twice as much for a moment.
    let out = Vec::with_capacity(bytes / 4);
    let out = match codec {
        Codec::Gzip => {
            write_lines(records, GzEncoder::new(out, Compression::default()))?.finish()?
        }
        Codec::Zstd => write_lines(records, zstd::Encoder::new(out, ZSTD_LEVEL)?)?.finish()?,
    };
    Ok(out.into())
}

/// Writes the lines to an encoder and gives it back.
fn write_lines<'a, E: Write>(records: impl Iterator<Item = &'a str>, encoder: E) -> io::Result<E> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, encoder);
    for record in records {
        let mut rest = record.as_bytes();
        // JSON has line endings only between its tokens, so without them it is the same JSON in one line.
        while let Some(ending) = memchr2(b'\n', b'\r', rest) {
            out.write_all(&rest[..ending])?;
            rest = &rest[ending + 1..];
        }
        out.write_all(rest)?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// The event ids of an object's lines.
///
/// # Errors
/// If it is not compressed as it should be, or one of its lines has no event id.
pub fn event_ids(object: &[u8], codec: Codec) -> io::Result<HashSet<String>> {
    match codec {
        Codec::Gzip => ids_of_lines(MultiGzDecoder::new(object)),
        Codec::Zstd => ids_of_lines(zstd::Decoder::with_buffer(object)?),
    }
}

fn ids_of_lines(content: impl Read) -> io::Result<HashSet<String>> {
    let mut ids = HashSet::new();
    let mut content = BufReader::new(content);
    let mut line = String::new();
    while content.read_line(&mut line)? > 0 {
        let id = event_id_of(&line)
            .ok_or_else(|| io::Error::other(format!("line {} has no event id", ids.len() + 1)))?;
        ids.insert(id.into_owned());
        line.clear();
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_records_and_come_back() {
        let records = [
            "{\"eventID\":\"a\",\n \"x\":\"\\n\"}",
            "{\"eventID\":\"b\"}",
        ];
        for codec in [Codec::Gzip, Codec::Zstd] {
            let object = compressed(records.iter().copied(), codec).unwrap();
            assert_eq!(object, compressed(records.iter().copied(), codec).unwrap());
            let mut content = String::new();
            match codec {
                Codec::Gzip => MultiGzDecoder::new(&object[..]).read_to_string(&mut content),
                Codec::Zstd => zstd::Decoder::new(&object[..])
                    .unwrap()
                    .read_to_string(&mut content),
            }
            .unwrap();
            assert_eq!(
                content,
                "{\"eventID\":\"a\", \"x\":\"\\n\"}\n{\"eventID\":\"b\"}\n"
            );
            let ids = event_ids(&object, codec).unwrap();
            assert_eq!(ids, ["a", "b"].map(str::to_owned).into());
        }
    }

    #[test]
    fn what_is_no_object_of_the_log_is_an_error() {
        assert!(event_ids(b"{}", Codec::Gzip).is_err());
        let object = compressed(["{}"].into_iter(), Codec::Gzip).unwrap();
        let error = event_ids(&object, Codec::Gzip).unwrap_err();
        assert_eq!(error.to_string(), "line 1 has no event id");
        assert!(event_ids(&object[..object.len() - 9], Codec::Gzip).is_err());
    }
}
