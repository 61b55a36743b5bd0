//! The ledger as this function uses it: transitions of an inbox row, and the row of the job that one owns.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storage::{Clock, ErrorKind, Ledger, LedgerRow, StorageError, Timestamp};

use crate::inbox::Inbox;
use crate::job::Job;
use crate::names::inbox_job;

/// The ledger's `part` of an inbox key's lease.
pub const INBOX_PART: &str = "inbox";
/// The ledger's `part` of an object version.
pub const OBJECT_PART: &str = "object";
/// The ledger's `open` value of inbox keys that have work.
pub const OPEN_KIND: &str = "ingest";

/// Times that a transition is tried anew when somebody else wrote the row in between.
const MAX_CONFLICTS: u32 = 50;

/// Which inbox key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxKey {
    /// Bucket name.
    pub bucket: String,
    /// Object key.
    pub key: String,
}

/// What is stored of an inbox key beside its state.
#[derive(Serialize, Deserialize)]
struct StoredInbox {
    kind: String,
    bucket: String,
    key: String,
    last_updated: String,
    #[serde(flatten)]
    inbox: Inbox,
}

/// Reads the inbox row, applies `transition` and writes it back if it changed; again if somebody else was faster.
pub async fn change_inbox<L: Ledger, C: Clock, T>(
    ledger: &L,
    clock: &C,
    key: &InboxKey,
    mut transition: impl FnMut(&mut Inbox, Timestamp) -> T,
) -> Result<T, StorageError> {
    let job = inbox_job(&key.bucket, &key.key);
    let mut conflicts = 0;
    loop {
        let stored = ledger.read(&job, INBOX_PART).await?;
        let (revision, before) = match &stored {
            Some(row) => (row.revision, parse::<StoredInbox>(row)?.inbox),
            None => (0, Inbox::default()),
        };
        let now = clock.now();
        let mut after = before.clone();
        let outcome = transition(&mut after, now);
        if after == before {
            return Ok(outcome);
        }
        let open = after.is_open().then(|| OPEN_KIND.to_owned());
        let content = StoredInbox {
            kind: OPEN_KIND.to_owned(),
            bucket: key.bucket.clone(),
            key: key.key.clone(),
            last_updated: now.iso(),
            inbox: after,
        };
        let row = LedgerRow {
            job: job.clone(),
            part: INBOX_PART.to_owned(),
            revision: revision + 1,
            open,
            attributes: attributes(&content)?,
        };
        match ledger.write(&row).await {
            Ok(()) => return Ok(outcome),
            Err(error) if error.kind() == ErrorKind::Conflict && conflicts < MAX_CONFLICTS => {
                conflicts += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The inbox row as it is.
pub async fn read_inbox<L: Ledger>(ledger: &L, key: &InboxKey) -> Result<Inbox, StorageError> {
    match ledger
        .read(&inbox_job(&key.bucket, &key.key), INBOX_PART)
        .await?
    {
        Some(row) => Ok(parse::<StoredInbox>(&row)?.inbox),
        None => Ok(Inbox::default()),
    }
}

/// The ledger's jobs that a sweep has to look at; each is an inbox key's.
pub async fn open_inboxes<L: Ledger>(ledger: &L) -> Result<Vec<String>, StorageError> {
    let rows = ledger.open_jobs(OPEN_KIND).await?;
    let inboxes = rows.into_iter().filter(|(_, part)| part == INBOX_PART);
    Ok(inboxes.map(|(job, _)| job).collect())
}

/// The inbox key of such a job. The row says it: in the job's name a long key is cut.
pub async fn inbox_key<L: Ledger>(ledger: &L, job: &str) -> Result<Option<InboxKey>, StorageError> {
    let Some(row) = ledger.read(job, INBOX_PART).await? else {
        return Ok(None);
    };
    let stored = parse::<StoredInbox>(&row)?;
    Ok(Some(InboxKey {
        bucket: stored.bucket,
        key: stored.key,
    }))
}

/// The row of a job that this worker owns. Every write is conditioned on the revision that it knows, and a new owner writes
/// the row before it does anything else: so a worker that lost its lease can write it no more (`Conflict`).
#[derive(Debug, Clone)]
pub struct JobRow {
    name: String,
    revision: u64,
    /// The content, to be changed and then [`JobRow::save`]d.
    pub job: Job,
}

impl JobRow {
    /// The stored row, if there is one.
    pub async fn load<L: Ledger>(ledger: &L, name: &str) -> Result<Option<Self>, StorageError> {
        let Some(row) = ledger.read(name, OBJECT_PART).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            name: name.to_owned(),
            revision: row.revision,
            job: parse(&row)?,
        }))
    }

    /// A row that is not stored yet.
    pub fn new(name: &str, job: Job) -> Self {
        Self {
            name: name.to_owned(),
            revision: 0,
            job,
        }
    }

    /// Writes the row.
    pub async fn save<L: Ledger, C: Clock>(
        &mut self,
        ledger: &L,
        clock: &C,
    ) -> Result<(), StorageError> {
        self.job.last_updated = clock.now().iso();
        let row = LedgerRow {
            job: self.name.clone(),
            part: OBJECT_PART.to_owned(),
            revision: self.revision + 1,
            open: None,
            attributes: attributes(&self.job)?,
        };
        ledger.write(&row).await?;
        self.revision += 1;
        Ok(())
    }
}

fn attributes(content: &impl Serialize) -> Result<Map<String, Value>, StorageError> {
    match serde_json::to_value(content) {
        Ok(Value::Object(attributes)) => Ok(attributes),
        Ok(_) => unreachable!("ledger rows are structs"),
        Err(error) => Err(StorageError::new(
            ErrorKind::Internal,
            "PutItem",
            "the ledger",
            "the row cannot be encoded",
        )
        .with_source(error)),
    }
}

fn parse<T: DeserializeOwned>(row: &LedgerRow) -> Result<T, StorageError> {
    serde_json::from_value(Value::Object(row.attributes.clone())).map_err(|error| {
        StorageError::new(
            ErrorKind::Internal,
            "GetItem",
            format!("the ledger row {} / {}", row.job, row.part),
            "the row is not as this version writes it",
        )
        .with_source(error)
    })
}
