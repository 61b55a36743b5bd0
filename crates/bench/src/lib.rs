#![doc = include_str!("../README.md")]

pub mod bare_loop;
pub mod digest;
pub mod endpoint;
pub mod ingest;
pub mod process;
pub mod report;
pub mod reprocess;
pub mod rows;
pub mod stream;
pub mod transform;
pub mod turns;
