//! What an invocation answers, and logs.

use serde::Serialize;

use crate::event::ObjectVersion;
use crate::job::RowCounts;

/// What became of one object version in one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Every row is written, superseded or rejected.
    Completed,
    /// The input can never succeed as it is; the ledger and the on-failure queue say why.
    Failed,
    /// A newer version takes its place.
    Superseded,
    /// The time was up: what is deferred is gone on with by the next invocation or the sweep.
    Deferred,
    /// This version, or a newer one, had ended before: nothing was done.
    AlreadyDone,
    /// Another worker has the key, or late writes may still land: the version waits for that worker's end or the sweep.
    Waiting,
}

/// One object version in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// `s3://bucket/key`.
    pub s3_location: String,
    /// Order among the versions of the key.
    pub sequencer: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Counts of the job so far, over all attempts.
    #[serde(flatten)]
    pub counts: RowCounts,
    /// Rows that this invocation read after the last settled block; they will be read again.
    pub rows_deferred: u64,
    /// Why it failed or stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Wall-clock time in milliseconds.
    pub elapsed_ms: u64,
}

impl ObjectReport {
    pub(crate) fn idle(object: &ObjectVersion, outcome: Outcome) -> Self {
        Self {
            s3_location: format!("s3://{}/{}", object.bucket, object.key),
            sequencer: object.sequencer.to_string(),
            outcome,
            counts: RowCounts::default(),
            rows_deferred: 0,
            message: None,
            elapsed_ms: 0,
        }
    }
}

/// The answer of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// One entry per object version that the invocation dealt with, in order.
    pub objects: Vec<ObjectReport>,
    /// Peak memory of the process in bytes.
    pub peak_memory_bytes: u64,
}
