//! One item: read, processed, stored, marked. What becomes of one that cannot be processed is in `set_aside`.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use lambda_support::error_chain;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use records::{Item, TableShape, Value};
use storage::{
    Clock, Condition, ErrorKind, ItemStore, ItemWrite, MAX_COMPARED_ATTRIBUTES, ObjectStore,
    StorageError, Timestamp, WriteOutcome,
};
use tracing::warn;

use crate::config::Config;
use crate::gate::Gate;
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
    /// How many items may be under way.
    pub gate: Gate,
    /// Until when a throttled call is made again.
    pub retry_until: Timestamp,
    /// Spreads those tries.
    pub jitter: RefCell<ChaCha8Rng>,
    /// How often a call was throttled, after the SDK's own tries.
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
    /// What the attribute that counts tries says.
    pub tries: Tries,
    /// That the item is what was read.
    pub unchanged: Condition,
}

/// What the attribute that counts tries says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// It is not there.
    None,
    /// So many.
    Count(u64),
    /// It is no count: not written here, and not to be touched.
    Foreign,
}

/// What became of an update.
pub enum Updated {
    /// It was done to this item.
    From(Item),
    /// It had been done before.
    Before,
    /// The condition did not hold.
    Not,
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
        let _pass = self.gate.enter().await;
        let pending = self.read(key).await?;
        let body = self.process(&pending).await?;
        let name = item_object(self.table, &pending.key);
        self.store(&name, body, &pending).await?;
        self.mark_done(&pending).await
    }

    /// Reads an item and makes sure that it is to be processed.
    pub async fn read(&self, key: Item) -> Result<Pending, Halt> {
        let item = (self.patiently(async || self.tables.item(self.table, &key).await)).await?;
        let markers = &self.config.markers;
        let item = item
            .filter(|item| {
                item.get(&markers.attribute) == Some(&Value::S(self.lane.pending.clone()))
            })
            .ok_or(Halt::Skipped)?;
        self.gate.saw(records::heap_bytes(&item));
        let tries_attribute = markers.tries_attribute();
        let tries = match item.get(&tries_attribute) {
            None => Tries::None,
            Some(Value::N(number)) => {
                (number.as_str().parse()).map_or(Tries::Foreign, Tries::Count)
            }
            Some(_) => Tries::Foreign,
        };
        let unchanged = self.unchanged(&key, &item, tries);
        let attributes = item.len();
        let pending = |unchanged| Pending {
            key,
            item,
            tries,
            unchanged,
        };
        // Refused before anything is done: what could not be marked afterwards would be done again and again.
        match unchanged {
            _ if tries == Tries::Foreign => {
                let reason = format!(
                    "the item has an attribute {tries_attribute:?} that is no count of tries: expected none, or another marker attribute (MARKER_ATTRIBUTE)"
                );
                let least = self.least_condition(Tries::Foreign);
                Err(self.fail(&pending(least), &reason).await)
            }
            Some(unchanged) => Ok(pending(unchanged)),
            None => {
                let reason = format!(
                    "the item has {attributes} attributes, and at most {MAX_COMPARED_ATTRIBUTES} can be compared to see whether it has changed: expected fewer, or a version attribute (VERSION_ATTRIBUTE)"
                );
                let least = self.least_condition(tries);
                Err(self.fail(&pending(least), &reason).await)
            }
        }
    }

    /// The body for an item.
    pub async fn process(&self, pending: &Pending) -> Result<Vec<u8>, Halt> {
        let tries_attribute = self.config.markers.tries_attribute();
        let without_tries;
        let item = match pending.tries {
            Tries::None | Tries::Foreign => &pending.item,
            Tries::Count(_) => {
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
        let mut set = Item::new();
        let mut remove = Vec::new();
        match &self.lane.done {
            Some(done) => drop(set.insert(markers.attribute.clone(), Value::S(done.clone()))),
            None => remove.push(markers.attribute.clone()),
        }
        if pending.tries != Tries::None {
            remove.push(markers.tries_attribute());
        }
        match self.update(pending, set, remove, &pending.unchanged).await {
            Ok(Updated::From(before)) if before == pending.item => {}
            // Somebody added an attribute that no condition could speak of: what is stored is not that item's result.
            Ok(Updated::From(before)) => return Err(self.take_back(pending, &before).await),
            Ok(Updated::Before) => {}
            Ok(Updated::Not) => return Err(Halt::Skipped),
            // DynamoDB does not like the item as it would be, too large for one.
            Err(error) if error.kind() == ErrorKind::Refused => {
                return Err(self.fail(pending, &error_chain(&error)).await);
            }
            Err(error) => return Err(Halt::Trouble(error)),
        }
        if pending.tries != Tries::None || self.config.max_tries == 1 {
            // It was set aside once: what tells of it is not true any more. That it is left behind by a crash does no harm.
            let name = set_aside_object(self.table, &pending.key);
            let deleted = self.objects.delete(&self.config.lake_bucket, &name).await;
            if let Err(error) = deleted {
                warn!(
                    error = error_chain(&error),
                    "an item is done, and the object that says why it was not stays"
                );
            }
        }
        Ok(())
    }

    /// Makes an item pending again that was marked although it had changed, unless somebody has changed the marker since.
    async fn take_back(&self, pending: &Pending, before: &Item) -> Halt {
        let markers = &self.config.markers;
        let names = [markers.attribute.clone(), markers.tries_attribute()];
        let set = some_attributes(before, &names);
        let condition = match &self.lane.done {
            Some(done) => Condition::holds(Item::from([(
                markers.attribute.clone(),
                Value::S(done.clone()),
            )])),
            None => Condition::Holds {
                attributes: pending.key.clone(),
                absent: vec![markers.attribute.clone()],
            },
        };
        match self.update(pending, set, Vec::new(), &condition).await {
            Ok(_) => Halt::Skipped,
            Err(error) => Halt::Trouble(error),
        }
    }

    /// Puts an object of an item, unless the item has changed since it was read.
    pub(crate) async fn store(
        &self,
        name: &str,
        body: Vec<u8>,
        pending: &Pending,
    ) -> Result<(), Halt> {
        let is_current = async || {
            let now = self.tables.item(self.table, &pending.key).await?;
            Ok(now.as_ref() == Some(&pending.item))
        };
        let bucket = &self.config.lake_bucket;
        let body = Bytes::from(body);
        let stored = self
            .patiently(async || store(self.objects, bucket, name, body.clone(), &is_current).await)
            .await?;
        match stored {
            Stored::Held => Ok(()),
            Stored::Outdated => Err(Halt::Skipped),
        }
    }

    /// Changes the item if the condition holds.
    pub(crate) async fn update(
        &self,
        pending: &Pending,
        set: Item,
        remove: Vec<String>,
        condition: &Condition,
    ) -> Result<Updated, StorageError> {
        let write = ItemWrite::Update {
            key: pending.key.clone(),
            set,
            remove,
        };
        let outcome = self
            .patiently(async || self.tables.write_if(self.table, &write, condition).await)
            .await?;
        Ok(match (outcome, write) {
            (WriteOutcome::Updated(Some(before)), _) => Updated::From(before),
            // The condition wants the item there; a store that does not say what it was says nothing against the mark.
            (WriteOutcome::Updated(None), _) => Updated::Before,
            // An earlier attempt at this very write may have landed while its answer was lost.
            (WriteOutcome::Refused(Some(held)), ItemWrite::Update { set, remove, .. }) => {
                let mut after = pending.item.clone();
                after.retain(|name, _| !remove.contains(name));
                after.extend(set);
                match held == after {
                    true => Updated::Before,
                    false => Updated::Not,
                }
            }
            (WriteOutcome::Done | WriteOutcome::Refused(_), _) => Updated::Not,
        })
    }

    /// Makes a call. While the store throttles it, this waits and tries again, with its place among the calls under way: so a run
    /// comes down to the pace of a hot partition, and what is processed and stored is not done again for want of a mark. Every
    /// other failure is left to the next run.
    async fn patiently<R>(
        &self,
        call: impl AsyncFn() -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        let (mut bound, longest) = BACK_OFF;
        loop {
            match call().await {
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

    /// The condition that the item is what was read; nothing if it cannot be said.
    ///
    /// With a version attribute: the version, the marker and the tries. Else every attribute, but for the key. An attribute that was
    /// *added* meanwhile is no matter for a condition, unless it is that of the tries; the answer to the mark tells of it.
    fn unchanged(&self, key: &Item, item: &Item, tries: Tries) -> Option<Condition> {
        let markers = &self.config.markers;
        let tries_attribute = markers.tries_attribute();
        let absent = match tries {
            Tries::None => vec![tries_attribute.clone()],
            Tries::Count(_) | Tries::Foreign => Vec::new(),
        };
        if let Some(version) = &self.config.version_attribute
            && item.contains_key(version)
        {
            let names = [markers.attribute.clone(), version.clone(), tries_attribute];
            return Some(Condition::Holds {
                attributes: some_attributes(item, &names),
                absent,
            });
        }
        let compared = item.len() - key.len() + absent.len();
        (compared <= MAX_COMPARED_ATTRIBUTES).then(|| {
            let mut attributes = item.clone();
            attributes.retain(|name, _| !key.contains_key(name));
            Condition::Holds { attributes, absent }
        })
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
