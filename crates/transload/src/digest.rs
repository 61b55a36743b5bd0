//! Fingerprints in place of what is long: 128 bits, so that two that are different are never taken for the same.

use records::changes::canonical_key_of_any;
use records::{Item, JsonValueError, item_from_dynamodb_json, write_item_dynamodb_json};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The first 128 bits of a SHA-256.
pub(crate) type Fingerprint = [u8; 16];

/// The fingerprint of an event id.
pub(crate) fn of_event(id: &str) -> Fingerprint {
    shortened(Sha256::new_with_prefix(id))
}

/// The fingerprint of a key.
pub(crate) fn of_key(keys: &Item) -> Fingerprint {
    shortened(Sha256::new_with_prefix(canonical_key_of_any(keys)))
}

/// The fingerprint of an item's state, none if it was removed: equal for equal values, however they are written.
pub(crate) fn of_item(keys: &Item, item: Option<&Item>) -> Fingerprint {
    let key = canonical_key_of_any(keys);
    let mut hash = Sha256::new_with_prefix(key.len().to_be_bytes());
    hash.update(key);
    if let Some(item) = item {
        let mut bytes = Vec::new();
        write_item_dynamodb_json(item, &mut bytes);
        hash.update(bytes);
    }
    shortened(hash)
}

/// As [`of_item`], of an image as DynamoDB JSON.
pub(crate) fn of_state(
    keys: &Item,
    image: Option<&RawValue>,
) -> Result<Fingerprint, JsonValueError> {
    let item = image
        .map(|image| item_from_dynamodb_json(image.get()))
        .transpose()?;
    Ok(of_item(keys, item.as_ref()))
}

/// Whether two images are of the same item in the same state.
pub(crate) fn same(one: &RawValue, other: &RawValue) -> Result<bool, JsonValueError> {
    Ok(item_from_dynamodb_json(one.get())? == item_from_dynamodb_json(other.get())?)
}

fn shortened(hash: Sha256) -> Fingerprint {
    *hash
        .finalize()
        .first_chunk()
        .expect("a SHA-256 has 256 bits")
}
