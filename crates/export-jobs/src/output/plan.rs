//! What a part's lines become, and where their objects lie.

use records::changes::SnapshotSource;
use transcode::{LineForm, Schema};

use crate::job::{JobRow, ScanRow};
use crate::names::{change_object, segment_part, stem, table_object};
use crate::settings::{Format, Settings};
use crate::window::Span;

/// What the lines of one part become: a data file of an export, or a segment of a scan. A function of the job's row, the part
/// and the schema alone, so that every invocation makes the same objects.
#[derive(Debug, Clone)]
pub struct OutputPlan {
    /// The lake.
    pub bucket: String,
    /// The table's name.
    pub table: String,
    /// The names of its key attributes, the partition key first.
    pub key_names: Vec<String>,
    /// What objects of items lie under: the window's name, or `scan-<id>`.
    pub window: String,
    /// What the objects' names begin with: the data file's stem, or `segment-0000`.
    pub stem: String,
    /// What the lines are.
    pub form: LineForm,
    /// What becomes of them.
    pub settings: Settings,
    /// The columns, if the format is Parquet.
    pub schema: Option<Schema>,
    /// Where change records come from.
    pub source: SnapshotSource,
    /// What names of objects of change records begin with: the export's id, or the scan's.
    pub id: String,
    /// What event ids begin with: the export's id, or `scan-<snapshot time>`.
    pub event_prefix: String,
    /// What stands in an event id between its beginning and the line's number: the stem, or the segment in four digits.
    pub event_part: String,
    /// The second, counted from 1970, whose state the lines are.
    pub snapshot_time: u64,
    /// The first second of the window of an incremental export.
    pub window_start: Option<u64>,
}

impl OutputPlan {
    /// The plan of a data file; nothing as long as the export's ARN is unknown, since its id is in names.
    pub fn of_export(job: &JobRow, data_key: &str, schema: Option<Schema>) -> Option<Self> {
        let id = job.export_id()?.to_owned();
        Some(Self {
            bucket: job.bucket.clone(),
            table: job.table.clone(),
            key_names: job.key_names.clone(),
            window: job.window.clone(),
            stem: stem(data_key).to_owned(),
            form: match job.span {
                Span::Full { .. } => LineForm::Full,
                Span::Incremental { .. } => LineForm::Incremental,
            },
            settings: job.settings.clone(),
            schema,
            source: SnapshotSource::Export,
            event_prefix: id.clone(),
            id,
            event_part: stem(data_key).to_owned(),
            snapshot_time: job.span.snapshot_time(),
            window_start: job.span.window_start(),
        })
    }

    /// The plan of a segment.
    pub fn of_scan(scan: &ScanRow, segment: u32, schema: Option<Schema>) -> Self {
        Self {
            bucket: scan.bucket.clone(),
            table: scan.table.clone(),
            key_names: scan.key_names.clone(),
            window: format!("scan-{}", scan.scan),
            stem: segment_part(segment),
            form: LineForm::Full,
            settings: scan.settings.clone(),
            schema,
            source: SnapshotSource::Scan,
            id: scan.scan.clone(),
            event_prefix: format!("scan-{}", scan.snapshot_time),
            event_part: format!("{segment:04}"),
            snapshot_time: scan.snapshot_time,
            window_start: None,
        }
    }

    /// The key of an entity's object.
    pub(super) fn key(&self, entity: &str, split: u32) -> String {
        match self.settings.format {
            Format::Changes => change_object(
                &self.table,
                self.source,
                self.snapshot_time,
                &self.id,
                &self.stem,
                split,
                &self.settings,
            ),
            Format::JsonLines | Format::Parquet => table_object(
                &self.table,
                &self.window,
                entity,
                &self.stem,
                split,
                &self.settings,
            ),
        }
    }
}
