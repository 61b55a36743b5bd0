#![doc = include_str!("../README.md")]

mod claims;
mod config;
mod dependencies;
mod event;
mod handler;
mod inbox;
mod input;
mod job;
mod job_mapping;
mod lease;
mod moving;
mod names;
mod object;
mod parts;
mod problem;
mod report;
mod rows;
mod sequencer;
mod transfer;

pub use config::{Config, VARIABLES};
pub use dependencies::{Dependencies, Invocation};
pub use event::{EventError, ObjectVersion, Request, decode};
pub use handler::handle;
pub use input::{Compression, Input, InputError, Source};
pub use job::{Checkpoint, Job, ProcessingStatus, RowCounts};
pub use names::{PartKind, inbox_job, object_job, part_folder, part_key};
pub use report::{ObjectReport, Outcome, Report};
pub use rows::{HeaderError, RecordedRun, RowReader};
pub use sequencer::Sequencer;
pub use transfer::{End, Recorder, Transferred, transfer};
