//! Names of objects in the lake and of ledger rows: functions of the input alone.

use sha2::{Digest, Sha256};

use crate::event::ObjectVersion;

/// Longest name that is made; S3 allows 1,024 bytes.
const MAX_NAME_BYTES: usize = 900;
/// Bytes of `/part-00000.jsonl`, and some for block numbers of more than five digits.
const PART_BYTES: usize = 24;
const HASH_HEX_BYTES: usize = 64;

/// Accepted rows, or rejected ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// `json-copy/…`: accepted rows in file order.
    Backup,
    /// `unprocessed/…`: rejected rows.
    Unprocessed,
}

impl PartKind {
    fn folder(self) -> &'static str {
        match self {
            Self::Backup => "json-copy",
            Self::Unprocessed => "unprocessed",
        }
    }
}

/// Where the parts of an inbox key are, with a slash at the end. A key too long for that is cut and ends in its SHA-256.
pub fn part_folder(kind: PartKind, inbox_key: &str) -> String {
    let folder = kind.folder();
    let room = MAX_NAME_BYTES - PART_BYTES - folder.len() - 2;
    format!("{folder}/{}/", shortened(inbox_key, room))
}

/// The text itself, or as much of it as leaves room for its SHA-256.
fn shortened(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(room - HASH_HEX_BYTES - 1);
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", &text[..cut])
}

/// The part of one block.
pub fn part_key(kind: PartKind, inbox_key: &str, block: u64) -> String {
    format!("{}part-{block:05}.jsonl", part_folder(kind, inbox_key))
}

/// The block number of a part, if `name` (without its folder) is a part's.
pub fn block_of_part(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".jsonl")?;
    let block: u64 = digits.parse().ok()?;
    (format!("{block:05}") == digits).then_some(block)
}

/// The ledger's `job` of an inbox key's lease. It is a sort key of the ledger's index, which holds 1,024 bytes at most.
pub fn inbox_job(bucket: &str, key: &str) -> String {
    format!("ingest/{bucket}/{}", shortened(key, MAX_NAME_BYTES))
}

/// The ledger's `job` of one object version.
pub fn object_job(object: &ObjectVersion) -> String {
    format!(
        "{}#{}",
        inbox_job(&object.bucket, &object.key),
        object.sequencer
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_by_key_and_block() {
        assert_eq!(
            part_key(PartKind::Backup, "in/a.csv", 7),
            "json-copy/in/a.csv/part-00007.jsonl"
        );
        assert_eq!(
            part_key(PartKind::Unprocessed, "a.csv", 123_456),
            "unprocessed/a.csv/part-123456.jsonl"
        );
        assert_eq!(block_of_part("part-00007.jsonl"), Some(7));
        assert_eq!(block_of_part("part-123456.jsonl"), Some(123_456));
        for other in [
            "part-7.jsonl",
            "part-00007.jsonl/part-00000.jsonl",
            "x",
            "part-0000a.jsonl",
        ] {
            assert_eq!(block_of_part(other), None, "{other}");
        }
    }

    #[test]
    fn long_keys_end_in_their_hash_and_stay_apart() {
        let long = "ü".repeat(500);
        let other = format!("{}x", "ü".repeat(499));
        let name = part_key(PartKind::Unprocessed, &long, 99_999);
        assert!(name.len() <= MAX_NAME_BYTES, "{}", name.len());
        assert_ne!(name, part_key(PartKind::Unprocessed, &other, 99_999));
        let job = inbox_job(&"b".repeat(63), &long);
        assert!(job.len() <= 1_024, "{}", job.len());
        assert_ne!(job, inbox_job(&"b".repeat(63), &other));
    }
}
