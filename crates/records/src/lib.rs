#![doc = include_str!("../README.md")]

mod csv;
mod mapping;
mod number;
mod table;
mod text;
mod value;

pub use csv::{
    BrokenRecord, Delimiter, Limits, Position, Record, RecordFault, Split, Splitter,
    choose_delimiter,
};
pub use mapping::{
    MappingError, PlanError, RowBuffer, RowFault, RowMapping, RowPlan,
};
pub use number::{Number, NumberError};
pub use table::{MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, IndexShape, KeyAttribute, KeyError, KeyType, TableShape};
pub use text::{Encoding, TextDecoder};
pub use value::{
    Item, MAX_DEPTH, MAX_ITEM_BYTES, Value, ValueError, item_from_dynamodb_json, item_size,
};

/// Standard base64 with padding, as DynamoDB JSON and plain JSON carry binary.
pub fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
