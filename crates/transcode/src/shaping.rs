//! Other names for attributes, attributes that are left out, and items that are.

use std::collections::{BTreeMap, HashMap};

use records::{MAX_DEPTH, Number};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fault::LineFault;
use crate::names::Names;
use crate::once::{Members, Object};
use crate::walk::{Tag, Walk};

/// What is done to items on their way: attributes renamed or dropped, and items left out.
///
/// ```
/// let shaping = transcode::Shaping::parse(
///     r#"{"columns": {"old": {"rename": "new"}, "tmp": {"drop": true}}, "keep": {"status": ["active", "new"]}}"#,
/// )?;
/// assert!(!shaping.is_identity());
/// # Ok::<(), transcode::ShapingError>(())
/// ```
///
/// `columns` are attributes of the item itself, not of maps in it; images and keys of incremental lines are shaped alike. An
/// attribute may take the name of another one that is itself renamed or dropped. An item in which it would take a name that
/// stays is a [`LineFault`]: no value is lost, and no name is there twice.
///
/// `keep` keeps the items that have, for each attribute named, one of the values: a text equals an S, and an N as a number; a
/// number equals an N. It looks at the item as it is in the table, before `columns`. Where an incremental line's new image is not
/// kept, the line becomes that of a removal; lines of removals always stay.
///
/// The default does nothing.
#[derive(Debug, Clone, Default)]
pub struct Shaping {
    /// What becomes of attributes that are not just copied, and those whose names others take.
    rules: HashMap<String, Rule>,
    targets: Vec<Target>,
    keep: HashMap<String, Vec<Kept>>,
}

/// What becomes of one attribute.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Drop,
    /// It becomes the target of this number.
    Rename(usize),
    /// It stays, and is called what the target of this number is.
    Stay(usize),
}

/// What a renamed attribute is called.
#[derive(Debug, Clone)]
struct Target {
    name: String,
    /// In quotes and escaped.
    json: String,
}

/// A value that is kept.
#[derive(Debug, Clone)]
enum Kept {
    Text(String, Option<Number>),
    Number(Number),
}

/// The targets that an item has used; made once and kept for its memory.
#[derive(Debug, Default)]
pub(crate) struct Taken(Vec<usize>);

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'s> {
    /// It keeps its name.
    Same,
    /// It has another name.
    Renamed {
        /// The name.
        name: &'s str,
        /// The name as a JSON string, in its quotes.
        json: &'s str,
    },
    /// It is left out.
    Dropped,
}

