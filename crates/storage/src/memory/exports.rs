use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::MemoryObjects;
use crate::{
    Clock, ErrorKind, ExportDescription, ExportRequest, ExportSpan, ExportStatus, ListedExport,
    RecoveryWindow, StorageError, TableExports, TestClock, Timestamp,
};

mod files;

/// How long a token stands for its first request. The API reference ("ExportTableToPointInTime", ClientToken) says "8 hours
/// after the first request that uses it is completed"; counted from the request itself it is shortest, and who is right by
/// that is right by any reading.
const TOKEN_TIME: Duration = Duration::from_hours(8);
/// For how long exports are listed (API reference, "ListExports").
const LISTED_TIME: Duration = Duration::from_hours(90 * 24);
/// How far back a table can be restored, and how soon (API reference, "PointInTimeRecoveryDescription").
const RECOVERY_SECONDS: u64 = 35 * 24 * 3600;
const RECOVERY_LAG_SECONDS: u64 = 300;
/// How long the window of an incremental export may be (Developer Guide, "Quotas": DynamoDB table export to S3).
const WINDOW_SECONDS: std::ops::RangeInclusive<u64> = 15 * 60..=24 * 3600;
const MAX_RUNNING: usize = 300;
const BEGIN: &str = "ExportTableToPointInTime";

/// Exports in memory. Each runs until the test completes it, which writes its objects in AWS's layout.
#[derive(Debug, Clone)]
pub struct MemoryExports {
    state: Arc<Mutex<State>>,
    objects: MemoryObjects,
    clock: TestClock,
}

/// The lines of each data file of an export.
type Lines = Box<dyn Fn(&ExportSpan) -> Vec<Vec<String>> + Send>;

struct State {
    /// The ids of the tables by their ARNs.
    tables: BTreeMap<String, String>,
    /// ARNs of those that never have recovery.
    unrecoverable: BTreeSet<String>,
    recovery: Recovery,
    /// In the order in which they were begun.
    exports: Vec<Export>,
    fail_next: Option<(String, String)>,
    lines: Lines,
}

#[derive(Debug)]
enum Recovery {
    Off,
    Fixed(RecoveryWindow),
    /// As on AWS, where it was switched on at this second.
    Since(u64),
}

#[derive(Debug)]
struct Export {
    request: ExportRequest,
    begun: Timestamp,
    description: ExportDescription,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("State")
            .field("tables", &self.tables)
            .field("recovery", &self.recovery)
            .field("exports", &self.exports)
            .finish_non_exhaustive()
    }
}

impl MemoryExports {
    /// No tables. What exports write, they write to `objects`; `clock` says when something happens. Recovery has long been
    /// on, and every export holds one empty file, until the test says otherwise.
    #[must_use]
    pub fn new(clock: TestClock, objects: MemoryObjects) -> Self {
        let state = State {
            tables: BTreeMap::new(),
            unrecoverable: BTreeSet::new(),
            recovery: Recovery::Since(0),
            exports: Vec::new(),
            fail_next: None,
            lines: Box::new(|_| vec![Vec::new()]),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            objects,
            clock,
        }
    }

    /// Adds a table.
    ///
    /// # Panics
    /// If this is no ARN of a table.
    #[must_use]
    pub fn with_table(self, arn: &str) -> Self {
        assert!(table_name(arn).is_some(), "{arn} is no table's ARN");
        {
            let mut state = self.lock();
            let number = state.tables.len() + 1;
            let id = format!("00000000-0000-4000-8000-{number:012}");
            state.tables.insert(arn.to_owned(), id);
        }
        self
    }

    /// Adds a table whose point-in-time recovery is off and stays so.
    ///
    /// # Panics
    /// If this is no ARN of a table.
    #[must_use]
    pub fn with_table_without_recovery(self, arn: &str) -> Self {
        let exports = self.with_table(arn);
        exports.lock().unrecoverable.insert(arn.to_owned());
        exports
    }

    /// Point-in-time recovery covers this window from now on, however time goes by; without one, it is off.
    pub fn set_recovery(&self, window: Option<RecoveryWindow>) {
        self.lock().recovery = window.map_or(Recovery::Off, Recovery::Fixed);
    }

