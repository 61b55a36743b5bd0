//! The body of BatchWriteItem, read without building items.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::digest::ItemHash;

/// Names of the table's keys, both strings.
pub(super) const KEYS: [&str; 2] = ["account", "offer_id"];

/// The requests of a body, all for the one table.
pub(super) fn requests(body: &[u8]) -> Result<Vec<&RawValue>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Call<'a> {
        #[serde(borrow)]
        request_items: Tables<'a>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tables<'a> {
        #[serde(borrow)]
        offers: Vec<&'a RawValue>,
    }
    serde_json::from_slice::<Call>(body).map(|call| call.request_items.offers)
}

/// One put.
#[derive(Debug)]
pub(super) struct PutRequest {
    pub(super) item: ItemHash,
    pub(super) key: ItemHash,
}

impl PutRequest {
    /// Reads `{"PutRequest":{"Item":…}}` with string attributes, both keys among them.
    pub(super) fn read(request: &RawValue) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Request {
            put_request: Put,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Put {
            item: PutRequest,
        }
        serde_json::from_str::<Request>(request.get()).map(|request| request.put_request.item)
    }
}

impl<'de> Deserialize<'de> for PutRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = PutRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item of string attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut attributes: A) -> Result<PutRequest, A::Error> {
        let (mut item, mut key) = (ItemHash::default(), ItemHash::default());
        let mut keys = 0;
        while let Some((Name(name), value)) = attributes.next_entry::<Name, Text>()? {
            item.add(&name, &value.text);
            if KEYS.contains(&name.as_ref()) {
                key.add(&name, &value.text);
                keys += 1;
            }
        }
        if keys != KEYS.len() {
            return Err(A::Error::custom(
                "an item has the keys account and offer_id, once each",
            ));
        }
        Ok(PutRequest { item, key })
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: &str) -> Result<PutRequest, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(request).unwrap();
        PutRequest::read(raw)
    }

    #[test]
    fn escapes_and_order_make_no_difference() {
        let one = read(r#"{"PutRequest":{"Item":{"account":{"S":"a"},"offer_id":{"S":"\u0031"},"x":{"S":"\"é"}}}}"#).unwrap();
        let other = read(r#"{"PutRequest":{"Item":{"x":{"S":"\"\u00e9"},"offer_id":{"S":"1"},"account":{"S":"a"}}}}"#).unwrap();
        assert_eq!((one.item, one.key), (other.item, other.key));
        let another = read(
            r#"{"PutRequest":{"Item":{"x":{"S":"y"},"offer_id":{"S":"1"},"account":{"S":"a"}}}}"#,
        )
        .unwrap();
        assert_ne!(one.item, another.item);
        assert_eq!(one.key, another.key);
    }

    #[test]
    fn what_is_no_put_of_strings_with_keys_is_refused() {
        for request in [
            r#"{}"#,
            r#"{"PutRequest":{}}"#,
            r#"{"PutRequest":{"Item":{}}}"#,
            r#"{"PutRequest":{"Item":{"account":{"S":"a"}}}}"#,
            r#"{"PutRequest":{"Item":{"account":{"S":"a"},"account":{"S":"a"},"offer_id":{"S":"1"},"offer_id":{"S":"1"}}}}"#,
            r#"{"PutRequest":{"Item":{"account":{"S":"a"},"offer_id":{"N":"1"}}}}"#,
            r#"{"DeleteRequest":{"Key":{"account":{"S":"a"},"offer_id":{"S":"1"}}}}"#,
        ] {
            assert!(read(request).is_err(), "{request}");
        }
    }
}
