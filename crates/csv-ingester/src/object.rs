//! One object version, from its ledger row to its end: the work of the worker that owns the inbox key.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bulk_writer::{BulkWriter, WriteFailure, WriterSettings};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use lambda_support::{Failure, FailureKind, error_chain, peak_memory_bytes};
use records::RowMapping;

use storage::{
    Clock, ErrorKind, Ledger, Notices, ObjectId, ObjectMeta, ObjectStore, ResumePolicy,
    StorageError, TableStore, Timestamp, open_resuming, resuming,
};
use tracing::{info, warn};

use crate::claims::{InboxKey, JobRow, read_inbox};
use crate::event::ObjectVersion;
use crate::handler::Dependencies;
use crate::inbox::{Ending, Timing};
use crate::input::{Input, InputError, Source};
use crate::job::{Job, ProcessingStatus, RowCounts};
use crate::lease::{LeaseKeeper, Stop};
use crate::names::{PartKind, object_job};
use crate::parts::PartWriter;
use crate::report::{ObjectReport, Outcome};
use crate::rows::{HeaderError, RecordedRun, RowReader};
use crate::transfer::{End, Recorder, Transferred, transfer};

/// Object metadata that names a row mapping under [`MAPPING_FOLDER`] in the lake.
pub const MAPPING_METADATA: &str = "transload-mapping";
/// Where row mappings that objects name are.
pub const MAPPING_FOLDER: &str = "mappings/";
/// A mapping is kept in the job's ledger row (400 KB at most), so that going on later uses the same one.
const MAX_MAPPING_BYTES: u64 = 64 * 1024;
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

/// Why an object cannot be gone on with now.
enum Problem {
    /// It can never succeed as it is.
    Permanent(String),
    /// Its bytes were replaced before they were read; the newer version has its own event.
    Replaced(String),
    /// It may succeed later.
    Passing(Failure),
}

impl Problem {
    fn of_store(kind_of_missing: FailureKind, error: &StorageError) -> Self {
        let kind = match error.kind() {
            ErrorKind::Throttled | ErrorKind::Unanswered | ErrorKind::Conflict => {
                FailureKind::Transient
            }
            ErrorKind::NotFound => kind_of_missing,
            ErrorKind::Denied | ErrorKind::Refused => FailureKind::Invalid,
            ErrorKind::Internal => FailureKind::Internal,
        };
        Self::Passing(Failure::new(kind, error))
    }

    /// The input object itself: gone is gone, and another ETag is another object.
    fn of_input(error: &StorageError) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Permanent(format!(
                "the object is gone: {}: expected it to stay in the inbox until it has been read; upload it again",
                error_chain(error)
            )),
            ErrorKind::Conflict => Self::Replaced(error_chain(error)),
            // An archived object, for one.
            ErrorKind::Refused => Self::Permanent(format!(
                "the object cannot be read as it is: {}: expected one that a plain GET returns; restore it or upload it again",
                error_chain(error)
            )),
            _ => Self::of_store(FailureKind::Invalid, error),
        }
    }
}

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Store(error) => Self::of_input(&error),
            broken => Self::Permanent(error_chain(&broken)),
        }
    }
}

impl From<HeaderError> for Problem {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Input(error) => error.into(),
            other => Self::Permanent(error_chain(&other)),
        }
    }
}

/// The inbox object as a source of bytes. The stream of the first answer is used once, the rest are new reads.
struct InboxObject<O> {
    objects: Rc<O>,
    id: ObjectId,
    first: RefCell<Option<LocalBoxStream<'static, Result<Bytes, StorageError>>>>,
}

impl<O: ObjectStore + 'static> Source for InboxObject<O> {
    fn read_from(&self, offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        match self.first.borrow_mut().take() {
            Some(stream) if offset == 0 => stream,
            _ => resuming(
                Rc::clone(&self.objects),
                self.id.clone(),
                offset,
                ResumePolicy::default(),
            ),
        }
    }
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
        (Err(error), _) => Err(Problem::of_store(FailureKind::Invalid, &error)),
        (Ok(()), End::Finished) => Ok(Outcome::Completed),
        (Ok(()), End::Broken(error)) => Err(error.into()),
        (Ok(()), End::Unreadable(error)) => Err(error.into()),
        (Ok(()), End::Unwritable(WriteFailure::Store(error))) => {
            Err(Problem::of_store(FailureKind::Invalid, &error))
        }
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

