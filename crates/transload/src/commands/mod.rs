//! One module a command: its arguments, what it prints and how it fails.

pub mod generate;
pub mod ingest;
