//! The lease of a lane: one row of the ledger, so that two runs do not do the same work twice.
//!
//! Safety does not rest on it: every object and every mark is written on a condition. But a bundle's lines are ordered by the
//! number of the run that wrote them, so a run must not read items after its lease has ended.

use std::cell::Cell;
use std::time::Duration;

use lambda_support::error_chain;
use records::{Item, item_from_dynamodb_json, write_item_dynamodb_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::{Clock, ErrorKind, Ledger, LedgerRow, StorageError, Timestamp};
use tracing::warn;

use crate::report::Counts;

/// Times that a change is tried anew when somebody else wrote the row in between.
const MAX_CONFLICTS: u32 = 50;

/// The row of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LaneRow {
    kind: String,
    processing_status: String,
    /// Raised by each new owner: the number of its run. At least the time at which the run began, in milliseconds since 1970:
    /// so a run has a higher number than one that began before it, also in another lane, by another index or after the
    /// ledger was made anew.
    pub fence: u64,
    owner: String,
    /// Milliseconds since 1970; 0 when nobody works.
    lease_end: u64,
    /// Runs that came to an end.
    pub runs: u64,
    /// Items that they marked done.
    pub total_done: u64,
    /// Items that they set aside.
    pub total_set_aside: u64,
    /// Where in the index a run stopped that left items unfinished.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    go_on: Option<GoOn>,
    start_time: String,
    /// When the lane was last found empty or left; absent while it is worked on for the first time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    end_time: Option<String>,
    last_updated: String,
}

/// A place in the partition of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GoOn {
    /// The text that is the partition's key: another one makes the place worthless.
    marker: String,
    /// The key of the entry before the place, as DynamoDB JSON.
    after: String,
}

/// Which row, and whose.
#[derive(Debug, Clone)]
pub struct LaneOwner {
    /// The ledger's `job`.
    pub job: String,
    /// The ledger's `part`.
    pub part: String,
    /// A value of the worker's own, so that no two leases are ever equal.
    pub owner: String,
    /// Length of a lease.
    pub lease: Duration,
}

/// A lane that is this worker's.
pub struct LaneLease<'a, L, C> {
    ledger: &'a L,
    clock: &'a C,
    whose: LaneOwner,
    /// The number of this run: greater than that of every earlier run of the lane.
    pub run: u64,
    /// Where in the index this run begins, if not at the beginning: behind what kept the last one from going on.
    pub begin_after: Option<Item>,
    /// Until when the lane is this worker's, with room for clocks that differ.
    held_until: Cell<Timestamp>,
}

impl<'a, L: Ledger, C: Clock> LaneLease<'a, L, C> {
    /// Takes the lane; nothing if another worker has it.
    pub async fn take(
        ledger: &'a L,
        clock: &'a C,
        whose: LaneOwner,
        marker: &str,
    ) -> Result<Option<Self>, StorageError> {
        let lease = whose.lease;
        let taken = change(ledger, clock, &whose, |row, now| {
            if now.0 < row.lease_end {
                return None;
            }
            row.fence = now.0.max(row.fence + 1);
            row.owner.clone_from(&whose.owner);
            row.lease_end = now.plus(lease).0;
            "IN_PROGRESS".clone_into(&mut row.processing_status);
            if row.start_time.is_empty() {
                row.start_time = now.iso();
            }
            Some((row.fence, row.lease_end, row.go_on.clone()))
        })
        .await?;
        Ok(taken.map(|(run, end, go_on)| Self {
            ledger,
            clock,
            run,
            begin_after: go_on
                .filter(|place| place.marker == marker)
                .and_then(|place| item_from_dynamodb_json(place.after).ok()),
            held_until: Cell::new(with_room(end, whose.lease)),
            whose,
        }))
    }

    /// Until when the lane is this worker's.
    pub fn held_until(&self) -> Timestamp {
        self.held_until.get()
    }

