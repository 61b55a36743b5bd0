//! The event: one step of the state machine.

use export_jobs::hold::ExecutionArn;
use export_jobs::{Format, SchemaMode};
use serde::Deserialize;
use serde_json::Value;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Begin the export of a window, or find it under way.
    Begin(BeginRequest),
    /// See how far DynamoDB is.
    Poll {
        /// The ledger's `job`.
        job: String,
    },
    /// Verify the manifests and record one part for each data file.
    Plan {
        /// The ledger's `job`.
        job: String,
        /// Who asks: another execution leaves the window's files to this one as long as it runs. Nothing, as when somebody calls
        /// the function by hand: nobody has the files after it.
        execution: Option<ExecutionArn>,
    },
    /// Make one schema of what was inferred from the files.
    MergeSchema {
        /// The ledger's `job`.
        job: String,
    },
    /// Reconcile, and say that the window is whole.
    Finish {
        /// The ledger's `job`.
        job: String,
        /// Who asks: of a window that another execution works on, nobody else says that it FAILED.
        execution: Option<ExecutionArn>,
    },
    /// Begin no incremental window until `Resume`.
    Pause,
    /// Begin incremental windows again.
    Resume,
}

/// Which window, and what is to be made of it. Settings that are left out are those of the function's configuration, or, for
/// a window that was begun before, the recorded ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRequest {
    /// Full or incremental.
    #[serde(rename = "type", default)]
    pub export_type: ExportType,
    /// What tells a full export from others: the time for which a schedule called, or a label. The same one is the same
    /// export, however often it is asked for. Incremental windows follow one another by themselves.
    pub window: Option<String>,
    /// Whether incremental windows shall go on from the time of this full export, if they have not come further.
    #[serde(default)]
    pub restart_chain: bool,
    /// Whether a window that FAILED, and of which nothing can be seen, shall be exported anew with the settings of this event.
    #[serde(default)]
    pub anew: bool,
    /// What is made of the lines.
    pub format: Option<Format>,
    /// `gzip` or `zstd`.
    pub codec: Option<String>,
    /// Where the columns of Parquet come from.
    pub schema: Option<SchemaMode>,
    /// The key in the lake bucket of a declared schema.
    pub schema_key: Option<String>,
    /// The attribute that tells which data set an item belongs to.
    pub discriminator: Option<String>,
    /// The key in the lake bucket of what is renamed, dropped and kept.
    pub shaping_key: Option<String>,
}

/// Kinds of exports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportType {
    /// Every item.
    #[default]
    Full,
    /// What changed since the last window.
    Incremental,
}

/// An event that says nothing that could be done.
#[derive(Debug, thiserror::Error)]
#[error(
    "the event cannot be read ({0}): expected an object with an action (begin, poll, plan, merge_schema, finish, pause, resume), such as {{\"action\": \"begin\", \"type\": \"full\", \"window\": \"2026-11-21T04:00:00Z\"}}"
)]
pub struct RequestError(serde_json::Error);

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// If it is none of the actions.
    pub fn read(event: &Value) -> Result<Self, RequestError> {
        Self::deserialize(event).map_err(RequestError)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_begin_says_what_differs_from_the_configuration() {
        let event = json!({"action": "begin", "type": "full", "window": "a", "format": "parquet", "schema": "inferred"});
        assert_eq!(
            Request::read(&event).unwrap(),
            Request::Begin(BeginRequest {
                window: Some("a".to_owned()),
                format: Some(Format::Parquet),
                schema: Some(SchemaMode::Inferred),
                ..BeginRequest::default()
            })
        );
    }

    #[test]
    fn promise_11_an_event_that_is_none_is_answered_clearly() {
        for event in [
            json!({}),
            json!("begin"),
            json!({"action": "export"}),
            json!({"action": "begin", "type": "full", "windows": "a"}),
            json!({"action": "begin", "type": "partial"}),
            json!({"action": "poll"}),
            json!({"action": "begin", "format": "csv"}),
        ] {
            let message = Request::read(&event).unwrap_err().to_string();
            assert!(
                message.contains("expected an object with an action"),
                "{message}"
            );
        }
    }
}
