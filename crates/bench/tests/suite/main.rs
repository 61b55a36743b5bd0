//! The integration tests of `bench`, in one program: each program of tests links everything once more.

mod endpoint;
mod pending;
mod runs;
mod support;
mod transform;
