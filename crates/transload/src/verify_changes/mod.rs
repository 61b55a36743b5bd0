//! What can be known of gaps and faults in a range of the change log.
//!
//! The log is read hour by hour. An event id is always in the folder of its hour, so memory is that of one hour's ids.

mod digest;
mod export;
mod failures;
mod finding;
mod hour;
mod repair;
mod set_aside;

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use records::changes::{Completion, SETTLED_SECONDS};
use storage::{
    ErrorKind, ItemStore, ObjectId, ObjectStore, ResumePolicy, StorageError, StreamDescription,
    resuming,
};

use crate::change_log::{HOUR_SECONDS, Log, LogError};

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
}

/// What a range of the log holds, and what is wrong.
#[derive(Debug)]
pub struct Report {
    /// Every hour of the range, in order.
    pub hours: Vec<HourReport>,
    /// The table's stream, if one is enabled.
    pub stream: Option<StreamDescription>,
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
    let stream = match task.items.stream(log.table()).await {
        // The log outlives its table.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        stream => stream?,
    };
    let completions = log.completions().await?;
    let aside = set_aside::find(log, &task.hours).await?;
    let mut failures = failures::find(log, task.failures_prefix, &task.hours, &aside.names).await?;
    let mut wanted = match task.export {
        Some(export) => Some(export.wanted().await?),
        None => None,
    };
    let mut report = Report {
        hours: Vec::new(),
        stream,
        labels: BTreeSet::new(),
        compared: wanted.as_ref().map(|wanted| wanted.items),
        findings: Vec::new(),
    };
    let mut faults = Vec::new();
    let mut done = Progress::default();
    let mut listed = pin!(log.hours("stream", task.hours.clone()));
    while let Some(objects) = listed.try_next().await? {
        let read = hour::read(log, &objects, wanted.as_mut()).await?;
        failures.compare(log, objects.hour, &read.events).await?;
        done.hours += 1;
        done.lines += read.report.records + read.report.duplicates + read.report.faults;
        progress(done);
        report.labels.extend(read.labels);
        faults.extend(read.faults);
        faults.truncate(finding::SHOWN);
        report.hours.push(read.report);
    }
    let repaired = Repaired(&completions);
    let mut findings = failures.findings();
    findings.extend(finding::of_faults(&report.hours, faults, repaired));
    findings.extend(finding::of_stream(&report, &task.hours, repaired));
    findings.extend(finding::of_lateness(&report.hours, repaired));
    findings.extend(aside.finding());
    if let (Some(export), Some(wanted)) = (task.export, wanted)
        && !repaired.window(&export.window())
    {
        findings.extend(export.finding(&wanted).await?);
    }
    report.findings = findings;
    Ok(report)
}

/// What is complete in the log.
#[derive(Clone, Copy)]
struct Repaired<'a>(&'a [Completion]);

impl Repaired<'_> {
    /// Whether the state at the end of the hour is in the log by a repair, whatever is missing in the stream's part.
    fn hour(self, hour: u64) -> bool {
        self.0.iter().any(|completion| {
            completion.window_start.is_some_and(|start| {
                start + SETTLED_SECONDS <= hour * HOUR_SECONDS
                    && (hour + 1) * HOUR_SECONDS + SETTLED_SECONDS <= completion.time
            })
        })
    }

    /// Whether the log has a repair of just this window, or a wider one.
    fn window(self, window: &Range<u64>) -> bool {
        self.0.iter().any(|completion| {
            completion
                .window_start
                .is_some_and(|start| start <= window.start && window.end <= completion.time)
        })
    }
}

/// All of an object that is small.
async fn whole<O: ObjectStore + 'static>(
    store: &Rc<O>,
    bucket: &str,
    key: &str,
    max_bytes: usize,
) -> Result<Vec<u8>, StorageError> {
    let object = ObjectId {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        etag: None,
    };
    let name = object.to_string();
    resuming(Rc::clone(store), object, 0, ResumePolicy::default())
        .try_fold(Vec::new(), |mut content: Vec<u8>, chunk: Bytes| {
            content.extend_from_slice(&chunk);
            let fits = content.len() <= max_bytes;
            let too_large = || {
                let fault = format!("the object is too large: expected at most {max_bytes} bytes");
                StorageError::new(ErrorKind::Refused, "GetObject", name.clone(), fault)
            };
            std::future::ready(fits.then_some(content).ok_or_else(too_large))
        })
        .await
}

#[cfg(test)]
mod tests;
