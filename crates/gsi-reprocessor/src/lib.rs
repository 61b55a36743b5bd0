#![doc = include_str!("../README.md")]

mod bundle;
mod config;
mod gate;
mod handler;
mod lease;
mod markers;
mod names;
mod object;
mod process;
mod redrive;
mod report;
mod request;
mod run;
mod set_aside;
mod work;

pub use config::{Config, Output, VARIABLES};
pub use handler::{Dependencies, Invocation, handle};
pub use markers::{DoneBy, Lane, Markers, check_index};
pub use names::{item_object, set_aside_object};
pub use process::{ItemForm, ItemJson, Process, ProcessError};
pub use redrive::{Redrive, Redriven, redrive};
pub use report::{Counts, Ended, LaneReport, Report};
pub use request::{MAX_ITEMS, Request, RequestError};
