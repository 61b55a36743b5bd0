//! The integration tests of `bench`, in one program: each program of tests links everything once more.

#![allow(clippy::unwrap_used, reason = "what helps tests may fail as tests do")]

mod endpoint;
mod pending;
mod runs;
mod support;
mod transform;
