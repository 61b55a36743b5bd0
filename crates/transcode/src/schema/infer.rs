//! A schema from lines, read in parts that are merged.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, Serializer};

use super::observed::{Attribute, MAX_PATHS};
use super::resolve::{Conflict, ConflictReason, Resolver};
use super::{
    DEFAULT_ENTITY, EntitySchema, MAX_COLUMNS, MAX_ENTITIES, MAX_NAME_BYTES, SINGLE_ENTITY, Schema,
    SchemaError,
};
use crate::line::Line;
use crate::names::Names;
use crate::shaping::{Place, Taken};
use crate::walk::Walk;
use crate::{Added, LineFault, LineForm, Shaping, entity_of};

/// Paths inside of an entity's attributes that are kept. Where there are more, attributes are only known at their first level
/// from the one on, by name, with which there are too many.
const MAX_PATHS_IN_ENTITY: usize = 4_000;
const VERSION: u64 = 1;

/// What was seen of a table's items: an entity's attributes and their types.
///
/// Its memory is bounded whatever the items are: at most [`MAX_ENTITIES`] entities count, each with [`MAX_COLUMNS`] attributes and
/// 4,000 paths inside of them, the first by name, and while reading twice as many are kept. What is past that is reported, and
/// the items keep it in `_extra`. Inferences of parts merge in any order to the same whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    version: u64,
    discriminator: Option<String>,
    /// Items that have an entity.
    items: u64,
    #[serde(serialize_with = "sorted")]
    entities: HashMap<String, Entity>,
    #[serde(skip)]
    names: Names,
    #[serde(skip)]
    taken: Taken,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entity {
    items: u64,
    /// Values of all attributes but those with long names.
    values: u64,
    /// Values of attributes whose names are too long for a column.
    long_names: u64,
    #[serde(serialize_with = "sorted")]
    attributes: HashMap<String, Attribute>,
    /// The first attribute by name that is only known at its first level because there are too many paths up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
    /// Paths that are new since they were counted, at most.
    #[serde(skip)]
    new_paths: usize,
}

/// A schema and what a person may want to decide otherwise in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The schema.
    pub schema: Schema,
    /// By entity and attribute.
    pub conflicts: Vec<Conflict>,
}

fn sorted<T: Serialize, S: Serializer>(
    map: &HashMap<String, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    map.iter().collect::<BTreeMap<_, _>>().serialize(serializer)
}

impl Inference {
    /// Of no items. Entities are told apart by the attribute `discriminator`, or there is one.
    pub fn new(discriminator: Option<&str>) -> Self {
        Self {
            version: VERSION,
            discriminator: discriminator.map(str::to_owned),
            items: 0,
            entities: HashMap::new(),
            names: Names::default(),
            taken: Taken::default(),
        }
    }

    /// Adds the row that a line becomes: its item as it is shaped, or its keys where the item was removed.
    ///
    /// # Errors
    /// If the line is none of its form, or its item cannot be shaped; nothing is added.
    pub fn add(
        &mut self,
        line: &[u8],
        form: LineForm,
        shaping: &Shaping,
    ) -> Result<Added, LineFault> {
        let parts = Line::open(line, form)?.parts(&mut self.names)?;
        let mut image = parts.new_image;
        if shaping.filters()
            && let Some(item) = image
            && !shaping.keeps(Walk::new(item), &mut self.names)?
        {
            image = None;
        }
        let Some(item) = image.or(parts.keys) else {
            return Ok(Added::FilteredOut);
        };
        self.check_shape(item, shaping)?;
        let entity = match &self.discriminator {
            None => Some(SINGLE_ENTITY.to_owned()),
            Some(attribute) => entity_of(line, form, attribute)?,
        };
        if let Some(entity) = entity.filter(|name| !name.is_empty() && name != DEFAULT_ENTITY) {
            self.add_item(entity, item, shaping)?;
        }
        Ok(Added::Written)
    }

    /// Adds what another inference saw.
    ///
    /// # Errors
    /// If its discriminator is another one; nothing is then added.
    pub fn merge(&mut self, other: Self) -> Result<(), SchemaError> {
        if self.discriminator != other.discriminator {
            let shown = |name: Option<String>| match name {
                Some(name) => format!("{name:?}"),
                None => "none".to_owned(),
            };
            return Err(SchemaError::OtherDiscriminator {
                left: shown(self.discriminator.clone()),
                right: shown(other.discriminator),
            });
        }
        self.items = self.items.saturating_add(other.items);
        for (name, entity) in other.entities {
            let own = self.entities.entry(name).or_default();
            own.items = own.items.saturating_add(entity.items);
            own.values = own.values.saturating_add(entity.values);
            own.long_names = own.long_names.saturating_add(entity.long_names);
            own.cut = match (own.cut.take(), entity.cut) {
                (Some(left), Some(right)) => Some(left.min(right)),
                (left, right) => left.or(right),
            };
            for (name, attribute) in entity.attributes {
                own.attributes.entry(name).or_default().merge(attribute);
            }
        }
        self.trim();
        Ok(())
    }

    /// As a file that [`Inference::parse`] reads; inferences of the same items have equal texts however they were merged.
    pub fn to_json(&mut self) -> String {
        self.trim();
        serde_json::to_string(self).expect("strings and numbers can be written to memory")
    }

