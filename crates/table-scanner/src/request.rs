//! The event: one step of the state machine.

use export_jobs::hold::ExecutionArn;
use export_jobs::{Format, SchemaMode};
use serde::Deserialize;
use serde_json::Value;

/// Into how many parts a table is cut at most. DynamoDB takes a million; each part has a row of its own in the ledger, and
/// nobody runs more functions at the same time.
pub const MAX_SEGMENTS: u32 = 1_000;
/// Characters of a scan's id at most: it stands in names of objects, which have 1,024 bytes.
const MAX_SCAN_ID: usize = 100;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Record a scan, or find it recorded.
    Begin(BeginRequest),
    /// Read a segment, as far as the time allows.
    Scan {
        /// The ledger's `job`.
        job: String,
        /// The segment, from 0.
        segment: u32,
        /// For whom: nothing is read for an execution that another one took the scan over from.
        execution: Option<ExecutionArn>,
    },
    /// Say that the scan is whole, or what is missing.
    Finish {
        /// The ledger's `job`.
        job: String,
        /// Who asks: of a scan that another execution works on, nobody else says that it FAILED.
        execution: Option<ExecutionArn>,
    },
}

/// Which scan, and what is to be made of it. What is left out is as the function's configuration has it, or, for a scan that
/// was begun before, as it was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRequest {
    /// What tells the scan from others of the table: the same id is the same scan, however often it is asked for.
    pub scan: String,
    /// Who asks: another execution leaves the scan to this one as long as it runs. Nothing, as when somebody calls the function by
    /// hand: the scan is nobody's.
    pub execution: Option<ExecutionArn>,
    /// Into how many parts the table is cut.
    pub segments: Option<u32>,
    /// Read units a second that all segments together may take; 0 for no limit.
    pub read_units: Option<u64>,
    /// Whether each page sees every write that was acknowledged before, at twice the price.
    pub consistent: Option<bool>,
    /// What is made of the rows.
    pub format: Option<Format>,
    /// `gzip` or `zstd`.
    pub codec: Option<String>,
    /// `declared`, or nothing: a scan infers none.
    pub schema: Option<SchemaMode>,
    /// The key in the lake bucket, under `settings/`, of the schema.
    pub schema_key: Option<String>,
    /// The attribute that tells which data set an item belongs to.
    pub discriminator: Option<String>,
    /// The key in the lake bucket, under `settings/`, of what is renamed, dropped and kept.
    pub shaping_key: Option<String>,
}

/// An event that says nothing that could be done.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not an object with the members that there are.
    #[error(
        "the event cannot be read ({0}): expected an object with an action (begin, scan, finish), such as {{\"action\": \"begin\", \"scan\": \"2026-11-21\", \"segments\": 8}}"
    )]
    Unreadable(serde_json::Error),
    /// No id that could stand in names.
    #[error(
        "the scan's id is {0:?}: expected 1 to {MAX_SCAN_ID} letters, digits, hyphens, underscores and dots, a letter or digit first"
    )]
    ScanId(String),
    /// No such number of segments.
    #[error("the event asks for {0} segments: expected 1 to {MAX_SEGMENTS}")]
    Segments(u32),
    /// A job of another table, or of something else.
    #[error("the job is {job:?}: expected scan/{table}/ and the id of a scan")]
    Job {
        /// What the event says.
        job: String,
        /// The function's table.
        table: String,
    },
}

impl Request {
    /// Reads an event. `table` is the one that the function scans.
    ///
    /// # Errors
    /// If it is none of the actions, or asks for something that cannot be.
    pub fn read(event: &Value, table: &str) -> Result<Self, RequestError> {
        let request = Self::deserialize(event).map_err(RequestError::Unreadable)?;
        match &request {
            Self::Begin(begin) => {
                if !is_scan_id(&begin.scan) {
                    return Err(RequestError::ScanId(begin.scan.clone()));
                }
                let segments = begin.segments.unwrap_or(1);
                if !(1..=MAX_SEGMENTS).contains(&segments) {
                    return Err(RequestError::Segments(segments));
                }
            }
            Self::Scan { job, .. } | Self::Finish { job, .. } => {
                let id = job
                    .strip_prefix("scan/")
                    .and_then(|rest| rest.strip_prefix(table))
                    .and_then(|rest| rest.strip_prefix('/'));
                if !id.is_some_and(is_scan_id) {
                    return Err(RequestError::Job {
                        job: job.clone(),
                        table: table.to_owned(),
                    });
                }
            }
        }
        Ok(request)
    }
}

fn is_scan_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_SCAN_ID).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(event: &Value) -> Result<Request, RequestError> {
        Request::read(event, "offers")
    }

    #[test]
    fn a_begin_says_what_differs_from_the_configuration() {
        let event = json!({"action": "begin", "scan": "a-1", "segments": 8, "read_units": 500, "consistent": false, "format": "changes"});
        assert_eq!(
            read(&event).unwrap(),
            Request::Begin(BeginRequest {
                scan: "a-1".to_owned(),
                segments: Some(8),
                read_units: Some(500),
                consistent: Some(false),
                format: Some(Format::Changes),
                ..BeginRequest::default()
            })
        );
        let job = "scan/offers/a-1".to_owned();
        assert_eq!(
            read(&json!({"action": "scan", "job": job, "segment": 7})).unwrap(),
            Request::Scan {
                job: job.clone(),
                segment: 7,
                execution: None
            }
        );
        let finish = json!({"action": "finish", "job": job});
        let execution = None;
        assert_eq!(read(&finish).unwrap(), Request::Finish { job, execution });
    }

    #[test]
    fn promise_11_an_event_that_is_none_is_answered_clearly() {
        for event in [
            json!({}),
            json!("begin"),
            json!({"action": "poll"}),
            json!({"action": "begin"}),
            json!({"action": "begin", "scan": "a", "segment": 1}),
            json!({"action": "begin", "scan": "a", "format": "csv"}),
            json!({"action": "scan", "job": "scan/offers/a"}),
            json!({"action": "scan", "job": "scan/offers/a", "segment": -1}),
        ] {
            let message = read(&event).unwrap_err().to_string();
            assert!(
                message.contains("expected an object with an action"),
                "{message}"
            );
        }
        let long = "x".repeat(101);
        for id in ["", "a/b", "-a", "ä", "a b", &long] {
            let message = read(&json!({"action": "begin", "scan": id}))
                .unwrap_err()
                .to_string();
            assert!(message.contains("expected 1 to 100 letters"), "{message}");
        }
        for segments in [0, 1_001] {
            let event = json!({"action": "begin", "scan": "a", "segments": segments});
            assert_eq!(
                read(&event).unwrap_err().to_string(),
                format!("the event asks for {segments} segments: expected 1 to 1000")
            );
        }
        for job in [
            "scan/offers",
            "scan/other/a",
            "export/offers/a",
            "scan/offers/a/b",
        ] {
            let message = read(&json!({"action": "finish", "job": job}))
                .unwrap_err()
                .to_string();
            assert_eq!(
                message,
                format!("the job is {job:?}: expected scan/offers/ and the id of a scan")
            );
        }
    }
}
