#![doc = include_str!("../README.md")]

mod changes;
mod entity;
mod fault;
mod json;
mod line;
mod names;
mod number;
mod once;
mod parquet;
pub mod schema;
mod shaping;
mod splice;
mod text;
mod walk;

pub use changes::{ChangeEncoder, Snapshot};
pub use entity::entity_of;
pub use fault::LineFault;
pub use json::JsonEncoder;
pub use line::LineForm;
pub use parquet::{ParquetEncoder, ParquetLimits};
pub use schema::{Inference, Inferred, Schema};
pub use shaping::{Shaping, ShapingError};

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was written.
    Written,
    /// The shaping does not keep its item.
    FilteredOut,
}
