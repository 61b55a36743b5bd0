#![doc = include_str!("../README.md")]

mod lanes;
mod run;
mod writer;

pub use run::{Run, RunBuilder, RunRow, MAX_RUN_BYTES, MAX_RUN_ROWS};
pub use writer::{BulkWriter, Progress, RefusedRow, SendWindow, SettledRun, WriteFailure, WriterSettings};
