//! The row mapping: how the cells of a CSV row become the attributes of an item.

mod encode;
mod parse;
mod plan;
mod shard;

pub use encode::{RowBuffer, RowFault};
pub use parse::{MappingError, RowMapping};
pub use plan::{PlanError, RowPlan};
