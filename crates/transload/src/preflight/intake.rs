//! Where the rows of every format end up: checked against the keys, measured, counted.

use std::io;
use std::rc::Rc;

use records::{MAX_ITEM_BYTES, TableShape, Value, base64_text};

use super::cell::Cell;
use super::findings::{Findings, Kind, Place};
use super::frequent::Frequent;
use super::key_plan::{KeyPlan, Role};
use super::{Hottest, IndexUse, Projection};
use crate::duplicate_keys::{DuplicateKeys, RowPlace};

/// Values of a partition key that are counted at a time: one that has a share of more than a thousandth is never missed, and
/// no other is of interest.
const COUNTED_VALUES: usize = 1_024;
/// Bytes that one write unit pays for (Developer Guide, "DynamoDB read and write operations").
const WRITE_UNIT_BYTES: u64 = 1_024;

#[derive(Debug)]
struct IndexTally {
    name: String,
    entries: u64,
    units: u64,
    partitions: Frequent,
}

/// Takes rows in.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) plan: KeyPlan,
    pub(super) findings: Findings,
    projection: Projection,
    objects: Vec<Rc<str>>,
    duplicates: DuplicateKeys,
    indexes: Vec<IndexTally>,
    /// The table's partition keys, where more than one item may have the same one.
    partitions: Option<Frequent>,
    pub(super) rows: u64,
    pub(super) bad_rows: u64,
    pub(super) item_bytes: u64,
    pub(super) largest_item: u64,
    pub(super) largest_place: Option<(Rc<str>, u64)>,
    pub(super) table_units: u64,
}

/// What all rows came to.
pub(super) struct Tallied {
    pub(super) distinct_keys: u64,
    pub(super) duplicate_rows: u64,
    pub(super) repeated_keys: u64,
    pub(super) indexes: Vec<IndexUse>,
    pub(super) hottest: Option<Hottest>,
    pub(super) findings: Findings,
}

impl Intake {
    pub(super) fn new(shape: &TableShape, projection: Projection) -> io::Result<Self> {
        let tally = |name: &String| IndexTally {
            name: name.clone(),
            entries: 0,
            units: 0,
            partitions: Frequent::new(COUNTED_VALUES),
        };
        Ok(Self {
            plan: KeyPlan::new(shape),
            findings: Findings::default(),
            projection,
            objects: Vec::new(),
            duplicates: DuplicateKeys::new()?,
            indexes: shape
                .indexes
                .iter()
                .map(|index| tally(&index.name))
                .collect(),
            partitions: shape.sort.is_some().then(|| Frequent::new(COUNTED_VALUES)),
            rows: 0,
            bad_rows: 0,
            item_bytes: 0,
            largest_item: 0,
            largest_place: None,
            table_units: 0,
        })
    }

    /// The rows that follow are of this object.
    pub(super) fn begin(&mut self, object: Rc<str>) {
        self.objects.push(object);
    }

    fn object(&self) -> Rc<str> {
        self.objects.last().cloned().unwrap_or_default()
    }

    /// Notes something of the object as a whole.
    pub(super) fn note(&mut self, kind: Kind, detail: impl Into<String>) {
        let object = self.object();
        self.findings.add(kind, || Place {
            object,
            line: None,
            detail: detail.into(),
        });
    }

    /// Notes something of a row that is not bad for it.
    pub(super) fn note_row(&mut self, kind: Kind, line: u64, detail: impl FnOnce() -> String) {
        let object = self.objects.last();
        self.findings.add(kind, || Place {
            object: object.cloned().unwrap_or_default(),
            line: Some(line),
            detail: detail(),
        });
    }

    /// Counts a row that is no item.
    pub(super) fn reject(&mut self, kind: Kind, line: u64, detail: impl FnOnce() -> String) {
        self.rows += 1;
        self.bad_rows += 1;
        self.note_row(kind, line, detail);
    }

