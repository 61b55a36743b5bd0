//! How an item says what became of it: the texts of the marker attribute, lane by lane, and the index that finds them.

use std::collections::BTreeSet;

use records::{KeyType, ShardFormat, TableShape};

/// What a finished item's marker becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoneBy {
    /// The done marker. The index then holds every item.
    Set,
    /// Nothing: the attribute is removed, and with it the item from the index, at half the cost there.
    Remove,
}

impl std::str::FromStr for DoneBy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "set" => Ok(Self::Set),
            "remove" => Ok(Self::Remove),
            _ => Err(()),
        }
    }
}

/// The marker attribute and its texts. With several lanes each has texts of its own, so that the index has as many partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// The marker attribute: the partition key of the index.
    pub attribute: String,
    pending: ShardFormat,
    done: ShardFormat,
    failed: ShardFormat,
    done_by: DoneBy,
    lanes: u32,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkerFault {
    /// The variable that has it.
    pub variable: &'static str,
    /// The value.
    pub value: String,
    /// What was expected.
    pub expected: &'static str,
}

/// One lane: the items of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// From 0.
    pub number: u32,
    /// The marker of an item that is to be processed.
    pub pending: String,
    /// The marker of one that has been processed; nothing if the attribute is removed.
    pub done: Option<String>,
    /// The marker of one that was set aside.
    pub failed: String,
}

impl Markers {
    /// Markers of `lanes` lanes, with formats as in a row mapping's shards (`false#{shard:02}`).
    ///
    /// # Errors
    /// A format that is none, or with which two markers or two lanes could not be told apart.
    pub fn new(
        attribute: &str,
        pending: &str,
        done: &str,
        failed: &str,
        done_by: DoneBy,
        lanes: u32,
    ) -> Result<Self, MarkerFault> {
        let markers = Self {
            attribute: attribute.to_owned(),
            pending: parse("PENDING_MARKER", pending, lanes)?,
            done: parse("DONE_MARKER", done, 1)?,
            failed: parse("FAILED_MARKER", failed, lanes)?,
            done_by,
            lanes,
        };
        let texts = |format: &ShardFormat| -> BTreeSet<String> {
            (0..lanes).map(|lane| format.text(lane)).collect()
        };
        let pending_texts = texts(&markers.pending);
        let done_texts = match done_by {
            DoneBy::Set => texts(&markers.done),
            DoneBy::Remove => BTreeSet::new(),
        };
        let failed_texts = texts(&markers.failed);
        let fault = |variable, value: &str, expected| {
            Err(MarkerFault {
                variable,
                value: value.to_owned(),
                expected,
            })
        };
        if !pending_texts.is_disjoint(&done_texts) {
            return fault(
                "DONE_MARKER",
                done,
                "another text than the pending marker's",
            );
        }
        if !failed_texts.is_disjoint(&pending_texts) || !failed_texts.is_disjoint(&done_texts) {
            return fault(
                "FAILED_MARKER",
                failed,
                "another text than the pending and the done marker's",
            );
        }
        Ok(markers)
    }

    /// All lanes.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        (0..self.lanes).map(|number| self.make(number))
    }

    /// How many lanes there are.
    pub fn lane_count(&self) -> u32 {
        self.lanes
    }

    /// One lane, if there is one of this number.
    pub fn lane(&self, number: u32) -> Option<Lane> {
        (number < self.lanes).then(|| self.make(number))
    }

    /// The attribute that counts an item's failed tries; an item that is set aside has it, and one put back.
    pub fn tries_attribute(&self) -> String {
        format!("{}_tries", self.attribute)
    }

    fn make(&self, number: u32) -> Lane {
        Lane {
            number,
            pending: self.pending.text(number),
            done: match self.done_by {
                DoneBy::Set => Some(self.done.text(number)),
                DoneBy::Remove => None,
            },
            failed: self.failed.text(number),
        }
    }
}

/// A format; with several lanes one that tells them apart.
fn parse(variable: &'static str, format: &str, lanes: u32) -> Result<ShardFormat, MarkerFault> {
    let fault = |expected| MarkerFault {
        variable,
        value: format.to_owned(),
        expected,
    };
    let parsed = ShardFormat::parse(format)
        .ok()
        .filter(|parsed| !parsed.names_value())
        .ok_or_else(|| {
            fault("a text, which may hold {shard} or {shard:02} for the lane's number")
        })?;
    match lanes > 1 && !parsed.names_shard() {
        true => Err(fault(
            "a text with {shard} in it, since there are several lanes",
        )),
        false => Ok(parsed),
    }
}

