//! Stores in memory for tests: as strict as the real ones, so that a test passes only on what the real ones accept.
//! Clones of a store share their content.

mod endless;
mod exports;
mod imports;
mod index;
mod items;
mod ledger;
mod objects;
mod queue;
mod tables;
mod workflows;

pub use endless::EndlessObjects;
pub use exports::MemoryExports;
pub use imports::MemoryImports;
pub use ledger::MemoryLedger;
pub use objects::MemoryObjects;
pub use queue::MemoryQueue;
pub use tables::MemoryTables;
pub use workflows::MemoryWorkflows;
