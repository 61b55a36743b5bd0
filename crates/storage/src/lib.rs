#![doc = include_str!("../README.md")]

pub mod aws;
mod clock;
mod error;
mod exports;
mod imports;
mod items;
mod ledger;
mod notices;
mod objects;
mod resuming;
pub mod staged;
mod tables;
mod workflows;

#[cfg(any(test, feature = "test-support"))]
pub mod contract;
#[cfg(any(test, feature = "test-support"))]
pub mod failing;
#[cfg(any(test, feature = "test-support"))]
pub mod memory;
#[cfg(any(test, feature = "test-support"))]
mod test_clock;

pub use clock::{Clock, SystemClock, Timestamp};
pub use error::{ErrorKind, StorageError};
pub use exports::{
    ExportDescription, ExportRequest, ExportSpan, ExportStatus, ExportView, ListedExport,
    RecoveryWindow, TableExports,
};
pub use imports::{ImportProgress, ImportStatus, TableImports};
pub use items::{
    Condition, IndexEntries, IndexPage, IndexSelect, ItemStore, ItemWrite, MAX_COMPARED_ATTRIBUTES,
    ScanPage, Scanned, StreamDescription, StreamView, TableIdentity, WriteOutcome,
};
pub use ledger::{Ledger, LedgerRow};
pub use notices::{MAX_MESSAGE_BYTES, Notices};
pub use objects::{
    ListedObject, ObjectBody, ObjectId, ObjectMeta, ObjectStore, Upload, UploadedPart,
};
pub use resuming::{ResumePolicy, open_resuming, resuming};
pub use tables::{PutItem, TableStore};
pub use workflows::{Execution, ExecutionStatus, Workflows};

#[cfg(any(test, feature = "test-support"))]
pub use test_clock::TestClock;
