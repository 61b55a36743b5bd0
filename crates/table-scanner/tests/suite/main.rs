//! The integration tests of `table-scanner`, in one program: each program of tests links everything once more.

#![allow(clippy::unwrap_used, reason = "what helps tests may fail as tests do")]

mod promise_11_what_cannot_be_is_said;
mod promise_3_any_crash_leads_to_the_same_end;
mod promise_5_deadline_aware;
mod promise_9_one_execution_works;
mod promise_9_whole_or_not;
mod simulation;
