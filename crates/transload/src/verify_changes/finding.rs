//! What is wrong, in words, and what mends it.

use std::ops::Range;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use storage::Timestamp;

use super::repair::{Repaired, export_command, iso, quoted, windows};
use super::set_aside::Aside;
use super::{HourReport, Report};
use records::changes::SECONDS_PER_HOUR;

/// Examples that a finding gives at the most.
pub(super) const SHOWN: usize = 10;
/// From here on, records around may have been forgotten by the stream before they were read: it keeps them for 24 hours
/// (DynamoDB developer guide, "Change data capture for DynamoDB Streams").
const LATE: Duration = Duration::from_secs(20 * SECONDS_PER_HOUR);
/// What was written later than this after its change was not read from the stream then, but put in by hand from what the event
/// source mapping had given up. The stream may keep a record a little longer than it has to.
const BY_HAND: Duration = Duration::from_secs(25 * SECONDS_PER_HOUR);
/// A stream that was enabled no later than this after its table was made has missed nothing: a table takes no writes while it
/// is being made, which takes some seconds, and the two times may be told by two clocks.
const MAKING_SECONDS: u64 = 5;

/// Names that messages and commands are made with.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The lake.
    pub bucket: &'a str,
    /// The table.
    pub table: &'a str,
    /// The seconds, from 1970, that an export of the table which helps can be of.
    pub exportable: &'a Range<u64>,
}

/// A gap, or a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Lines and objects that cannot be read or do not belong where they are.
    Faults {
        /// How many.
        count: u64,
        /// Their hours, since 1970, but those that repairs make good.
        hours: Vec<u64>,
        /// The first of them, with object, line and what was expected.
        first: Vec<String>,
    },
    /// Records that the event source mapping gave up are not in the log.
    NotInLog {
        /// The key of the object that holds them.
        key: String,
        /// When it was written.
        written: Timestamp,
        /// The function that could not take them.
        function: Option<String>,
        /// Records that it holds: of the range, or, if it was written in the range, of whatever time.
        records: u64,
        /// Those that the log lacks.
        missing: u64,
    },
    /// An object of the on-failure destination tells nothing.
    FailureUnread {
        /// Its key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The table has no stream: its changes are lost.
    NoStream,
    /// The stream was enabled after the range begins and the table was made, and the range has no records of another one.
    BeforeStream {
        /// When, as AWS writes it.
        label: String,
        /// The hours before, since 1970, in which the table was there, but those that repairs make good.
        hours: Vec<u64>,
    },
    /// Records were read shortly before the stream forgot them, so others may have been forgotten.
    Late {
        /// Their hours, since 1970.
        hours: Vec<u64>,
        /// The longest time between a change and its being written.
        latest: Duration,
    },
    /// Records that could not be placed.
    SetAside {
        /// How many.
        count: u64,
        /// The first of them.
        first: Vec<Aside>,
    },
    /// The state of items in an export is not in the log.
    NotAsExported {
        /// The export's folder.
        export: String,
        /// Its window, in seconds since 1970.
        window: Range<u64>,
        /// Items that were looked for.
        items: u64,
        /// Items whose state was not found.
        missing: u64,
        /// The keys of the first of them, as DynamoDB JSON.
        keys: Vec<String>,
    },
}

