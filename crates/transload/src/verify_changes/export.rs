//! An incremental export, which says what changed in a window, to compare the log with.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use csv_ingester::Source;
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use md5::{Digest, Md5};
use records::base64_text;
use records::changes::{ChangeKind, SETTLED_SECONDS, StreamRecord};
use records::export::{ChangedItem, DataFile, ExportFault, ExportKind, ExportSummary};
use records::{JsonValueError, Value};
use storage::{ObjectStore, StorageError};

use super::digest::{Fingerprint, of_state, same};
use super::finding::{Finding, SHOWN};
use super::whole;
use crate::change_log::{Lines, LogError, StoredObject};
use records::changes::SECONDS_PER_HOUR;

/// A summary has about 1 KB.
const MAX_SUMMARY_BYTES: usize = 1024 * 1024;

/// An incremental export in S3, known by its manifests.
pub struct Export<O> {
    store: Rc<O>,
    bucket: String,
    name: String,
    window: Range<u64>,
    files: Vec<DataFile>,
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
    /// The store failed.
    #[error("the export cannot be read")]
    Store(#[from] StorageError),
    /// The address leads to no folder of a bucket.
    #[error(
        "{0:?} names no export: expected s3://bucket/prefix/AWSDynamoDB/<export id>/, the folder of its manifest-summary.json"
    )]
    Address(String),
    /// The manifests are not what they should be.
    #[error("{name}: {fault}")]
    Manifest {
        /// `s3://bucket/key`.
        name: String,
        /// What is wrong.
        fault: ExportFault,
    },
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
    /// A file cannot be read.
    #[error("a file of the export cannot be read")]
    Lines(#[source] LogError),
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
    /// A file, or the list of them, is not whole.
    #[error("{name} has the {what} {found}: expected {expected}, as the manifest says")]
    NotWhole {
        /// `s3://bucket/key`.
        name: String,
        /// What was compared.
        what: &'static str,
        /// What it has.
        found: String,
        /// What the manifest says.
        expected: String,
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
        let parts = address.strip_prefix("s3://");
        let parts = parts.and_then(|rest| rest.trim_end_matches('/').split_once('/'));
        let Some((bucket, folder)) = parts else {
            return Err(ExportError::Address(address.to_owned()));
        };
        let key = format!("{folder}/manifest-summary.json");
        let name = format!("s3://{bucket}/{folder}/");
        let content = whole(&store, bucket, &key, MAX_SUMMARY_BYTES).await?;
        let summary =
            ExportSummary::parse(&String::from_utf8_lossy(&content)).map_err(|fault| {
                ExportError::Manifest {
                    name: format!("s3://{bucket}/{key}"),
                    fault,
                }
            })?;
        if summary.table() != table {
            return Err(ExportError::OtherTable {
                name,
                found: summary.table().to_owned(),
                expected: table.to_owned(),
            });
        }
        let ExportKind::Incremental { from, to } = summary.kind else {
            return Err(ExportError::Full(name));
        };
        Ok(Self {
            files: files(&store, bucket, &summary).await?,
            store,
            bucket: bucket.to_owned(),
            name,
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
        &self.name
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
        for file in &self.files {
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
        for file in &self.files {
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
            export: self.name.clone(),
            window: self.window(),
            items: wanted.items,
            missing: wanted.states.len() as u64,
            keys,
        }))
    }

    /// Gives every item of a file that is not the same at both ends of the window, and checks that the file is whole.
    async fn read(
        &self,
        file: &DataFile,
        mut each: impl FnMut(ChangedItem<'_>, Fingerprint),
    ) -> Result<(), ExportError> {
        let name = format!("s3://{}/{}", self.bucket, file.key);
        let source = Checked {
            inner: StoredObject::new(&self.store, &self.bucket, &file.key),
            md5: Rc::default(),
        };
        let md5 = Rc::clone(&source.md5);
        let lines = Lines::open(source, name.clone()).await;
        let mut lines = lines.map_err(ExportError::Lines)?;
        let mut items = 0;
        while let Some((line, json)) = lines.next().await.map_err(ExportError::Lines)? {
            items += 1;
            match state_at_the_end(json) {
                Ok(Some((item, state))) => each(item, state),
                Ok(None) => {}
                Err(fault) => return Err(ExportError::Line { name, line, fault }),
            }
        }
        let md5 = base64_text(&md5.take().finalize());
        check_whole(&name, "MD5", &md5, &file.md5_checksum)?;
        check_whole(&name, "item count", &items, &file.item_count)
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

async fn files<O: ObjectStore + 'static>(
    store: &Rc<O>,
    bucket: &str,
    summary: &ExportSummary,
) -> Result<Vec<DataFile>, ExportError> {
    let key = &summary.files_key;
    let name = format!("s3://{bucket}/{key}");
    let source = StoredObject::new(store, bucket, key);
    let lines = Lines::open(source, name.clone()).await;
    let mut lines = lines.map_err(ExportError::Lines)?;
    let mut files = Vec::new();
    while let Some((line, json)) = lines.next().await.map_err(ExportError::Lines)? {
        files.push(DataFile::parse(json).map_err(|fault| ExportError::Line {
            name: name.clone(),
            line,
            fault: fault.into(),
        })?);
    }
    let items: u64 = files.iter().map(|file| file.item_count).sum();
    check_whole(&name, "item count", &items, &summary.item_count)?;
    Ok(files)
}

fn check_whole<T: PartialEq + ToString>(
    name: &str,
    what: &'static str,
    found: &T,
    expected: &T,
) -> Result<(), ExportError> {
    match found == expected {
        true => Ok(()),
        false => Err(ExportError::NotWhole {
            name: name.to_owned(),
            what,
            found: found.to_string(),
            expected: expected.to_string(),
        }),
    }
}

/// An object whose bytes are summed up as they are read.
struct Checked<S> {
    inner: S,
    md5: Rc<RefCell<Md5>>,
}

impl<S: Source> Source for Checked<S> {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        let md5 = Rc::clone(&self.md5);
        self.inner
            .read_from(offset)
            .inspect(move |chunk| {
                if let Ok(chunk) = chunk {
                    md5.borrow_mut().update(chunk);
                }
            })
            .boxed_local()
    }
}
