//! Transcoded lines as split objects that nobody can see yet.
//!
//! [`Outputs`] takes the lines of one part (a data file, a segment) in their order, finds the data set of each, transcodes and
//! compresses them, and ends an object when `split_bytes` of it are passed. Objects are staged ([`storage::staged`]): they
//! appear when the one who has written the part's row publishes them.
//!
//! What is in an object, and what it is called, is a function of the lines and the settings: data sets count their own splits
//! from 0. Memory is bounded whatever comes: all data sets together hold back at most [`HELD_BYTES`], and when they hold more,
//! the one that holds most ends its object and goes on with the next split. That rule, too, sees nothing but the lines, and a
//! run that was handed over ([`Outputs::checkpoint`], [`Outputs::resume`]) ends in the same objects as one go.

mod checkpoint;
mod compress;
mod encode;
mod error;
mod object;
mod outputs;
mod plan;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, EntityMark, RowCounts, StagedObject, discard_all, publish_all};
pub use error::OutputError;
pub use outputs::{HELD_BYTES, MAX_DATA_SETS, Outputs};
pub use plan::OutputPlan;
