//! What export-transformer is given for an export: the ledger's row of the job, which export-poller would have written, and an
//! event for each data file.

use std::fs;
use std::io;
use std::path::Path;

use export_jobs::{
    EXPORT_PART, Format as ExportFormat, JobRow, SchemaMode, Settings, Span, Status, names,
};
use records::changes::Codec;
use serde_json::{Map, Value, json};

use super::Format;
use super::export::{Export, MANIFEST_KEY};
use crate::endpoint::{ExportWork, LAKE_BUCKET, TABLE};

/// 2026-01-09T12:00:00Z.
const EXPORT_TIME: u64 = 1_767_960_000;
const NOW: &str = "2026-01-09T12:30:00Z";
/// The suite's default, `SPLIT_MB=256`.
const SPLIT_BYTES: u64 = 256_000_000;

/// Writes what the endpoint needs for a run of the function: the schema beside the data files, and a file that says the rest,
/// which is what [`crate::endpoint::Work::Export`] wants.
///
/// # Errors
/// Whatever writing fails with.
pub(super) fn write_work(
    file: &Path,
    export: &Export,
    format: Format,
    output: &Path,
) -> io::Result<()> {
    let window = format!("full-{}", export_jobs::compact_time(EXPORT_TIME));
    let job = names::export_job(TABLE, &window);
    let schema_key = names::schema_object(TABLE, &window);
    let schema = export.objects.join(&schema_key);
    if let Some(folder) = schema.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(schema, export.shape.schema())?;
    let row = row(export, format, window, schema_key);
    let Value::Object(attributes) = serde_json::to_value(row)? else {
        unreachable!("a row is a struct");
    };
    let mut item: Map<String, Value> = attributes
        .iter()
        .map(|(name, value)| (name.clone(), tagged(value)))
        .collect();
    item.insert("job".to_owned(), json!({"S": job}));
    item.insert("part".to_owned(), json!({"S": EXPORT_PART}));
    item.insert("revision".to_owned(), json!({"N": "1"}));
    let events = export.files.iter().map(|file| {
        json!({"action": "transform", "job": job, "file": {
            "dataFileS3Key": file.key,
            "itemCount": file.items,
            "md5Checksum": file.md5,
        }})
    });
    let work = ExportWork {
        objects: export.objects.clone(),
        output: output.to_owned(),
        ledger: vec![item],
        events: events.collect(),
    };
    fs::write(file, serde_json::to_vec(&work)?)
}

fn row(export: &Export, format: Format, window: String, schema_key: String) -> JobRow {
    let is_parquet = format == Format::Parquet;
    JobRow {
        kind: "export".to_owned(),
        processing_status: Status::InProgress,
        table: TABLE.to_owned(),
        table_arn: format!("arn:aws:dynamodb:us-east-1:111122223333:table/{TABLE}"),
        table_id: "12345678-1234-1234-1234-123456789abc".to_owned(),
        key_names: vec!["account".to_owned(), "offer_id".to_owned()],
        window,
        span: Span::Full {
            export_time: EXPORT_TIME,
        },
        bucket: LAKE_BUCKET.to_owned(),
        prefix: "exports".to_owned(),
        restarts_chain: false,
        attempt: 1,
        client_token: "bench".to_owned(),
        export_arn: Some(format!(
            "arn:aws:dynamodb:us-east-1:111122223333:table/{TABLE}/export/01790000000000-aaaaaaaa"
        )),
        execution: None,
        manifest_key: Some(MANIFEST_KEY.replace("files", "summary")),
        files_key: Some(MANIFEST_KEY.to_owned()),
        file_count: export.files.len() as u64,
        item_count: export.rows.items,
        rows_written: 0,
        rows_filtered: 0,
        settings: Settings {
            format: match format {
                Format::Parquet => ExportFormat::Parquet,
                Format::Gzip | Format::Zstd => ExportFormat::JsonLines,
            },
            codec: match format {
                Format::Gzip => Codec::Gzip,
                Format::Zstd | Format::Parquet => Codec::Zstd,
            },
            split_bytes: SPLIT_BYTES,
            shaping: None,
            schema: is_parquet.then_some(SchemaMode::Declared),
            discriminator: None,
        },
        schema_key: is_parquet.then_some(schema_key),
        start_time: NOW.to_owned(),
        end_time: None,
        error_message: None,
        failed_files: Vec::new(),
        retry_count: 0,
        last_updated: NOW.to_owned(),
    }
}

/// Plain JSON as DynamoDB keeps it.
fn tagged(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(value) => json!({"BOOL": value}),
        Value::Number(number) => json!({"N": number.to_string()}),
        Value::String(text) => json!({"S": text}),
        Value::Array(values) => json!({"L": values.iter().map(tagged).collect::<Vec<_>>()}),
        Value::Object(members) => {
            let members = members.iter();
            let members: Map<_, _> = members
                .map(|(name, value)| (name.clone(), tagged(value)))
                .collect();
            json!({"M": members})
        }
    }
}
