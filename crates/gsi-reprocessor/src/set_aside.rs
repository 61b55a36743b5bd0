//! Items that could not be processed: a try is counted, and after the last one the item is set aside.

use records::{Item, Number, Value, write_item_dynamodb_json};
use serde::Serialize;
use serde_json::value::RawValue;
use storage::{Clock, Condition, ErrorKind, ItemStore, ObjectStore, StorageError};

use crate::names::set_aside_object;
use crate::process::Process;
use crate::work::{Halt, Pending, Tries, Updated, Work};

/// What is kept of an item that could not be processed.
#[derive(Serialize)]
struct SetAside<'a> {
    reason: &'a str,
    tries: u64,
    item: &'a RawValue,
}

impl<O: ObjectStore, T: ItemStore, C: Clock, P: Process> Work<'_, O, T, C, P> {
    /// Counts a try of an item that could not be processed, and sets it aside if it has had them all.
    pub async fn fail(&self, pending: &Pending, reason: &str) -> Halt {
        match self.try_failed(pending, reason).await {
            Ok(halt) => halt,
            Err(error) => Halt::Trouble(error),
        }
    }

    async fn try_failed(&self, pending: &Pending, reason: &str) -> Result<Halt, StorageError> {
        let markers = &self.config.markers;
        let (tries, set_aside) = match pending.tries {
            Tries::Foreign => (0, true),
            Tries::None => (1, self.config.max_tries <= 1),
            Tries::Count(count) => {
                let tries = count.saturating_add(1);
                (tries, tries >= u64::from(self.config.max_tries))
            }
        };
        let mut set = Item::new();
        if tries > 0 {
            set.insert(markers.tries_attribute(), count_value(tries));
        }
        if set_aside {
            return self.set_aside(pending, tries, reason, set).await;
        }
        match self
            .update(pending, set, Vec::new(), &pending.unchanged)
            .await
        {
            Ok(Updated::Not) => Ok(Halt::Skipped),
            Ok(_) => Ok(Halt::Failed { set_aside: false }),
            // There is no room in the item for the count: this was its only try.
            Err(error) if error.kind() == ErrorKind::Refused => {
                self.set_aside(pending, tries, reason, Item::new()).await
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the item with its reason, then marks it failed.
    async fn set_aside(
        &self,
        pending: &Pending,
        tries: u64,
        reason: &str,
        mut set: Item,
    ) -> Result<Halt, StorageError> {
        let name = set_aside_object(self.table, &pending.key);
        let body = set_aside_body(pending, tries, reason);
        match self.store(&name, body, pending).await {
            Ok(()) => {}
            Err(Halt::Trouble(error)) => return Err(error),
            Err(halt) => return Ok(halt),
        }
        let failed = Value::S(self.lane.failed.clone());
        set.insert(self.config.markers.attribute.clone(), failed.clone());
        let has_count = set.len() > 1;
        let marked = match self
            .update(pending, set, Vec::new(), &pending.unchanged)
            .await
        {
            Err(error) if error.kind() == ErrorKind::Refused && has_count => {
                // As above.
                let set = Item::from([(self.config.markers.attribute.clone(), failed)]);
                self.update(pending, set, Vec::new(), &pending.unchanged)
                    .await
            }
            marked => marked,
        };
        Ok(match marked? {
            Updated::Not => Halt::Skipped,
            _ => Halt::Failed { set_aside: true },
        })
    }

    /// The least that tells that an item was not done or failed meanwhile, for one that is only to be set aside.
    pub(crate) fn least_condition(&self, tries: Tries) -> Condition {
        let markers = &self.config.markers;
        let marker = (
            markers.attribute.clone(),
            Value::S(self.lane.pending.clone()),
        );
        let mut attributes = Item::from([marker]);
        let mut absent = Vec::new();
        match tries {
            Tries::None => absent.push(markers.tries_attribute()),
            Tries::Count(count) => {
                attributes.insert(markers.tries_attribute(), count_value(count));
            }
            Tries::Foreign => {}
        }
        Condition::Holds { attributes, absent }
    }
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