    /// Counts a row with an item of `size` bytes; `cells` are in the order of the plan's attributes.
    pub(super) fn take(&mut self, line: u64, size: usize, cells: &[Cell]) -> io::Result<()> {
        if let Some((kind, detail)) = self.fault(size, cells) {
            self.reject(kind, line, || detail);
            return Ok(());
        }
        self.rows += 1;
        let size = size as u64;
        self.item_bytes += size;
        if size > self.largest_item {
            self.largest_item = size;
            self.largest_place = Some((self.object(), line));
        }
        self.table_units += units(size);
        for index in 0..self.indexes.len() {
            self.take_into_index(index, line, size, cells);
        }
        let value = |role: &Role| match &cells[role.attribute] {
            Cell::Good(value) => value,
            _ => unreachable!("the table's key was checked"),
        };
        let sort = self.plan.table.get(1).map(value);
        let partition = value(&self.plan.table[0]);
        if let Some(partitions) = &mut self.partitions {
            partitions.push(&TableShape::canonical_key_of_values(partition, None));
        }
        let key = TableShape::canonical_key_of_values(partition, sort);
        let place = RowPlace {
            source: u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX),
            row: line,
        };
        // Which of two rows with a key an import takes does not depend on what else is in them.
        self.duplicates.push([key], b"", place)
    }

    /// What keeps a row from being an item.
    fn fault(&self, size: usize, cells: &[Cell]) -> Option<(Kind, String)> {
        let in_table = |role: &Role| self.fault_of(role, cells, true);
        let in_index = |role: &Role| self.fault_of(role, cells, false);
        if let Some(fault) = self.plan.table.iter().find_map(in_table) {
            return Some(fault);
        }
        if let Some(fault) = self.plan.indexes.iter().flatten().find_map(in_index) {
            return Some(fault);
        }
        (size > MAX_ITEM_BYTES).then(|| {
            let detail = format!("the item has {size} bytes: expected {MAX_ITEM_BYTES} at most");
            (Kind::ItemTooLarge, detail)
        })
    }

    fn fault_of(&self, role: &Role, cells: &[Cell], of_table: bool) -> Option<(Kind, String)> {
        let name = &self.plan.attributes[role.attribute].name;
        let kind = |kind: Kind| match of_table {
            true => kind,
            false => Kind::IndexKey,
        };
        match &cells[role.attribute] {
            Cell::Absent if of_table => Some((
                Kind::MissingKey,
                format!("the key {name:?} is missing or empty"),
            )),
            Cell::Absent => None,
            Cell::Bad(detail) => Some((kind(Kind::KeyWrongType), format!("{name:?}: {detail}"))),
            Cell::Good(value) => match key_bytes(value) {
                0 => Some((kind(Kind::MissingKey), format!("the key {name:?} is empty"))),
                bytes if bytes > role.max_bytes => Some((
                    kind(Kind::KeyTooLong),
                    format!(
                        "the key {name:?} has {bytes} bytes: expected {} at most",
                        role.max_bytes
                    ),
                )),
                _ => None,
            },
        }
    }

    fn take_into_index(&mut self, index: usize, line: u64, size: u64, cells: &[Cell]) {
        let roles = &self.plan.indexes[index];
        let absent = roles
            .iter()
            .any(|role| cells[role.attribute] == Cell::Absent);
        if absent {
            let name = self.indexes[index].name.clone();
            return self.note_row(Kind::OutsideIndex, line, || format!("not in {name}"));
        }
        let mut entry_bytes = 0;
        let mut partition = Vec::new();
        let mut seen = vec![false; cells.len()];
        for role in roles.iter().chain(&self.plan.table) {
            let Cell::Good(value) = &cells[role.attribute] else {
                continue;
            };
            if !std::mem::replace(&mut seen[role.attribute], true) {
                entry_bytes += self.plan.attributes[role.attribute].name.len() + value.size();
            }
        }
        for role in roles.iter().filter(|role| role.is_partition) {
            if let Cell::Good(value) = &cells[role.attribute] {
                partition.extend(TableShape::canonical_key_of_values(value, None));
            }
        }
        let tally = &mut self.indexes[index];
        tally.entries += 1;
        tally.units += units(match self.projection {
            Projection::KeysOnly => entry_bytes as u64,
            Projection::All => size,
        });
        tally.partitions.push(&partition);
    }

    /// All rows have been taken in.
    pub(super) fn finish(self) -> io::Result<(Tallied, Counts)> {
        let duplicates = self.duplicates.finish()?;
        let mut findings = self.findings;
        let examples = duplicates.examples.iter();
        let examples = examples.map(|(before, later)| same_key(*before, *later, &self.objects));
        findings.count(Kind::DuplicateKey, duplicates.rows);
        findings.show(Kind::DuplicateKey, examples.collect());
        let tallied = Tallied {
            distinct_keys: duplicates.keys,
            duplicate_rows: duplicates.rows,
            repeated_keys: duplicates.repeated_keys,
            indexes: self
                .indexes
                .into_iter()
                .map(|tally| IndexUse {
                    hottest: hottest(&tally.partitions),
                    name: tally.name,
                    entries: tally.entries,
                    units: tally.units,
                })
                .collect(),
            hottest: self.partitions.as_ref().and_then(hottest),
            findings,
        };
        let counts = Counts {
            rows: self.rows,
            bad_rows: self.bad_rows,
            item_bytes: self.item_bytes,
            largest_item: self.largest_item,
            largest_place: self.largest_place,
            table_units: self.table_units,
        };
        Ok((tallied, counts))
    }
}

