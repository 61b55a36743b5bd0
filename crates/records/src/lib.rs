#![doc = include_str!("../README.md")]

pub mod changes;
mod csv;
pub mod export;
mod json;
mod mapping;
mod number;
mod size;
mod table;
mod text;
mod value;

pub use csv::{
    BrokenRecord, Delimiter, Limits, Position, Record, RecordFault, Split, Splitter,
    choose_delimiter,
};
pub use json::base64_text;
pub use mapping::{
    ColumnType, EncodedRow, MappingError, PlanError, RowBuffer, RowFault, RowMapping, RowPlan,
    ShardFormat,
};
pub use number::{Number, NumberError};
pub use size::{MAX_ITEM_BYTES, heap_bytes, item_size};
pub use table::{
    IndexShape, KeyAttribute, KeyError, KeyType, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES,
    TableShape,
};
pub use text::{Encoding, TextDecoder, source_len};
pub use value::{
    Item, JsonValueError, MAX_DEPTH, Value, item_from_dynamodb_json, write_item_dynamodb_json,
    write_item_plain_json,
};
