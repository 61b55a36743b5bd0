//! The pass over all objects of a source: each is read as what it is, and compared with the first one.

use std::io;

use csv_ingester::{Compression, Input, InputError};
use records::TableShape;
use storage::ObjectStore;

use super::csv::CsvScan;
use super::findings::{Findings, Kind, Place};
use super::intake::Intake;
use super::lines::JsonScan;
use super::source::{Fingerprint, OpenPart, SourceSet};
use super::{Format, Preflight, PreflightError, Progress, Projection};

/// Objects that one import takes (Developer Guide, "Import format quotas and validation").
const MAX_OBJECTS: u64 = 50_000;
/// Stored bytes that the imports of an account may have at a time in us-east-1, us-west-2 and eu-west-1; 1 TB elsewhere (ibid.,
/// and "The limit is based on the raw S3 object sizes": "Best practices for importing from Amazon S3 into DynamoDB").
const MAX_STORED_BYTES: u64 = 15_000_000_000_000;

/// Reads a source for a table of this shape. `on_progress` is called for each chunk.
///
/// # Errors
/// A store or a disk that fails; whatever is wrong with the source itself is in [`Preflight::findings`].
pub async fn preflight<O: ObjectStore + 'static>(
    sources: &SourceSet<O>,
    shape: &TableShape,
    projection: Projection,
    mut on_progress: impl FnMut(&Progress),
) -> Result<Preflight, PreflightError> {
    let intake = Intake::new(shape, projection).map_err(PreflightError::Spill)?;
    let mut pass = Pass {
        intake,
        first: None,
        uncompressed_bytes: 0,
        progress: Progress {
            bytes_total: sources.bytes(),
            ..Progress::default()
        },
    };
    let mut fingerprint = Fingerprint::default();
    for part in &sources.parts {
        pass.intake.begin(part.name.clone());
        let done = pass.progress.bytes_done + part.bytes;
        let failed = |source| PreflightError::Store {
            object: part.name.to_string(),
            source,
        };
        let opened = part.open(&mut fingerprint).await.map_err(failed)?;
        if part.bytes == 0 {
            pass.intake.note(Kind::EmptyObject, "it has no bytes");
            continue;
        }
        match pass.read(opened, &mut on_progress).await {
            Ok(()) => {}
            Err(Stopped::Input(InputError::Store(source))) => return Err(failed(source)),
            Err(Stopped::Input(error @ InputError::Archive)) => {
                pass.intake.note(Kind::Archive, error.to_string());
            }
            Err(Stopped::Input(error)) => {
                pass.intake.note(Kind::BrokenCompression, error.to_string());
            }
            Err(Stopped::Spill(error)) => return Err(PreflightError::Spill(error)),
        }
        pass.progress.bytes_done = done;
        on_progress(&pass.progress);
    }
    pass.finish(sources, fingerprint)
        .map_err(PreflightError::Spill)
}

struct Pass {
    intake: Intake,
    first: Option<First>,
    uncompressed_bytes: u64,
    progress: Progress,
}

/// What the first object is like, which the others have to be like.
struct First {
    compression: &'static str,
    format: Format,
    columns: Vec<String>,
}

enum Stopped {
    Input(InputError),
    Spill(io::Error),
}

enum Scan {
    Csv(CsvScan),
    Json(JsonScan),
}