    /// Point-in-time recovery was switched on at this second from 1970, and covers 35 days up to five minutes ago, as it does
    /// at first with the second 0.
    pub fn recover_since(&self, second: u64) {
        self.lock().recovery = Recovery::Since(second);
    }

    /// What exports that are completed from now on hold: the lines of each of their data files, without line ends.
    pub fn set_lines(&self, lines: impl Fn(&ExportSpan) -> Vec<Vec<String>> + Send + 'static) {
        self.lock().lines = Box::new(lines);
    }

    /// How many exports were begun.
    pub fn begun(&self) -> usize {
        self.lock().exports.len()
    }

    /// Of every export begun its ARN and the request that began it, in order.
    pub fn requests(&self) -> Vec<(String, ExportRequest)> {
        let state = self.lock();
        let exports = state.exports.iter();
        exports
            .map(|export| (export.description.arn.clone(), export.request.clone()))
            .collect()
    }

    /// The next export that would complete fails instead, with this code and message.
    pub fn fail_next(&self, code: &str, message: &str) {
        self.lock().fail_next = Some((code.to_owned(), message.to_owned()));
    }

    /// Every export that runs comes to its end, in the order in which they were begun; returns how many those were.
    pub fn complete_all(&self) -> usize {
        let running = self.running();
        for arn in &running {
            self.complete(arn);
        }
        running.len()
    }

    /// The export comes to its end: its objects are in its bucket, or it fails, if it is to or there is no such bucket.
    ///
    /// # Panics
    /// If there is no such export, or it has ended.
    pub fn complete(&self, arn: &str) {
        let now = self.clock.now();
        let mut state = self.lock();
        let state = &mut *state;
        let export = state
            .exports
            .iter_mut()
            .find(|export| export.description.arn == arn)
            .expect("a test completes an export that was begun");
        let before = export.description.status;
        assert_eq!(before, ExportStatus::InProgress, "{arn} ends once");
        let no_bucket = || {
            let message = "The specified bucket does not exist";
            ("S3NoSuchBucket".to_owned(), message.to_owned())
        };
        let there = self.objects.has_bucket(&export.request.bucket);
        let failure = match there {
            true => state.fail_next.take(),
            false => Some(no_bucket()),
        };
        let lines = (state.lines)(&export.request.span);
        export.end(&self.objects, now, lines, failure);
    }

