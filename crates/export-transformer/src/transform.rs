//! A data file into objects: read, verify, decide, publish.

use std::time::Duration;

use export_jobs::SchemaMode;
use export_jobs::output::{Checkpoint, OutputPlan, Outputs, discard_all};
use lambda_support::{Failure, FailureKind};
use storage::{Clock, ErrorKind, Ledger, ObjectStore, StorageError, Timestamp};
use tracing::{error, info, warn};

use crate::fault::FileFault;
use crate::handler::{Work, invalid};
use crate::infer::read_schema;
use crate::part::{Begun, OnFailure, Progress};
use crate::publish::{decide, publish, publish_of_another};
use crate::request::{Outcome, Report};
use crate::source::{DataFile, Prefix};

/// What is left before the function is killed when reading stops: the last parts are sent, or the checkpoint is written.
const TIME_TO_FINISH: Duration = Duration::from_secs(30);
/// What is left when publishing stops.
const TIME_TO_LEAVE: Duration = Duration::from_secs(3);

/// How far reading came.
enum Transcoded {
    /// To the end of the file, which is as the manifest says.
    Whole(Checkpoint),
    /// Until time was over.
    SoFar(Checkpoint, Prefix),
    /// Until time was over, and no object has become whole.
    Nothing,
}

/// Makes a data file's objects, and leaves alone what is made already.
pub(crate) async fn transform<O, L, C>(work: &Work<'_, O, L, C>) -> Result<Report, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let times = Times::new(work.part.clock.now(), work.deadline);
    let schema = match work.job.settings.schema {
        None => None,
        Some(SchemaMode::Declared | SchemaMode::Inferred) => Some(read_schema(work).await?),
    };
    let key = &work.part.file.data_file_s3_key;
    let plan = OutputPlan::of_export(work.job, key, schema).ok_or_else(|| {
        invalid(format!(
            "the job {} has no export yet: expected its ARN in its row",
            work.part.job
        ))
    })?;
    let begun = work
        .part
        .begin()
        .await
        .map_err(|error| Failure::from(&error))?;
    let progress = match begun {
        Begun::Completed {
            rows_read,
            rows_written,
        } => {
            return Ok(report(work, Outcome::Completed, rows_read, rows_written));
        }
        Begun::OtherFile { location } => {
            return Err(invalid(format!(
                "{}: its row is COMPLETED with {location}, or another checksum: expected one file of this name in a job",
                work.part.location()
            )));
        }
        Begun::Decided(outputs) => return publish(work, &outputs, times).await,
        Begun::Open(progress) => progress,
    };
    match transcode(work, &plan, &progress, times).await {
        Ok(Transcoded::Whole(outputs)) => match decide(work, &outputs, &progress.outputs).await? {
            true => publish(work, &outputs, times).await,
            false => publish_of_another(work, times).await,
        },
        Ok(Transcoded::SoFar(outputs, prefix)) => {
            hand_over(work, &outputs, &prefix, &progress).await
        }
        Ok(Transcoded::Nothing) => Err(no_progress(work).await),
        Err(fault) => Err(give_up(work, &fault, &progress.outputs).await),
    }
}

/// Reads the file to its end, or until time is over.
async fn transcode<O, L, C>(
    work: &Work<'_, O, L, C>,
    plan: &OutputPlan,
    progress: &Progress,
    times: Times,
) -> Result<Transcoded, FileFault>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let part = &work.part;
    let mut outputs =
        Outputs::resume(work.objects, plan, progress.outputs.clone())?.holding(work.held_bytes);
    let file = &part.file;
    let mut source = DataFile::open(
        work.objects,
        part.bucket,
        &file.data_file_s3_key,
        progress.prefix.clone(),
        work.policy,
    )
    .await?;
    let is_whole = match feed(&mut source, &mut outputs, part.clock, times).await {
        Ok(is_whole) => is_whole,
        Err(fault) => {
            outputs.discard().await;
            return Err(fault);
        }
    };
    if is_whole {
        if let Err(fault) = source.verify(&file.md5_checksum, file.item_count) {
            outputs.discard().await;
            return Err(fault);
        }
        return Ok(Transcoded::Whole(outputs.finish().await?));
    }
    if !outputs.has_progressed() {
        outputs.discard().await;
        return Ok(Transcoded::Nothing);
    }
    let prefix = source.prefix();
    Ok(Transcoded::SoFar(outputs.checkpoint().await, prefix))
}

