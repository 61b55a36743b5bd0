//! The integration tests of `export-transformer`, in one program: each program of tests links everything once more.

#![allow(clippy::unwrap_used, reason = "what helps tests may fail as tests do")]

mod incremental_exports;
mod promise_11_damaged_files;
mod promise_5_hand_over;
mod promise_9_crashes;
mod promise_9_overlaps;
mod promise_9_two_at_once;
mod simulation;
