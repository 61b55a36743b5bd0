//! One item: read, processed, stored, marked.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use lambda_support::error_chain;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use records::{Item, Number, TableShape, Value, write_item_dynamodb_json};
use serde::Serialize;
use serde_json::value::RawValue;
use storage::{
    Clock, Condition, ErrorKind, ItemStore, ItemWrite, MAX_COMPARED_ATTRIBUTES, ObjectStore,
    StorageError, Timestamp, WriteOutcome,
};
use tracing::warn;

use crate::config::Config;
use crate::markers::Lane;
use crate::names::{item_object, set_aside_object};
use crate::object::{Stored, store};
use crate::process::{Process, ProcessError};
use crate::report::Counts;

/// The bounds of the waits after a mark was throttled: each wait is a random share (full jitter) of a bound that doubles from
/// the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What all items of a run share.
pub struct Work<'a, O, T, C, P> {
    pub objects: &'a O,
    pub tables: &'a T,
    pub clock: &'a C,
    pub process: &'a P,
    pub config: &'a Config,
    pub table: &'a TableShape,
    pub lane: &'a Lane,
    /// The number of the run.
    pub run: u64,
    /// Until when a throttled mark is tried again.
    pub retry_until: Timestamp,
    /// Spreads those tries.
    pub jitter: RefCell<ChaCha8Rng>,
    /// How often a mark was throttled, after the SDK's own tries.
    pub throttled: Cell<u64>,
    /// What has become of the items so far, but for those that are under way.
    pub counts: Cell<Counts>,
    /// The first failure of a service.
    pub trouble: RefCell<Option<StorageError>>,
    /// How many items a failure of a service has stopped.
    pub troubled: Cell<u64>,
}

/// A pending item as it was read.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The table's key attributes.
    pub key: Item,
    /// Every attribute.
    pub item: Item,
    /// Tries so far, where the item has the attribute.
    tries: Option<u64>,
}

/// How an item's turn ends early.
pub enum Halt {
    /// The item is not pending any more, or not what it was.
    Skipped,
    /// It could not be processed.
    Failed {
        /// Whether it was set aside.
        set_aside: bool,
    },
    /// A service failed; the item stays as it is.
    Trouble(StorageError),
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Self::Trouble(error)
    }
}

/// What is kept of an item that could not be processed.
#[derive(Serialize)]
struct SetAside<'a> {
    reason: &'a str,
    tries: u64,
    item: &'a RawValue,
}

