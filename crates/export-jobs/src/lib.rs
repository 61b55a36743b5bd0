#![doc = include_str!("../README.md")]

mod documents;
mod job;
mod manifest;
pub mod names;
pub mod output;
mod part;
mod row;
mod settings;
mod window;

pub use documents::{DocumentError, hex, keep_schema, read_document, read_schema, read_shaping};
pub use job::{EXPORT_PART, JobRow, SCAN_PART, ScanRow};
pub use manifest::{DataFiles, Manifest, ManifestError};
pub use part::{OutputObject, PartRow, Status};
pub use row::{Row, Stored, change, create, read};
pub use settings::{Format, SchemaMode, Settings, SettingsError};
pub use window::{Span, WindowError, compact_time, full_window, incremental_window};