async fn move_rows<O, T, L, N, C>(
    dependencies: &Dependencies<O, T, L, N, C>,
    object: &ObjectVersion,
    row: &mut JobRow,
    keeper: &LeaseKeeper<'_, L, C>,
    key: &InboxKey,
    seed: u64,
) -> Result<Transferred<StorageError>, Problem>
where
    O: ObjectStore + 'static,
    T: TableStore,
    L: Ledger,
    N: Notices,
    C: Clock,
{
    let config = &dependencies.config;
    let table = dependencies
        .tables
        .describe(&config.table)
        .await
        .map_err(|error| Problem::of_store(FailureKind::Invalid, &error))?;
    let id = ObjectId {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        version: object.version.clone(),
        etag: object.etag.clone(),
    };
    let (meta, first) = open_resuming(
        Rc::clone(&dependencies.objects),
        id.clone(),
        0,
        ResumePolicy::default(),
    )
    .await
    .map_err(|error| Problem::of_input(&error))?;
    let mapping = row_mapping(dependencies, row, &meta).await?;
    let source = InboxObject {
        objects: Rc::clone(&dependencies.objects),
        id: ObjectId {
            etag: Some(meta.etag),
            ..id
        },
        first: RefCell::new(Some(first)),
    };
    let input = Input::open(source).await?;
    let (mut reader, mut input) =
        RowReader::open(input, &mapping, &table, row.job.block_rows).await?;
    let mut first_block = 0;
    if let Some(checkpoint) = row.job.checkpoint {
        first_block = checkpoint.block;
        (reader, input) = reader.resume(input, checkpoint).await?;
    }
    // The job's row keeps the mapping from before the first write on.
    row.save(&dependencies.ledger, &dependencies.clock)
        .await
        .map_err(|error| Problem::of_store(FailureKind::Invalid, &error))?;
    let settings = WriterSettings {
        settle: config.settle,
        ..WriterSettings::default()
    };
    let random = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
    let writer = BulkWriter::new(
        &dependencies.tables,
        &dependencies.clock,
        random,
        &table,
        settings,
        keeper.window().clone(),
    );
    let part_writer = |kind| {
        PartWriter::new(
            dependencies.objects.as_ref(),
            &config.lake_bucket,
            &object.key,
            kind,
            first_block,
        )
    };
    let mut recorder = LakeRecorder {
        dependencies,
        object,
        key,
        keeper,
        row,
        counts: RowCounts::default(),
        backup: part_writer(PartKind::Backup),
        unprocessed: part_writer(PartKind::Unprocessed),
    };
    let mut transferred = transfer(
        &mut reader,
        &mut input,
        writer,
        keeper.window(),
        &dependencies.clock,
        &mut recorder,
        |_, _| {},
    )
    .await;
    if transferred.recorded.is_ok() {
        transferred.recorded = match transferred.end {
            End::Finished | End::Broken(_) => recorder.remove_leftovers().await,
            _ => recorder.abandon().await,
        };
    } else if let Err(error) = recorder.abandon().await {
        warn!(
            error = error_chain(&error),
            "an unfinished upload is left for the bucket's life-cycle rule"
        );
    }
    Ok(transferred)
}

/// The mapping of the job: the one that its row holds, else the one that the object or the configuration names.
async fn row_mapping<O, T, L, N, C>(
    dependencies: &Dependencies<O, T, L, N, C>,
    row: &mut JobRow,
    meta: &ObjectMeta,
) -> Result<RowMapping, Problem>
where
    O: ObjectStore,
{
    if row.job.row_mapping.is_none() {
        let named = meta
            .metadata
            .get(MAPPING_METADATA)
            .map(|name| format!("{MAPPING_FOLDER}{name}"));
        let Some(key) = named.or_else(|| dependencies.config.row_mapping_key.clone()) else {
            // Kept like any other, so that one configured later does not take over in the middle of the job.
            row.job.row_mapping = Some("{}".to_owned());
            return Ok(RowMapping::default());
        };
        row.job.row_mapping = Some(read_mapping(dependencies, &key).await?);
        row.job.row_mapping_key = Some(key);
    }
    let text = row.job.row_mapping.as_deref().unwrap_or_default();
    let key = row.job.row_mapping_key.as_deref().unwrap_or_default();
    RowMapping::parse(text).map_err(|error| {
        let bucket = &dependencies.config.lake_bucket;
        Problem::Permanent(format!(
            "the row mapping s3://{bucket}/{key} is wrong: {}",
            error_chain(&error)
        ))
    })
}

