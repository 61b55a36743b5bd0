//! Fingerprints in place of what is long: 128 bits, so that two that are different are never taken for the same.

use records::Value;
use records::changes::canonical_key_of_any;
use records::{Item, JsonValueError, item_from_dynamodb_json};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The first 128 bits of a SHA-256.
pub(super) type Fingerprint = [u8; 16];

/// The fingerprint of an event id.
pub(super) fn of_event(id: &str) -> Fingerprint {
    shortened(Sha256::new_with_prefix(id))
}

/// The fingerprint of an item's state: equal for equal values, however they are written.
pub(super) fn of_state(
    keys: &Item,
    image: Option<&RawValue>,
) -> Result<Fingerprint, JsonValueError> {
    let key = canonical_key_of_any(keys);
    let mut hash = Sha256::new_with_prefix(key.len().to_be_bytes());
    hash.update(key);
    if let Some(image) = image {
        hash.update(canonical(image)?);
    }
    Ok(shortened(hash))
}

/// Whether two images are of the same item in the same state.
pub(super) fn same(one: &RawValue, other: &RawValue) -> Result<bool, JsonValueError> {
    Ok(item_from_dynamodb_json(one.get())? == item_from_dynamodb_json(other.get())?)
}

fn canonical(image: &RawValue) -> Result<Vec<u8>, JsonValueError> {
    let mut bytes = Vec::with_capacity(image.get().len());
    Value::M(item_from_dynamodb_json(image.get())?).write_dynamodb_json(&mut bytes);
    Ok(bytes)
}

fn shortened(hash: Sha256) -> Fingerprint {
    *hash
        .finalize()
        .first_chunk()
        .expect("a SHA-256 has 256 bits")
}
