#![doc = include_str!("../README.md")]

mod begin;
mod chain;
mod config;
mod finish;
mod handler;
mod hold;
mod pace;
mod plan;
mod poll;
mod record;
mod request;
mod schema;
mod settings;

pub use config::{Config, VARIABLES};
pub use handler::{Answer, Dependencies, handle};
pub use request::{BeginRequest, ExportType, Request, RequestError};
