//! What a job makes of its lines: the event's word, else the configuration's.

use export_jobs::{DocumentError, Format, JobRow, SchemaMode, Settings, keep_schema, read_shaping};
use lambda_support::{Failure, FailureKind};
use records::changes::Codec;
use storage::ObjectStore;

use crate::config::Config;
use crate::handler::invalid;
use crate::record::Proposal;
use crate::request::BeginRequest;

/// Settings for a new job, and its declared schema.
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// The key of the declared schema as it is kept.
    pub schema_key: Option<String>,
}

/// Makes settings of the event and the configuration, reading what they name.
pub async fn resolve<O: ObjectStore>(
    request: &BeginRequest,
    config: &Config,
    objects: &O,
) -> Result<Resolved, Failure> {
    let format = request.format.unwrap_or(config.format);
    let codec: Codec = match &request.codec {
        None => config.codec,
        Some(text) => text
            .parse()
            .map_err(|error| Failure::new(FailureKind::Invalid, &error))?,
    };
    let is_whole = format == Format::Changes;
    let schema_key = match (&request.schema_key, request.schema) {
        (None, None) if format == Format::Parquet => config.schema_key.as_ref(),
        (key, _) => key.as_ref(),
    };
    let schema_mode = match (request.schema, schema_key) {
        (Some(SchemaMode::Inferred), Some(key)) => {
            return Err(invalid(format!(
                "the event asks for an inferred schema and names {key:?}: expected one of the two"
            )));
        }
        (Some(SchemaMode::Declared), None) => {
            return Err(invalid(
                "the event asks for a declared schema without schema_key: expected the key of a schema in the lake bucket",
            ));
        }
        (None, Some(_)) => Some(SchemaMode::Declared),
        (None, None) if format == Format::Parquet => Some(SchemaMode::Inferred),
        (mode, _) => mode,
    };
    let bucket = &config.lake_bucket;
    let shaping_key = request.shaping_key.as_ref();
    let shaping = match shaping_key.or(config.shaping_key.as_ref().filter(|_| !is_whole)) {
        None => None,
        Some(key) => Some(
            read_shaping(objects, bucket, key)
                .await
                .map_err(|error| document_failure(&error))?,
        ),
    };
    let asked = request.discriminator.as_deref();
    let (discriminator, schema_key) = match schema_key {
        None => {
            let configured = config.discriminator.clone().filter(|_| !is_whole);
            (request.discriminator.clone().or(configured), None)
        }
        Some(key) => {
            let (discriminator, kept) = keep_schema(objects, bucket, key, &config.table, asked)
                .await
                .map_err(|error| document_failure(&error))?;
            (discriminator, Some(kept))
        }
    };
    let settings = Settings {
        format,
        codec,
        split_bytes: config.split_bytes,
        shaping,
        schema: schema_mode,
        discriminator,
    };
    settings
        .check()
        .map_err(|error| Failure::new(FailureKind::Invalid, &error))?;
    Ok(Resolved {
        settings,
        schema_key,
    })
}

/// Refuses an event that asks for something else than what the job's row has.
pub fn check_same(
    request: &BeginRequest,
    proposal: &Proposal,
    row: &JobRow,
) -> Result<(), Failure> {
    let (asked, recorded) = (&proposal.settings, &row.settings);
    let differs = [
        (
            "format",
            request.format.is_some() && asked.format != recorded.format,
        ),
        (
            "codec",
            request.codec.is_some() && asked.codec != recorded.codec,
        ),
        (
            "schema",
            request.schema.is_some() && asked.schema != recorded.schema,
        ),
        (
            "schema_key",
            request.schema_key.is_some() && proposal.schema_key != row.schema_key,
        ),
        (
            "discriminator",
            request.discriminator.is_some() && asked.discriminator != recorded.discriminator,
        ),
        (
            "shaping",
            request.shaping_key.is_some() && asked.shaping != recorded.shaping,
        ),
        (
            "restart_chain",
            request.restart_chain && !row.restarts_chain,
        ),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((name, _)) => Err(invalid(format!(
            "the window {} was begun with another {name}: expected the event without it, or another window; one that FAILED and of which nothing can be seen is begun anew with \"anew\": true",
            row.window
        ))),
    }
}

/// What a document that cannot be used is to whoever invoked the function.
pub fn document_failure(error: &DocumentError) -> Failure {
    match error {
        DocumentError::Store(error) => Failure::from(error),
        _ => Failure::new(FailureKind::Invalid, error),
    }
}