/// Whether the index can find items by their marker.
///
/// # Errors
/// What is wrong with the index, and how to make the right one.
pub fn check_index(table: &TableShape, index: &str, attribute: &str) -> Result<(), String> {
    let name = &table.name;
    if table.keys().any(|key| key.name == attribute) {
        return Err(format!(
            "{attribute:?} is a key attribute of table {name}, and keys cannot be changed: expected another marker attribute"
        ));
    }
    let wanted = format!(
        "expected a global secondary index whose partition key is {attribute:?} alone, of type S (a BOOL can be no key: \
         the markers are texts); this makes it: aws dynamodb update-table --table-name {name} \
         --attribute-definitions AttributeName={attribute},AttributeType=S --global-secondary-index-updates \
         '[{{\"Create\":{{\"IndexName\":\"{index}\",\"KeySchema\":[{{\"AttributeName\":\"{attribute}\",\"KeyType\":\"HASH\"}}],\
         \"Projection\":{{\"ProjectionType\":\"KEYS_ONLY\"}}}}}}]'"
    );
    let Some(found) = table.indexes.iter().find(|found| found.name == index) else {
        let names: Vec<&str> = (table.indexes.iter())
            .map(|index| index.name.as_str())
            .collect();
        let there = match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        return Err(format!(
            "table {name} has no index {index:?} (it has {there}): {wanted}"
        ));
    };
    match found.partition.as_slice() {
        [key] if key.name == attribute && key.kind == KeyType::S => Ok(()),
        keys => {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| format!("{} ({})", key.name, key.kind))
                .collect();
            Err(format!(
                "index {index:?} of table {name} has the partition key {} (delete it first, or name another one): {wanted}",
                keys.join(" and ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use records::{IndexShape, KeyAttribute};

    use super::*;

    #[test]
    fn lanes_have_texts_of_their_own() {
        let markers = Markers::new(
            "processed",
            "false#{shard:02}",
            "true#{shard:02}",
            "failed#{shard}",
            DoneBy::Set,
            12,
        )
        .unwrap();
        let lane = markers.lane(11).unwrap();
        assert_eq!(lane.pending, "false#11");
        assert_eq!(lane.done.as_deref(), Some("true#11"));
        assert_eq!(lane.failed, "failed#11");
        assert_eq!(markers.lane(12), None);
        assert_eq!(markers.lanes().count(), 12);
    }

    #[test]
    fn removal_needs_no_done_marker() {
        let markers = Markers::new("p", "x", "x", "failed", DoneBy::Remove, 1).unwrap();
        assert_eq!(markers.lane(0).unwrap().done, None);
    }

    #[test]
    fn an_index_that_cannot_find_items_is_refused_with_what_to_do() {
        let key = |name: &str, kind| KeyAttribute {
            name: name.to_owned(),
            kind,
        };
        let table = |indexes: Vec<(&str, Vec<KeyAttribute>)>| TableShape {
            name: "offers".to_owned(),
            partition: key("id", KeyType::S),
            sort: None,
            indexes: indexes
                .into_iter()
                .map(|(name, partition)| IndexShape {
                    name: name.to_owned(),
                    partition,
                    sort: Vec::new(),
                })
                .collect(),
        };
        let marker = |kind| vec![key("processed", kind)];
        let check = |table: &TableShape| check_index(table, "pending", "processed");
        assert_eq!(check(&table(vec![("pending", marker(KeyType::S))])), Ok(()));
        let none = check(&table(vec![("other", marker(KeyType::S))])).unwrap_err();
        assert!(
            none.starts_with("table offers has no index \"pending\" (it has other): expected a global secondary index"),
            "{none}"
        );
        assert!(none.contains("AttributeName=processed,AttributeType=S"));
        let number = check(&table(vec![("pending", marker(KeyType::N))])).unwrap_err();
        assert!(
            number.starts_with(
                "index \"pending\" of table offers has the partition key processed (N) (delete it first, or name another one): expected"
            ),
            "{number}"
        );
        let two = vec![key("processed", KeyType::S), key("day", KeyType::S)];
        assert!(check(&table(vec![("pending", two)])).is_err());
        let own = check_index(&table(Vec::new()), "pending", "id").unwrap_err();
        assert!(own.contains("is a key attribute of table offers"), "{own}");
    }
}
