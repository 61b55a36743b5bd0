//! What can be known of gaps and faults in a range of the change log.
//!
//! The log is read hour by hour. An event id is always in the folder of its hour, so memory is that of one hour's ids.

mod export;
mod failures;
mod finding;
mod hour;
mod repair;
mod set_aside;

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;

use futures_util::TryStreamExt;
use storage::{ErrorKind, ItemStore, ObjectStore, StorageError, StreamDescription, Timestamp};

use repair::Repaired;

use crate::change_log::{Log, LogError};

pub use export::{Export, ExportError};
pub use finding::{Finding, Place};
pub use hour::HourReport;
pub use set_aside::Aside;

/// What is verified.
pub struct Task<'a, O, I> {
    /// The log.
    pub log: &'a Log<O>,
    /// Where the table is, which knows its stream.
    pub items: &'a I,
    /// Hours since 1970.
    pub hours: Range<u64>,
    /// Where in the lake the event source mapping leaves what it gave up, such as `aws/lambda/`.
    pub failures_prefix: &'a str,
    /// What the log is compared with besides.
    pub export: Option<&'a Export<O>>,
    /// The time now, which the table can be exported up to, but for some minutes.
    pub now: Timestamp,
}

/// What a range of the log holds, and what is wrong.
#[derive(Debug)]
pub struct Report {
    /// Every hour of the range, in order.
    pub hours: Vec<HourReport>,
    /// The table's stream, if one is enabled.
    pub stream: Option<StreamDescription>,
    /// The seconds, from 1970, that an export of the table which helps can be of.
    pub exportable: Range<u64>,
    /// When the streams were enabled that the range has records of, as AWS writes it.
    pub labels: BTreeSet<String>,
    /// Items of the export that were looked for; nothing without an export.
    pub compared: Option<u64>,
    /// Gaps and faults.
    pub findings: Vec<Finding>,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Hours that have been read.
    pub hours: u64,
    /// Lines that were read in them.
    pub lines: u64,
}

/// Why nothing can be said of the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// What is complete in the log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The export cannot be compared with.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// Reads the range and everything else that tells of gaps in it.
///
/// # Errors
/// A store that fails, or an export that is not whole. What is wrong with the log itself is in the report.
pub async fn verify<O, I>(
    task: &Task<'_, O, I>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, VerifyError>
where
    O: ObjectStore + 'static,
    I: ItemStore,
{
    let log = task.log;
    let table = describe(task.items, log.table()).await?;
    let repaired = Repaired::new(&log.completions().await?);
    let exportable = match &table {
        Some((_, created)) => repair::exportable(*created, &repaired, task.now),
        None => 0..0,
    };
    let (stream, created) = table.unwrap_or((None, Timestamp(0)));
    let aside = set_aside::find(log, &task.hours).await?;
    let mut failures = failures::find(log, task.failures_prefix, &task.hours, &aside.names).await?;
    let mut wanted = match task.export {
        Some(export) => Some(export.wanted().await?),
        None => None,
    };
    let mut report = Report {
        hours: Vec::new(),
        stream,
        exportable,
        labels: BTreeSet::new(),
        compared: wanted.as_ref().map(|wanted| wanted.items),
        findings: Vec::new(),
    };
    let mut faults = Vec::new();
    let mut done = Progress::default();
    let mut listed = pin!(log.hours("stream", task.hours.clone()));
    while let Some(objects) = listed.try_next().await? {
        let held = failures.held(log, objects.hour).await?;
        let read = hour::read(log, &objects, &held, wanted.as_mut()).await?;
        failures.compare(&held, &read.events);
        done.hours += 1;
        done.lines += read.report.records + read.report.duplicates + read.report.faults;
        progress(done);
        report.labels.extend(read.labels);
        faults.extend(read.faults);
        faults.truncate(finding::SHOWN);
        report.hours.push(read.report);
    }
    let mut others = pin!(log.hours("stream", failures.other_hours(&task.hours)));
    while let Some(objects) = others.try_next().await? {
        let held = failures.held(log, objects.hour).await?;
        let read = hour::read(log, &objects, &held, None).await?;
        failures.compare(&held, &read.events);
    }
    let mut findings = failures.findings();
    findings.extend(finding::of_faults(&report.hours, faults, &repaired));
    findings.extend(finding::of_stream(&report, &task.hours, created, &repaired));
    findings.extend(finding::of_lateness(&report.hours, &repaired));
    findings.extend(aside.finding());
    if let (Some(export), Some(wanted)) = (task.export, wanted)
        && !repaired.window(&export.window())
    {
        findings.extend(export.finding(&wanted).await?);
    }
    report.findings = findings;
    Ok(report)
}

/// The table's stream and when the table was made; nothing of a table that is not there: its log outlives it.
async fn describe(
    items: &impl ItemStore,
    table: &str,
) -> Result<Option<(Option<StreamDescription>, Timestamp)>, StorageError> {
    match items.stream(table).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        stream => Ok(Some((stream?, items.created(table).await?))),
    }
}

#[cfg(test)]
mod tests;
