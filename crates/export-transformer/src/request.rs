//! The event.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Its lines are made into objects.
    Transform,
    /// Its lines are read for a schema.
    Infer,
}

/// A data file as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFileEntry {
    /// Its key in the lake.
    pub data_file_s3_key: String,
    /// Items in it.
    pub item_count: u64,
    /// MD5 of its bytes as they lie there, compressed, in base64.
    pub md5_checksum: String,
}

/// What the event asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Request {
    /// What to do.
    pub action: Action,
    /// The ledger's `job`.
    pub job: String,
    /// The file.
    pub file: DataFileEntry,
}

/// An event that is none of this function's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the event is not understood ({0}): expected {{\"action\":\"transform\" or \"infer\",\"job\":…,\"file\":{{\"dataFileS3Key\":…,\"itemCount\":…,\"md5Checksum\":…}}}}"
)]
pub struct RequestError(String);

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// If it is none of this function's.
    pub fn read(event: &Value) -> Result<Self, RequestError> {
        Self::deserialize(event).map_err(|error| RequestError(error.to_string()))
    }
}

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// All of it is done, and checked.
    Completed,
    /// Time was over: the same event goes on where this one stopped.
    Continue,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file's name in the ledger.
    pub file: String,
    /// What became of it.
    pub status: Outcome,
    /// Rows that were read; with CONTINUE, those that need not be transcoded again.
    pub rows_read: u64,
    /// Rows that are in objects.
    pub rows_written: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_the_manifest_may_have_more_members() {
        let event = json!({
            "action": "transform",
            "job": "export/offers/full-20261121T040000Z",
            "file": {"itemCount": 2, "md5Checksum": "x==", "etag": "y", "dataFileS3Key": "a/b.json.gz"}
        });
        let request = Request::read(&event).unwrap();
        assert_eq!(request.action, Action::Transform);
        assert_eq!(request.file.data_file_s3_key, "a/b.json.gz");
    }

    #[test]
    fn promise_11_an_event_that_is_none_is_answered_clearly() {
        for event in [
            json!({}),
            json!([]),
            json!({"action": "delete", "job": "x"}),
        ] {
            let message = Request::read(&event).unwrap_err().to_string();
            assert!(
                message.contains("expected {\"action\":\"transform\""),
                "{message}"
            );
        }
    }
}
