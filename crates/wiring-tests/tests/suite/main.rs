//! The integration tests of `wiring-tests`, in one program: each program of tests links everything once more.

mod change_log;
mod documents;
mod events;
mod exports;
mod permissions;
mod promise_12_no_one_gets_in;
mod repository;
mod reprocess;
mod state_machines;
mod stream_events;
mod template;
