#![doc = include_str!("../README.md")]

mod begin;
mod config;
mod error;
mod finish;
mod handler;
mod pace;
mod pages;
mod progress;
mod report;
mod request;
mod second;
mod segment;
mod settings;

pub use config::{Config, VARIABLES};
pub use error::ScanError;
pub use handler::{Dependencies, Invocation, handle};
pub use progress::Progress;
pub use report::{Begun, Finished, Report, SegmentReport};
pub use request::{BeginRequest, MAX_SEGMENTS, Request, RequestError};
