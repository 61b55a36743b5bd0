//! Decoding: what an invocation asks for.

use aws_lambda_events::s3::S3EventRecord;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sequencer::Sequencer;

/// One version of one inbox object, as an event announced it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// Bucket name.
    pub bucket: String,
    /// Key, decoded.
    pub key: String,
    /// Version id, where the bucket is versioned.
    pub version: Option<String>,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// Order of this version among those of its key.
    pub sequencer: Sequencer,
}

/// What an invocation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Objects that were created.
    Objects(Vec<ObjectVersion>),
    /// The schedule asks to start whatever waits.
    Sweep,
    /// S3's own message when a notification is set up; there is nothing to do.
    Test,
}

/// An event that cannot be understood. The message says which part and what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event cannot be read: {0}")]
pub struct EventError(String);

/// Decodes S3's notification, EventBridge's "Object Created", S3's test event and the sweep.
pub fn decode(event: &Value) -> Result<Request, EventError> {
    if event.get("sweep") == Some(&Value::Bool(true)) {
        return Ok(Request::Sweep);
    }
    if event.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Request::Test);
    }
    if let Some(records) = event.get("Records") {
        let records = records
            .as_array()
            .ok_or_else(|| EventError("Records is not a list".to_owned()))?;
        let objects: Result<Vec<_>, _> = records
            .iter()
            .enumerate()
            .map(notification_record)
            .collect();
        return Ok(Request::Objects(objects?.into_iter().flatten().collect()));
    }
    if event.get("detail-type").and_then(Value::as_str) == Some("Object Created") {
        return Ok(Request::Objects(event_bridge(event)?.into_iter().collect()));
    }
    Err(EventError(
        "expected an S3 notification (Records), an EventBridge \"Object Created\" event, an s3:TestEvent or {\"sweep\": true}"
            .to_owned(),
    ))
}

fn notification_record(
    (index, record): (usize, &Value),
) -> Result<Option<ObjectVersion>, EventError> {
    let place = format!("Records[{index}]");
    let record: S3EventRecord = serde_json::from_value(record.clone())
        .map_err(|error| EventError(format!("{place} is no S3 record: {error}")))?;
    match record.event_name.as_deref() {
        Some(name) if name.starts_with("ObjectCreated:") => {}
        other => {
            return Err(EventError(format!(
                "{place} is {}: expected an ObjectCreated event",
                other.unwrap_or("without eventName")
            )));
        }
    }
    let object = record.s3.object;
    object_version(
        &place,
        record.s3.bucket.name,
        object
            .key
            .map(|key| decode_form(&place, &key))
            .transpose()?,
        object.version_id,
        object.e_tag,
        object.sequencer,
    )
}

/// EventBridge's form; its key is not encoded.
#[derive(Deserialize)]
struct EventBridgeDetail {
    bucket: EventBridgeBucket,
    object: EventBridgeObject,
}

#[derive(Deserialize)]
struct EventBridgeBucket {
    name: Option<String>,
}

#[derive(Deserialize)]
struct EventBridgeObject {
    key: Option<String>,
    #[serde(rename = "version-id")]
    version_id: Option<String>,
    etag: Option<String>,
    sequencer: Option<String>,
}

fn event_bridge(event: &Value) -> Result<Option<ObjectVersion>, EventError> {
    let detail = event.get("detail").cloned().unwrap_or_default();
    let detail: EventBridgeDetail = serde_json::from_value(detail)
        .map_err(|error| EventError(format!("detail is no S3 object: {error}")))?;
    object_version(
        "detail",
        detail.bucket.name,
        detail.object.key,
        detail.object.version_id,
        detail.object.etag,
        detail.object.sequencer,
    )
}

/// Nothing for a "folder" (a key that ends in a slash), which consoles make and which has no rows.
fn object_version(
    place: &str,
    bucket: Option<String>,
    key: Option<String>,
    version: Option<String>,
    etag: Option<String>,
    sequencer: Option<String>,
) -> Result<Option<ObjectVersion>, EventError> {
    let missing = |what: &str| EventError(format!("{place} has no {what}"));
    let key = key
        .filter(|key| !key.is_empty())
        .ok_or_else(|| missing("object key"))?;
    let sequencer = sequencer.ok_or_else(|| missing("sequencer"))?;
    let sequencer = Sequencer::parse(&sequencer).ok_or_else(|| {
        EventError(format!(
            "{place} has the sequencer {sequencer:?}: expected hexadecimal digits"
        ))
    })?;
    if key.ends_with('/') {
        return Ok(None);
    }
    Ok(Some(ObjectVersion {
        bucket: bucket
            .filter(|name| !name.is_empty())
            .ok_or_else(|| missing("bucket name"))?,
        key,
        version: version.filter(|version| !version.is_empty() && version != "null"),
        etag: etag
            .map(|etag| etag.trim_matches('"').to_owned())
            .filter(|etag| !etag.is_empty()),
        sequencer,
    }))
}

/// Keys in notifications are form-encoded: `+` is a space, then `%XX`.
fn decode_form(place: &str, key: &str) -> Result<String, EventError> {
    percent_decode_str(&key.replace('+', " "))
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| {
            EventError(format!(
                "{place} has the key {key:?}, which is not UTF-8 when decoded"
            ))
        })
}
