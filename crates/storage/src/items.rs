//! Single items of a table, written on a condition, and whole tables, read page by page.

use records::{Item, TableShape, Value};

use crate::{StorageError, Timestamp};

/// Which page of a scan is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    /// Which part of the table, from 0. Items of one partition key are in one segment, the same one for the same `segments`.
    pub segment: u32,
    /// Into how many parts the table is cut, 1 to 1,000,000.
    pub segments: u32,
    /// The most items of one page, at least 1; a page ends at 1 MiB of items in any case.
    pub limit: Option<u32>,
    /// Whether every write that has been acknowledged is seen, at twice the price.
    pub consistent: bool,
    /// Where the page before ended ([`Scanned::next`]); nothing for the first one.
    pub start: Option<Item>,
    /// Names of the attributes that are wanted, at least one; nothing for all of them. The price is that of whole items.
    pub attributes: Option<Vec<String>>,
}

/// One page of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// The items, which may be none although more follow.
    pub items: Vec<Item>,
    /// The key after which the segment goes on; nothing at its end.
    pub next: Option<Item>,
    /// Read units that the page took, in tenths of a unit: DynamoDB reports halves, as a floating-point number, which is written
    /// as decimal text with one digit behind the point and read from there.
    pub capacity_tenths: u64,
}

/// Which page of one partition of a global secondary index is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexPage {
    /// The index's name.
    pub index: String,
    /// The attribute that is the index's partition key.
    pub attribute: String,
    /// The text that it has in this partition.
    pub value: String,
    /// What is wanted of it.
    pub select: IndexSelect,
    /// The most entries of one page, at least 1; a page ends at 1 MiB of entries in any case.
    pub limit: Option<u32>,
    /// Where the page before ended ([`IndexEntries::next`]); nothing for the first one.
    pub start: Option<Item>,
}

/// What is wanted of the entries of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexSelect {
    /// The table's key attributes of each.
    Keys,
    /// How many there are.
    Count,
}

/// One page of an index's partition.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexEntries {
    /// The table's key attributes of each entry, and nothing else; empty if only the count was wanted.
    pub keys: Vec<Item>,
    /// How many entries the page has.
    pub count: u64,
    /// The key after which the partition goes on (key attributes of the table and the index); nothing at its end.
    pub next: Option<Item>,
}

/// One write of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemWrite {
    /// Puts the item, replacing what was there.
    Put(Item),
    /// Deletes the item with these key attributes; one that is not there is no error.
    Delete(Item),
    /// Changes some attributes of an item, which is made where it is not there.
    Update {
        /// The key attributes.
        key: Item,
        /// Attributes to be set, none of the key's.
        set: Item,
        /// Names of attributes to be removed, none of the key's and none that is set. Together at least one is changed.
        remove: Vec<String>,
    },
}

#[cfg(any(test, feature = "test-support"))]
impl ItemWrite {
    /// What DynamoDB calls it.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Put(_) => "PutItem",
            Self::Delete(_) => "DeleteItem",
            Self::Update { .. } => "UpdateItem",
        }
    }
}

/// What has to be there for a write to be done. Numbers are ordered as decimals, texts by their UTF-8 bytes, bytes as they are;
/// values of two types are different, and neither comes before the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The item is there.
    Exists,
    /// The item is there without the attribute, or with another value of it.
    ExistsAndDiffers {
        /// The attribute's name.
        attribute: String,
        /// The value that it does not have.
        from: Value,
    },
    /// The item is not there, or its attribute comes before the value.
    AbsentOrOlder {
        /// The attribute's name.
        attribute: String,
        /// A text, a number or bytes.
        than: Value,
    },
    /// The item is there, and its attribute is the value or comes before it.
    NotNewer {
        /// The attribute's name.
        attribute: String,
        /// A text, a number or bytes.
        than: Value,
    },
    /// The item is there and is so, as far as it is said. It may have other attributes besides.
    Holds {
        /// Each of these attributes has this value: at least one, and together with `absent` at most
        /// [`MAX_COMPARED_ATTRIBUTES`].
        attributes: Item,
        /// None of these is there.
        absent: Vec<String>,
    },
}

impl Condition {
    /// The item is there, and each of these attributes has this value.
    pub fn holds(attributes: Item) -> Self {
        Self::Holds {
            attributes,
            absent: Vec::new(),
        }
    }
}

/// How many attributes [`Condition::Holds`] can compare: DynamoDB takes expressions of at most 4 KB and 300 operators
/// (Developer Guide, "Quotas in Amazon DynamoDB", expression parameters), and every comparison but the first also costs an AND.
pub const MAX_COMPARED_ATTRIBUTES: usize = 150;

/// What became of a write on a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// The item was put or deleted.
    Done,
    /// The item was updated: what it was just before. Nothing if it was made.
    Updated(Option<Item>),
    /// The condition did not hold, and nothing was done: what the table holds under the key. After a first try that landed
    /// while its answer was lost, that is what was to be written: the caller compares.
    Refused(Option<Item>),
}

impl WriteOutcome {
    /// Whether the condition held and the write was done.
    pub fn is_done(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// A table's stream of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    /// When the stream was enabled, such as `2026-01-14T00:00:00.000`: another label is another stream.
    pub label: String,
    /// The stream's ARN.
    pub arn: String,
    /// What its records hold besides the key.
    pub view: StreamView,
}

/// Which table a name stands for: one made anew, or one of another account or region, is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableIdentity {
    /// The table's ARN, with its account and region.
    pub arn: String,
    /// The id that DynamoDB gave the table when it was made.
    pub id: String,
}

/// What the records of a stream hold besides the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamView {
    /// Nothing.
    KeysOnly,
    /// The item after the change.
    NewImage,
    /// The item before the change.
    OldImage,
    /// The item before and after the change.
    NewAndOldImages,
}

/// A store of tables, an item or a page at a time. Every operation retries what is transient inside (the SDK's standard retry).
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait ItemStore {
    /// One page of a segment (Scan), in an order of the store's own, which stays the same.
    async fn scan_page(&self, table: &TableShape, page: &ScanPage)
    -> Result<Scanned, StorageError>;

    /// One page of a partition of a global secondary index (Query), in the order of its sort key where it has one. What it says
    /// may lag behind the table.
    async fn index_page(
        &self,
        table: &TableShape,
        page: &IndexPage,
    ) -> Result<IndexEntries, StorageError>;

    /// The item with these key attributes as the table holds it after every write that has been acknowledged (GetItem,
    /// consistent); nothing if there is none.
    async fn item(&self, table: &TableShape, key: &Item) -> Result<Option<Item>, StorageError>;

    /// Writes one item if the condition holds (PutItem, DeleteItem or UpdateItem). A condition that does not hold is no error.
    async fn write_if(
        &self,
        table: &TableShape,
        write: &ItemWrite,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError>;

    /// The table's stream, where it is enabled (DescribeTable).
    async fn stream(&self, table: &str) -> Result<Option<StreamDescription>, StorageError>;

    /// When the table was made (DescribeTable): one that is made again under the name is another one, with a later time.
    async fn created(&self, table: &str) -> Result<Timestamp, StorageError>;

    /// How many items the table has, as DynamoDB counts them every six hours or so (DescribeTable).
    async fn item_count(&self, table: &str) -> Result<u64, StorageError>;

    /// Which table this is (DescribeTable).
    async fn identity(&self, table: &str) -> Result<TableIdentity, StorageError>;
}