    /// Reads what [`Inference::to_json`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let mut inference: Self = serde_json::from_str(json).map_err(SchemaError::NotInference)?;
        if inference.version != VERSION {
            return Err(SchemaError::Unexpected {
                path: "version".to_owned(),
                found: inference.version.to_string(),
                expected: VERSION.to_string(),
            });
        }
        inference.trim();
        Ok(inference)
    }

    /// The schema in which all that was seen fits as well as may be, and what does not.
    pub fn finish(mut self) -> Inferred {
        self.trim();
        let mut conflicts = Vec::new();
        let mut entities = BTreeMap::new();
        let entities_seen: BTreeMap<_, _> = self.entities.iter().collect();
        for (name, entity) in entities_seen {
            let attributes: BTreeMap<&str, &Attribute> = entity
                .attributes
                .iter()
                .map(|(name, attribute)| (name.as_str(), attribute))
                .collect();
            let mut resolver = Resolver {
                entity: name,
                conflicts: &mut conflicts,
            };
            let columns = resolver.columns(&attributes);
            if entity.long_names > 0 {
                resolver.conflict("*", ConflictReason::LongNames(entity.long_names));
            }
            let left = entity.values.saturating_sub(entity.kept_values());
            if left > 0 {
                resolver.conflict("*", ConflictReason::TooManyAttributes(left));
            }
            entities.insert(name.clone(), EntitySchema { columns });
        }
        let kept = self
            .entities
            .values()
            .fold(0u64, |items, entity| items.saturating_add(entity.items));
        if self.items > kept {
            conflicts.push(Conflict {
                entity: DEFAULT_ENTITY.to_owned(),
                path: "*".to_owned(),
                reason: ConflictReason::TooManyEntities(self.items - kept),
            });
        }
        if self.discriminator.is_none() {
            entities.entry(SINGLE_ENTITY.to_owned()).or_default();
        }
        Inferred {
            schema: Schema::new(self.discriminator, entities),
            conflicts,
        }
    }

    /// Fails where [`Inference::add_item`] would after a part of the item was added.
    fn check_shape(&mut self, item: &[u8], shaping: &Shaping) -> Result<(), LineFault> {
        if !shaping.shapes_columns() {
            return Ok(());
        }
        self.taken.clear();
        let mut walk = Walk::new(item);
        let mut object = walk.object()?;
        while let Some(name) = walk.member(&mut object, &mut self.names)? {
            walk.value(&mut self.names, records::MAX_DEPTH)?;
            if let Err(fault) = shaping.place(&name.to_text(), &mut self.taken) {
                self.names.clear();
                return Err(fault);
            }
        }
        Ok(())
    }

    fn add_item(&mut self, name: String, item: &[u8], shaping: &Shaping) -> Result<(), LineFault> {
        self.taken.clear();
        self.items = self.items.saturating_add(1);
        let entity = self.entities.entry(name).or_default();
        entity.items = entity.items.saturating_add(1);
        let mut walk = Walk::new(item);
        let mut object = walk.object()?;
        while let Some(name) = walk.member(&mut object, &mut self.names)? {
            let text = name.to_text();
            let text = match shaping.place(&text, &mut self.taken)? {
                Place::Same => &*text,
                Place::Renamed { name, .. } => name,
                Place::Dropped => {
                    walk.value(&mut self.names, records::MAX_DEPTH)?;
                    continue;
                }
            };
            if text.len() > MAX_NAME_BYTES {
                entity.long_names = entity.long_names.saturating_add(1);
                walk.value(&mut self.names, records::MAX_DEPTH)?;
                continue;
            }
            entity.values = entity.values.saturating_add(1);
            if !entity.attributes.contains_key(text) {
                entity
                    .attributes
                    .insert(text.to_owned(), Attribute::default());
            }
            let Some(attribute) = entity.attributes.get_mut(text) else {
                continue;
            };
            if entity.cut.as_deref().is_some_and(|cut| text >= cut) {
                attribute.widen();
            }
            entity.new_paths += attribute.add(&mut walk, &mut self.names)?;
        }
        if entity.attributes.len() > 2 * MAX_COLUMNS || entity.new_paths > MAX_PATHS_IN_ENTITY {
            entity.trim();
        }
        if self.entities.len() > 2 * MAX_ENTITIES {
            self.trim();
        }
        Ok(())
    }

    /// Keeps what counts: the first entities, attributes and paths. What is left out can never be among the first of more items,
    /// so that parts and the whole are cut alike.
    fn trim(&mut self) {
        keep_first(&mut self.entities, MAX_ENTITIES);
        for entity in self.entities.values_mut() {
            entity.trim();
        }
    }
}

impl Entity {
    fn trim(&mut self) {
        keep_first(&mut self.attributes, MAX_COLUMNS);
        self.new_paths = 0;
        let mut paths = 0;
        let mut in_order: Vec<_> = self.attributes.iter_mut().collect();
        in_order.sort_unstable_by(|left, right| left.0.cmp(right.0));
        for (name, attribute) in in_order {
            // It counts for as much as it can, so that the count never falls when more is seen.
            paths += match attribute.wide {
                true => MAX_PATHS,
                false => attribute.node.paths(),
            };
            if paths > MAX_PATHS_IN_ENTITY && self.cut.as_ref().is_none_or(|cut| name < cut) {
                self.cut = Some(name.clone());
            }
            if self.cut.as_ref().is_some_and(|cut| name >= cut) {
                attribute.widen();
            }
        }
    }

    fn kept_values(&self) -> u64 {
        self.attributes.values().fold(0, |values, attribute| {
            values.saturating_add(attribute.node.leaf.counts.total())
        })
    }
}

/// Keeps the first entries by name.
fn keep_first<T>(map: &mut HashMap<String, T>, limit: usize) {
    if map.len() <= limit {
        return;
    }
    let mut names: Vec<String> = map.keys().cloned().collect();
    names.select_nth_unstable(limit);
    for name in &names[limit..] {
        map.remove(name);
    }
}
