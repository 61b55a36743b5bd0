//! One object version, from its ledger row to its end: the work of the worker that owns the inbox key.

use std::time::Duration;

use bulk_writer::WriteFailure;
use lambda_support::{Failure, FailureKind, error_chain, peak_memory_bytes};
use storage::{
    Clock, ErrorKind, Ledger, Notices, ObjectStore, StorageError, TableStore, Timestamp,
};
use tracing::info;

use crate::claims::{InboxKey, JobRow};
use crate::dependencies::Dependencies;
use crate::event::ObjectVersion;
use crate::inbox::{Ending, Timing};
use crate::job::{Job, ProcessingStatus};
use crate::lease::{LeaseKeeper, Stop};
use crate::moving::move_rows;
use crate::names::object_job;
use crate::problem::Problem;
use crate::report::{ObjectReport, Outcome};
use crate::transfer::{End, Transferred};

/// How long attempts may settle nothing before the job has failed and a person has to look.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Most bytes of a message in ledger and queue, where a row has 400 KB at the most.
const MAX_MESSAGE_BYTES: usize = 2_000;
/// Time kept to settle what is under way (an attempt takes at most ten seconds) and to leave in order.
pub(crate) const TIME_TO_LEAVE: Duration = Duration::from_secs(15);

/// What the owner of a key found out about its version.
pub(crate) struct Worked {
    pub(crate) report: ObjectReport,
    pub(crate) ending: Ending,
    pub(crate) quiet_until: Timestamp,
    /// What the invocation returns as its error, after the key has been released.
    pub(crate) failure: Option<Failure>,
}

/// Works on a version whose key the caller owns with `fence` since `taken`. Returns an error only when the ledger itself
/// cannot be used; then the lease runs out by itself.
pub(crate) async fn work_on<O, T, L, N, C>(
    dependencies: &Dependencies<O, T, L, N, C>,
    object: &ObjectVersion,
    fence: u64,
    taken: Timestamp,
    deadline: Timestamp,
    seed: u64,
) -> Result<Worked, StorageError>
where
    O: ObjectStore + 'static,
    T: TableStore,
    L: Ledger,
    N: Notices,
    C: Clock,
{
    let clock = &dependencies.clock;
    let ledger = &dependencies.ledger;
    let name = object_job(object);
    let mut row = match JobRow::load(ledger, &name).await? {
        Some(mut row) if !row.job.processing_status.has_ended() => {
            row.job.take_over(fence, clock.now());
            row
        }
        // Its end was recorded, but the worker died before it could say so in the inbox row.
        Some(row) => {
            let ended = row.job.processing_status;
            if ended == ProcessingStatus::Failed {
                notify(dependencies, object, &row.job).await?;
            }
            return Ok(Worked {
                report: ObjectReport {
                    counts: row.job.counts,
                    ..ObjectReport::idle(object, Outcome::AlreadyDone)
                },
                ending: Ending::Done,
                quiet_until: Timestamp(0),
                failure: None,
            });
        }
        None => JobRow::new(
            &name,
            Job::begin(object, fence, dependencies.config.block_rows, clock.now()),
        ),
    };
    row.save(ledger, clock).await?;
    let settled_before = row.job.counts.read;
    if let Some(message) = row.job.hopeless_after(GIVE_UP_AFTER, clock.now()) {
        let attempt = Attempt::without_rows(Problem::Permanent(message));
        return leave(dependencies, object, row, attempt, settled_before, taken).await;
    }

    let key = InboxKey {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
    };
    let timing = Timing {
        lease: dependencies.config.lease,
        settle: dependencies.config.settle,
    };
    let keeper = LeaseKeeper::new(ledger, clock, &key, fence, timing, taken, deadline);
    let moved = {
        let moving = move_rows(dependencies, object, &mut row, &keeper, &key, seed);
        tokio::select! {
            moved = moving => moved,
            () = keeper.keep() => unreachable!("a lease is kept until the work has ended"),
        }
    };
    let attempt = match moved {
        Ok(transferred) => judge(transferred, &keeper, clock.now().plus(timing.settle)),
        Err(problem) => Attempt::without_rows(problem),
    };
    leave(dependencies, object, row, attempt, settled_before, taken).await
}

/// What an attempt came to.
struct Attempt {
    outcome: Result<Outcome, Problem>,
    rows_read: u64,
    quiet_until: Timestamp,
}

impl Attempt {
    fn without_rows(problem: Problem) -> Self {
        Self {
            outcome: Err(problem),
            rows_read: 0,
            quiet_until: Timestamp(0),
        }
    }
}

fn judge<L: Ledger, C: Clock>(
    transferred: Transferred<StorageError>,
    keeper: &LeaseKeeper<'_, L, C>,
    late_until: Timestamp,
) -> Attempt {
    // A part whose writing got no answer may appear later, as a row may.
    let part_may_land =
        matches!(&transferred.recorded, Err(error) if error.kind() == ErrorKind::Unanswered);
    let quiet_until = if part_may_land {
        late_until
    } else {
        Timestamp(0)
    };
    let outcome = match (transferred.recorded, transferred.end) {
        // The row that this worker knew is another one: a new owner has taken the job over.
        (Err(error), _) if error.kind() == ErrorKind::Conflict => Err(Problem::Passing(Failure {
            kind: FailureKind::Transient,
            message: format!(
                "another worker has taken the job over: {}",
                error_chain(&error)
            ),
        })),
        (Err(error), _) => Err(Problem::of_store(&error)),
        (Ok(()), End::Finished) => Ok(Outcome::Completed),
        (Ok(()), End::Broken(error)) => Err(error.into()),
        (Ok(()), End::Unreadable(error)) => Err(error.into()),
        (Ok(()), End::Unwritable(WriteFailure::Store(error))) => Err(Problem::of_store(&error)),
        (Ok(()), End::Unwritable(failure @ WriteFailure::NoProgress { .. })) => Err(
            Problem::Passing(Failure::new(FailureKind::Transient, &failure)),
        ),
        (Ok(()), End::WindowClosed | End::NotRecorded) => match keeper.why_stopped() {
            Stop::Superseded => Ok(Outcome::Superseded),
            Stop::Deadline => Ok(Outcome::Deferred),
            Stop::LeaseLost => Err(Problem::Passing(Failure {
                kind: FailureKind::Transient,
                message: "the lease on the inbox key could not be kept".to_owned(),
            })),
        },
    };
    Attempt {
        outcome,
        rows_read: transferred.rows_read,
        quiet_until: transferred.quiet_until.max(quiet_until),
    }
}

