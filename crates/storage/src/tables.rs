//! Tables of items, as far as a bulk load needs them.

use bytes::Bytes;
use records::TableShape;

use crate::StorageError;

/// One item to put: its wire form and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutItem {
    /// The item as one DynamoDB JSON object: `{"id":{"S":"1"},"n":{"N":"2"}}`.
    pub item: Bytes,
    /// The canonical key ([`records::TableShape::canonical_key`]): equal for equal keys, whatever their spelling.
    pub key: Bytes,
}

/// A store of tables. Nothing is retried inside: the caller paces.
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait TableStore {
    /// Keys of a table and of its indexes.
    async fn describe(&self, table: &str) -> Result<TableShape, StorageError>;

    /// Puts 1 to 25 items with distinct keys (BatchWriteItem, one attempt). Returns the positions in `items` of those that were
    /// not written because of throttling. `Throttled` when none was. `Refused` when the call was refused as a whole (a bad item
    /// among them; nothing was written). After `Unanswered` any of them may be written, now or later.
    async fn put_batch(
        &self,
        table: &TableShape,
        items: &[PutItem],
    ) -> Result<Vec<usize>, StorageError>;
}