impl<O: ObjectStore, T: ItemStore, C: Clock, P: Process> Work<'_, O, T, C, P> {
    /// Counts what became of an item.
    pub fn count(&self, outcome: Result<(), Halt>) {
        let mut counts = self.counts.get();
        match outcome {
            Ok(()) => counts.done += 1,
            Err(Halt::Skipped) => counts.skipped += 1,
            Err(Halt::Failed { set_aside }) => {
                counts.failed += 1;
                counts.set_aside += u64::from(set_aside);
            }
            Err(Halt::Trouble(error)) => {
                self.troubled.set(self.troubled.get() + 1);
                let mut trouble = self.trouble.borrow_mut();
                if trouble.is_none() {
                    warn!(
                        error = error_chain(&error),
                        "an item is left pending; others that are left for the like are only counted"
                    );
                    *trouble = Some(error);
                }
            }
        }
        self.counts.set(counts);
    }

    /// The whole way of an item that gets an object of its own.
    pub async fn to_object(&self, key: Item) -> Result<(), Halt> {
        let pending = self.read(key).await?;
        let body = self.process(&pending).await?;
        let name = item_object(self.table, &pending.key);
        self.store(&name, body, &pending).await?;
        self.mark_done(&pending).await
    }

    /// Reads an item and makes sure that it is to be processed.
    pub async fn read(&self, key: Item) -> Result<Pending, Halt> {
        let item = self.tables.item(self.table, &key).await?;
        let marker = &self.config.markers.attribute;
        let item = item
            .filter(|item| item.get(marker) == Some(&Value::S(self.lane.pending.clone())))
            .ok_or(Halt::Skipped)?;
        let tries = match item.get(&self.config.markers.tries_attribute()) {
            None => None,
            // What is no count was not written here; an item with it has had its tries.
            Some(Value::N(number)) => Some(number.as_str().parse().unwrap_or(u64::MAX)),
            Some(_) => Some(u64::MAX),
        };
        Ok(Pending { key, item, tries })
    }

    /// The body for an item.
    pub async fn process(&self, pending: &Pending) -> Result<Vec<u8>, Halt> {
        let tries_attribute = self.config.markers.tries_attribute();
        let without_tries;
        let item = match pending.tries {
            None => &pending.item,
            Some(_) => {
                let mut item = pending.item.clone();
                item.remove(&tries_attribute);
                without_tries = item;
                &without_tries
            }
        };
        match self.process.process(item).await {
            Ok(body) => Ok(body),
            Err(ProcessError::Item(reason)) => Err(self.fail(pending, &reason).await),
            Err(error @ ProcessError::Service(_)) => Err(Halt::Trouble(
                StorageError::new(
                    ErrorKind::Unanswered,
                    "process",
                    &*self.table.name,
                    "an item could not be processed now",
                )
                .with_source(error),
            )),
        }
    }

    /// Marks an item done whose result is stored.
    pub async fn mark_done(&self, pending: &Pending) -> Result<(), Halt> {
        let markers = &self.config.markers;
        if pending.tries.is_some() {
            // It was set aside once, or failed before that: what tells of it goes before the item is done.
            let name = set_aside_object(self.table, &pending.key);
            (self.objects)
                .delete(&self.config.lake_bucket, &name)
                .await?;
        }
        let mut after = pending.item.clone();
        let mut set = Item::new();
        let mut remove = Vec::new();
        match &self.lane.done {
            Some(done) => drop(set.insert(markers.attribute.clone(), Value::S(done.clone()))),
            None => remove.push(markers.attribute.clone()),
        }
        if pending.tries.is_some() {
            remove.push(markers.tries_attribute());
        }
        after.retain(|name, _| !remove.contains(name));
        after.extend(set.clone());
        let Some(condition) = self.unchanged(pending) else {
            let reason = format!(
                "the item has {} attributes, and at most {MAX_COMPARED_ATTRIBUTES} can be compared to see whether it has changed: expected fewer, or a version attribute (VERSION_ATTRIBUTE)",
                pending.item.len()
            );
            return Err(self.fail(pending, &reason).await);
        };
        let marked = self.update(pending, set, remove, &condition).await;
        match marked {
            Ok(WriteOutcome::Done) => Ok(()),
            // An earlier attempt at this very mark may have landed while its answer was lost.
            Ok(WriteOutcome::Refused(Some(held))) if held == after => Ok(()),
            Ok(WriteOutcome::Refused(_)) => Err(Halt::Skipped),
            // DynamoDB does not like the item as it would be, too large for one.
            Err(error) if error.kind() == ErrorKind::Refused => {
                Err(self.fail(pending, &error_chain(&error)).await)
            }
            Err(error) => Err(Halt::Trouble(error)),
        }
    }

    /// Counts a try of an item that could not be processed, and sets it aside if it has had them all.
    pub async fn fail(&self, pending: &Pending, reason: &str) -> Halt {
        match self.try_failed(pending, reason).await {
            Ok(halt) => halt,
            Err(error) => Halt::Trouble(error),
        }
    }

    async fn try_failed(&self, pending: &Pending, reason: &str) -> Result<Halt, StorageError> {
        let markers = &self.config.markers;
        let tries = pending.tries.unwrap_or(0).saturating_add(1);
        let set_aside = tries >= u64::from(self.config.max_tries);
        let mut set = Item::new();
        if set_aside {
            let name = set_aside_object(self.table, &pending.key);
            match self
                .store(&name, set_aside_body(pending, tries, reason), pending)
                .await
            {
                Ok(()) => {}
                Err(Halt::Trouble(error)) => return Err(error),
                Err(halt) => return Ok(halt),
            }
            set.insert(
                markers.attribute.clone(),
                Value::S(self.lane.failed.clone()),
            );
        }
        set.insert(markers.tries_attribute(), count_value(tries));
        // An item with too many attributes to compare is set aside by what tells that it was not done meanwhile.
        let condition = self.unchanged(pending).unwrap_or_else(|| {
            let names = [markers.attribute.clone(), markers.tries_attribute()];
            Condition::Holds(some_attributes(&pending.item, &names))
        });
        let mut after = pending.item.clone();
        after.extend(set.clone());
        Ok(
            match self.update(pending, set, Vec::new(), &condition).await? {
                WriteOutcome::Done => Halt::Failed { set_aside },
                WriteOutcome::Refused(Some(held)) if held == after => Halt::Failed { set_aside },
                WriteOutcome::Refused(_) => Halt::Skipped,
            },
        )
    }

    /// Puts an object of an item, unless the item has changed since it was read.
    async fn store(&self, name: &str, body: Vec<u8>, pending: &Pending) -> Result<(), Halt> {
        let is_current = async || {
            let now = self.tables.item(self.table, &pending.key).await?;
            Ok(now.as_ref() == Some(&pending.item))
        };
        let bucket = &self.config.lake_bucket;
        match store(self.objects, bucket, name, Bytes::from(body), is_current).await? {
            Stored::Held => Ok(()),
            Stored::Outdated => Err(Halt::Skipped),
        }
    }

    /// Writes the item, if the condition holds. While the table or its index throttles, this waits and tries again, with its place
    /// among the calls under way: so a run comes down to the pace of a hot partition, and what is processed and stored is not
    /// done again for want of a mark. Every other failure is left to the next run.
    async fn update(
        &self,
        pending: &Pending,
        set: Item,
        remove: Vec<String>,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let write = ItemWrite::Update {
            key: pending.key.clone(),
            set,
            remove,
        };
        let (mut bound, longest) = BACK_OFF;
        loop {
            match self.tables.write_if(self.table, &write, condition).await {
                Err(error)
                    if error.kind() == ErrorKind::Throttled && self.now() < self.retry_until =>
                {
                    self.throttled.set(self.throttled.get() + 1);
                }
                answer => return answer,
            }
            let wait = (self.jitter.borrow_mut()).random_range(Duration::ZERO..=bound);
            bound = bound.saturating_mul(2).min(longest);
            tokio::time::sleep(wait).await;
        }
    }

    /// The condition that the item is what was processed; nothing if it cannot be said.
    ///
    /// With a version attribute: the version and the marker. Else every attribute, but for the key: an attribute that was
    /// *added* meanwhile goes unseen then.
    fn unchanged(&self, pending: &Pending) -> Option<Condition> {
        let markers = &self.config.markers;
        if let Some(version) = &self.config.version_attribute
            && pending.item.contains_key(version)
        {
            let names = [markers.attribute.clone(), version.clone()];
            return Some(Condition::Holds(some_attributes(&pending.item, &names)));
        }
        let mut compared = pending.item.clone();
        compared.retain(|name, _| !pending.key.contains_key(name));
        (compared.len() <= MAX_COMPARED_ATTRIBUTES).then_some(Condition::Holds(compared))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn some_attributes(item: &Item, names: &[String]) -> Item {
    names
        .iter()
        .filter_map(|name| item.get_key_value(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn count_value(count: u64) -> Value {
    let number = Number::parse(&count.to_string());
    Value::N(number.expect("a count of at most 20 digits is a number"))
}

fn set_aside_body(pending: &Pending, tries: u64, reason: &str) -> Vec<u8> {
    let mut item = Vec::new();
    write_item_dynamodb_json(&pending.item, &mut item);
    let item = String::from_utf8(item)
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .expect("an item is written as JSON");
    let mut body = serde_json::to_vec(&SetAside {
        reason,
        tries,
        item: &item,
    })
    .expect("texts and counts are JSON");
    body.push(b'\n');
    body
}
