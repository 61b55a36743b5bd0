//! transload
