//! What was seen of an attribute: a state that grows with every value and forgets no type.
//!
//! States form a semilattice: merging two in any order, or piece by piece, gives what one reading of all lines gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MAX_NAME_BYTES;
use crate::fault::LineFault;
use crate::names::Names;
use crate::text::Text;
use crate::walk::{Tag, Walk};

/// Distinct paths below an attribute, past which it is only known at its first level.
pub(super) const MAX_PATHS: usize = 200;

/// How many values of each type there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, u64>", try_from = "BTreeMap<String, u64>")]
pub(super) struct Counts([u64; TAGS.len()]);

/// The types in the order of [`Counts`].
const TAGS: [(Tag, &str); 10] = [
    (Tag::S, "S"),
    (Tag::N, "N"),
    (Tag::B, "B"),
    (Tag::Bool, "BOOL"),
    (Tag::Null, "NULL"),
    (Tag::Ss, "SS"),
    (Tag::Ns, "NS"),
    (Tag::Bs, "BS"),
    (Tag::L, "L"),
    (Tag::M, "M"),
];

/// How large numbers were: the digits that the largest needs before its point, and the most behind one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Digits {
    pub(super) whole: u8,
    pub(super) places: u8,
    /// Whether one without digits behind the point does not fit 64 bits.
    pub(super) beyond: bool,
}

/// Values of one place, without what is inside of lists and maps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaf {
    pub(super) counts: Counts,
    /// Of numbers, and of those in sets.
    pub(super) digits: Digits,
}

/// Values of one place and what is inside of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) leaf: Leaf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) elements: Option<Box<Node>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) members: BTreeMap<String, Node>,
}

/// An attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attribute {
    pub(super) node: Node,
    /// All direct members of its maps in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) values: Option<Box<Leaf>>,
    /// Whether there were so many paths below it that `node` has nothing inside any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) wide: bool,
}

impl From<Counts> for BTreeMap<String, u64> {
    fn from(counts: Counts) -> Self {
        counts
            .seen()
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

impl TryFrom<BTreeMap<String, u64>> for Counts {
    type Error = String;

    fn try_from(named: BTreeMap<String, u64>) -> Result<Self, String> {
        let mut counts = Self::default();
        for (name, count) in named {
            let index = TAGS
                .iter()
                .position(|(_, other)| *other == name)
                .ok_or_else(|| format!("there is no DynamoDB type {name:?}"))?;
            counts.0[index] = count;
        }
        Ok(counts)
    }
}

impl Counts {
    fn add(&mut self, tag: Tag) {
        self.0[tag as usize] = self.0[tag as usize].saturating_add(1);
    }

    fn merge(&mut self, other: &Self) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(other);
        }
    }

    /// The types that there were, with how often.
    pub(super) fn seen(self) -> impl Iterator<Item = (&'static str, u64)> {
        TAGS.iter()
            .zip(self.0)
            .filter(|(_, count)| *count > 0)
            .map(|((_, name), count)| (*name, count))
    }

    pub(super) fn total(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |total, count| total.saturating_add(*count))
    }

    pub(super) fn has_null(&self) -> bool {
        self.0[Tag::Null as usize] > 0
    }

    /// The one type besides NULL; `Err(true)` if there are several, `Err(false)` if there is none.
    pub(super) fn single(&self) -> Result<Tag, bool> {
        let mut found = Err(false);
        for ((tag, _), count) in TAGS.iter().zip(self.0) {
            if count > 0 && *tag != Tag::Null {
                if found.is_ok() {
                    return Err(true);
                }
                found = Ok(*tag);
            }
        }
        found
    }
}

impl Digits {
    fn merge(&mut self, other: &Self) {
        self.whole = self.whole.max(other.whole);
        self.places = self.places.max(other.places);
        self.beyond |= other.beyond;
    }

    /// Counts the digits of a number that the walk has checked.
    fn add(&mut self, number: &Text<'_>) {
        let digits = match short_digits(number.raw()) {
            Some(digits) => digits,
            None => long_digits(number),
        };
        self.merge(&digits);
    }
}

/// The digits of a number of at most 18 of them without an exponent. Nearly all are.
fn short_digits(raw: &[u8]) -> Option<Digits> {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    if digits.len() > 18 {
        return None;
    }
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let leading = whole.iter().take_while(|digit| **digit == b'0').count();
    let places = fraction
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1);
    Some(Digits {
        whole: count(whole.len() - leading),
        places: count(places),
        beyond: false,
    })
}

#[cold]
fn long_digits(number: &Text<'_>) -> Digits {
    let Ok(number) = records::Number::parse(&number.to_text()) else {
        return Digits::default();
    };
    let text = number.as_str();
    let unsigned = text.trim_start_matches('-');
    let (mantissa, exponent) = unsigned.split_once('E').unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let length = |text: &str| i32::try_from(text.len()).unwrap_or(i32::MAX);
    // The number is its significant digits times ten to the power of `last`.
    let significant = all.trim_end_matches('0');
    let last = exponent - length(fraction) + length(&all) - length(significant);
    let significant = significant.trim_start_matches('0');
    let places = (-last).max(0);
    Digits {
        whole: clamped(length(significant) + last),
        places: clamped(places),
        beyond: places == 0 && text.parse::<i64>().is_err(),
    }
}

