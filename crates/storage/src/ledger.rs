//! The table that tracks jobs and parts.

use records::{MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES};
use serde_json::{Map, Value};

use crate::{ErrorKind, StorageError};

/// Names of the attributes that [`LedgerRow`] has as fields.
const OWN_ATTRIBUTES: [&str; 4] = ["job", "part", "revision", "open"];

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Partition key, such as `ingest/<bucket>/<key>#<sequencer>`.
    pub job: String,
    /// Sort key, such as `object`.
    pub part: String,
    /// Number of times that this row has been written; every write is conditioned on it.
    pub revision: u64,
    /// While there is work left: the kind of work (`ingest`), by which a sweep finds the row. Else absent from the index.
    pub open: Option<String>,
    /// All other attributes. Numbers are integers.
    pub attributes: Map<String, Value>,
}

impl LedgerRow {
    /// The row's key as text, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{}, part {}", self.job, self.part)
    }

    /// Refuses a row that the table would refuse, or that would not come back as it was written.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.fault() {
            None => Ok(()),
            Some(fault) => Err(StorageError::new(
                ErrorKind::Refused,
                "PutItem",
                self.name(),
                fault,
            )),
        }
    }

    fn fault(&self) -> Option<String> {
        // An open row is also in the index, where `job` is the sort key.
        let longest_job = match self.open {
            Some(_) => MAX_SORT_KEY_BYTES,
            None => MAX_PARTITION_KEY_BYTES,
        };
        if self.revision == 0 {
            return Some("the first revision is 1".to_owned());
        }
        if let Some(name) = OWN_ATTRIBUTES
            .iter()
            .find(|name| self.attributes.contains_key(**name))
        {
            return Some(format!("the attribute {name} is a field of the row"));
        }
        if let Some((name, _)) = self
            .attributes
            .iter()
            .find(|(_, value)| has_fraction(value))
        {
            return Some(format!(
                "the attribute {name} holds a number that is no integer"
            ));
        }
        key_fault("job", &self.job, longest_job)
            .or_else(|| key_fault("part", &self.part, MAX_SORT_KEY_BYTES))
            .or_else(|| {
                let open = self.open.as_deref()?;
                key_fault("open", open, MAX_PARTITION_KEY_BYTES)
            })
    }
}

fn key_fault(name: &str, value: &str, longest: usize) -> Option<String> {
    let allowed = 1..=longest;
    (!allowed.contains(&value.len())).then(|| {
        format!(
            "{name} has {} bytes; 1 to {longest} are allowed",
            value.len()
        )
    })
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The ledger. Every operation retries what is transient inside; reads are strongly consistent except `open_jobs`.
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait Ledger {
    /// One row, or nothing.
    async fn read(&self, job: &str, part: &str) -> Result<Option<LedgerRow>, StorageError>;

    /// Writes `row` if the stored one has revision `row.revision - 1` (with `row.revision == 1`: if there is none). `Conflict`
    /// otherwise; but a stored row that equals `row` in everything is success, since then an earlier try of this very write
    /// landed and only its answer was lost.
    async fn write(&self, row: &LedgerRow) -> Result<(), StorageError>;

    /// Keys (`job`, `part`) of the rows that are open with this kind, in order of `job`. May lag behind writes.
    async fn open_jobs(&self, kind: &str) -> Result<Vec<(String, String)>, StorageError>;
}
