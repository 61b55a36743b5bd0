//! The items that are pending, and what has to come of them.

use serde_json::{Map, Value, json};

use crate::digest::{Digest, ItemHash};

/// Attributes by name, in DynamoDB's JSON for an item, in plain JSON for what is made of it.
pub type Attributes = Map<String, Value>;

/// The index that finds the pending items, with no more than the keys in it.
pub const INDEX: &str = "processed-index";
/// The text attribute that is the index's partition key.
pub const MARKER: &str = "processed";
/// Its value in a pending item.
pub const PENDING: &str = "false";
/// Its value in an item that is done.
pub const DONE: &str = "true";
/// Names of the table's keys, both strings.
pub const KEYS: [&str; 2] = ["account", "offer_id"];
/// Where the outputs are in the lake.
pub const PREFIX: &str = "reprocessed/table=offers/";

/// Values of the key attributes, in the order of [`KEYS`]. They hold nothing that an object's name would have to encode.
pub type Key = [String; 2];

/// A pending item, the same one each time for the same number: 0.7 KB with every type that is not a set or bytes. Its numbers
/// are spelt as DynamoDB spells them, and short enough for a floating-point number to hold them exactly.
pub fn item(number: u64) -> Attributes {
    let item = json!({
        "account": {"S": format!("account-{:03}", number % 97)},
        "offer_id": {"S": format!("{number:012}")},
        MARKER: {"S": PENDING},
        "title": {"S": format!("Offer {number}: \"large\" crates, größer als gedacht")},
        "description": {"S": format!(
            "Lot {:016x}. Taken back in full within a month, packed twice, and sent on the day of the order.\nKeep dry.",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )},
        "price": {"N": format!("{}.{}5", 10 + number % 900, number % 10)},
        "stock": {"N": (number % 1_000).to_string()},
        "available": {"BOOL": !number.is_multiple_of(3)},
        "replaced_by": {"NULL": true},
        "tags": {"L": [{"S": "wood"}, {"S": format!("aisle-{}", number % 40)}, {"N": "-7"}]},
        "size": {"M": {"width_mm": {"N": "600"}, "depth_mm": {"N": "400"}, "unit": {"S": ""}}},
        "seen": {"S": format!("2026-01-{:02}T12:00:00Z", 1 + number % 28)},
    });
    match item {
        Value::Object(item) => item,
        _ => unreachable!("an object was made"),
    }
}

/// The key of an item in DynamoDB's JSON, or of a map of its key attributes alone.
pub fn key_of(item: &Attributes) -> Option<Key> {
    let text = |name: &str| Some(item.get(name)?.get("S")?.as_str()?.to_owned());
    let [partition, sort] = KEYS;
    Some([text(partition)?, text(sort)?])
}

/// A key as attributes in DynamoDB's JSON.
pub fn key_attributes(key: &Key) -> Attributes {
    let parts = KEYS.into_iter().zip(key);
    parts
        .map(|(name, text)| (name.to_owned(), json!({"S": text})))
        .collect()
}

/// An item in plain JSON; nothing if an attribute has a type that no item here has.
pub fn plain(item: &Attributes) -> Option<Attributes> {
    item.iter()
        .map(|(name, value)| Some((name.clone(), plain_value(value)?)))
        .collect()
}

fn plain_value(value: &Value) -> Option<Value> {
    let (tag, value) = value.as_object()?.iter().next()?;
    match tag.as_str() {
        "S" | "BOOL" => Some(value.clone()),
        "N" => serde_json::from_str(value.as_str()?).ok(),
        "NULL" => Some(Value::Null),
        "L" => value.as_array()?.iter().map(plain_value).collect(),
        "M" => plain(value.as_object()?).map(Value::Object),
        _ => None,
    }
}

/// Adds an item as the table holds it.
pub fn add_item(digest: &mut Digest, item: &Attributes) {
    digest.add(hash(item));
}

/// Adds what was made of the item with that key.
pub fn add_output(digest: &mut Digest, key: &Key, output: &Attributes) {
    let mut hash = hash(output);
    hash.add("key of the item", &key.join("/"));
    digest.add(hash);
}

fn hash(attributes: &Attributes) -> ItemHash {
    let mut hash = ItemHash::default();
    for (name, value) in attributes {
        hash.add(name, &value.to_string());
    }
    hash
}

/// What has to be there when all items are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// The items as the table holds them then.
    pub marked: Digest,
    /// What is in the lake of each of them: the item as it was pending, in plain JSON.
    pub outputs: Digest,
}

/// What has to come of the first items.
pub fn expected(items: u64) -> Expected {
    let mut expected = Expected::default();
    for number in 0..items {
        let mut item = item(number);
        let key = key_of(&item).expect("an item has its keys");
        let output = plain(&item).expect("an item has known types only");
        add_output(&mut expected.outputs, &key, &output);
        item.insert(MARKER.to_owned(), json!({"S": DONE}));
        add_item(&mut expected.marked, &item);
    }
    expected
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn items_have_keys_of_their_own_and_outputs_in_plain_json() {
        let keys: HashSet<_> = (0..5_000).map(|number| key_of(&item(number))).collect();
        assert_eq!(keys.len(), 5_000);
        assert!(!keys.contains(&None));
        let output = Value::Object(plain(&item(7)).unwrap());
        assert_eq!(output["processed"], "false");
        assert_eq!(output["price"].to_string(), "17.75");
        assert_eq!(output["available"], true);
        assert_eq!(output["replaced_by"], Value::Null);
        assert_eq!(output["tags"], json!(["wood", "aisle-7", -7]));
        assert_eq!(
            output["size"],
            json!({"width_mm": 600, "depth_mm": 400, "unit": ""})
        );
        assert_eq!(plain_value(&json!({"B": "AA=="})), None);
    }

    #[test]
    fn every_number_is_spelt_as_dynamodb_spells_it() {
        for number in 0..1_000 {
            let item = item(number);
            for name in ["price", "stock"] {
                let digits = item[name]["N"].as_str().unwrap();
                let read: Value = serde_json::from_str(digits).unwrap();
                assert_eq!(read.to_string(), digits);
            }
        }
    }

    #[test]
    fn an_output_under_another_key_is_another_output() {
        let digest_of = |key: &Key| {
            let mut digest = Digest::default();
            add_output(&mut digest, key, &plain(&item(1)).unwrap());
            digest
        };
        let (one, other) = (key_of(&item(1)).unwrap(), key_of(&item(2)).unwrap());
        assert_ne!(digest_of(&one), digest_of(&other));
        assert_eq!(expected(0), Expected::default());
        assert_eq!(expected(3).marked.items, 3);
    }
}
