//! The rows of one object version, from the inbox into table and lake.

use std::cell::RefCell;
use std::rc::Rc;

use bulk_writer::{BulkWriter, WriterSettings};
use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use lambda_support::error_chain;
use storage::{
    Clock, ErrorKind, Ledger, Notices, ObjectId, ObjectStore, ResumePolicy, StorageError,
    TableStore, open_resuming, resuming,
};
use tracing::warn;

use crate::claims::{InboxKey, JobRow, read_inbox};
use crate::dependencies::Dependencies;
use crate::event::ObjectVersion;
use crate::input::{Input, Source};
use crate::job::RowCounts;
use crate::job_mapping::row_mapping;
use crate::lease::{LeaseKeeper, Stop};
use crate::names::PartKind;
use crate::parts::PartWriter;
use crate::problem::Problem;
use crate::rows::{RecordedRun, RowReader};
use crate::transfer::{End, Recorder, Transferred, transfer};

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

/// Moves the rows as far as time, lease and stores allow.
pub(crate) async fn move_rows<O, T, L, N, C>(
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
        .map_err(|error| Problem::of_store(&error))?;
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
        .map_err(|error| Problem::of_store(&error))?;
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