/// Says in the rows of versions that were begun and then overtaken that nobody will go on with them.
pub(crate) async fn end_overtaken<O, T, L: Ledger, N, C: Clock>(
    dependencies: &Dependencies<O, T, L, N, C>,
    overtaken: &[ObjectVersion],
) -> Result<(), StorageError> {
    for object in overtaken {
        if let Some(mut row) = JobRow::load(&dependencies.ledger, &object_job(object)).await?
            && !row.job.processing_status.has_ended()
        {
            let now = dependencies.clock.now();
            let message = "a newer version of the object took its place".to_owned();
            row.job
                .end(ProcessingStatus::Superseded, Some(message), now);
            row.save(&dependencies.ledger, &dependencies.clock).await?;
        }
    }
    Ok(())
}

/// Writes the end of the attempt into the job's row.
async fn leave<O, T, L, N, C>(
    dependencies: &Dependencies<O, T, L, N, C>,
    object: &ObjectVersion,
    mut row: JobRow,
    attempt: Attempt,
    settled_before: u64,
    began: Timestamp,
) -> Result<Worked, StorageError>
where
    O: ObjectStore,
    L: Ledger,
    N: Notices,
    C: Clock,
{
    let Attempt {
        outcome,
        rows_read,
        quiet_until,
    } = attempt;
    let now = dependencies.clock.now();
    let mut failure = None;
    let (outcome, message) = match outcome {
        Ok(outcome) => (outcome, None),
        Err(Problem::Permanent(message)) => (Outcome::Failed, Some(message)),
        Err(Problem::Replaced(message)) => (Outcome::Superseded, Some(message)),
        Err(Problem::Passing(passing)) => {
            let message = passing.message.clone();
            failure = Some(passing);
            (Outcome::Deferred, Some(message))
        }
    };
    let place = format!("s3://{}/{}", object.bucket, object.key);
    let message = message.map(|message| presentable(&format!("{place}: {message}")));
    if let Some(failure) = &mut failure {
        failure.message = presentable(&format!("{place}: {}", failure.message));
    }
    row.job.peak_memory_mb = Some(peak_memory_bytes().div_ceil(1_000_000));
    let ending = match outcome {
        Outcome::Completed => {
            row.job.end(ProcessingStatus::Completed, None, now);
            Ending::Done
        }
        Outcome::Failed => {
            row.job.end(ProcessingStatus::Failed, message.clone(), now);
            Ending::Done
        }
        Outcome::Superseded => {
            row.job
                .end(ProcessingStatus::Superseded, message.clone(), now);
            Ending::Superseded
        }
        Outcome::Deferred | Outcome::AlreadyDone | Outcome::Waiting => {
            row.job.error_message = message.clone();
            Ending::HandedOver
        }
    };
    row.save(&dependencies.ledger, &dependencies.clock).await?;
    if outcome == Outcome::Failed {
        notify(dependencies, object, &row.job).await?;
    }
    let counts = row.job.counts;
    // Rows of earlier attempts are in the counts, but not among those that this one read.
    let settled_here = counts.read - settled_before;
    let report = ObjectReport {
        counts,
        rows_deferred: rows_read.saturating_sub(settled_here),
        message,
        elapsed_ms: began.until(now).as_millis() as u64,
        ..ObjectReport::idle(object, outcome)
    };
    // The message may quote the input; it is in the ledger, and in the queue or the error that this leads to.
    info!(
        s3.location = report.s3_location,
        job.outcome = ?report.outcome,
        rows.read = counts.read,
        rows.written = counts.written,
        rows.superseded = counts.superseded,
        rows.rejected = counts.rejected,
        rows.deferred = report.rows_deferred,
        elapsed.ms = report.elapsed_ms,
        "the object's work has ended"
    );
    Ok(Worked {
        report,
        ending,
        quiet_until,
        failure,
    })
}

/// A message of bounded length, without the characters that SQS refuses.
fn presentable(message: &str) -> String {
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
    let printable = |character: char| match character {
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ if character.is_control() => ' ',
        _ => character,
    };
    let mut text: String = message[..end].chars().map(printable).collect();
    if end < message.len() {
        text.push('…');
    }
    text
}

/// Tells people that an input can never succeed as it is. Sent before the key is released, so that a crash in between leads to
/// a second message rather than to none.
async fn notify<O, T, L, N: Notices, C>(
    dependencies: &Dependencies<O, T, L, N, C>,
    object: &ObjectVersion,
    job: &Job,
) -> Result<(), StorageError> {
    let message = serde_json::json!({
        "kind": "ingest",
        "job": object_job(object),
        "s3_location": presentable(&job.s3_location),
        "file_id": job.file_id,
        "processing_status": job.processing_status,
        "error_message": job.error_message,
        "rows_read": job.counts.read,
        "rows_written": job.counts.written,
        "rows_superseded": job.counts.superseded,
        "rows_rejected": job.counts.rejected,
    });
    dependencies.notices.send(&message.to_string()).await
}
