//! The integration tests of `transload`, in one program: each program of tests links everything once more.

#![allow(clippy::unwrap_used, reason = "what helps tests may fail as tests do")]

mod generate_command;
mod import_command;
mod ingest_command;
mod merge_command;
mod plan_command;
mod replay_command;
mod schema_command;
mod touch_command;
mod verify_changes_command;
mod verify_export_command;