    /// The ARNs of the exports that run, in the order in which they were begun.
    pub fn running(&self) -> Vec<String> {
        let state = self.lock();
        let running = state.exports.iter().filter(|export| export.is_running());
        running
            .map(|export| export.description.arn.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl State {
    fn recovery(&self, table_arn: &str, now: Timestamp) -> Option<RecoveryWindow> {
        if self.unrecoverable.contains(table_arn) {
            return None;
        }
        let now = now.0 / 1000;
        match self.recovery {
            Recovery::Off => None,
            Recovery::Fixed(window) => Some(window),
            Recovery::Since(second) => Some(RecoveryWindow {
                earliest: second.max(now.saturating_sub(RECOVERY_SECONDS)),
                latest: second.max(now.saturating_sub(RECOVERY_LAG_SECONDS)),
            }),
        }
    }

    /// The newest export that this token began, while the token stands for it.
    fn repeated(&self, token: &str, now: Timestamp) -> Option<&Export> {
        let mut newest_first = self.exports.iter().rev();
        newest_first.find(|export| {
            export.request.client_token == token && export.begun.until(now) < TOKEN_TIME
        })
    }
}

impl Export {
    fn is_running(&self) -> bool {
        self.description.status == ExportStatus::InProgress
    }

    fn listed(&self) -> ListedExport {
        ListedExport {
            arn: self.description.arn.clone(),
            status: self.description.status,
            incremental: matches!(self.request.span, ExportSpan::Incremental { .. }),
        }
    }
}

impl TableExports for MemoryExports {
    async fn begin_export(
        &self,
        request: &ExportRequest,
    ) -> Result<ExportDescription, StorageError> {
        let now = self.clock.now();
        let error =
            |kind, message: &str| Err(StorageError::new(kind, BEGIN, &request.table_arn, message));
        let mut state = self.lock();
        if let Some(known) = state.repeated(&request.client_token, now) {
            return match known.request == *request {
                true => Ok(known.description.clone()),
                false => error(
                    ErrorKind::Conflict,
                    "ExportConflictException: an export with this client token and other parameters exists",
                ),
            };
        }
        let Some(table_id) = state.tables.get(&request.table_arn).cloned() else {
            return error(
                ErrorKind::NotFound,
                "TableNotFoundException: there is no such table",
            );
        };
        if let Err(fault) = check(request, state.recovery(&request.table_arn, now)) {
            return error(ErrorKind::Refused, fault);
        }
        let running = state.exports.iter().filter(|export| export.is_running());
        if running.count() >= MAX_RUNNING {
            return error(
                ErrorKind::Throttled,
                "LimitExceededException: too many exports run",
            );
        }
        let number = state.exports.len() + 1;
        let id = format!("{:014}-{number:08x}", now.0);
        let description = ExportDescription {
            arn: format!("{}/export/{id}", request.table_arn),
            status: ExportStatus::InProgress,
            span: Some(request.span),
            bucket: request.bucket.clone(),
            prefix: Some(request.prefix.clone()).filter(|prefix| !prefix.is_empty()),
            client_token: Some(request.client_token.clone()),
            table_id: Some(table_id),
            manifest_key: None,
            item_count: None,
            failure: None,
        };
        state.exports.push(Export {
            request: request.clone(),
            begun: now,
            description: description.clone(),
        });
        Ok(description)
    }

    async fn export(&self, arn: &str) -> Result<ExportDescription, StorageError> {
        let state = self.lock();
        let mut descriptions = state.exports.iter().map(|export| &export.description);
        let found = descriptions.find(|description| description.arn == arn);
        found.cloned().ok_or_else(|| {
            let message = "ExportNotFoundException: there is no such export";
            StorageError::new(ErrorKind::NotFound, "DescribeExport", arn, message)
        })
    }

    async fn exports(&self, table_arn: &str) -> Result<Vec<ListedExport>, StorageError> {
        let now = self.clock.now();
        let state = self.lock();
        let listed = state.exports.iter().filter(|export| {
            export.request.table_arn == table_arn && export.begun.until(now) < LISTED_TIME
        });
        Ok(listed.map(Export::listed).collect())
    }

    async fn recovery(&self, table: &str) -> Result<Option<RecoveryWindow>, StorageError> {
        let now = self.clock.now();
        let state = self.lock();
        let mut arns = state.tables.keys();
        match arns.find(|arn| *arn == table || table_name(arn) == Some(table)) {
            Some(arn) => Ok(state.recovery(arn, now)),
            None => Err(StorageError::new(
                ErrorKind::NotFound,
                "DescribeContinuousBackups",
                table,
                "TableNotFoundException: there is no such table",
            )),
        }
    }
}

/// What DynamoDB refuses.
fn check(request: &ExportRequest, recovery: Option<RecoveryWindow>) -> Result<(), &'static str> {
    if request.bucket.is_empty() || request.client_token.is_empty() {
        return Err("ValidationException: the bucket or the client token is empty");
    }
    let recovery = recovery.ok_or(
        "PointInTimeRecoveryUnavailableException: point in time recovery is not enabled for the table",
    )?;
    let covered = |time: &u64| (recovery.earliest..=recovery.latest).contains(time);
    let is_covered = match &request.span {
        ExportSpan::Full { time } => covered(time),
        ExportSpan::Incremental { from, to, .. } => {
            if !WINDOW_SECONDS.contains(&to.saturating_sub(*from)) {
                return Err(
                    "ValidationException: the export's window is not of 15 minutes to 24 hours",
                );
            }
            covered(from) && covered(to)
        }
    };
    match is_covered {
        true => Ok(()),
        false => Err(
            "InvalidExportTimeException: a time is outside of the point in time recovery window",
        ),
    }
}

/// The name at the end of a table's ARN.
fn table_name(arn: &str) -> Option<&str> {
    let (_, name) = arn.split_once(":table/")?;
    (arn.starts_with("arn:") && !name.is_empty() && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests;