impl Pass {
    async fn read<O: ObjectStore + 'static>(
        &mut self,
        part: OpenPart<O>,
        on_progress: &mut impl FnMut(&Progress),
    ) -> Result<(), Stopped> {
        let before = self.progress.bytes_done;
        let mut input = Input::open(part).await.map_err(Stopped::Input)?;
        let raw_bytes = input.raw_bytes();
        let compression = name_of(input.compression());
        let mut scan = None;
        let mut compared = false;
        loop {
            let chunk = input.next_chunk().await.map_err(Stopped::Input)?;
            let bytes = chunk.as_deref();
            self.uncompressed_bytes += bytes.map_or(0, <[u8]>::len) as u64;
            let reading = scan.get_or_insert_with(|| Scan::of(bytes.unwrap_or_default()));
            let more = match reading {
                Scan::Csv(csv) => csv.feed(bytes, &mut self.intake),
                Scan::Json(json) => json.feed(bytes, &mut self.intake),
            };
            let more = more.map_err(Stopped::Spill)?;
            if !compared {
                compared = self.compare(reading, compression);
            }
            self.progress.rows = self.intake.rows;
            self.progress.bytes_done = before + raw_bytes.get();
            on_progress(&self.progress);
            if bytes.is_none() || !more {
                return Ok(());
            }
        }
    }

    /// Compares an object with the first one, once it is known what it is like.
    fn compare(&mut self, scan: &Scan, compression: &'static str) -> bool {
        let (format, columns) = match scan {
            Scan::Json(_) => (Format::DynamodbJson, &[][..]),
            Scan::Csv(csv) => match csv.layout() {
                Some(layout) => (
                    Format::Csv {
                        delimiter: char::from(layout.delimiter.byte()),
                    },
                    layout.columns.as_slice(),
                ),
                None => return false,
            },
        };
        let Some(first) = &self.first else {
            self.begin(compression, format, columns.to_vec());
            return true;
        };
        let (other_columns, other_format) = (first.columns != columns, first.format != format);
        if first.compression != compression {
            self.intake
                .note(Kind::MixedCompression, format!("it is {compression}"));
        }
        match (first.format, format) {
            (Format::Csv { .. }, Format::Csv { delimiter }) if other_format => {
                let detail = format!("its delimiter is {delimiter:?}");
                self.intake.note(Kind::MixedDelimiters, detail);
            }
            _ if other_format => self.intake.note(
                Kind::MixedFormats,
                match format {
                    Format::Csv { .. } => "it is CSV",
                    Format::DynamodbJson => "it is DynamoDB JSON",
                },
            ),
            _ if other_columns => self.intake.note(Kind::OtherHeader, "its columns differ"),
            _ => {}
        }
        true
    }

    fn begin(&mut self, compression: &'static str, format: Format, columns: Vec<String>) {
        if let Format::Csv { .. } = format {
            let plan = &self.intake.plan;
            let has = |name: &str| columns.iter().any(|column| column == name);
            let missing: Vec<String> = plan
                .index_attributes()
                .filter_map(|attributes| {
                    let mut names = attributes.map(|index| &plan.attributes[index].name);
                    names.find(|name| !has(name)).cloned()
                })
                .collect();
            let texts = columns
                .iter()
                .filter(|column| plan.attributes.iter().all(|key| key.name != **column))
                .count();
            for name in missing {
                let detail = format!("no column {name:?}");
                self.intake.note(Kind::IndexWithoutColumn, detail);
            }
            self.intake.findings.count(Kind::TextColumns, texts as u64);
        }
        self.first = Some(First {
            compression,
            format,
            columns,
        });
    }

    fn finish<O: ObjectStore + 'static>(
        self,
        sources: &SourceSet<O>,
        fingerprint: Fingerprint,
    ) -> io::Result<Preflight> {
        let (tallied, counts) = self.intake.finish()?;
        let mut findings = tallied.findings;
        check_quotas(sources.objects(), sources.bytes(), &mut findings);
        let (compression, format, columns) = match self.first {
            Some(first) => (first.compression, Some(first.format), first.columns),
            None => ("NONE", None, Vec::new()),
        };
        Ok(Preflight {
            format,
            compression,
            columns,
            objects: sources.objects(),
            stored_bytes: sources.bytes(),
            uncompressed_bytes: self.uncompressed_bytes,
            rows: counts.rows,
            bad_rows: counts.bad_rows,
            items: tallied.distinct_keys,
            duplicate_rows: tallied.duplicate_rows,
            repeated_keys: tallied.repeated_keys,
            item_bytes: counts.item_bytes,
            largest_item_bytes: counts.largest_item,
            largest_item: counts.largest_place.map(|(object, line)| Place {
                object,
                line: Some(line),
                detail: format!("{} bytes", counts.largest_item),
            }),
            table_units: counts.table_units,
            indexes: tallied.indexes,
            hottest: tallied.hottest,
            findings: findings.into_list(),
            fingerprint: fingerprint.finish(),
        })
    }
}

impl Scan {
    /// Items begin with a brace; a header that does is none that anybody would write.
    fn of(chunk: &[u8]) -> Self {
        match chunk.trim_ascii_start().first() {
            Some(b'{') => Self::Json(JsonScan::default()),
            _ => Self::Csv(CsvScan::new()),
        }
    }
}

fn check_quotas(objects: u64, stored_bytes: u64, findings: &mut Findings) {
    if objects > MAX_OBJECTS {
        findings.count(Kind::TooManyObjects, objects);
    }
    if stored_bytes > MAX_STORED_BYTES {
        findings.count(Kind::TooManyBytes, stored_bytes);
    }
}

fn name_of(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "NONE",
        Compression::Gzip => "GZIP",
        Compression::Zstd => "ZSTD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_known() {
        let mut findings = Findings::default();
        check_quotas(50_000, 15_000_000_000_000, &mut findings);
        assert_eq!(findings.into_list(), []);
        let mut findings = Findings::default();
        check_quotas(50_001, 15_000_000_000_001, &mut findings);
        let kinds: Vec<Kind> = findings
            .into_list()
            .iter()
            .map(|found| found.kind)
            .collect();
        assert_eq!(kinds, [Kind::TooManyObjects, Kind::TooManyBytes]);
    }
}