/// Takes line by line to the outputs; false if time was over before the end.
async fn feed<O: ObjectStore, C: Clock>(
    source: &mut DataFile<'_>,
    outputs: &mut Outputs<'_, O>,
    clock: &C,
    times: Times,
) -> Result<bool, FileFault> {
    loop {
        let time = clock.now().until(times.read_until);
        if time.is_zero() {
            return Ok(false);
        }
        let Ok(block) = tokio::time::timeout(time, source.next_lines()).await else {
            return Ok(false);
        };
        let Some(block) = block? else {
            return Ok(true);
        };
        for (number, line) in block.lines() {
            outputs.add(number, line?).await?;
        }
    }
}

/// Leaves whole objects to the next invocation.
async fn hand_over<O, L, C>(
    work: &Work<'_, O, L, C>,
    outputs: &Checkpoint,
    prefix: &Prefix,
    progress: &Progress,
) -> Result<Report, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let own = &outputs.objects[progress.outputs.objects.len()..];
    match work
        .part
        .hand_over(outputs, prefix, &progress.outputs)
        .await
    {
        Ok(true) => {}
        Ok(false) => discard_all(work.objects, own).await,
        Err(error) => {
            if error.kind() != ErrorKind::Unanswered {
                discard_all(work.objects, own).await;
            }
            return Err(Failure::from(&error));
        }
    }
    let rows = outputs.rows();
    info!(
        file = work.part.name,
        rows_read = rows.read(),
        objects = outputs.objects.len(),
        file.position_bytes = prefix.bytes,
        "time is over; the next invocation goes on"
    );
    Ok(report(work, Outcome::Continue, rows.read(), rows.written))
}

/// Time was over, and the next invocation would not come any further.
async fn no_progress<O, L, C>(work: &Work<'_, O, L, C>) -> Failure
where
    L: Ledger,
    C: Clock,
{
    let message = format!(
        "{}: time was over before one more object of {} bytes was whole: expected at least one in each invocation; raise the function's memory, or lower SPLIT_MB for the next export",
        work.part.location(),
        work.job.settings.split_bytes
    );
    recorded(
        work.part.fail(&message, OnFailure::Keep).await,
        invalid(message),
    )
}

/// Notes what is wrong with the file, if it is the file; forgets what was staged before.
pub(crate) async fn give_up<O, L, C>(
    work: &Work<'_, O, L, C>,
    fault: &FileFault,
    resumed: &Checkpoint,
) -> Failure
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let failure = fault.failure(&work.part.location());
    if !fault.is_final() {
        warn!(file = work.part.name, error = %failure, "a service failed");
        return failure;
    }
    error!(file = work.part.name, error = %failure, "the file cannot be transformed");
    let forgotten = OnFailure::Forget(resumed);
    let was_recorded = work.part.fail(&failure.message, forgotten).await;
    if matches!(was_recorded, Ok(true)) {
        discard_all(work.objects, &resumed.objects).await;
    }
    recorded(was_recorded, failure)
}

/// What the caller gets: the failure itself only if the row says it too. Otherwise the same event is to come again, and finds
/// what another invocation made of the file, or records its reason.
pub(crate) fn recorded(was_recorded: Result<bool, StorageError>, failure: Failure) -> Failure {
    match was_recorded {
        Ok(true) => failure,
        Ok(false) => Failure {
            kind: FailureKind::Transient,
            ..failure
        },
        Err(error) => Failure::from(&error),
    }
}

/// When to stop what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) read_until: Timestamp,
    pub(crate) publish_until: Timestamp,
}

impl Times {
    pub(crate) fn new(now: Timestamp, deadline: Timestamp) -> Self {
        let time = now.until(deadline);
        let before = |span: Duration| now.plus(time.saturating_sub(span));
        Self {
            read_until: before(TIME_TO_FINISH.min(time / 4)),
            publish_until: before(TIME_TO_LEAVE.min(time / 8)),
        }
    }
}

pub(crate) fn report<O, L, C>(
    work: &Work<'_, O, L, C>,
    status: Outcome,
    rows_read: u64,
    rows_written: u64,
) -> Report {
    Report {
        file: work.part.name.to_owned(),
        status,
        rows_read,
        rows_written,
    }
}
