//! Names of objects in the lake and of ledger rows: functions of the items' keys and of what is in the objects.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use records::{Item, TableShape, Value};
use sha2::{Digest, Sha256};

use crate::markers::Lane;

/// Longest name that is made; S3 allows 1,024 bytes.
const MAX_NAME_BYTES: usize = 900;
/// Longest of the two keys in a bundle's name.
const MAX_BUNDLE_KEY_BYTES: usize = 280;
const HASH_HEX_BYTES: usize = 64;
/// What stands for itself in a name. Everything else is written as `%XX`, a dot at the beginning too, so that no part of a name
/// is `.` or `..`, which some programs take for folders.
const AS_THEY_ARE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'~')
    .remove(b'.');

/// `reprocessed/table=offers/acme/42.json`: the result of one item, by its percent-encoded partition key and, where there is one, sort key.
///
/// `key` holds good key attributes of the table.
pub fn item_object(table: &TableShape, key: &Item) -> String {
    named("reprocessed", table, key)
}

/// `unprocessed/reprocess/table=offers/acme/42.json`: an item that could not be processed.
///
/// `key` holds good key attributes of the table.
pub fn set_aside_object(table: &TableShape, key: &Item) -> String {
    named("unprocessed/reprocess", table, key)
}

/// `reprocessed/table=offers/lane=00/<first key>..<last key>-<digest of the content>.jsonl.gz`. Two contents never share a name, so a bundle
/// never replaces another one.
pub fn bundle_object(
    lane: &Lane,
    table: &TableShape,
    first: &Item,
    last: &Item,
    content: &[u8],
) -> String {
    let [first, last] = [first, last].map(|key| {
        shortened(key_text(table, key, ","), MAX_BUNDLE_KEY_BYTES, || {
            table_key(table, key)
        })
    });
    let digest = hex(&Sha256::digest(content)[..8]);
    format!(
        "reprocessed/table={}/{}/{first}..{last}-{digest}.jsonl.gz",
        table.name,
        lane_name("lane=", lane.number)
    )
}

/// The ledger's `job` of all lanes of an index.
pub fn lanes_job(table: &str, index: &str) -> String {
    format!("drain/{table}/{index}")
}

/// The ledger's `part` of a lane: `lane-00`.
pub fn lane_part(lane: u32) -> String {
    lane_name("lane-", lane)
}

fn lane_name(prefix: &str, lane: u32) -> String {
    format!("{prefix}{lane:02}")
}

fn named(folder: &str, table: &TableShape, key: &Item) -> String {
    let folder = format!("{folder}/table={}/", table.name);
    let room = MAX_NAME_BYTES - folder.len() - ".json".len();
    let text = shortened(key_text(table, key, "/"), room, || table_key(table, key));
    format!("{folder}{text}.json")
}

fn key_text(table: &TableShape, key: &Item, between: &str) -> String {
    let parts: Vec<String> = table
        .keys()
        .filter_map(|attribute| key.get(&attribute.name))
        .map(encoded)
        .collect();
    parts.join(between)
}

fn encoded(value: &Value) -> String {
    let bytes = match value {
        Value::S(text) => text.as_bytes(),
        Value::N(number) => number.as_str().as_bytes(),
        Value::B(bytes) => bytes.as_slice(),
        other => unreachable!("{other:?} is no key"),
    };
    let text = percent_encode(bytes, AS_THEY_ARE).to_string();
    match text.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => text,
    }
}

fn table_key(table: &TableShape, key: &Item) -> Vec<u8> {
    table.canonical_key(key).unwrap_or_default()
}

/// The text itself, or as much of it as leaves room for the SHA-256 of the canonical key.
fn shortened(text: String, room: usize, canonical: impl FnOnce() -> Vec<u8>) -> String {
    if text.len() <= room {
        return text;
    }
    let cut = text.floor_char_boundary(room - HASH_HEX_BYTES - 1);
    format!("{}-{}", &text[..cut], hex(&Sha256::digest(canonical())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use records::{KeyAttribute, KeyType, item_from_dynamodb_json};

    use super::*;

    fn table(partition: KeyType, sort: Option<KeyType>) -> TableShape {
        let key = |name: &str, kind| KeyAttribute {
            name: name.to_owned(),
            kind,
        };
        TableShape {
            name: "offers".to_owned(),
            partition: key("p", partition),
            sort: sort.map(|kind| key("s", kind)),
            indexes: Vec::new(),
        }
    }

    fn object(table: &TableShape, json: &str) -> String {
        item_object(table, &item_from_dynamodb_json(json).unwrap())
    }

    #[test]
    fn an_item_has_the_name_of_its_key() {
        let one = table(KeyType::S, None);
        assert_eq!(
            object(&one, r#"{"p":{"S":"a b/ü.x"}}"#),
            "reprocessed/table=offers/a%20b%2F%C3%BC.x.json"
        );
        assert_eq!(
            object(&one, r#"{"p":{"S":".."}}"#),
            "reprocessed/table=offers/%2E..json"
        );
        let two = table(KeyType::B, Some(KeyType::N));
        assert_eq!(
            object(&two, r#"{"p":{"B":"AP8="},"s":{"N":"-1.50"}}"#),
            "reprocessed/table=offers/%00%FF/-1.5.json"
        );
        let key = item_from_dynamodb_json(r#"{"p":{"S":"7"}}"#).unwrap();
        assert_eq!(
            set_aside_object(&one, &key),
            "unprocessed/reprocess/table=offers/7.json"
        );
    }

    #[test]
    fn different_keys_have_different_names_and_none_is_too_long() {
        let two = table(KeyType::S, Some(KeyType::S));
        let names = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "b")]
            .map(|(p, s)| object(&two, &format!(r#"{{"p":{{"S":"{p}"}},"s":{{"S":"{s}"}}}}"#)));
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        let long = |end: &str| {
            let p = "ü".repeat(1_000);
            object(
                &two,
                &format!(r#"{{"p":{{"S":"{p}"}},"s":{{"S":"{end}"}}}}"#),
            )
        };
        assert!(long("x").len() <= MAX_NAME_BYTES);
        assert_ne!(long("x"), long("y"));
    }

    #[test]
    fn a_bundle_has_the_name_of_what_is_in_it() {
        let one = table(KeyType::S, None);
        let key = |id: &str| item_from_dynamodb_json(format!(r#"{{"p":{{"S":"{id}"}}}}"#)).unwrap();
        let lane = Lane {
            number: 7,
            pending: String::new(),
            done: None,
            failed: String::new(),
        };
        let name = |content| bundle_object(&lane, &one, &key("a"), &key("z,1"), content);
        assert_eq!(
            name(b"abc"),
            "reprocessed/table=offers/lane=07/a..z%2C1-ba7816bf8f01cfea.jsonl.gz"
        );
        assert_ne!(name(b"abc"), name(b"abd"));
        let long = bundle_object(
            &lane,
            &one,
            &key(&"x".repeat(2_000)),
            &key(&"y".repeat(2_000)),
            b"",
        );
        assert!(long.len() <= MAX_NAME_BYTES, "{}", long.len());
    }
}
