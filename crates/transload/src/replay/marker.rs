//! Which replay has begun to fill a table, in a file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage::{ObjectStore, TableIdentity};

use super::{Mode, Replay, ReplayError};
use crate::change_log::Log;
use crate::output::write_file;

/// What the items in a table are that is not filled yet. Every member has to be the same for the replay to be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marker {
    table_arn: String,
    table_id: String,
    log_bucket: String,
    log_table: String,
    /// The state is that before this second.
    pub(super) until: u64,
}

/// Why a marker is not of use. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// Nothing says that there was an earlier try.
    #[error(
        "there is no file {0:?}, which the first try leaves when it begins to write: run the command without --again, in an empty table, or name the file of that try (--marker)"
    )]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read the marker {path:?}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The file is no marker.
    #[error(
        "{path:?} is no marker ({reason}): expected one that transload replay has written; name another --marker"
    )]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The marker is one of another replay.
    #[error(
        "the marker {path:?} is of another replay, with the {what} {found}: expected {expected}; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A finished replay leaves no marker, and this one stayed.
    #[error("every item is written, but the marker {path:?} cannot be removed: remove it")]
    Left {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
}

impl MarkerError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub(super) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Missing(_) | Self::Wrong { .. } | Self::Other { .. }
        )
    }
}

/// The second before which the state is that fills the table, as asked for or as in the first try; nothing if that shows only
/// when the log is read.
///
/// # Errors
/// A marker that is missing, or one of another replay.
pub(super) fn until_of<O: ObjectStore + 'static>(
    replay: &Replay<'_>,
    table: &TableIdentity,
    log: &Log<O>,
) -> Result<Option<u64>, MarkerError> {
    let path = replay.marker;
    let found = Marker::read(path)?;
    if replay.mode != Mode::Again {
        // In an empty table a try may begin with another time than one that had put nothing.
        if let Some(found) = found {
            found.check(&Marker::of(table, log, found.until), path)?;
        }
        return Ok(replay.until);
    }
    let found = found.ok_or_else(|| MarkerError::Missing(path.to_owned()))?;
    let until = replay.until.unwrap_or(found.until);
    found.check(&Marker::of(table, log, until), path)?;
    Ok(Some(until))
}

impl Marker {
    pub(super) fn of<O: ObjectStore + 'static>(
        table: &TableIdentity,
        log: &Log<O>,
        until: u64,
    ) -> Self {
        Self {
            table_arn: table.arn.clone(),
            table_id: table.id.clone(),
            log_bucket: log.bucket().to_owned(),
            log_table: log.table().to_owned(),
            until,
        }
    }

    /// The marker in the file; nothing if there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, MarkerError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(MarkerError::Unread {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let marker = serde_json::from_str(&text);
        marker.map(Some).map_err(|error| MarkerError::Wrong {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Whether this marker, which was found, is the expected one.
    pub(super) fn check(&self, expected: &Self, path: &Path) -> Result<(), MarkerError> {
        let members = |marker: &Self| {
            [
                ("table ARN", marker.table_arn.clone()),
                ("table id", marker.table_id.clone()),
                ("log's bucket", marker.log_bucket.clone()),
                ("log's table", marker.log_table.clone()),
                ("--until", until_text(marker.until)),
            ]
        };
        let mut pairs = members(self).into_iter().zip(members(expected));
        match pairs.find(|(found, expected)| found != expected) {
            None => Ok(()),
            Some(((what, found), (_, expected))) => Err(MarkerError::Other {
                path: path.to_owned(),
                what,
                found,
                expected,
            }),
        }
    }

    /// Writes the file, before the first item is written.
    pub(super) fn write(&self, path: &Path) -> Result<(), ReplayError> {
        let text = serde_json::to_string(self).expect("texts and numbers are JSON");
        write_file(path, |out| writeln!(out, "{text}"))?;
        Ok(())
    }

    /// Removes the file, when all items are written.
    pub(super) fn remove(path: &Path) -> Result<(), MarkerError> {
        fs::remove_file(path).map_err(|source| MarkerError::Left {
            path: path.to_owned(),
            source,
        })
    }
}

/// As it is given to `--until`.
fn until_text(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    time.and_then(|time| jiff::Timestamp::from_second(time).ok())
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}
