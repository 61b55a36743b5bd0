//! Lines in, lines out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod json;
mod remembered;
mod shaping;
mod spelling;
