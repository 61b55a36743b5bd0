#![doc = include_str!("../README.md")]

mod lanes;
mod run;
mod writer;

pub use run::{MAX_RUN_BYTES, MAX_RUN_ROWS, Run, RunBuilder, RunRow};
pub use writer::{
    BulkWriter, Progress, RefusedRow, SendWindow, SettledRun, WriteFailure, WriterSettings,
};
