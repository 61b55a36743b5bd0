//! bulk-writer
