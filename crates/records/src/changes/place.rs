//! Names of the log's objects: functions of the records alone.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::codec::Codec;
use super::line::{SnapshotSource, StreamRecord};

/// Records of one folder happened in the same of these.
pub const SECONDS_PER_HOUR: u64 = 3_600;

/// Bytes that an event id may have; AWS's have 32. The rest of a name stays below 450, so a name stays below 900.
pub const MAX_EVENT_ID_BYTES: usize = 200;

/// The source of the objects of [`completion_object`].
pub const COMPLETIONS: &str = "complete";

/// The last second of the year 9998: a day's name has four digits for the year, and the last day of 9999 is no time everywhere.
pub(super) const MAX_SECONDS: u64 = 253_370_764_799;

/// `changes/table=offers/`: all of a table's log.
pub fn log_folder(table: &str) -> String {
    format!("changes/table={table}/")
}

/// `changes/table=offers/source=stream/dt=2026-01-14/hour=10/`: what happened in one hour (UTC).
///
/// `source` is `stream`, `export`, `scan` or [`COMPLETIONS`]; `seconds` count from 1970 and lie before the year 9999.
pub fn hour_folder(table: &str, source: &str, seconds: u64) -> String {
    let time = i64::try_from(seconds.min(MAX_SECONDS))
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .expect("seconds before the year 9999 are a time")
        .to_zoned(TimeZone::UTC);
    format!(
        "{}source={source}/dt={}/hour={:02}/",
        log_folder(table),
        time.date(),
        time.hour()
    )
}

/// The object of a group of stream records of one hour, of which `first` is the first one.
pub fn stream_object(table: &str, first: &StreamRecord<'_>, codec: Codec) -> String {
    format!(
        "{}{}-{}.{}",
        hour_folder(table, "stream", first.seconds),
        first.sequence_number().padded(),
        first.event_id,
        codec.suffix()
    )
}

/// The object that says that a snapshot or a repair is complete. `id` tells it from others of the same second: the export's
/// id, say. These objects lie apart, so that whoever looks for them need not look through the snapshots' rows.
pub fn completion_object(table: &str, source: SnapshotSource, seconds: u64, id: &str) -> String {
    format!(
        "{}{}-{id}.jsonl",
        hour_folder(table, COMPLETIONS, seconds),
        source.name()
    )
}

/// `unprocessed/changes/table=offers/`: the records that could not be placed.
pub fn set_aside_folder(table: &str) -> String {
    format!("unprocessed/changes/table={table}/")
}

/// The object of one record that could not be placed, by the SHA-256 of its text: it may have nothing else that would tell it
/// from others.
pub fn set_aside_object(table: &str, record: &str) -> String {
    let hash: String = Sha256::digest(record)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}{hash}.json", set_aside_folder(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_utc() {
        assert_eq!(
            hour_folder("offers", "stream", 1_768_386_096),
            "changes/table=offers/source=stream/dt=2026-01-14/hour=10/"
        );
        assert_eq!(
            hour_folder("offers", "scan", 0),
            "changes/table=offers/source=scan/dt=1970-01-01/hour=00/"
        );
        assert_eq!(
            hour_folder("offers", "export", MAX_SECONDS),
            "changes/table=offers/source=export/dt=9998-12-31/hour=23/"
        );
    }

    #[test]
    fn completions_lie_apart() {
        let key = completion_object("offers", SnapshotSource::Export, 1_768_386_096, "01790-b");
        assert_eq!(
            key,
            "changes/table=offers/source=complete/dt=2026-01-14/hour=10/export-01790-b.jsonl"
        );
    }
}
