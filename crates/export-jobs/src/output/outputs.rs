//! Lines in, staged objects out.

use std::collections::HashMap;

use storage::ObjectStore;
use transcode::entity_of;
use transcode::schema::{DEFAULT_ENTITY, SINGLE_ENTITY};

use super::checkpoint::{Checkpoint, EntityMark, RowCounts, StagedObject, discard_all};
use super::error::{MAX_KEY_BYTES, OutputError};
use super::object::{Object, Tools};
use super::plan::OutputPlan;
use crate::settings::Format;

/// Bytes that all data sets together hold back unless it is said otherwise, of lines that are not compressed yet and of parts that
/// are not full. A single one never gets there.
pub const HELD_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of JSON that the objects and data sets of a part may take in its row: DynamoDB's limit of an item is 400 KB.
const MAX_LISTED_BYTES: usize = 300 * 1024;
/// What a data set takes there besides its name.
const MARK_BYTES: usize = 96;
/// Data sets that the lines of one part may belong to: each takes an object, and the row lists them.
pub const MAX_DATA_SETS: usize = 500;

/// The objects of one part, as far as they are made.
pub struct Outputs<'a, O> {
    objects: &'a O,
    plan: &'a OutputPlan,
    tools: Tools,
    sets: Vec<DataSet<'a, O>>,
    /// Where a data set is among them.
    by_name: HashMap<String, usize>,
    pub(super) held_bytes: usize,
    most_held_bytes: usize,
    staged: Vec<StagedObject>,
    /// How many of the staged objects were there when this began.
    resumed: usize,
    /// What the staged objects and the data sets take in the part's row.
    listed_bytes: usize,
}

struct DataSet<'a, O> {
    name: String,
    mark: EntityMark,
    object: Option<Object<'a, O>>,
}

impl<'a, O: ObjectStore> Outputs<'a, O> {
    /// The objects of a part of which nothing is made.
    ///
    /// # Errors
    /// If the job's settings cannot be used.
    pub fn new(objects: &'a O, plan: &'a OutputPlan) -> Result<Self, OutputError> {
        Self::resume(objects, plan, Checkpoint::default())
    }

    /// The objects of a part of which those of the checkpoint are made. The lines come anew from the first one on; where they
    /// cannot (a scan), only after an end that [`Outputs::cut`] made.
    ///
    /// # Errors
    /// If the job's settings cannot be used.
    pub fn resume(
        objects: &'a O,
        plan: &'a OutputPlan,
        checkpoint: Checkpoint,
    ) -> Result<Self, OutputError> {
        let mut outputs = Self {
            objects,
            plan,
            tools: Tools::new(plan)?,
            sets: Vec::new(),
            by_name: HashMap::new(),
            held_bytes: 0,
            most_held_bytes: HELD_BYTES,
            resumed: checkpoint.objects.len(),
            listed_bytes: checkpoint.objects.iter().map(listed_bytes).sum(),
            staged: checkpoint.objects,
        };
        for (name, mark) in checkpoint.entities {
            let set = outputs.set(&name)?;
            outputs.sets[set].mark = mark;
        }
        Ok(outputs)
    }

    /// Holds back so many bytes, and not [`HELD_BYTES`]: the more, the fewer objects many data sets come to. Where an object ends
    /// may depend on it, what is in the objects of all invocations together does not.
    #[must_use]
    pub fn holding(mut self, bytes: usize) -> Self {
        self.most_held_bytes = bytes;
        self
    }

    /// Takes the next line. `number` counts the part's lines from 0.
    ///
    /// # Errors
    /// If the line is none, or a service fails: then nothing is left to do but [`Outputs::discard`], or [`Outputs::checkpoint`]
    /// with what is whole.
    pub async fn add(&mut self, number: u64, line: &[u8]) -> Result<(), OutputError> {
        let set = self.set_of(number, line)?;
        let DataSet { name, mark, object } = &mut self.sets[set];
        if number < mark.lines {
            return Ok(());
        }
        let object = match object {
            Some(object) => object,
            none => {
                let key = self.plan.key(name, mark.split);
                if key.len() > MAX_KEY_BYTES {
                    return Err(OutputError::LongKey(key.len()));
                }
                none.insert(Object::new(
                    self.objects,
                    self.plan,
                    name,
                    &key,
                    &self.tools,
                )?)
            }
        };
        let held_before = object.held_bytes();
        object.add(number, line, &mut self.tools).await?;
        self.held_bytes = self.held_bytes + object.held_bytes() - held_before;
        if object.is_full(self.plan.settings.split_bytes) {
            self.end(set).await?;
        }
        while self.held_bytes > self.most_held_bytes {
            let Some(largest) = self.largest() else { break };
            self.end(largest).await?;
        }
        Ok(())
    }

    /// Ends all objects that are begun, so that a checkpoint holds every line so far.
    ///
    /// # Errors
    /// If a service fails.
    pub async fn cut(&mut self) -> Result<(), OutputError> {
        let mut by_name: Vec<usize> = (0..self.sets.len()).collect();
        by_name.sort_unstable_by(|one, other| self.sets[*one].name.cmp(&self.sets[*other].name));
        for set in by_name {
            self.end(set).await?;
        }
        Ok(())
    }

