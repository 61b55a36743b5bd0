//! Documents of the lake: schemas and shapings, which people write, and what is inferred of a data file.

use std::fmt::Write;

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use storage::{ErrorKind, ObjectId, ObjectStore, ResumePolicy, StorageError, open_resuming};
use transcode::schema::SchemaError;
use transcode::{Schema, Shaping, ShapingError};

use crate::names::declared_schema_object;

/// What a document may have: people write them.
const MAX_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of the largest partial schema, what is inferred of one data file: some 150,000 attributes and members of maps. Whoever
/// infers refuses to keep a larger one, since whoever merges them would have no room for it.
pub const MAX_PARTIAL_SCHEMA_BYTES: u64 = 16 * 1024 * 1024;
/// A shaping stands in a row of the ledger, which may have 400 KB.
const MAX_SHAPING_BYTES: u64 = 100 * 1024;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The store failed, or there is no such object.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// It is too large.
    #[error("{name} has {bytes} bytes: expected a JSON document of at most {most}")]
    TooLarge {
        /// `s3://bucket/key`.
        name: String,
        /// Its size.
        bytes: u64,
        /// What is allowed.
        most: u64,
    },
    /// It is no text.
    #[error("{name} is no UTF-8 ({source}): expected a JSON document")]
    NoText {
        /// `s3://bucket/key`.
        name: String,
        /// What is wrong.
        source: std::string::FromUtf8Error,
    },
    /// It is no shaping.
    #[error("{name}: {source}")]
    Shaping {
        /// `s3://bucket/key`.
        name: String,
        /// What is wrong.
        source: ShapingError,
    },
    /// It is no schema.
    #[error("{name}: {source}")]
    Schema {
        /// `s3://bucket/key`.
        name: String,
        /// What is wrong.
        source: SchemaError,
    },
    /// It tells entities apart by another attribute than it was said.
    #[error(
        "the event's discriminator is {asked:?} and that of {name} is {declared}: expected the same"
    )]
    Discriminator {
        /// `s3://bucket/key`.
        name: String,
        /// What the event says.
        asked: String,
        /// What the schema says, quoted; or that it has none.
        declared: String,
    },
}

/// What was inferred of one data file.
///
/// # Errors
/// If it cannot be read, has more than [`MAX_PARTIAL_SCHEMA_BYTES`] or is no UTF-8.
pub async fn read_partial_schema<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
) -> Result<String, DocumentError> {
    read_of(objects, bucket, key, MAX_PARTIAL_SCHEMA_BYTES).await
}

/// The text of a shaping, which has been parsed.
///
/// # Errors
/// If it cannot be read, or is none.
pub async fn read_shaping<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
) -> Result<String, DocumentError> {
    let text = read_of(objects, bucket, key, MAX_SHAPING_BYTES).await?;
    match Shaping::parse(&text) {
        Ok(_) => Ok(text),
        Err(source) => Err(DocumentError::Shaping {
            name: address(bucket, key),
            source,
        }),
    }
}

/// A schema, and its text.
///
/// # Errors
/// If it cannot be read, or is none.
pub async fn read_schema<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
) -> Result<(Schema, String), DocumentError> {
    let text = read_of(objects, bucket, key, MAX_DOCUMENT_BYTES).await?;
    match Schema::parse(&text) {
        Ok(schema) => Ok((schema, text)),
        Err(source) => Err(DocumentError::Schema {
            name: address(bucket, key),
            source,
        }),
    }
}

/// A schema that somebody declared, kept under a name that its content makes: a later change of the document changes nothing
/// that has begun. Returns its discriminator and the key of the copy.
///
/// # Errors
/// If it cannot be read or kept, is none, or tells entities apart by another attribute than `discriminator`, where that is
/// given.
pub async fn keep_schema<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
    table: &str,
    discriminator: Option<&str>,
) -> Result<(Option<String>, String), DocumentError> {
    let (schema, text) = read_schema(objects, bucket, key).await?;
    let declared = schema.discriminator().map(str::to_owned);
    if let Some(asked) = discriminator
        && declared.as_deref() != Some(asked)
    {
        return Err(DocumentError::Discriminator {
            name: address(bucket, key),
            asked: asked.to_owned(),
            declared: declared.map_or_else(|| "none".to_owned(), |name| format!("{name:?}")),
        });
    }
    let digest = Sha256::digest(text.as_bytes());
    let kept = declared_schema_object(table, &hex(&digest[..16]));
    match objects.put_new(bucket, &kept, Bytes::from(text)).await {
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error.into()),
        // What is there under the name is the same.
        _ => Ok((declared, kept)),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A String takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn read_of<O: ObjectStore>(
    objects: &O,
    bucket: &str,
    key: &str,
    most: u64,
) -> Result<String, DocumentError> {
    let object = ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let name = object.to_string();
    let (meta, mut content) = open_resuming(objects, object, 0, ResumePolicy::default()).await?;
    if meta.size > most {
        return Err(DocumentError::TooLarge {
            name,
            bytes: meta.size,
            most,
        });
    }
    let mut whole = Vec::new();
    while let Some(chunk) = content.next().await.transpose()? {
        whole.extend_from_slice(&chunk);
    }
    String::from_utf8(whole).map_err(|source| DocumentError::NoText { name, source })
}

fn address(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}
