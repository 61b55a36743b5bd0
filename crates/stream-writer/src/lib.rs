#![doc = include_str!("../README.md")]

mod append;
mod batch;
mod config;
mod handler;
mod object;

pub use config::{Config, VARIABLES};
pub use handler::{Dependencies, handle};
