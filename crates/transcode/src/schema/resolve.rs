//! From what was seen to columns.

use std::collections::BTreeMap;

use super::observed::{Attribute, Digits, Leaf, Node};
use super::parse::MAX_PRECISION;
use super::{Column, ColumnKind, MAX_NAME_BYTES, folded, is_reserved};
use crate::walk::Tag;

/// Members that a struct may have. A map with more of them has names that are data.
const MAX_STRUCT_MEMBERS: usize = 100;

/// Something in an inferred schema that a person may want to decide otherwise. Nothing of it loses data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entity {entity:?}, attribute {path}: {reason}")]
pub struct Conflict {
    /// The entity.
    pub entity: String,
    /// The attribute, and what is inside of it: `.name` is a member, `[]` the elements of a list, `{}` the values of a map.
    pub path: String,
    /// What was seen, and what became of it.
    pub reason: ConflictReason,
}

/// What was seen, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConflictReason {
    /// Values of several types; each type with how often it was there.
    #[error("types {}, so it is json", types(.0))]
    Types(Vec<(&'static str, u64)>),
    /// Numbers that no decimal of 38 digits holds together.
    #[error(
        "numbers with up to {whole} digits before the point and {places} behind it, so it is json: expected 38 in all"
    )]
    Digits {
        /// The most digits before the point.
        whole: u8,
        /// The most digits behind it.
        places: u8,
    },
    /// Another attribute's name differs in the case of letters alone.
    #[error("it has the name of {kept} in other letters, so it stays in _extra")]
    SameLetters {
        /// The attribute that has the column.
        kept: String,
    },
    /// The name is one of ours.
    #[error("its name is kept for Transload's own columns, so it stays in _extra")]
    Reserved,
    /// There are names of more bytes than a column's can have.
    #[error("names of more than 255 bytes ({0} values), which stay in _extra")]
    LongNames(u64),
    /// There are more attributes than columns.
    #[error("more than 2000 attributes: {0} values of those whose names sort last stay in _extra")]
    TooManyAttributes(u64),
    /// There are more entities than a schema has.
    #[error(
        "more than 200 entities: {0} items of those whose names sort last have no columns but _extra"
    )]
    TooManyEntities(u64),
    /// There is more inside of attributes than is looked at.
    #[error("more paths inside of it, or of attributes before it, than are kept, so it is {0}")]
    TooManyPaths(&'static str),
}

fn types(counts: &[(&str, u64)]) -> String {
    let all: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} ({count})"))
        .collect();
    all.join(", ")
}

/// Gathers the conflicts of one entity.
pub(super) struct Resolver<'r> {
    pub(super) entity: &'r str,
    pub(super) conflicts: &'r mut Vec<Conflict>,
}

