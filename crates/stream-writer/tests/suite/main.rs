//! The integration tests of `stream-writer`, in one program: each program of tests links everything once more.

mod promise_11_bad_records_are_kept_whole;
mod promise_6_every_change_once;
mod simulation;