    /// What became of all lines so far, those of objects that are not whole too.
    pub fn rows(&self) -> RowCounts {
        let mut sum = RowCounts::default();
        for set in &self.sets {
            let open = set
                .object
                .as_ref()
                .map_or_else(RowCounts::default, |object| object.rows());
            sum.written += set.mark.rows.written + open.written;
            sum.filtered += set.mark.rows.filtered + open.filtered;
        }
        sum
    }

    /// The whole objects, those that were resumed first.
    pub fn staged(&self) -> &[StagedObject] {
        &self.staged
    }

    /// Whether an object became whole since this began.
    pub fn has_progressed(&self) -> bool {
        self.staged.len() > self.resumed
    }

    /// What is whole. Objects that are not are abandoned.
    pub async fn checkpoint(mut self) -> Checkpoint {
        self.abandon().await;
        self.into_checkpoint()
    }

    /// Ends all objects, and says what they are.
    ///
    /// # Errors
    /// If a service fails: what is staged is forgotten then, but for what was resumed.
    pub async fn finish(mut self) -> Result<Checkpoint, OutputError> {
        match self.cut().await {
            Ok(()) => Ok(self.into_checkpoint()),
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    /// Forgets every object that was made since this began; what it was resumed from stays.
    pub async fn discard(mut self) {
        self.abandon().await;
        discard_all(self.objects, &self.staged[self.resumed..]).await;
    }

    async fn abandon(&mut self) {
        for set in &mut self.sets {
            if let Some(object) = set.object.take() {
                object.abandon().await;
            }
        }
    }

    fn into_checkpoint(self) -> Checkpoint {
        let sets = self.sets.into_iter();
        Checkpoint {
            objects: self.staged,
            entities: sets
                .filter(|set| set.mark != EntityMark::default())
                .map(|set| (set.name, set.mark))
                .collect(),
        }
    }

    /// The data set that a line belongs to.
    fn set_of(&mut self, number: u64, line: &[u8]) -> Result<usize, OutputError> {
        let schema = match self.plan.settings.format {
            Format::Changes => return self.set(SINGLE_ENTITY),
            Format::JsonLines => None,
            Format::Parquet => self.plan.schema.as_ref(),
        };
        let discriminator = match schema {
            Some(schema) => schema.discriminator(),
            None => self.plan.settings.discriminator.as_deref(),
        };
        let Some(attribute) = discriminator else {
            let name = schema.map_or(SINGLE_ENTITY, |schema| schema.entity(None).0);
            return self.set(name);
        };
        let text =
            entity_of(line, self.plan.form, attribute).map_err(|fault| OutputError::Line {
                line: number + 1,
                fault,
            })?;
        let name = match schema {
            Some(schema) => schema.entity(text.as_deref()).0,
            None => text
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or(DEFAULT_ENTITY),
        };
        self.set(name)
    }

    /// The data set of a name, which comes into being with its first line.
    fn set(&mut self, name: &str) -> Result<usize, OutputError> {
        if let Some(set) = self.by_name.get(name) {
            return Ok(*set);
        }
        let set = self.sets.len();
        if set == MAX_DATA_SETS {
            return Err(OutputError::TooManyObjects);
        }
        self.listed_bytes += name.len() + MARK_BYTES;
        if self.listed_bytes > MAX_LISTED_BYTES {
            return Err(OutputError::TooManyObjects);
        }
        self.by_name.insert(name.to_owned(), set);
        self.sets.push(DataSet {
            name: name.to_owned(),
            mark: EntityMark::default(),
            object: None,
        });
        Ok(set)
    }

    /// The data set that holds back most; of equals, the one of the first name.
    fn largest(&self) -> Option<usize> {
        let held = |set: &DataSet<'a, O>| set.object.as_ref().map(Object::held_bytes);
        (0..self.sets.len())
            .filter(|set| self.sets[*set].object.is_some())
            .max_by(|one, other| {
                let (one, other) = (&self.sets[*one], &self.sets[*other]);
                held(one)
                    .cmp(&held(other))
                    .then_with(|| other.name.cmp(&one.name))
            })
    }

    /// Ends the object that a data set has begun.
    async fn end(&mut self, set: usize) -> Result<(), OutputError> {
        let Some(object) = self.sets[set].object.take() else {
            return Ok(());
        };
        self.held_bytes -= object.held_bytes();
        let (rows, lines) = (object.rows(), object.lines());
        let staged = object.end(&mut self.tools).await?;
        let mark = &mut self.sets[set].mark;
        mark.lines = lines;
        mark.rows.written += rows.written;
        mark.rows.filtered += rows.filtered;
        if let Some(staged) = staged {
            mark.split += 1;
            let object = StagedObject {
                staged,
                rows: rows.written,
            };
            self.listed_bytes += listed_bytes(&object);
            self.staged.push(object);
            if self.listed_bytes > MAX_LISTED_BYTES {
                return Err(OutputError::TooManyObjects);
            }
        }
        Ok(())
    }
}

/// What an object takes in the part's row, where each value has a few bytes besides its own.
fn listed_bytes(object: &StagedObject) -> usize {
    const NAMES_AND_COUNTS: usize = 96;
    const PER_PART: usize = 3;
    let staged = &object.staged;
    let parts: usize = staged.parts.iter().map(|etag| etag.len() + PER_PART).sum();
    staged.bucket.len() + staged.key.len() + staged.upload.len() + parts + NAMES_AND_COUNTS
}