async fn read_mapping<O, T, L, N, C>(
    dependencies: &Dependencies<O, T, L, N, C>,
    key: &str,
) -> Result<String, Problem>
where
    O: ObjectStore,
{
    let bucket = &dependencies.config.lake_bucket;
    let id = ObjectId {
        bucket: bucket.clone(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let place = format!("s3://{bucket}/{key}");
    let problem = |error: StorageError| match error.kind() {
        ErrorKind::NotFound => Problem::Permanent(format!(
            "the row mapping {place} is not there: expected a JSON object"
        )),
        _ => Problem::of_store(FailureKind::Invalid, &error),
    };
    let mut body = dependencies.objects.open(&id, 0).await.map_err(problem)?;
    if body.meta.size > MAX_MAPPING_BYTES {
        return Err(Problem::Permanent(format!(
            "the row mapping {place} has {} bytes: expected {MAX_MAPPING_BYTES} at most",
            body.meta.size
        )));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = body.content.next().await {
        bytes.extend_from_slice(&chunk.map_err(problem)?);
    }
    String::from_utf8(bytes).map_err(|_| {
        Problem::Permanent(format!(
            "the row mapping {place} is not UTF-8: expected a JSON object"
        ))
    })
}

/// Records settled runs in the lake and the ledger.
struct LakeRecorder<'a, O, T, L, N, C> {
    dependencies: &'a Dependencies<O, T, L, N, C>,
    object: &'a ObjectVersion,
    key: &'a InboxKey,
    keeper: &'a LeaseKeeper<'a, L, C>,
    row: &'a mut JobRow,
    /// Rows of the block that has not ended.
    counts: RowCounts,
    backup: PartWriter<'a, O>,
    unprocessed: PartWriter<'a, O>,
}

impl<O: ObjectStore, T, L: Ledger, N, C: Clock> Recorder for LakeRecorder<'_, O, T, L, N, C> {
    type Error = StorageError;

    async fn record(&mut self, run: RecordedRun) -> Result<(), StorageError> {
        self.counts += run.counts;
        self.backup.append(&run.backup).await?;
        self.unprocessed.append(&run.unprocessed).await?;
        let Some(next) = run.block_end else {
            return Ok(());
        };
        self.check_lease()?;
        self.backup.finish_block().await?;
        self.check_lease()?;
        self.unprocessed.finish_block().await?;
        let block = std::mem::take(&mut self.counts);
        self.row.job.advance(block, next);
        self.row
            .save(&self.dependencies.ledger, &self.dependencies.clock)
            .await?;
        let inbox = read_inbox(&self.dependencies.ledger, self.key).await?;
        if inbox.newer_waits(&self.object.sequencer) {
            self.keeper.stop(Stop::Superseded);
        }
        Ok(())
    }
}

impl<O: ObjectStore, T, L: Ledger, N, C: Clock> LakeRecorder<'_, O, T, L, N, C> {
    /// Whoever lost the key must not write over what the new owner writes.
    fn check_lease(&self) -> Result<(), StorageError> {
        if self.keeper.holds_key() {
            return Ok(());
        }
        Err(StorageError::new(
            ErrorKind::Conflict,
            "PutObject",
            "the lake",
            "the lease on the inbox key has run out",
        ))
    }

    async fn remove_leftovers(&self) -> Result<(), StorageError> {
        self.check_lease()?;
        let end = self
            .row
            .job
            .checkpoint
            .map_or(0, |checkpoint| checkpoint.block);
        self.backup.remove_from(end).await?;
        self.check_lease()?;
        self.unprocessed.remove_from(end).await
    }

    async fn abandon(&mut self) -> Result<(), StorageError> {
        self.backup.abandon().await?;
        self.unprocessed.abandon().await
    }
}
