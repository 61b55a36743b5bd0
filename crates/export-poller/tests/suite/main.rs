//! The integration tests of `export-poller`, in one program: each program of tests links everything once more.

mod chain_of_windows;
mod many_files;
mod partial_schemas;
mod promise_9_nobody_works_on_what_failed;
mod promise_9_one_execution_works;
mod promise_9_one_export_per_window;
mod promise_9_whole_or_not;
mod settings_of_a_window;
mod simulation;
