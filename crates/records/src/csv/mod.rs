//! CSV text as records with their place in the file.

mod delimiter;
mod splitter;

pub use delimiter::{Delimiter, choose_delimiter};
pub use splitter::{BrokenRecord, Limits, Position, Record, RecordFault, Split, Splitter};
