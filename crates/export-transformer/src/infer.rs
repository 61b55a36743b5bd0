//! A data file's part of the schema, and the schema.

use bytes::Bytes;
use export_jobs::names::{partial_schema_object, stem};
use export_jobs::output::{Checkpoint, OutputError};
use export_jobs::{MAX_PARTIAL_SCHEMA_BYTES, Span};
use futures_util::TryStreamExt;
use lambda_support::Failure;
use storage::{Clock, ErrorKind, Ledger, ObjectId, ObjectStore, open_resuming};
use tracing::info;
use transcode::{Inference, LineForm, Schema, Shaping};

use crate::fault::FileFault;
use crate::handler::{Work, invalid};
use crate::part::OnFailure;
use crate::request::{Outcome, Report};
use crate::source::DataFile;
use crate::transform::{Times, give_up, recorded, report};

/// Bytes of the largest schema there can be: two hundred data sets of two thousand columns.
const MAX_SCHEMA_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a data file for the types of its attributes, and puts down what it found. The object is the record that this is done.
pub(crate) async fn infer<O, L, C>(work: &Work<'_, O, L, C>) -> Result<Report, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let file = work.part.file;
    let key = partial_schema_object(
        &work.job.table,
        &work.job.window,
        stem(&file.data_file_s3_key),
    );
    let done = report(work, Outcome::Completed, file.item_count, 0);
    if is_there(work, &key).await? {
        return Ok(done);
    }
    let times = Times::new(work.part.clock.now(), work.deadline);
    let json = match read(work, times).await {
        Ok(Some(json)) if json.len() as u64 > MAX_PARTIAL_SCHEMA_BYTES => {
            let what = format!(
                "its schema has {} bytes as far as it is inferred: expected at most {MAX_PARTIAL_SCHEMA_BYTES}, so that it can be merged with those of the other files; declare a schema",
                json.len()
            );
            return Err(not_inferred(work, &what).await);
        }
        Ok(Some(json)) => json,
        Ok(None) => {
            let what = "time was over before its schema was inferred: expected the whole file to be read in one invocation; raise the function's memory, or declare a schema";
            return Err(not_inferred(work, what).await);
        }
        // Nothing is staged as long as the schema is not there.
        Err(fault) => return Err(give_up(work, &fault, &Checkpoint::default()).await),
    };
    work.objects
        .put(work.part.bucket, &key, Bytes::from(json))
        .await
        .map_err(|error| Failure::from(&error))?;
    info!(
        file = work.part.name,
        rows_read = file.item_count,
        "data file read for its schema"
    );
    Ok(done)
}

/// Reads the whole file, verifies it and gives what it found as JSON; nothing if time was over before.
async fn read<O, L, C>(work: &Work<'_, O, L, C>, times: Times) -> Result<Option<String>, FileFault>
where
    O: ObjectStore,
    C: Clock,
{
    let settings = &work.job.settings;
    let shaping = match &settings.shaping {
        None => Shaping::default(),
        Some(json) => {
            Shaping::parse(json).map_err(|error| OutputError::Settings(error.to_string()))?
        }
    };
    let form = match work.job.span {
        Span::Full { .. } => LineForm::Full,
        Span::Incremental { .. } => LineForm::Incremental,
    };
    let part = &work.part;
    let mut source = DataFile::open(
        work.objects,
        part.bucket,
        &part.file.data_file_s3_key,
        None,
        work.policy,
    )
    .await?;
    let mut inference = Inference::new(settings.discriminator.as_deref());
    loop {
        let time = part.clock.now().until(times.read_until);
        let Ok(block) = tokio::time::timeout(time, source.next_lines()).await else {
            return Ok(None);
        };
        let Some(block) = block? else { break };
        for (number, line) in block.lines() {
            inference
                .add(line?, form, &shaping)
                .map_err(|fault| OutputError::Line {
                    line: number + 1,
                    fault,
                })?;
        }
    }
    source.verify(&part.file.md5_checksum, part.file.item_count)?;
    Ok(Some(inference.to_json()))
}

async fn is_there<O: ObjectStore, L, C>(
    work: &Work<'_, O, L, C>,
    key: &str,
) -> Result<bool, Failure> {
    match open_resuming(work.objects, lake_object(work, key), 0, work.policy).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::from(&error)),
    }
}

/// Records why nothing was inferred of a file that nothing is wrong with.
async fn not_inferred<O, L: Ledger, C: Clock>(work: &Work<'_, O, L, C>, what: &str) -> Failure {
    let message = format!("{}: {what}", work.part.location());
    recorded(
        work.part.fail(&message, OnFailure::Keep).await,
        invalid(message),
    )
}

/// The job's schema.
pub(crate) async fn read_schema<O: ObjectStore, L, C>(
    work: &Work<'_, O, L, C>,
) -> Result<Schema, Failure> {
    let Some(key) = &work.job.schema_key else {
        return Err(invalid(format!(
            "the job {} has the format parquet and no schema: expected the key of one in its row",
            work.part.job
        )));
    };
    let name = format!("s3://{}/{key}", work.part.bucket);
    let (meta, content) = open_resuming(work.objects, lake_object(work, key), 0, work.policy)
        .await
        .map_err(|error| Failure::from(&error))?;
    if meta.size > MAX_SCHEMA_BYTES {
        return Err(invalid(format!(
            "{name} has {} bytes: expected a schema, of at most {MAX_SCHEMA_BYTES}",
            meta.size
        )));
    }
    let text = content
        .try_fold(Vec::new(), async |mut text, chunk| {
            text.extend_from_slice(&chunk);
            Ok(text)
        })
        .await
        .map_err(|error| Failure::from(&error))?;
    let text = String::from_utf8(text)
        .map_err(|_| invalid(format!("{name} is no UTF-8: expected a schema as JSON")))?;
    Schema::parse(&text).map_err(|error| invalid(format!("{name}: {error}")))
}

fn lake_object<O, L, C>(work: &Work<'_, O, L, C>, key: &str) -> ObjectId {
    ObjectId {
        bucket: work.part.bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    }
}
