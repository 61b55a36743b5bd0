//! How far a touch has come, in a file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use records::{Item, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::TableIdentity;

use super::{Job, TouchError, TouchedCounts};
use crate::output::write_file;

/// Which touch it is, and where it goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) segments: Vec<Segment>,
    pub(super) counts: TouchedCounts,
}

/// A segment of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Segment {
    /// It goes on after this key, or begins.
    After(Option<Item>),
    /// All its items are done.
    Ended,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    table: String,
    table_arn: String,
    table_id: String,
    attribute: String,
    /// As DynamoDB JSON.
    value: Box<RawValue>,
    /// The last key as DynamoDB JSON, `null` before the first one, `"ended"`.
    segments: Vec<Box<RawValue>>,
    counts: TouchedCounts,
}

const ENDED: &str = "\"ended\"";

impl Checkpoint {
    pub(super) fn begin(segments: u32) -> Self {
        Self {
            segments: (0..segments).map(|_| Segment::After(None)).collect(),
            counts: TouchedCounts::default(),
        }
    }

    /// The checkpoint of this very touch; nothing if there is no file.
    pub(super) fn read(
        path: &Path,
        job: &Job<'_>,
        table: &TableIdentity,
    ) -> Result<Option<Self>, TouchError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(TouchError::UnreadCheckpoint {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let wrong = |reason: String| TouchError::WrongCheckpoint {
            path: path.to_owned(),
            reason,
        };
        let stored: Stored =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let value = Value::from_dynamodb_json(stored.value.get())
            .map_err(|error| wrong(format!("value: {error}")))?;
        check(&stored, &value, job, table, path)?;
        let segments = stored.segments.iter().map(|segment| read_segment(segment));
        Ok(Some(Self {
            segments: segments.collect::<Result<_, _>>().map_err(wrong)?,
            counts: stored.counts,
        }))
    }

    /// Replaces the file, so that at any moment it is the old or the new one.
    pub(super) fn write(
        &self,
        path: &Path,
        job: &Job<'_>,
        table: &TableIdentity,
    ) -> Result<(), TouchError> {
        let stored = Stored {
            table: job.table.to_owned(),
            table_arn: table.arn.clone(),
            table_id: table.id.clone(),
            attribute: job.attribute.to_owned(),
            value: raw(job.value),
            segments: self.segments.iter().map(write_segment).collect(),
            counts: self.counts,
        };
        let text = serde_json::to_string(&stored).expect("texts and numbers are JSON");
        write_file(path, |out| writeln!(out, "{text}"))?;
        Ok(())
    }
}

/// Whether the checkpoint is one of this touch.
fn check(
    stored: &Stored,
    value: &Value,
    job: &Job<'_>,
    table: &TableIdentity,
    path: &Path,
) -> Result<(), TouchError> {
    let of_this = [
        ("table", &*stored.table, job.table),
        ("table ARN", &*stored.table_arn, &*table.arn),
        // A table made anew has the ARN of the one before it.
        ("table id", &*stored.table_id, &*table.id),
        ("attribute", &*stored.attribute, job.attribute),
    ];
    let other = |what: &'static str, found: String, expected: String| TouchError::OtherCheckpoint {
        path: PathBuf::from(path),
        what,
        found,
        expected,
    };
    for (what, found, expected) in of_this {
        if found != expected {
            return Err(other(what, found.to_owned(), expected.to_owned()));
        }
    }
    if value != job.value {
        let expected = raw(job.value).get().to_owned();
        return Err(other("value", stored.value.get().to_owned(), expected));
    }
    let (found, expected) = (stored.segments.len(), job.segments);
    match found as u64 == u64::from(expected) {
        true => Ok(()),
        false => Err(other("segments", found.to_string(), expected.to_string())),
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    let mut json = Vec::new();
    value.write_dynamodb_json(&mut json);
    to_raw(String::from_utf8_lossy(&json).into_owned())
}

fn to_raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("it was just written as JSON")
}

fn read_segment(segment: &RawValue) -> Result<Segment, String> {
    match segment.get() {
        ENDED => Ok(Segment::Ended),
        "null" => Ok(Segment::After(None)),
        json => {
            // A key is kept as a map, so that the one writer of values writes it.
            match Value::from_dynamodb_json(json) {
                Ok(Value::M(key)) => Ok(Segment::After(Some(key))),
                Ok(_) => Err(format!("segments: {json}: expected a key")),
                Err(error) => Err(format!("segments: {error}")),
            }
        }
    }
}

fn write_segment(segment: &Segment) -> Box<RawValue> {
    match segment {
        Segment::Ended => to_raw(ENDED.to_owned()),
        Segment::After(None) => to_raw("null".to_owned()),
        Segment::After(Some(key)) => raw(&Value::M(key.clone())),
    }
}
