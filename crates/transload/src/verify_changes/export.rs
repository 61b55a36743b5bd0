//! An incremental export, which says what changed in a window, to compare the log with.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use records::changes::{ChangeKind, SECONDS_PER_HOUR, SETTLED_SECONDS, StreamRecord};
use records::export::{ChangedItem, ExportFault, ExportKind};
use records::{JsonValueError, Value};
use storage::ObjectStore;

use super::finding::{Finding, SHOWN};
use crate::digest::{Fingerprint, of_state, same};
use crate::export_source::{ExportSource, ExportSourceError, SourceFile};

/// An incremental export in S3, known by its manifests.
pub struct Export<O> {
    source: ExportSource<O>,
    window: Range<u64>,
}

/// What the export says that the log has to have.
pub(super) struct Wanted {
    /// From a minute before the export's window to a minute after it, in seconds: a record is made a little after its write.
    times: Range<u64>,
    /// Items that were looked for.
    pub(super) items: u64,
    /// States that have not been found.
    states: HashSet<Fingerprint>,
}

/// Why a log cannot be compared with an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] ExportSourceError),
    /// The export is of another table.
    #[error("{name} is an export of the table {found}: expected one of {expected}")]
    OtherTable {
        /// The export's folder.
        name: String,
        /// Its table.
        found: String,
        /// The log's table.
        expected: String,
    },
    /// The export is a full one.
    #[error(
        "{0} is a full export: expected an incremental one, which says what changed in a window"
    )]
    Full(String),
    /// A line is not what it should be.
    #[error("{name}, line {line}: {fault}")]
    Line {
        /// `s3://bucket/key`.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        fault: LineFault,
    },
}

/// What is wrong with a line of an export.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// It is no line of an incremental export.
    #[error(transparent)]
    Line(#[from] ExportFault),
    /// An image is no item.
    #[error("an image cannot be read ({0}): expected an item as DynamoDB JSON")]
    Image(#[from] JsonValueError),
}

impl<O: ObjectStore + 'static> Export<O> {
    /// Reads the manifests of the export in the folder `s3://bucket/…/<export id>/`.
    ///
    /// # Errors
    /// If there is no incremental export of the table in DYNAMODB_JSON, or its list of files is not whole.
    pub async fn open(store: Rc<O>, address: &str, table: &str) -> Result<Self, ExportError> {
        let source = ExportSource::of_objects(store, address).await?;
        let summary = source.manifest().map(|manifest| &manifest.summary);
        let summary = summary.expect("an export of a bucket has manifests");
        if summary.table() != table {
            return Err(ExportError::OtherTable {
                name: source.name().to_owned(),
                found: summary.table().to_owned(),
                expected: table.to_owned(),
            });
        }
        let ExportKind::Incremental { from, to } = summary.kind else {
            return Err(ExportError::Full(source.name().to_owned()));
        };
        Ok(Self {
            source,
            window: from..to,
        })
    }

    /// Its window, in seconds since 1970.
    pub fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// The hours of the log, since 1970, in which what it says has to be.
    pub fn hours(&self) -> Range<u64> {
        let times = self.times();
        times.start / SECONDS_PER_HOUR..times.end.div_ceil(SECONDS_PER_HOUR)
    }

    /// `s3://bucket/…/<export id>/`.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    fn times(&self) -> Range<u64> {
        self.window.start.saturating_sub(SETTLED_SECONDS)..self.window.end + SETTLED_SECONDS
    }

    /// Reads the whole export: up to 60 bytes of memory for each item of it.
    pub(super) async fn wanted(&self) -> Result<Wanted, ExportError> {
        let mut wanted = Wanted {
            times: self.times(),
            items: 0,
            states: HashSet::new(),
        };
        for file in self.source.files() {
            self.read(file, |_, state| {
                wanted.items += 1;
                wanted.states.insert(state);
            })
            .await?;
        }
        Ok(wanted)
    }

    /// What was not found, with the first keys of it; reads the export again for these.
    pub(super) async fn finding(&self, wanted: &Wanted) -> Result<Option<Finding>, ExportError> {
        let mut keys = Vec::new();
        for file in self.source.files() {
            if keys.len() >= SHOWN.min(wanted.states.len()) {
                break;
            }
            self.read(file, |item, state| {
                if keys.len() < SHOWN && wanted.states.contains(&state) {
                    let mut key = Vec::new();
                    Value::M(item.keys).write_plain_json(&mut key);
                    keys.push(String::from_utf8_lossy(&key).into_owned());
                }
            })
            .await?;
        }
        Ok((!wanted.states.is_empty()).then(|| Finding::NotAsExported {
            export: self.name().to_owned(),
            window: self.window(),
            items: wanted.items,
            missing: wanted.states.len() as u64,
            keys,
        }))
    }

    /// Gives every item of a file that is not the same at both ends of the window, and checks that the file is whole.
    async fn read(
        &self,
        file: &SourceFile<O>,
        mut each: impl FnMut(ChangedItem<'_>, Fingerprint),
    ) -> Result<(), ExportError> {
        let mut lines = file.lines().await?;
        while let Some((line, json)) = lines.next().await? {
            match state_at_the_end(json) {
                Ok(Some((item, state))) => each(item, state),
                Ok(None) => {}
                Err(fault) => {
                    return Err(ExportError::Line {
                        name: lines.name().to_owned(),
                        line,
                        fault,
                    });
                }
            }
        }
        Ok(())
    }
}

impl Wanted {
    /// A record of the log says so as well.
    pub(super) fn cross_off(&mut self, record: &StreamRecord<'_>) {
        // A record without the image that it should have says nothing of the item's state.
        let told = (record.kind == ChangeKind::Remove) == record.new_image.is_none();
        if !told || !self.times.contains(&record.seconds) || self.states.is_empty() {
            return;
        }
        if let Ok(state) = of_state(&record.keys, record.new_image) {
            self.states.remove(&state);
        }
    }
}

/// Nothing for an item that is as it was before: DynamoDB Streams says nothing of a write that changes nothing.
fn state_at_the_end(json: &str) -> Result<Option<(ChangedItem<'_>, Fingerprint)>, LineFault> {
    let item = ChangedItem::parse(json)?;
    if let (Some(old), Some(new)) = (item.old_image, item.new_image)
        && same(old, new)?
    {
        return Ok(None);
    }
    let state = of_state(&item.keys, item.new_image)?;
    Ok(Some((item, state)))
}
