#![doc = include_str!("../README.md")]

mod config;
mod fault;
mod handler;
mod infer;
mod part;
mod publish;
mod request;
mod source;
mod transform;

pub use config::{Config, VARIABLES};
pub use handler::{Dependencies, handle};
pub use request::{Action, DataFileEntry, Outcome, Report, Request, RequestError};
