//! What belongs where: the plan of a batch, before anything is stored.

use std::borrow::Cow;
use std::collections::hash_map::{Entry, HashMap};

use records::changes::{ChangeFault, SECONDS_PER_HOUR, StreamRecord, sequence_text_of};
use serde_json::value::RawValue;

/// A record that has its place.
#[derive(Debug)]
pub struct Placed<'a> {
    /// Where it stands in the batch, from 0.
    pub position: usize,
    /// The record as it arrived.
    pub raw: &'a str,
    /// By which it is known again.
    pub event_id: Cow<'a, str>,
}

/// A record that has none.
#[derive(Debug)]
pub struct SetAside<'a> {
    /// Where it stands in the batch, from 0.
    pub position: usize,
    /// The record as it arrived.
    pub raw: &'a RawValue,
    /// Why.
    pub fault: ChangeFault,
}

/// Records of one hour, in the order of the batch; never empty.
pub type Group<'a> = Vec<Placed<'a>>;

/// Where the records of a batch go.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// By their first records.
    pub groups: Vec<Group<'a>>,
    /// In order.
    pub set_aside: Vec<SetAside<'a>>,
}

/// Divides a batch into what goes into the log of `table`, by hour, and what cannot. A record that comes twice goes once.
pub fn plan<'a>(records: &[&'a RawValue], table: &str) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut group_of_hour: HashMap<u64, usize> = HashMap::new();
    let mut known: HashMap<Cow<'a, str>, &'a str> = HashMap::with_capacity(records.len());
    for (position, record) in records.iter().enumerate() {
        let raw = record.get();
        let placed = StreamRecord::parse(raw).and_then(|record| {
            record.check_table(table)?;
            Ok(record)
        });
        let fault = match placed {
            Err(fault) => fault,
            Ok(record) => match known.entry(record.event_id.clone()) {
                Entry::Occupied(first) if *first.get() == raw => continue,
                Entry::Occupied(first) => ChangeFault::TwiceTheId(first.key().to_string()),
                Entry::Vacant(free) => {
                    free.insert(raw);
                    let hour = record.seconds / SECONDS_PER_HOUR;
                    let group = *group_of_hour.entry(hour).or_insert_with(|| {
                        plan.groups.push(Vec::new());
                        plan.groups.len() - 1
                    });
                    plan.groups[group].push(Placed {
                        position,
                        raw,
                        event_id: record.event_id,
                    });
                    continue;
                }
            },
        };
        plan.set_aside.push(SetAside {
            position,
            raw: record,
            fault,
        });
    }
    plan
}

/// The sequence number to report so that the batch comes again from there on: everything before it is safe, and no group that is
/// safe begins before it and ends behind it. For such a group would come again from its middle on, under another name.
///
/// `first_unsafe` is the position of the first record that is not stored; `stored` are the first and last positions of each
/// group that is. Nothing if the batch has to come again as a whole and its first record has no number to say so with.
pub fn resume_at(
    records: &[&RawValue],
    first_unsafe: usize,
    stored: &[(usize, usize)],
) -> Option<String> {
    let mut cut = first_unsafe;
    loop {
        let begun = stored
            .iter()
            .filter(|(first, last)| *first < cut && cut <= *last)
            .map(|(first, _)| *first)
            .min();
        if let Some(first) = begun {
            cut = first;
            continue;
        }
        match sequence_text_of(records[cut].get()) {
            Some(number) => return Some(number.into_owned()),
            // What cannot be named is repeated with the record before it.
            None => cut = cut.checked_sub(1)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    fn record(number: u64, seconds: u64) -> Box<RawValue> {
        raw(&format!(
            r#"{{"eventID":"e{number}","eventName":"REMOVE","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":{seconds},"Keys":{{"id":{{"S":"a"}}}},"SequenceNumber":"{number}"}},"eventSourceARN":"arn:aws:dynamodb:r:1:table/t/stream/l"}}"#
        ))
    }

    fn positions(plan: &Plan<'_>) -> Vec<Vec<usize>> {
        plan.groups
            .iter()
            .map(|group| group.iter().map(|placed| placed.position).collect())
            .collect()
    }

    #[test]
    fn records_are_grouped_by_hour_and_a_repeated_one_goes_once() {
        let changed = raw(&record(2, 3_599).get().replace("REMOVE", "INSERT"));
        let records = [
            record(1, 3_599),
            record(2, 3_600),
            record(3, 3_599),
            record(1, 3_599),
            changed,
            record(4, 7_199),
        ];
        let records: Vec<&RawValue> = records.iter().map(|raw| &**raw).collect();
        let plan = plan(&records, "t");
        assert_eq!(positions(&plan), [vec![0, 2], vec![1, 5]]);
        let [aside] = &plan.set_aside[..] else {
            panic!("{:?}", plan.set_aside);
        };
        assert_eq!(
            (aside.position, aside.fault.to_string()),
            (
                4,
                "another record has the event id e2 as well: expected an id of its own".to_owned()
            )
        );
        assert_eq!(super::plan(&records, "u").set_aside.len(), 6);
    }

    #[test]
    fn what_is_reported_splits_no_stored_group() {
        let unnamed = raw("{}");
        let numbered: Vec<_> = (0..6).map(|number| record(10 + number, 0)).collect();
        let mut records: Vec<&RawValue> = numbered.iter().map(|raw| &**raw).collect();
        let at =
            |records: &[&RawValue], cut, stored: &[(usize, usize)]| resume_at(records, cut, stored);
        assert_eq!(at(&records, 3, &[(0, 2), (4, 5)]).as_deref(), Some("13"));
        assert_eq!(at(&records, 3, &[(2, 4)]).as_deref(), Some("12"));
        assert_eq!(at(&records, 3, &[(2, 4), (1, 2)]).as_deref(), Some("11"));
        records[3] = &unnamed;
        assert_eq!(at(&records, 3, &[]).as_deref(), Some("12"));
        assert_eq!(at(&records, 3, &[(0, 2)]).as_deref(), Some("10"));
        records[0] = &unnamed;
        assert_eq!(at(&records, 0, &[]), None);
        assert_eq!(at(&records, 3, &[(0, 2)]), None);
    }
}
