//! The manifests of an export: read, verified, and gone through file by file in bounded memory.

mod error;
mod files;
mod place;

use std::collections::HashSet;

use futures_util::StreamExt;
use md5::{Digest, Md5};
use records::base64_text;
use records::export::{DataFile, ExportSummary};
use storage::{ErrorKind, ObjectStore};

use crate::names::file_part;
use place::InBucket;

pub use error::ManifestError;
pub use files::DataFiles;
pub use place::{ManifestPlace, OpenManifest};

/// A summary has about 1 KB; whatever is much larger is none.
const MAX_SUMMARY_BYTES: u64 = 1024 * 1024;

/// An export's manifests, verified: both have the MD5 that lies beside them, and the files' items add up.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What the summary says.
    pub summary: ExportSummary,
    /// How many data files there are.
    pub file_count: u64,
    bucket: String,
    /// Of the list of files that was verified.
    etag: Option<String>,
}

/// What was found in the manifests of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadManifests {
    /// What the summary says.
    pub summary: ExportSummary,
    /// How many data files there are.
    pub file_count: u64,
    /// The names of the manifests that have no checksum beside them. DynamoDB writes both.
    pub without_checksum: Vec<String>,
    /// That of the list of files.
    etag: Option<String>,
}

impl Manifest {
    /// Reads and verifies the manifests of the export whose `manifest-summary.json` has this key.
    ///
    /// # Errors
    /// If one is missing, has no MD5 beside it or another one than that, or is not as DynamoDB writes it; if a file is listed
    /// twice, or the files' items do not add up to the summary's.
    pub async fn open<O: ObjectStore>(
        objects: &O,
        bucket: &str,
        summary_key: &str,
    ) -> Result<Self, ManifestError> {
        let place = InBucket { objects, bucket };
        let read = read_manifests(&place, summary_key, |_, _| {}).await?;
        if let Some(name) = read.without_checksum.first() {
            return Err(ManifestError::NoChecksum {
                beside: beside(name, "md5"),
                name: name.clone(),
            });
        }
        Ok(Self {
            summary: read.summary,
            file_count: read.file_count,
            bucket: bucket.to_owned(),
            etag: read.etag,
        })
    }

    /// The data files, in the manifest's order.
    ///
    /// # Errors
    /// If the list is not there any more, or is another one than was verified.
    pub async fn files<'a, O: ObjectStore>(
        &self,
        objects: &'a O,
    ) -> Result<DataFiles<'a>, ManifestError> {
        let bucket = &self.bucket;
        let place = InBucket { objects, bucket };
        DataFiles::open(&place, &self.summary.files_key, self.etag.as_deref()).await
    }
}

/// Reads the manifests of an export wherever they lie, and verifies them by the checksums that are there: a copy may have been
/// made without them. `each` is given the data files with their lines in the list, from 1; nothing of them counts before all of
/// the list has been verified.
///
/// # Errors
/// If one is missing, has another MD5 than the `.md5` beside it says (or `.checksum`: AWS's guides call it so), or is not as
/// DynamoDB writes it; if a file is listed twice, or the files' items do not add up to the summary's.
pub async fn read_manifests<'a>(
    place: &impl ManifestPlace<'a>,
    summary_key: &str,
    mut each: impl FnMut(u64, DataFile),
) -> Result<ReadManifests, ManifestError> {
    let name = place.name(summary_key);
    let content = small(place, summary_key).await?;
    let mut without_checksum = Vec::new();
    if !check_md5(place, summary_key, &Md5::digest(&content)).await? {
        without_checksum.push(name.clone());
    }
    let summary = ExportSummary::parse(&String::from_utf8_lossy(&content))
        .map_err(|fault| ManifestError::Summary { name, fault })?;

    let files_name = place.name(&summary.files_key);
    let mut files = DataFiles::open(place, &summary.files_key, None).await?;
    let mut known = HashSet::new();
    let mut items = 0_u64;
    while let Some(file) = files.next().await? {
        if !known.insert(file_part(&file.key).to_owned()) {
            return Err(ManifestError::Twice {
                name: files_name,
                line: files.line,
                file: file_part(&file.key).to_owned(),
            });
        }
        items = items.saturating_add(file.item_count);
        each(files.line, file);
    }
    if !check_md5(place, &summary.files_key, &files.md5.finalize()).await? {
        without_checksum.push(files_name.clone());
    }
    if items != summary.item_count {
        return Err(ManifestError::NotWhole {
            name: files_name,
            what: "item count",
            found: items.to_string(),
            expected: summary.item_count.to_string(),
            says: place.name(summary_key),
        });
    }
    Ok(ReadManifests {
        summary,
        file_count: known.len() as u64,
        without_checksum,
        etag: files.etag,
    })
}

/// Compares a digest with the checksum beside a manifest; false where there is none.
async fn check_md5<'a>(
    place: &impl ManifestPlace<'a>,
    key: &str,
    digest: &[u8],
) -> Result<bool, ManifestError> {
    for ending in ["md5", "checksum"] {
        let checksum = beside(key, ending);
        let expected = match small(place, &checksum).await {
            Err(ManifestError::Gone { .. }) => continue,
            other => String::from_utf8_lossy(&other?).trim().to_owned(),
        };
        let found = base64_text(digest);
        return match found == expected {
            true => Ok(true),
            false => Err(ManifestError::NotWhole {
                name: place.name(key),
                what: "MD5",
                found,
                expected,
                says: place.name(&checksum),
            }),
        };
    }
    Ok(false)
}

fn beside(manifest: &str, ending: &str) -> String {
    let stem = manifest.strip_suffix(".json").unwrap_or(manifest);
    format!("{stem}.{ending}")
}

async fn small<'a>(place: &impl ManifestPlace<'a>, key: &str) -> Result<Vec<u8>, ManifestError> {
    let mut object = opened(place, key, None).await?;
    if object.bytes > MAX_SUMMARY_BYTES {
        return Err(ManifestError::TooLarge {
            name: place.name(key),
            bytes: object.bytes,
        });
    }
    let mut whole = Vec::new();
    while let Some(chunk) = object.content.next().await.transpose()? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

async fn opened<'a>(
    place: &impl ManifestPlace<'a>,
    key: &str,
    etag: Option<&str>,
) -> Result<OpenManifest<'a>, ManifestError> {
    place
        .open(key, etag)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => ManifestError::Gone {
                name: place.name(key),
                source: error,
            },
            _ => error.into(),
        })
}
