//! `manifest-summary.json` and the lines of `manifest-files.json`.

use serde::Deserialize;

use super::ExportFault;

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// Every item, as it was at a time.
    Full {
        /// Seconds from 1970.
        time: u64,
    },
    /// Items that changed in a window.
    Incremental {
        /// The window's first second from 1970.
        from: u64,
        /// The first second after it.
        to: u64,
    },
}

/// An export's `manifest-summary.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSummary {
    /// The export's ARN.
    pub export_arn: String,
    /// The table's ARN.
    pub table_arn: String,
    /// The bucket of the manifests and data files.
    pub bucket: String,
    /// The key of `manifest-files.json`.
    pub files_key: String,
    /// Items in all data files.
    pub item_count: u64,
    /// What it holds.
    pub kind: ExportKind,
}

/// A line of `manifest-files.json`: one data file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFile {
    /// Its key in the export's bucket.
    #[serde(rename = "dataFileS3Key")]
    pub key: String,
    /// Items, one a line.
    pub item_count: u64,
    /// The MD5 of its bytes as they are stored, compressed, as base64. (Its `etag` is another one.)
    pub md5_checksum: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSummary {
    export_arn: String,
    table_arn: String,
    s3_bucket: String,
    #[serde(rename = "manifestFilesS3Key")]
    files_key: String,
    item_count: u64,
    output_format: String,
    export_time: Option<String>,
    export_from_time: Option<String>,
    export_to_time: Option<String>,
}

impl ExportSummary {
    /// Reads a `manifest-summary.json`.
    ///
    /// # Errors
    /// If it is none, or one of another format than DYNAMODB_JSON.
    pub fn parse(json: &str) -> Result<Self, ExportFault> {
        let raw: RawSummary =
            serde_json::from_str(json).map_err(|source| ExportFault::Unreadable {
                what: "the summary of the export",
                expected: "a manifest-summary.json of DynamoDB",
                source,
            })?;
        if raw.output_format != "DYNAMODB_JSON" {
            return Err(ExportFault::Malformed {
                member: "outputFormat",
                found: raw.output_format,
                expected: "DYNAMODB_JSON",
            });
        }
        // An incremental export has no `exportTime`; a full one need not have an `exportType`.
        let kind = match (raw.export_from_time, raw.export_to_time) {
            (Some(from), Some(to)) => ExportKind::Incremental {
                from: seconds("exportFromTime", from)?,
                to: seconds("exportToTime", to)?,
            },
            _ => ExportKind::Full {
                time: seconds("exportTime", raw.export_time.unwrap_or_default())?,
            },
        };
        Ok(Self {
            export_arn: raw.export_arn,
            table_arn: raw.table_arn,
            bucket: raw.s3_bucket,
            files_key: raw.files_key,
            item_count: raw.item_count,
            kind,
        })
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        self.table_arn.rsplit('/').next().unwrap_or_default()
    }
}

impl DataFile {
    /// Reads a line of a `manifest-files.json`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(json: &str) -> Result<Self, ExportFault> {
        serde_json::from_str(json).map_err(|source| ExportFault::Unreadable {
            what: "the line of the manifest",
            expected: "a JSON object with dataFileS3Key, itemCount and md5Checksum",
            source,
        })
    }
}

/// Seconds from 1970 of an ISO time, rounded down.
fn seconds(member: &'static str, found: String) -> Result<u64, ExportFault> {
    let time: Option<jiff::Timestamp> = found.parse().ok();
    time.and_then(|time| time.as_second().try_into().ok())
        .ok_or(ExportFault::Malformed {
            member,
            found,
            expected: "a time such as 2026-09-21T13:33:20.000Z",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = include_str!("../../fixtures/export/full-summary.json");
    const INCREMENTAL: &str = include_str!("../../fixtures/export/incremental-summary.json");

    #[test]
    fn both_kinds_of_summary_are_read() {
        let full = ExportSummary::parse(FULL).unwrap();
        assert_eq!(
            full.kind,
            ExportKind::Full {
                time: 1_790_000_000
            }
        );
        let incremental = ExportSummary::parse(INCREMENTAL).unwrap();
        assert_eq!(incremental.table(), "offers");
        assert_eq!(
            incremental,
            ExportSummary {
                export_arn: "arn:aws:dynamodb:us-east-1:111122223333:table/offers/export/01790000900000-0b2d4f68".to_owned(),
                table_arn: "arn:aws:dynamodb:us-east-1:111122223333:table/offers".to_owned(),
                bucket: "lake".to_owned(),
                files_key: "copies/AWSDynamoDB/01790000900000-0b2d4f68/manifest-files.json"
                    .to_owned(),
                item_count: 3,
                kind: ExportKind::Incremental {
                    from: 1_790_000_000,
                    to: 1_790_000_900
                },
            }
        );
    }

    #[test]
    fn what_is_no_summary_says_what_was_expected() {
        let cases = [
            (
                ("\"s3Bucket\"", "\"bucket\""),
                "the summary of the export cannot be read (missing field `s3Bucket`",
            ),
            (
                ("DYNAMODB_JSON", "ION"),
                "outputFormat is \"ION\": expected DYNAMODB_JSON",
            ),
            (
                ("2026-09-21T14:28:20.000Z", "today"),
                "exportToTime is \"today\": expected a time such as",
            ),
            (
                ("exportToTime", "until"),
                "exportTime is \"\": expected a time such as",
            ),
        ];
        for ((old, new), expected) in cases {
            let json = INCREMENTAL.replacen(old, new, 1);
            assert_ne!(json, INCREMENTAL, "{old}");
            let message = ExportSummary::parse(&json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_data_file_has_its_key_items_and_checksum() {
        let lines = include_str!("../../fixtures/export/manifest-files.json");
        let files: Vec<_> = lines
            .lines()
            .map(|line| DataFile::parse(line).unwrap())
            .collect();
        assert_eq!(files.len(), 2);
        assert_eq!(
            files[0],
            DataFile {
                key: "copies/AWSDynamoDB/data/qk5yzb7n3m2xw4hvd6ct8rfjpa.json.gz".to_owned(),
                item_count: 3,
                md5_checksum: "QetmEX6i8ZpldhJkqfqm3A==".to_owned(),
            }
        );
        assert_eq!(files[1].item_count, 0);
        assert_eq!(
            DataFile::parse("{}").unwrap_err().to_string(),
            "the line of the manifest cannot be read (missing field `dataFileS3Key` at line 1 column 2): expected a JSON object with dataFileS3Key, itemCount and md5Checksum"
        );
    }
}
