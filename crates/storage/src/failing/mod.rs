//! Faults for tests: wrappers that make any store fail as a plan says, by count, by chance (the same for the same seed) or
//! for good from one operation on, as if the process had died there.
//!
//! ```text
//! let plan = FaultPlan::seeded(7);
//! plan.inject("BatchWriteItem", 3, Fault::AnswerLost);
//! let tables = Failing::new(MemoryTables::new().with_table(shape), plan.clone());
//! ```
//!
//! Operations are called what the real store calls them: `GetObject`, `PutObject`, `CreateMultipartUpload`, `UploadPart`,
//! `CompleteMultipartUpload`, `AbortMultipartUpload`, `ListObjectsV2`, `DeleteObject`, `DescribeTable`, `BatchWriteItem`,
//! `Scan`, `GetItem`, `PutItem`, `UpdateItem`, `DeleteItem`, `Query`, `SendMessage`,
//! `StartExecution`, `DescribeExecution`, `ListImports` (and the DescribeImport after it),
//! `ExportTableToPointInTime`, `DescribeExport`, `ListExports`, `DescribeContinuousBackups`.

mod exports;
mod plan;
mod ports;
mod store;
#[cfg(test)]
mod tests;

pub use plan::{Crash, Fault, FaultPlan, Landing, Rates};
pub use store::Failing;