    /// Renews for ever; to be dropped when the work has ended. A renewal that fails is tried again: until one succeeds the
    /// lease runs out by itself.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(self.whose.lease / 4).await;
            let renewed = change(self.ledger, self.clock, &self.whose, |row, now| {
                if row.fence != self.run || row.lease_end <= now.0 {
                    return None;
                }
                row.lease_end = now.plus(self.whose.lease).0;
                Some(row.lease_end)
            });
            match renewed.await {
                Ok(Some(end)) => self.held_until.set(with_room(end, self.whose.lease)),
                Ok(None) => {
                    self.held_until.set(Timestamp(0));
                    std::future::pending::<()>().await;
                }
                Err(error) => warn!(
                    error = error_chain(&error),
                    "the lane's lease could not be renewed; trying again"
                ),
            }
        }
    }

    /// Leaves the lane, with what the run did; the row as it is then. A lane that has another owner by now only gets the counts.
    /// `go_on` is where the next run begins: the marker and the last entry that this one took.
    pub async fn leave(
        &self,
        counts: Counts,
        empty: bool,
        go_on: Option<(&str, &Item)>,
    ) -> Result<LaneRow, StorageError> {
        change(self.ledger, self.clock, &self.whose, |row, now| {
            row.runs += 1;
            row.total_done += counts.done;
            row.total_set_aside += counts.set_aside;
            if row.fence == self.run {
                row.lease_end = 0;
                let status = if empty { "COMPLETED" } else { "PENDING" };
                status.clone_into(&mut row.processing_status);
                row.end_time = Some(now.iso());
                row.go_on = go_on.map(|(marker, after)| GoOn {
                    marker: marker.to_owned(),
                    after: json_of(after),
                });
            }
            row.clone()
        })
        .await
    }
}

/// When the lane was last worked on, as text that sorts by time; empty if never.
pub async fn last_worked<L: Ledger>(
    ledger: &L,
    job: &str,
    part: &str,
) -> Result<String, StorageError> {
    Ok(match ledger.read(job, part).await? {
        Some(row) => parse(&row)?.last_updated,
        None => String::new(),
    })
}

fn json_of(item: &Item) -> String {
    let mut json = Vec::new();
    write_item_dynamodb_json(item, &mut json);
    String::from_utf8(json).expect("an item is written as JSON")
}

fn with_room(lease_end: u64, lease: Duration) -> Timestamp {
    let room = u64::try_from((lease / 4).as_millis()).unwrap_or(u64::MAX);
    Timestamp(lease_end.saturating_sub(room))
}

/// Reads the row, applies `transition` and writes it back if it changed; again if somebody else was faster.
async fn change<L: Ledger, C: Clock, T>(
    ledger: &L,
    clock: &C,
    whose: &LaneOwner,
    mut transition: impl FnMut(&mut LaneRow, Timestamp) -> T,
) -> Result<T, StorageError> {
    let mut conflicts = 0;
    loop {
        let stored = ledger.read(&whose.job, &whose.part).await?;
        let (revision, before) = match &stored {
            Some(row) => (row.revision, parse(row)?),
            None => (0, LaneRow::default()),
        };
        let now = clock.now();
        let mut after = before.clone();
        let outcome = transition(&mut after, now);
        if after == before {
            return Ok(outcome);
        }
        "reprocess".clone_into(&mut after.kind);
        after.last_updated = now.iso();
        let row = LedgerRow {
            job: whose.job.clone(),
            part: whose.part.clone(),
            revision: revision + 1,
            open: None,
            attributes: match serde_json::to_value(&after) {
                Ok(Value::Object(attributes)) => attributes,
                _ => unreachable!("a lane's row is a struct of texts and counts"),
            },
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

fn parse(row: &LedgerRow) -> Result<LaneRow, StorageError> {
    serde_json::from_value(Value::Object(row.attributes.clone())).map_err(|error| {
        StorageError::new(
            ErrorKind::Internal,
            "GetItem",
            format!("the ledger row {} / {}", row.job, row.part),
            "the row is not as this version writes it: expected a lane's row",
        )
        .with_source(error)
    })
}
