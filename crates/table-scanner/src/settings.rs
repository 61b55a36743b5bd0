//! What is made of a scan's rows: the event's word, else the configuration's.

use export_jobs::{Format, ScanRow, SchemaMode, Settings, keep_schema, read_schema, read_shaping};
use records::changes::Codec;
use storage::ObjectStore;
use transcode::Schema;

use crate::config::Config;
use crate::error::ScanError;
use crate::request::BeginRequest;

/// Settings, and the key of the schema's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Where the schema is kept as it was when the scan began.
    pub schema_key: Option<String>,
}

/// Makes settings of the event, of a scan that was begun before, and of the configuration, reading what the event names.
///
/// # Errors
/// If they cannot be used, or a document cannot be read.
pub async fn resolve<O: ObjectStore>(
    request: &BeginRequest,
    recorded: Option<&ScanRow>,
    config: &Config,
    objects: &O,
) -> Result<Resolved, ScanError> {
    let known = recorded.map(|row| &row.settings);
    let format = request
        .format
        .unwrap_or(known.map_or(config.format, |known| known.format));
    let codec: Codec = match &request.codec {
        None => known.map_or(config.codec, |known| known.codec),
        Some(text) => text.parse().map_err(unusable)?,
    };
    let shaping = match &request.shaping_key {
        None => known.and_then(|known| known.shaping.clone()),
        Some(key) => Some(read_shaping(objects, &config.lake_bucket, key).await?),
    };
    let mut discriminator = request
        .discriminator
        .clone()
        .or_else(|| known.and_then(|known| known.discriminator.clone()));
    let mut schema_key = recorded.and_then(|row| row.schema_key.clone());
    if let Some(key) = &request.schema_key {
        let asked = request.discriminator.as_deref();
        let bucket = &config.lake_bucket;
        let (declared, kept) = keep_schema(objects, bucket, key, &config.table, asked).await?;
        discriminator = declared;
        schema_key = Some(kept);
    }
    let is_inferred = request.schema == Some(SchemaMode::Inferred);
    if is_inferred || (format == Format::Parquet && schema_key.is_none()) {
        return Err(unusable(
            "a scan reads once: expected a declared schema (schema_key, the key of one under settings/ of the lake bucket); transload schema infer makes one",
        ));
    }
    let settings = Settings {
        format,
        codec,
        split_bytes: known.map_or(config.split_bytes, |known| known.split_bytes),
        shaping,
        schema: schema_key.as_ref().map(|_| SchemaMode::Declared),
        discriminator,
    };
    settings.check()?;
    Ok(Resolved {
        settings,
        schema_key,
    })
}

/// The schema that a scan recorded.
///
/// # Errors
/// If it cannot be read.
pub async fn recorded_schema<O: ObjectStore>(
    objects: &O,
    scan: &ScanRow,
) -> Result<Option<Schema>, ScanError> {
    let Some(key) = &scan.schema_key else {
        return Ok(None);
    };
    let (schema, _) = read_schema(objects, &scan.bucket, key).await?;
    Ok(Some(schema))
}

fn unusable(message: impl ToString) -> ScanError {
    ScanError::Unusable(message.to_string())
}
