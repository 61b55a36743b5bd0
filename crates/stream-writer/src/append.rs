//! Storing: a group of records under its name, or what is not yet there under theirs; and records set aside.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::TryStreamExt;
use records::changes::{Codec, StreamRecord, set_aside_object, stream_object};
use serde::Serialize;
use serde_json::value::RawValue;
use storage::{ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, resuming};

use crate::batch::{Group, Placed, SetAside};
use crate::config::Config;
use crate::object::{compressed, event_ids};

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Objects made for it.
    pub objects: usize,
    /// Records that they hold.
    pub records: usize,
    /// Bytes that they have.
    pub bytes: usize,
    /// Records that the log held already.
    pub held: usize,
}

/// Sees to it that the log holds every record of the group. Never replaces an object, so whatever other attempt at the same
/// records comes between, or later, finds what is there.
pub async fn append<O: ObjectStore>(
    objects: &O,
    config: &Config,
    group: &Group<'_>,
) -> Result<Appended, StorageError> {
    let mut appended = Appended::default();
    let mut missing: Vec<&Placed<'_>> = group.iter().collect();
    while let Some(first) = missing.first() {
        let key = name_of(first, config)?;
        let lines = missing.iter().map(|placed| placed.raw);
        let body = compressed(lines, config.codec)
            .map_err(|error| damaged(config, &key, "could not be compressed").with_source(error))?;
        let bytes = body.len();
        match objects.put_new(&config.lake_bucket, &key, body).await {
            Ok(()) => {
                appended.objects += 1;
                appended.records += missing.len();
                appended.bytes += bytes;
                return Ok(appended);
            }
            Err(conflict) if conflict.kind() == ErrorKind::Conflict => {
                let held = held_by(objects, config, &key).await?;
                let before = missing.len();
                missing.retain(|placed| !held.contains(&*placed.event_id));
                if missing.len() == before {
                    return Err(damaged(
                        config,
                        &key,
                        "it does not hold the record that it is named by",
                    ));
                }
                appended.held += before - missing.len();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(appended)
}

/// The name of an object that begins with this record.
fn name_of(first: &Placed<'_>, config: &Config) -> Result<String, StorageError> {
    // Read again: of all the records of a group, this one's place is needed.
    let record = StreamRecord::parse(first.raw)
        .map_err(|fault| damaged(config, "", "a record lost its place").with_source(fault))?;
    Ok(stream_object(&config.table, &record, config.codec))
}

/// The ids of the records that an object of the log holds.
async fn held_by<O: ObjectStore>(
    objects: &O,
    config: &Config,
    key: &str,
) -> Result<HashSet<String>, StorageError> {
    let object = ObjectId {
        bucket: config.lake_bucket.clone(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let chunks = resuming(objects, object, 0, ResumePolicy::default());
    let content: Vec<u8> = chunks
        .try_fold(Vec::new(), |mut content, chunk: Bytes| async move {
            content.extend_from_slice(&chunk);
            Ok(content)
        })
        .await?;
    let codec = Codec::of_name(key).unwrap_or(config.codec);
    event_ids(&content, codec)
        .map_err(|error| damaged(config, key, "it cannot be read").with_source(error))
}

/// Keeps a record whole that has no place, with the reason. Its name is that of its bytes: it is kept once.
pub async fn set_aside<O: ObjectStore>(
    objects: &O,
    config: &Config,
    aside: &SetAside<'_>,
) -> Result<(), StorageError> {
    #[derive(Serialize)]
    struct Kept<'a> {
        reason: String,
        record: &'a RawValue,
    }
    let key = set_aside_object(&config.table, aside.raw.get());
    let body = serde_json::to_vec(&Kept {
        reason: aside.fault.to_string(),
        record: aside.raw,
    })
    .map_err(|error| damaged(config, &key, "could not be written").with_source(error))?;
    match objects
        .put_new(&config.lake_bucket, &key, body.into())
        .await
    {
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
        _ => Ok(()),
    }
}

fn damaged(config: &Config, key: &str, fault: &str) -> StorageError {
    StorageError::new(
        ErrorKind::Internal,
        "PutObject",
        format!("s3://{}/{key}", config.lake_bucket),
        fault,
    )
}
