//! What an export writes: AWS's layout, as real exports of January 2026 have it.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::super::MemoryObjects;
use super::Export;
use crate::{ExportSpan, ExportStatus, ExportView, Timestamp};

/// The digits of a data file's name (RFC 4648, base 32, in lower case).
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const NAME_DIGITS: usize = 26;

/// The data files as the manifest has them, and what is in them.
#[derive(Default)]
struct Written {
    manifest: String,
    items: u64,
    bytes: u64,
}

impl Export {
    /// Ends the export at `now`: with its objects in the bucket, or as a failure, of which its first object stays.
    pub(super) fn end(
        &mut self,
        objects: &MemoryObjects,
        now: Timestamp,
        files: Vec<Vec<String>>,
        failure: Option<(String, String)>,
    ) {
        let base = self.base();
        if objects.has_bucket(&self.request.bucket) {
            self.put(objects, &format!("{base}_started"), Vec::new());
        }
        if failure.is_some() {
            self.description.status = ExportStatus::Failed;
            self.description.failure = failure;
            return;
        }
        let folder = match self.request.span {
            ExportSpan::Full { .. } => format!("{base}data/"),
            // Shared by all incremental exports of the prefix.
            ExportSpan::Incremental { .. } => format!("{}data/", self.root()),
        };
        let mut written = Written::default();
        for (number, lines) in files.iter().enumerate() {
            let key = format!("{folder}{}.json.gz", self.file_name(number));
            written.note(&key, lines, &self.put(objects, &key, compressed(lines)));
        }
        let summary = self.summary(now, &written).to_string();
        let manifest_key = format!("{base}manifest-summary.json");
        self.put_with_checksum(objects, "manifest-files", written.manifest.into_bytes());
        self.put_with_checksum(objects, "manifest-summary", summary.into_bytes());
        self.description.status = ExportStatus::Completed;
        self.description.manifest_key = Some(manifest_key);
        self.description.item_count = Some(written.items);
    }

    /// `[prefix/]AWSDynamoDB/`
    fn root(&self) -> String {
        match self.request.prefix.trim_end_matches('/') {
            "" => "AWSDynamoDB/".to_owned(),
            prefix => format!("{prefix}/AWSDynamoDB/"),
        }
    }

    /// `[prefix/]AWSDynamoDB/<export id>/`
    fn base(&self) -> String {
        format!("{}{}/", self.root(), self.id())
    }

    fn id(&self) -> &str {
        let arn = &self.description.arn;
        arn.rsplit('/').next().unwrap_or_default()
    }

    /// A name as AWS's random ones are; the same for the same file of the same export.
    fn file_name(&self, number: usize) -> String {
        let seed = Md5::digest(format!("{} {number}", self.id()));
        let bits = u128::from_be_bytes(seed.into());
        let digits = (0..NAME_DIGITS).map(|at| DIGITS[(bits >> (5 * at)) as usize % DIGITS.len()]);
        digits.map(char::from).collect()
    }

    fn summary(&self, now: Timestamp, written: &Written) -> Value {
        let second = |second: u64| Timestamp(second * 1000).iso();
        let mut summary = json!({
            "version": "2020-06-30",
            "exportArn": self.description.arn,
            "startTime": self.begun.iso(),
            "endTime": now.iso(),
            "tableArn": self.request.table_arn,
            "tableId": self.description.table_id,
            "s3Bucket": self.request.bucket,
            "s3Prefix": self.description.prefix,
            "s3SseAlgorithm": "AES256",
            "s3SseKmsKeyId": null,
            "manifestFilesS3Key": format!("{}manifest-files.json", self.base()),
            "billedSizeBytes": written.bytes,
            "itemCount": written.items,
            "outputFormat": "DYNAMODB_JSON",
        });
        match self.request.span {
            ExportSpan::Full { time } => summary["exportTime"] = json!(second(time)),
            ExportSpan::Incremental { from, to, view } => {
                summary["version"] = json!("2023-08-01");
                summary["exportFromTime"] = json!(second(from));
                summary["exportToTime"] = json!(second(to));
                summary["exportType"] = json!("INCREMENTAL_EXPORT");
                summary["outputView"] = json!(match view {
                    ExportView::NewImage => "NEW_IMAGE",
                    ExportView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
                });
            }
        }
        summary
    }

    /// Writes a manifest and, beside it, its MD5.
    fn put_with_checksum(&self, objects: &MemoryObjects, stem: &str, body: Vec<u8>) {
        let key = format!("{}{stem}", self.base());
        let md5 = BASE64_STANDARD.encode(Md5::digest(&body));
        self.put(objects, &format!("{key}.json"), body);
        self.put(objects, &format!("{key}.md5"), md5.into_bytes());
    }

    /// Writes an object, and hands its bytes back.
    fn put(&self, objects: &MemoryObjects, key: &str, body: Vec<u8>) -> Vec<u8> {
        objects.seed(&self.request.bucket, key, body.clone(), &[]);
        body
    }
}

impl Written {
    fn note(&mut self, key: &str, lines: &[String], body: &[u8]) {
        let md5 = Md5::digest(body);
        let etag: String = Md5::digest(md5)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let line = json!({
            "itemCount": lines.len(),
            "md5Checksum": BASE64_STANDARD.encode(md5),
            // An upload in one part: the MD5 of the part's MD5.
            "etag": format!("{etag}-1"),
            "dataFileS3Key": key,
        });
        self.manifest += &format!("{line}\n");
        self.items += lines.len() as u64;
        self.bytes += lines.iter().map(|line| line.len() as u64).sum::<u64>();
    }
}

/// The lines as a gzip file, which has 20 bytes if there are none.
fn compressed(lines: &[String]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        writeln!(encoder, "{line}").expect("a vector takes every byte");
    }
    encoder.finish().expect("a vector takes every byte")
}