impl Finding {
    /// A short name of what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Faults { .. } => "faults",
            Self::NotInLog { .. } => "not_in_log",
            Self::FailureUnread { .. } => "failure_unread",
            Self::NoStream => "no_stream",
            Self::BeforeStream { .. } => "before_stream",
            Self::Late { .. } => "late",
            Self::SetAside { .. } => "set_aside",
            Self::NotAsExported { .. } => "not_as_exported",
        }
    }

    /// What it is, in a sentence or two.
    pub fn message(&self, place: Place<'_>) -> String {
        let Place { bucket, table, .. } = place;
        match self {
            Self::Faults { count, .. } => format!(
                "{count} lines or objects of the log cannot be read or do not belong where they are; what they hold is not counted."
            ),
            Self::NotInLog {
                key,
                written,
                records,
                missing,
                ..
            } => format!(
                "{missing} of {records} records in s3://{bucket}/{key} are not in the log. They were given up {}: nothing tries them again. The function writes just what the log lacks.",
                written.iso()
            ),
            Self::FailureUnread { key, reason } => {
                format!("s3://{bucket}/{key}: {reason}. Its records may not be in the log.")
            }
            Self::NoStream => format!(
                "No stream is enabled on the table {table}, if it is still there: what changes now does not come into the log. Deploying the same template again does not enable it, since CloudFormation finds nothing to change: deploy it with another StreamViewType, then with the old one. Or enable it by hand, make an event source mapping for the new stream, and let the function's role read the new stream's ARN."
            ),
            Self::BeforeStream { label, .. } => format!(
                "The stream was enabled {label} (UTC): what changed before is not in the log, which has no records of an older stream."
            ),
            Self::Late { latest, .. } => format!(
                "Records were written up to {} hours after their changes. A stream forgets after 24 hours: unless these were written by hand from what had been given up, others of their hours may have been forgotten before they were read.",
                latest.as_secs() / SECONDS_PER_HOUR
            ),
            Self::SetAside { count, .. } => format!(
                "{count} records were set aside, since they have no place in the log; each says why."
            ),
            Self::NotAsExported {
                export,
                items,
                missing,
                ..
            } => format!(
                "{missing} of {items} items that {export} says changed are in the log without the state that it gives. The export holds what is missing."
            ),
        }
    }

    /// What helps to understand it: places, reasons, keys.
    pub fn examples(&self, place: Place<'_>) -> Vec<String> {
        match self {
            Self::Faults { first, .. } => first.clone(),
            Self::NotAsExported { keys, .. } => keys.clone(),
            Self::SetAside { first, .. } => first
                .iter()
                .map(|aside| format!("s3://{}/{}: {}", place.bucket, aside.key, aside.reason))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What to run to mend it, or to look at it.
    pub fn commands(&self, place: Place<'_>) -> Vec<String> {
        let Place { bucket, table, .. } = place;
        let object = |key: &str| quoted(&format!("s3://{bucket}/{key}"));
        match self {
            Self::Faults { hours, .. }
            | Self::BeforeStream { hours, .. }
            | Self::Late { hours, .. } => windows(hours.iter().copied(), place.exportable)
                .iter()
                .map(|window| export_command(table, bucket, window))
                .collect(),
            Self::NotInLog { key, function, .. } => {
                let function = function.as_deref().unwrap_or("STREAM_WRITER");
                vec![
                    format!("aws s3 cp {} - | jq -r .payload > batch.json", object(key)),
                    format!(
                        "aws lambda invoke --function-name {} --payload fileb://batch.json /dev/stdout",
                        quoted(function)
                    ),
                ]
            }
            Self::FailureUnread { key, .. } => vec![format!("aws s3 cp {} -", object(key))],
            Self::NoStream => enabling(table, bucket),
            Self::SetAside { first, .. } => first
                .iter()
                .take(1)
                .map(|aside| format!("aws s3 cp {} -", object(&aside.key)))
                .collect(),
            Self::NotAsExported { .. } => Vec::new(),
        }
    }

    /// Whether what helps is to export the table.
    pub fn takes_exports(&self, place: Place<'_>) -> bool {
        let of_hours = matches!(
            self,
            Self::Faults { .. } | Self::BeforeStream { .. } | Self::Late { .. }
        );
        of_hours && !self.commands(place).is_empty()
    }

    /// Everything about it, for a program.
    pub fn json(&self, place: Place<'_>) -> Value {
        let mut json = json!({
            "kind": self.kind(),
            "message": self.message(place),
            "examples": self.examples(place),
            "commands": self.commands(place),
        });
        let more = match self {
            Self::Faults { count, hours, .. } => json!({"count": count, "hours": hours_of(hours)}),
            Self::NotInLog {
                key,
                written,
                function,
                records,
                missing,
            } => {
                json!({"key": key, "written": written.iso(), "function": function, "records": records, "missing": missing})
            }
            Self::FailureUnread { key, .. } => json!({"key": key}),
            Self::NoStream => json!({}),
            Self::BeforeStream { label, hours } => {
                json!({"label": label, "hours": hours_of(hours)})
            }
            Self::Late { hours, latest } => {
                json!({"hours": hours_of(hours), "latest_seconds": latest.as_secs()})
            }
            Self::SetAside { count, .. } => json!({"count": count}),
            Self::NotAsExported {
                export,
                window,
                items,
                missing,
                ..
            } => {
                json!({"export": export, "from": iso(window.start), "to": iso(window.end), "items": items, "missing": missing})
            }
        };
        if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        json
    }
}

/// Enables a stream and gives it to stream-writer as the template does.
fn enabling(table: &str, bucket: &str) -> Vec<String> {
    let table = quoted(table);
    let destination = json!({"OnFailure": {"Destination": format!("arn:aws:s3:::{bucket}")}});
    vec![
        format!(
            "aws dynamodb update-table --table-name {table} --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        ),
        format!(
            "aws lambda create-event-source-mapping --function-name STREAM_WRITER \
             --event-source-arn \"$(aws dynamodb describe-table --table-name {table} --query Table.LatestStreamArn --output text)\" \
             --starting-position TRIM_HORIZON --function-response-types ReportBatchItemFailures --bisect-batch-on-function-error \
             --maximum-record-age-in-seconds 72000 --destination-config {}",
            quoted(&destination.to_string())
        ),
    ]
}

fn hours_of(hours: &[u64]) -> Vec<String> {
    hours
        .iter()
        .map(|hour| iso(hour * SECONDS_PER_HOUR))
        .collect()
}

pub(super) fn of_faults(
    hours: &[HourReport],
    first: Vec<String>,
    repaired: &Repaired,
) -> Option<Finding> {
    let faulty = hours.iter().filter(|report| report.faults > 0);
    let unrepaired = faulty.clone().map(|report| report.hour);
    let count = faulty.map(|report| report.faults).sum();
    (count > 0).then(|| Finding::Faults {
        count,
        hours: unrepaired.filter(|hour| !repaired.hour(*hour)).collect(),
        first,
    })
}

pub(super) fn of_stream(
    report: &Report,
    hours: &Range<u64>,
    created: Timestamp,
    repaired: &Repaired,
) -> Option<Finding> {
    let Some(stream) = &report.stream else {
        return Some(Finding::NoStream);
    };
    let enabled = seconds_of_label(&stream.label)?;
    let of_another = report.labels.iter().any(|label| *label != stream.label);
    let created = created.0 / 1_000;
    if enabled <= created + MAKING_SECONDS {
        return None;
    }
    // The hour in which it was enabled is not covered as a whole.
    let before = hours.start.max(created / SECONDS_PER_HOUR)
        ..hours.end.min(enabled.div_ceil(SECONDS_PER_HOUR));
    let uncovered: Vec<u64> = before.filter(|hour| !repaired.hour(*hour)).collect();
    (!of_another && !uncovered.is_empty()).then(|| Finding::BeforeStream {
        label: stream.label.clone(),
        hours: uncovered,
    })
}

pub(super) fn of_lateness(hours: &[HourReport], repaired: &Repaired) -> Option<Finding> {
    let late: Vec<(u64, Duration)> = hours
        .iter()
        .filter_map(|report| Some((report.hour, report.latest?)))
        .filter(|(hour, latest)| (LATE..BY_HAND).contains(latest) && !repaired.hour(*hour))
        .collect();
    let latest = late.iter().map(|(_, latest)| *latest).max()?;
    Some(Finding::Late {
        hours: late.into_iter().map(|(hour, _)| hour).collect(),
        latest,
    })
}

/// A label is a time of UTC without saying so.
fn seconds_of_label(label: &str) -> Option<u64> {
    let time: DateTime = label.parse().ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    time.timestamp().as_second().try_into().ok()
}
