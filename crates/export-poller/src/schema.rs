//! One schema of what was inferred from each data file.

use bytes::Bytes;
use export_jobs::names::{partial_schema_object, schema_object, stem};
use export_jobs::{EXPORT_PART, JobRow, change, read_partial_schema};
use futures_util::future::try_join_all;
use lambda_support::Failure;
use records::export::DataFile;
use serde::Serialize;
use storage::{Clock, Ledger, ObjectStore};
use tracing::warn;
use transcode::Inference;

use crate::handler::{Dependencies, invalid};
use crate::plan::{Exported, exported, manifest_failure};
use crate::settings::document_failure;

/// Partial schemas that are read, and held in memory, at the same time: each may be as large as
/// [`MAX_PARTIAL_SCHEMA_BYTES`](export_jobs::MAX_PARTIAL_SCHEMA_BYTES).
const CONCURRENCY: usize = 4;
/// Conflicts that a log line names.
const LOGGED_CONFLICTS: usize = 20;

/// The merged schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaAnswer {
    /// Attributes that have values of several types, or whatever else a column cannot hold.
    pub conflicts: u64,
    /// The schema's key in the lake bucket.
    pub schema_key: String,
}

/// Merges what was inferred and records the schema with the job. One that is recorded stays.
pub async fn merge_schema<O, T, E, L, W, C>(
    job: &str,
    dependencies: &Dependencies<O, T, E, L, W, C>,
) -> Result<SchemaAnswer, Failure>
where
    O: ObjectStore,
    L: Ledger,
    C: Clock,
{
    let Dependencies {
        objects,
        ledger,
        clock,
        ..
    } = dependencies;
    let Exported { row, mut files, .. } = exported(job, dependencies).await?;
    if let Some(schema_key) = row.schema_key {
        return Ok(SchemaAnswer {
            conflicts: 0,
            schema_key,
        });
    }
    let mut merged = Inference::new(row.settings.discriminator.as_deref());
    loop {
        let some = files
            .batch(CONCURRENCY)
            .await
            .map_err(|error| manifest_failure(&error))?;
        if some.is_empty() {
            break;
        }
        let name =
            |file: &DataFile| partial_schema_object(&row.table, &row.window, stem(&file.key));
        let keys: Vec<String> = some.iter().map(name).collect();
        let texts = keys
            .iter()
            .map(|key| read_partial_schema(objects, &row.bucket, key));
        let texts = try_join_all(texts)
            .await
            .map_err(|error| document_failure(&error))?;
        for (key, text) in keys.iter().zip(texts) {
            Inference::parse(&text)
                .and_then(|part| merged.merge(part))
                .map_err(|error| invalid(format!("s3://{}/{key}: {error}", row.bucket)))?;
        }
    }
    let inferred = merged.finish();
    for conflict in inferred.conflicts.iter().take(LOGGED_CONFLICTS) {
        warn!(job, conflict = %conflict, "an attribute does not fit one column");
    }
    let schema_key = schema_object(&row.table, &row.window);
    objects
        .put(
            &row.bucket,
            &schema_key,
            Bytes::from(inferred.schema.to_json()),
        )
        .await
        .map_err(|error| Failure::from(&error))?;
    change::<JobRow, _, _, _>(ledger, clock, job, EXPORT_PART, |stored, _| {
        let ours = stored
            .as_mut()
            .filter(|stored| stored.export_arn == row.export_arn);
        if let Some(stored) = ours {
            stored.schema_key = Some(schema_key.clone());
        }
    })
    .await
    .map_err(|error| Failure::from(&error))?;
    Ok(SchemaAnswer {
        conflicts: inferred.conflicts.len() as u64,
        schema_key,
    })
}
