//! CSV records, cut out of a stream of text.

mod delimiter;
mod splitter;
#[cfg(test)]
mod tests;

pub use delimiter::{Delimiter, choose_delimiter};
pub use splitter::{BrokenRecord, Limits, Position, Record, RecordFault, Split, Splitter};
