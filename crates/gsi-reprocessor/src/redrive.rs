//! Putting items back that were set aside.

use futures_util::stream::{self, StreamExt};
use records::{Item, Number, TableShape, Value};
use storage::{
    Condition, IndexPage, IndexSelect, ItemStore, ItemWrite, StorageError, WriteOutcome,
};

use crate::markers::{Lane, Markers};

/// Entries of the index that are read at once.
const PAGE_KEYS: u32 = 1_000;

/// What is to be put back.
#[derive(Debug, Clone, Copy)]
pub struct Redrive<'a> {
    /// The table.
    pub table: &'a TableShape,
    /// The index, which has been checked ([`crate::check_index`]).
    pub index: &'a str,
    /// How items say what became of them.
    pub markers: &'a Markers,
    /// Items that are changed at the same time.
    pub concurrency: usize,
    /// Whether to count and change nothing.
    pub dry_run: bool,
}

/// What was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redriven {
    /// Items that had been set aside, as the index has it.
    pub found: u64,
    /// Items that are pending again.
    pub put_back: u64,
    /// Items that were not set aside any more when their turn came.
    pub changed: u64,
}

/// Makes items that were set aside pending again, with all their tries before them, lane by lane. `progress` hears of each step.
///
/// The object that tells why one was set aside stays until the item is done. An item that is put back keeps the attribute that
/// counts tries, at 0, which says that there is such an object.
///
/// # Errors
/// The store's own; items put back until then stay so, and calling again goes on with the others.
pub async fn redrive<T: ItemStore>(
    tables: &T,
    order: Redrive<'_>,
    mut progress: impl FnMut(Redriven),
) -> Result<Redriven, StorageError> {
    let mut redriven = Redriven::default();
    for lane in order.markers.lanes() {
        let mut start = None;
        loop {
            let page = IndexPage {
                index: order.index.to_owned(),
                attribute: order.markers.attribute.clone(),
                value: lane.failed.clone(),
                select: IndexSelect::Keys,
                limit: Some(PAGE_KEYS),
                start,
            };
            let entries = tables.index_page(order.table, &page).await?;
            redriven.found += entries.count;
            if !order.dry_run {
                let mut changes = stream::iter(entries.keys)
                    .map(|key| put_back(tables, order, &lane, key))
                    .buffer_unordered(order.concurrency);
                while let Some(is_back) = changes.next().await {
                    match is_back? {
                        true => redriven.put_back += 1,
                        false => redriven.changed += 1,
                    }
                    progress(redriven);
                }
            }
            progress(redriven);
            start = entries.next;
            if start.is_none() {
                break;
            }
        }
    }
    Ok(redriven)
}

async fn put_back<T: ItemStore>(
    tables: &T,
    order: Redrive<'_>,
    lane: &Lane,
    key: Item,
) -> Result<bool, StorageError> {
    let attribute = &order.markers.attribute;
    let marker = |text: &String| (attribute.clone(), Value::S(text.clone()));
    let none = Number::parse("0").expect("0 is a number");
    let write = ItemWrite::Update {
        key,
        set: Item::from([
            marker(&lane.pending),
            (order.markers.tries_attribute(), Value::N(none)),
        ]),
        remove: Vec::new(),
    };
    let failed = Condition::holds(Item::from([marker(&lane.failed)]));
    Ok(match tables.write_if(order.table, &write, &failed).await? {
        WriteOutcome::Done | WriteOutcome::Updated(_) => true,
        // An earlier attempt may have landed while its answer was lost: then it is pending now.
        WriteOutcome::Refused(held) => {
            held.is_some_and(|held| held.get(attribute) == Some(&Value::S(lane.pending.clone())))
        }
    })
}