impl Resolver<'_> {
    /// The columns of attributes, in the order of their names.
    pub(super) fn columns(&mut self, attributes: &BTreeMap<&str, &Attribute>) -> Vec<Column> {
        // Of names that differ in their letters' case alone the one that was seen most has the column.
        let mut kept: BTreeMap<String, &str> = BTreeMap::new();
        for (name, attribute) in attributes {
            let best = kept.entry(folded(name)).or_insert(name);
            if attribute.node.leaf.counts.total() > attributes[*best].node.leaf.counts.total() {
                *best = name;
            }
        }
        let mut columns = Vec::new();
        for (name, attribute) in attributes {
            let best = kept[&folded(name)];
            if is_reserved(name) {
                self.conflict(name, ConflictReason::Reserved);
            } else if best != *name {
                let kept = best.to_owned();
                self.conflict(name, ConflictReason::SameLetters { kept });
            } else {
                columns.push(Column {
                    name: (*name).to_owned(),
                    kind: self.attribute(name, attribute),
                });
            }
        }
        columns
    }

    pub(super) fn conflict(&mut self, path: &str, reason: ConflictReason) {
        self.conflicts.push(Conflict {
            entity: self.entity.to_owned(),
            path: path.to_owned(),
            reason,
        });
    }

    fn attribute(&mut self, path: &str, attribute: &Attribute) -> ColumnKind {
        if !attribute.wide {
            return self.node(path, &attribute.node, true);
        }
        match attribute.node.leaf.counts.single() {
            Ok(Tag::L) => {
                self.conflict(path, ConflictReason::TooManyPaths("a list of json"));
                ColumnKind::List(Box::new(ColumnKind::Json))
            }
            Ok(Tag::M) => {
                let values = attribute.values.as_deref().copied().unwrap_or_default();
                match values.counts.single() {
                    Ok(tag) if tag != Tag::L && tag != Tag::M => ColumnKind::Map(Box::new(
                        self.leaf(&format!("{path}{{}}"), &values, tag, false),
                    )),
                    _ => {
                        self.conflict(path, ConflictReason::TooManyPaths("a map of json"));
                        ColumnKind::Map(Box::new(ColumnKind::Json))
                    }
                }
            }
            // With something else besides: as where nothing is wide.
            _ => self.node(path, &attribute.node, true),
        }
    }

    fn node(&mut self, path: &str, node: &Node, top: bool) -> ColumnKind {
        let tag = match node.leaf.counts.single() {
            Ok(tag) => tag,
            Err(several) => {
                if several {
                    self.types(path, &node.leaf);
                }
                return ColumnKind::Json;
            }
        };
        match tag {
            // A NULL inside would send the whole attribute to `_extra`, again and again.
            _ if !top && node.leaf.counts.has_null() => {
                self.types(path, &node.leaf);
                ColumnKind::Json
            }
            Tag::L => {
                let element = match &node.elements {
                    Some(elements) => self.node(&format!("{path}[]"), elements, false),
                    None => ColumnKind::Json,
                };
                ColumnKind::List(Box::new(element))
            }
            Tag::M => self.map(path, node),
            tag => self.leaf(path, &node.leaf, tag, top),
        }
    }

    fn map(&mut self, path: &str, node: &Node) -> ColumnKind {
        if is_struct(&node.members) {
            let members = node.members.iter().map(|(name, member)| Column {
                name: name.clone(),
                kind: self.node(&format!("{path}.{name}"), member, false),
            });
            return ColumnKind::Struct(members.collect());
        }
        let mut values = Node::default();
        for member in node.members.values() {
            values.merge(member.clone());
        }
        let kind = match node.members.is_empty() {
            true => ColumnKind::Json,
            false => self.node(&format!("{path}{{}}"), &values, false),
        };
        ColumnKind::Map(Box::new(kind))
    }

    /// What holds values of one type that has nothing inside.
    fn leaf(&mut self, path: &str, leaf: &Leaf, tag: Tag, top: bool) -> ColumnKind {
        if !top && leaf.counts.has_null() {
            self.types(path, leaf);
            return ColumnKind::Json;
        }
        let scalar = match tag {
            Tag::S | Tag::Ss => ColumnKind::String,
            Tag::B | Tag::Bs => ColumnKind::Binary,
            Tag::Bool => ColumnKind::Boolean,
            Tag::N | Tag::Ns => match number(leaf.digits) {
                Some(kind) => kind,
                None => {
                    let Digits { whole, places, .. } = leaf.digits;
                    self.conflict(path, ConflictReason::Digits { whole, places });
                    return ColumnKind::Json;
                }
            },
            Tag::Null | Tag::L | Tag::M => return ColumnKind::Json,
        };
        match tag {
            Tag::Ss | Tag::Ns | Tag::Bs => ColumnKind::Set(Box::new(scalar)),
            _ => scalar,
        }
    }

    fn types(&mut self, path: &str, leaf: &Leaf) {
        self.conflict(path, ConflictReason::Types(leaf.counts.seen().collect()));
    }
}

/// The narrowest number type for these digits; nothing if no decimal has them.
fn number(digits: Digits) -> Option<ColumnKind> {
    let Digits {
        whole,
        places,
        beyond,
    } = digits;
    if places == 0 && !beyond {
        return Some(ColumnKind::Integer);
    }
    let precision = whole.checked_add(places)?;
    (precision <= MAX_PRECISION).then_some(ColumnKind::Decimal {
        precision,
        scale: places,
    })
}

/// Whether names are those of members of a thing, and not data such as days or numbers: few, words of letters, digits and
/// `_` that Hive can name in a type, and different in more than the case of letters.
fn is_struct(members: &BTreeMap<String, Node>) -> bool {
    let mut seen = std::collections::HashSet::new();
    !members.is_empty()
        && members.len() <= MAX_STRUCT_MEMBERS
        && members
            .keys()
            .all(|name| is_word(name) && seen.insert(folded(name)))
}

/// Whether Hive can name a member so in the text of a type.
pub(super) fn is_word(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts
        && name.len() <= MAX_NAME_BYTES
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
