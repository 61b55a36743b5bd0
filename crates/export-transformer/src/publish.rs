//! The decision which objects are the file's, and their publication.

use export_jobs::output::{Checkpoint, discard_all, publish_all};
use lambda_support::{Failure, FailureKind, error_chain, peak_memory_bytes};
use storage::{Clock, ErrorKind, Ledger, ObjectStore, StorageError};
use tracing::info;

use crate::handler::Work;
use crate::part::{Begun, Decision};
use crate::request::{Outcome, Report};
use crate::transform::{Times, report};

/// Writes into the row that these are the file's objects; false if another invocation has written its own.
pub(crate) async fn decide<O, L, C>(
    work: &Work<'_, O, L, C>,
    outputs: &Checkpoint,
    resumed: &Checkpoint,
) -> Result<bool, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let own = &outputs.objects[resumed.objects.len()..];
    match work.part.decide(outputs, resumed).await {
        Ok(Decision::Taken { superseded }) => {
            discard_all(work.objects, &superseded).await;
            Ok(true)
        }
        Ok(Decision::TakenBefore) => {
            info!(
                file = work.part.name,
                "another invocation was faster: its objects are the file's"
            );
            discard_all(work.objects, own).await;
            Ok(false)
        }
        Ok(Decision::Refused) => {
            discard_all(work.objects, own).await;
            Err(Failure {
                kind: FailureKind::Transient,
                message: format!(
                    "{}: another invocation forgot what this one went on from: expected to begin again",
                    work.part.location()
                ),
            })
        }
        Err(error) => {
            // Without an answer the decision may have been taken, or be taken yet: then the objects are needed.
            if error.kind() != ErrorKind::Unanswered {
                discard_all(work.objects, own).await;
            }
            Err(Failure::from(&error))
        }
    }
}

/// Publishes what another invocation has decided, should it not come to it.
pub(crate) async fn publish_of_another<O, L, C>(
    work: &Work<'_, O, L, C>,
    times: Times,
) -> Result<Report, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    match work
        .part
        .begin()
        .await
        .map_err(|error| Failure::from(&error))?
    {
        Begun::Decided(outputs) => publish(work, &outputs, times).await,
        Begun::Completed {
            rows_read,
            rows_written,
        } => Ok(report(work, Outcome::Completed, rows_read, rows_written)),
        Begun::Open(_) | Begun::OtherFile { .. } => Err(Failure {
            kind: FailureKind::Transient,
            message: format!(
                "{}: its decision was taken back: expected to begin again",
                work.part.location()
            ),
        }),
    }
}

/// Makes the objects appear, and notes that they have.
pub(crate) async fn publish<O, L, C>(
    work: &Work<'_, O, L, C>,
    outputs: &Checkpoint,
    times: Times,
) -> Result<Report, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let rows = outputs.rows();
    let time = work.part.clock.now().until(times.publish_until);
    let published = tokio::time::timeout(time, publish_all(work.objects, &outputs.objects)).await;
    match published {
        Err(_) => return Ok(report(work, Outcome::Continue, rows.read(), rows.written)),
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(unpublished(work, outputs, &error).await),
    }
    work.part
        .complete(outputs)
        .await
        .map_err(|error| Failure::from(&error))?;
    log(work, outputs);
    Ok(report(work, Outcome::Completed, rows.read(), rows.written))
}

/// What it means that an object could not be published. If its upload is gone, it has to be made again.
async fn unpublished<O, L, C>(
    work: &Work<'_, O, L, C>,
    outputs: &Checkpoint,
    error: &StorageError,
) -> Failure
where
    L: Ledger,
    C: Clock,
{
    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) {
        return Failure::from(error);
    }
    let message = format!(
        "{}: an object that was staged is gone, as if the bucket's lifecycle had removed it ({}): expected it to be published within a day; the next try makes all again",
        work.part.location(),
        error_chain(error)
    );
    if let Err(error) = work.part.withdraw(outputs, &message).await {
        return Failure::from(&error);
    }
    Failure {
        kind: FailureKind::Transient,
        message,
    }
}

fn log<O, L, C>(work: &Work<'_, O, L, C>, outputs: &Checkpoint) {
    let rows = outputs.rows();
    let bytes: u64 = outputs
        .objects
        .iter()
        .map(|object| object.staged.bytes)
        .sum();
    info!(
        file = work.part.name,
        rows_read = rows.read(),
        rows_written = rows.written,
        rows_filtered = rows.filtered,
        objects = outputs.objects.len(),
        objects_bytes = bytes,
        memory_peak_bytes = peak_memory_bytes(),
        "data file transformed"
    );
}
