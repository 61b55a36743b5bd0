//! The integration tests of `export-poller`, in one program: each program of tests links everything once more.

mod promise_9_one_execution_works;
mod promise_9_one_export_per_window;
mod promise_9_whole_or_not;
mod simulation;