fn count(digits: usize) -> u8 {
    u8::try_from(digits).unwrap_or(u8::MAX)
}

fn clamped(digits: i32) -> u8 {
    u8::try_from(digits.max(0)).unwrap_or(u8::MAX)
}

impl Leaf {
    fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.digits.merge(&other.digits);
    }
}

impl Node {
    pub(super) fn merge(&mut self, other: Self) {
        self.leaf.merge(&other.leaf);
        if let Some(elements) = other.elements {
            self.elements.get_or_insert_default().merge(*elements);
        }
        for (name, node) in other.members {
            self.members.entry(name).or_default().merge(node);
        }
    }

    /// Paths below this one.
    pub(super) fn paths(&self) -> usize {
        let elements = self.elements.iter().map(|node| 1 + node.paths());
        let members = self.members.values().map(|node| 1 + node.paths());
        elements.chain(members).sum()
    }
}

impl Attribute {
    /// Adds the value at which the walk stands, which is known to be good, and says how many paths are new.
    pub(super) fn add(
        &mut self,
        walk: &mut Walk<'_>,
        names: &mut Names,
    ) -> Result<usize, LineFault> {
        let mut reading = Reading {
            names,
            values: &mut self.values,
            deep: !self.wide,
            new_paths: 0,
            long_name: false,
        };
        reading.value(&mut self.node, walk, Level::Attribute)?;
        let (new_paths, long_name) = (reading.new_paths, reading.long_name);
        if long_name || (new_paths > 0 && self.node.paths() > MAX_PATHS) {
            self.widen();
        }
        Ok(new_paths)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.node.merge(other.node);
        if let Some(values) = other.values {
            self.values.get_or_insert_default().merge(&values);
        }
        if self.wide || other.wide || self.node.paths() > MAX_PATHS {
            self.widen();
        }
    }

    /// Forgets what is below, but for the first level.
    pub(super) fn widen(&mut self) {
        self.wide = true;
        self.node.elements = None;
        self.node.members = BTreeMap::new();
    }
}

/// Reading one value.
struct Reading<'r> {
    names: &'r mut Names,
    values: &'r mut Option<Box<Leaf>>,
    /// Whether lists and maps are looked into.
    deep: bool,
    new_paths: usize,
    long_name: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Attribute,
    /// A member of the attribute's map.
    Member,
    Below,
}

impl Reading<'_> {
    fn value(
        &mut self,
        node: &mut Node,
        walk: &mut Walk<'_>,
        level: Level,
    ) -> Result<(), LineFault> {
        let tag = walk.tag()?;
        let leaf = self.leaf(tag, walk)?;
        if level == Level::Member {
            self.values.get_or_insert_default().merge(&leaf);
        }
        node.leaf.merge(&leaf);
        match tag {
            Tag::L => {
                let mut elements = walk.array()?;
                while walk.element(&mut elements)? {
                    let mut unused = Node::default();
                    let element = match self.deep {
                        true => {
                            self.new_paths += usize::from(node.elements.is_none());
                            node.elements.get_or_insert_default()
                        }
                        false => &mut unused,
                    };
                    self.value(element, walk, Level::Below)?;
                }
            }
            Tag::M => self.members(node, walk, level)?,
            _ => {}
        }
        walk.close()
    }

    /// What is known of a value without looking into lists and maps; of those nothing is consumed.
    fn leaf(&mut self, tag: Tag, walk: &mut Walk<'_>) -> Result<Leaf, LineFault> {
        let mut leaf = Leaf::default();
        leaf.counts.add(tag);
        match tag {
            Tag::L | Tag::M => {}
            Tag::N => leaf.digits.add(&walk.number()?),
            Tag::Ns => {
                let mut elements = walk.array()?;
                while walk.element(&mut elements)? {
                    leaf.digits.add(&walk.number()?);
                }
            }
            _ => walk.content(tag, self.names, 0)?,
        }
        Ok(leaf)
    }

    fn members(
        &mut self,
        node: &mut Node,
        walk: &mut Walk<'_>,
        level: Level,
    ) -> Result<(), LineFault> {
        let inner = match level {
            Level::Attribute => Level::Member,
            Level::Member | Level::Below => Level::Below,
        };
        let mut object = walk.object()?;
        while let Some(name) = walk.member(&mut object, self.names)? {
            let mut unused = Node::default();
            let long = name.raw().len() > MAX_NAME_BYTES && name.to_text().len() > MAX_NAME_BYTES;
            self.long_name |= long;
            let member = if self.deep && !long {
                let text = name.to_text();
                if !node.members.contains_key(&*text) {
                    self.new_paths += 1;
                    // One value can have more members than are kept; then they are not kept at all.
                    if self.new_paths > MAX_PATHS {
                        self.deep = false;
                    }
                    node.members
                        .insert(text.clone().into_owned(), Node::default());
                }
                node.members.get_mut(&*text).unwrap_or(&mut unused)
            } else {
                &mut unused
            };
            self.value(member, walk, inner)?;
        }
        Ok(())
    }
}
