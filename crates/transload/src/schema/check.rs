//! How much of an export fits a schema: what `_extra` would hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::de::IgnoredAny;
use storage::ObjectStore;
use transcode::schema::Schema;
use transcode::{Added, LineForm, ParquetEncoder, ParquetLimits, Shaping, entity_of};

use super::{SchemaCommandError, form, places};
use crate::export_source::{ExportSource, LineWork, ReadProgress, WorkFault, read};

/// Small row groups: the files are thrown away, and each thread has an encoder an entity.
const LIMITS: ParquetLimits = ParquetLimits {
    row_group_bytes: 256 * 1024,
    row_group_rows: 4_096,
};
/// Attributes that are counted one by one on each thread; items whose attribute names are data could fill the memory.
const MAX_MISFITS: usize = 10_000;

/// What is checked.
pub struct CheckTask<'a, O> {
    /// The lines.
    pub source: &'a ExportSource<O>,
    /// What they should fit.
    pub schema: Arc<Schema>,
    /// How many files are read; all without.
    pub sample: Option<usize>,
    /// What is renamed, dropped and filtered before.
    pub shaping: Arc<Shaping>,
    /// Threads that read files.
    pub threads: usize,
}

/// How much fits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files that were read.
    pub files: u64,
    /// Rows that a file of the schema would have.
    pub rows: u64,
    /// Those of them that fit whole.
    pub whole: u64,
    /// Lines that the shaping does not keep.
    pub filtered: u64,
    /// The rows of each entity by its name.
    pub entities: BTreeMap<String, EntityCount>,
    /// Attributes that would be in `_extra`, and how often.
    pub misfits: BTreeMap<Misfit, u64>,
    /// Attribute values that would be there too and are not told apart, since there are too many names.
    pub other_misfits: u64,
}

/// The rows of an entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntityCount {
    /// All.
    pub rows: u64,
    /// Those that fit whole.
    pub whole: u64,
}

/// An attribute that would be in `_extra`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misfit {
    /// The entity.
    pub entity: String,
    /// The attribute's name after the shaping.
    pub attribute: String,
    /// Why.
    pub reason: MisfitReason,
    /// The DynamoDB type of the value, such as `N`.
    pub found: String,
}

/// Why an attribute would be in `_extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MisfitReason {
    /// The entity has no such column.
    NoColumn,
    /// The value does not fit the column's type as a whole.
    OtherType,
}

/// Reads the files, and counts what fits.
///
/// # Errors
/// A source that cannot be read or is not whole, or a line that is none.
pub async fn check<O: ObjectStore + 'static>(
    task: &CheckTask<'_, O>,
    on_progress: impl FnMut(ReadProgress),
) -> Result<Checked, SchemaCommandError> {
    let form = form(task.source).await?;
    let files = task.source.files();
    let places = places(files.len(), task.sample);
    let mut all = Checked {
        files: places.len() as u64,
        ..Checked::default()
    };
    let works = (0..task.threads.max(1)).map(|_| CheckWork {
        form,
        schema: Arc::clone(&task.schema),
        shaping: Arc::clone(&task.shaping),
        encoders: HashMap::new(),
        thrown_away: Vec::new(),
        checked: Checked::default(),
    });
    let works = read(files, places, works.collect(), on_progress).await?;
    for work in works {
        all.add(work.checked);
    }
    Ok(all)
}

impl Checked {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.whole += other.whole;
        self.filtered += other.filtered;
        self.other_misfits += other.other_misfits;
        for (name, count) in other.entities {
            let own = self.entities.entry(name).or_default();
            own.rows += count.rows;
            own.whole += count.whole;
        }
        for (misfit, count) in other.misfits {
            *self.misfits.entry(misfit).or_default() += count;
        }
    }

    fn count(&mut self, misfit: Misfit) {
        if self.misfits.len() < MAX_MISFITS || self.misfits.contains_key(&misfit) {
            *self.misfits.entry(misfit).or_default() += 1;
        } else {
            self.other_misfits += 1;
        }
    }
}

struct CheckWork {
    form: LineForm,
    schema: Arc<Schema>,
    shaping: Arc<Shaping>,
    /// By entity. What fits is for the encoder to say, so that no second rule can differ from it.
    encoders: HashMap<String, ParquetEncoder>,
    thrown_away: Vec<u8>,
    checked: Checked,
}

impl LineWork for CheckWork {
    fn line(&mut self, _file: usize, line: &str) -> Result<(), WorkFault> {
        let line = line.as_bytes();
        let text = match self.schema.discriminator() {
            Some(attribute) => entity_of(line, self.form, attribute)?,
            None => None,
        };
        let (entity, columns) = self.schema.entity(text.as_deref());
        if !self.encoders.contains_key(entity) {
            let shaping = (*self.shaping).clone();
            let encoder = ParquetEncoder::new(self.form, columns, shaping, LIMITS);
            self.encoders.insert(entity.to_owned(), encoder);
        }
        let encoder = self.encoders.get_mut(entity).expect("it is there now");
        if encoder.add(line)? == Added::FilteredOut {
            self.checked.filtered += 1;
            return Ok(());
        }
        encoder.take(&mut self.thrown_away);
        self.thrown_away.clear();
        let extra = encoder.extra();
        self.checked.rows += 1;
        let is_whole = u64::from(extra.is_empty());
        self.checked.whole += is_whole;
        let count = self.checked.entities.entry(entity.to_owned()).or_default();
        count.rows += 1;
        count.whole += is_whole;
        if extra.is_empty() {
            return Ok(());
        }
        let extra: BTreeMap<String, BTreeMap<String, IgnoredAny>> = serde_json::from_slice(extra)?;
        for (attribute, value) in extra {
            let mut named = columns.columns().iter();
            let reason = match named.any(|column| column.name == attribute) {
                true => MisfitReason::OtherType,
                false => MisfitReason::NoColumn,
            };
            self.checked.count(Misfit {
                entity: entity.to_owned(),
                attribute,
                reason,
                found: value.into_keys().next().unwrap_or_default(),
            });
        }
        Ok(())
    }
}
