#![doc = include_str!("../README.md")]

mod environment;
mod failure;
mod memory;
mod telemetry;

pub use environment::{Environment, EnvironmentError};
pub use failure::{Failure, FailureKind, error_chain};
pub use memory::peak_memory_bytes;
pub use telemetry::init_telemetry;