/// Why a shaping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShapingError {
    /// The text is not JSON, or has a member or a value that no shaping has; the source says where.
    #[error(
        "the shaping cannot be read ({0}): expected a JSON object with the members columns and keep"
    )]
    Json(#[from] serde_json::Error),
    /// A member contradicts itself or another one.
    #[error("the shaping's {member}: {reason}")]
    Member {
        /// The member, such as `columns.price`.
        member: String,
        /// What is wrong with it, and what was expected.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShapingText {
    #[serde(default)]
    columns: Members<Object<ColumnText>>,
    #[serde(default)]
    keep: Members<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnText {
    rename: Option<String>,
    drop: Option<bool>,
}

impl Shaping {
    /// Parses a shaping's JSON.
    ///
    /// # Errors
    /// Members that are unknown, there twice or contradict one another.
    pub fn parse(json: &str) -> Result<Self, ShapingError> {
        let Object(text) = serde_json::from_str::<Object<ShapingText>>(json)?;
        let mut shaping = Self::default();
        let mut stays = BTreeMap::new();
        for (name, Object(column)) in text.columns.0 {
            let fault = |reason| ShapingError::Member {
                member: format!("columns.{name}"),
                reason,
            };
            let rule = match (column.rename, column.drop.unwrap_or(false)) {
                (Some(_), true) => {
                    return Err(fault("expected either rename or drop, and not both"));
                }
                (Some(target), false) if target.is_empty() => {
                    return Err(fault(
                        "rename is empty: expected a name; use drop to leave the column out",
                    ));
                }
                (Some(target), false) => {
                    if stays.contains_key(&target) {
                        return Err(fault(
                            "another column is renamed to the same name: expected a name for each",
                        ));
                    }
                    let number = shaping.targets.len();
                    shaping.targets.push(Target {
                        json: serde_json::to_string(&target)?,
                        name: target.clone(),
                    });
                    stays.insert(target, number);
                    Rule::Rename(number)
                }
                (None, true) => Rule::Drop,
                (None, false) => continue,
            };
            shaping.rules.insert(name, rule);
        }
        for (target, number) in stays {
            shaping.rules.entry(target).or_insert(Rule::Stay(number));
        }
        for (name, values) in text.keep.0 {
            let fault = |reason| ShapingError::Member {
                member: format!("keep.{name}"),
                reason,
            };
            if values.is_empty() {
                return Err(fault(
                    "no item would be kept: expected at least one value in the list",
                ));
            }
            let values: Option<Vec<Kept>> = values.iter().map(|raw| Kept::parse(raw)).collect();
            let values =
                values.ok_or_else(|| fault("expected texts, and numbers of at most 38 digits"))?;
            shaping.keep.insert(name, values);
        }
        Ok(shaping)
    }

    /// Whether nothing is done to any item.
    pub fn is_identity(&self) -> bool {
        !self.shapes_columns() && !self.filters()
    }

    /// Whether any attribute is renamed or dropped.
    pub(crate) fn shapes_columns(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether items can be left out.
    pub(crate) fn filters(&self) -> bool {
        !self.keep.is_empty()
    }

    /// What becomes of an attribute; `taken` is that of its item, see [`Taken::clear`].
    ///
    /// # Errors
    /// If the item has two attributes that would have this name.
    pub(crate) fn place(&self, name: &str, taken: &mut Taken) -> Result<Place<'_>, LineFault> {
        let (number, stays) = match self.rules.get(name) {
            None => return Ok(Place::Same),
            Some(Rule::Drop) => return Ok(Place::Dropped),
            Some(Rule::Rename(number)) => (*number, false),
            Some(Rule::Stay(number)) => (*number, true),
        };
        let target = &self.targets[number];
        if taken.0.contains(&number) {
            return Err(LineFault::named(
                "attribute",
                &target.name,
                "is there, and another one is renamed to it",
                "an item that has only one of the two",
            ));
        }
        taken.0.push(number);
        Ok(match stays {
            true => Place::Same,
            false => Place::Renamed {
                name: &target.name,
                json: &target.json,
            },
        })
    }

    /// Whether an item is kept that was checked before. The walk stands before it.
    pub(crate) fn keeps(&self, mut walk: Walk<'_>, names: &mut Names) -> Result<bool, LineFault> {
        let mut kept = 0;
        let mut members = walk.object()?;
        while let Some(name) = walk.member(&mut members, names)? {
            let Some(values) = self.keep.get(&*name.to_text()) else {
                walk.value(names, MAX_DEPTH)?;
                continue;
            };
            let matches = match walk.tag()? {
                Tag::S => {
                    let text = walk.string()?.to_text();
                    values.iter().any(|value| value.is_text(&text))
                }
                Tag::N => {
                    let number = Number::parse(&walk.number()?.to_text());
                    number.is_ok_and(|number| values.iter().any(|value| value.is_number(&number)))
                }
                _ => false,
            };
            if !matches {
                names.clear();
                return Ok(false);
            }
            walk.close()?;
            kept += 1;
        }
        Ok(kept == self.keep.len())
    }
}

impl Kept {
    fn parse(raw: &RawValue) -> Option<Self> {
        let json = raw.get();
        match json.starts_with('"') {
            true => {
                let text: String = serde_json::from_str(json).ok()?;
                let number = Number::parse(&text).ok();
                Some(Self::Text(text, number))
            }
            false => Number::parse(json).ok().map(Self::Number),
        }
    }

    fn is_text(&self, found: &str) -> bool {
        matches!(self, Self::Text(text, _) if text == found)
    }

    fn is_number(&self, found: &Number) -> bool {
        matches!(self, Self::Text(_, Some(number)) | Self::Number(number) if number == found)
    }
}

impl Taken {
    /// Begins another item.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
