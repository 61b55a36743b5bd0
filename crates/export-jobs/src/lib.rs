#![doc = include_str!("../README.md")]

mod documents;
mod folder;
pub mod hold;
mod job;
mod manifest;
pub mod names;
pub mod output;
mod part;
mod row;
mod settings;
mod variables;
mod window;

pub use documents::{
    DocumentError, MAX_PARTIAL_SCHEMA_BYTES, hex, keep_schema, read_partial_schema, read_schema,
    read_shaping,
};
pub use folder::{Folder, FolderError, compare_folder};
pub use job::{EXPORT_PART, JobRow, SCAN_PART, ScanRow};
pub use manifest::{
    DataFiles, Manifest, ManifestError, ManifestPlace, OpenManifest, ReadManifests, read_manifests,
};
pub use part::{OutputObject, PartRow, Status};
pub use row::{Row, Stored, change, create, read};
pub use settings::{Format, SchemaMode, Settings, SettingsError};
pub use variables::OutputVariables;
pub use window::{Span, WindowError, compact_time, full_window, incremental_window};