/// A row with the key of one before it.
fn same_key(before: RowPlace, later: RowPlace, objects: &[Rc<str>]) -> Place {
    let name = |place: RowPlace| -> Rc<str> {
        let index = usize::try_from(place.source).unwrap_or(usize::MAX);
        objects.get(index).cloned().unwrap_or_default()
    };
    let of = match before.source == later.source {
        true => String::new(),
        false => format!(" of {}", name(before)),
    };
    Place {
        object: name(later),
        line: Some(later.row),
        detail: format!("it has the key of line {}{of}", before.row),
    }
}

/// Sums over all rows.
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) bad_rows: u64,
    pub(super) item_bytes: u64,
    pub(super) largest_item: u64,
    pub(super) largest_place: Option<(Rc<str>, u64)>,
    pub(super) table_units: u64,
}

/// Write units for so many bytes.
fn units(bytes: u64) -> u64 {
    bytes.div_ceil(WRITE_UNIT_BYTES).max(1)
}

fn key_bytes(value: &Value) -> usize {
    match value {
        Value::S(text) => text.len(),
        Value::B(bytes) => bytes.len(),
        // A number takes 21 bytes at the most, so no limit can be met.
        _ => 1,
    }
}

fn hottest(partitions: &Frequent) -> Option<Hottest> {
    partitions.top().map(|top| Hottest {
        value: readable(&top.value),
        rows_at_least: top.at_least,
        exact: top.exact,
    })
}

/// A canonical key as text: `false`, `a, 7`.
fn readable(mut key: &[u8]) -> String {
    let mut parts = Vec::new();
    while let [tag, a, b, c, d, rest @ ..] = key {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (value, behind) = rest.split_at(length.min(rest.len()));
        parts.push(match tag {
            b'B' => base64_text(value),
            _ => String::from_utf8_lossy(value).into_owned(),
        });
        key = behind;
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_whole_kilobytes() {
        assert_eq!([0, 1, 1_024, 1_025, 2_049].map(units), [1, 1, 1, 2, 3]);
    }

    #[test]
    fn a_key_can_be_read() {
        let value = |text: &str| Value::S(text.to_owned());
        let number = Value::N(records::Number::parse("7.0").unwrap());
        let key = TableShape::canonical_key_of_values(&value("a"), Some(&number));
        assert_eq!(readable(&key), "a, 7");
        let bytes = TableShape::canonical_key_of_values(&Value::B(vec![1, 2]), None);
        assert_eq!(readable(&bytes), "AQI=");
        assert_eq!(readable(b""), "");
    }
}
