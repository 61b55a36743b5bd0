//! The row mapping of a job: found once, then kept with the job.

use futures_util::StreamExt;
use lambda_support::error_chain;
use records::RowMapping;
use storage::{ErrorKind, ObjectId, ObjectMeta, ObjectStore, StorageError};

use crate::claims::JobRow;
use crate::dependencies::Dependencies;
use crate::problem::Problem;

/// Object metadata that names a row mapping under [`MAPPING_FOLDER`] in the lake.
const MAPPING_METADATA: &str = "transload-mapping";
/// Where row mappings that objects name are.
const MAPPING_FOLDER: &str = "mappings/";
/// A mapping is kept in the job's ledger row (400 KB at most), so that going on later uses the same one.
const MAX_MAPPING_BYTES: u64 = 64 * 1024;

/// The mapping of the job: the one that its row holds, else the one that the object or the configuration names.
pub(crate) async fn row_mapping<O, T, L, N, C>(
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
        _ => Problem::of_store(&error),
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
