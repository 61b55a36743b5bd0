//! How a row becomes an item.

mod encode;
mod format;
mod parse;
mod plan;
#[cfg(test)]
mod tests;

pub use encode::{EncodedRow, RowBuffer, RowFault};
pub use format::ShardFormat;
pub use parse::{ColumnType, MappingError, RowMapping};
pub use plan::{PlanError, RowPlan};
