//! The integration tests of `gsi-reprocessor`, in one program: each program of tests links everything once more.

mod promise_5_deadline_aware;
mod promise_8_changed_meanwhile;
mod promise_8_overlapping_runs;
mod promise_8_poison_is_set_aside;
mod simulation;
