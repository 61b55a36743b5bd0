//! Windows: what spans of a table's history are called.

use storage::{ExportSpan, ExportView};

/// What an export holds, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "export_type", rename_all = "lowercase")]
pub enum Span {
    /// Every item as it was at a second, counted from 1970.
    Full {
        /// The second.
        export_time: u64,
    },
    /// What changed from a second on (included) up to another one (not included).
    Incremental {
        /// The first second, counted from 1970.
        from_time: u64,
        /// The first second after it.
        to_time: u64,
        /// Whether the items are there as they were before, too.
        export_view: ExportView,
    },
}

impl Span {
    /// As the store of exports has it.
    pub fn asked(self) -> ExportSpan {
        match self {
            Self::Full { export_time } => ExportSpan::Full { time: export_time },
            Self::Incremental {
                from_time,
                to_time,
                export_view,
            } => ExportSpan::Incremental {
                from: from_time,
                to: to_time,
                view: export_view,
            },
        }
    }

    /// The second of the state that it ends with: that of a full export, or the end of a window.
    pub fn snapshot_time(self) -> u64 {
        match self {
            Self::Full { export_time } => export_time,
            Self::Incremental { to_time, .. } => to_time,
        }
    }

    /// The first second of a window; nothing for a full export.
    pub fn window_start(self) -> Option<u64> {
        match self {
            Self::Full { .. } => None,
            Self::Incremental { from_time, .. } => Some(from_time),
        }
    }
}

/// A text that names no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the window {0:?} is none: expected a time such as 2026-11-21T04:00:00Z, or 1 to 64 letters, digits, dots, hyphens and underscores"
)]
pub struct WindowError(String);

/// Bytes that the label of a window has at most.
const MAX_LABEL_BYTES: usize = 64;

/// The name of a full export's window: `full-20261121T040000Z` for a time, in whole seconds, and `full-<label>` for a label of
/// the caller's own. Two spellings of one time are one window, and the name of a window is that window.
///
/// # Errors
/// If the text is neither.
pub fn full_window(text: &str) -> Result<String, WindowError> {
    let text = text.strip_prefix("full-").unwrap_or(text);
    let time: Option<jiff::Timestamp> = text.parse().ok();
    if let Some(seconds) = time.and_then(|time| u64::try_from(time.as_second()).ok()) {
        return Ok(format!("full-{}", compact_time(seconds)));
    }
    let fits = (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if fits {
        Ok(format!("full-{text}"))
    } else {
        Err(WindowError(text.to_owned()))
    }
}

/// The name of an incremental export's window, `incremental-20261121T040000Z-20261121T050000Z`, by its seconds from 1970.
pub fn incremental_window(from: u64, to: u64) -> String {
    format!("incremental-{}-{}", compact_time(from), compact_time(to))
}

/// Seconds from 1970 as `20261121T040000Z`, which sorts by time and needs no escape in names.
pub fn compact_time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || seconds.to_string(),
            |time| time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_time_are_one_window() {
        let name = full_window("2026-11-21T04:00:00Z").unwrap();
        assert_eq!(name, "full-20261121T040000Z");
        assert_eq!(full_window("2026-11-21T05:00:00.25+01:00").unwrap(), name);
        assert_eq!(full_window("before-launch").unwrap(), "full-before-launch");
        // A window's own name, as answers and folders have it, is that window, and not another export.
        assert_eq!(full_window("full-20261121T040000Z").unwrap(), name);
        assert_eq!(
            full_window("full-before-launch").unwrap(),
            "full-before-launch"
        );
        assert_eq!(
            incremental_window(1_795_233_600, 1_795_237_200),
            "incremental-20261121T040000Z-20261121T050000Z"
        );
    }

    #[test]
    fn what_is_no_window_says_what_was_expected() {
        for text in ["", "a/b", "tomorrow morning", &"x".repeat(65)] {
            let message = full_window(text).unwrap_err().to_string();
            assert!(message.contains("expected a time such as"), "{message}");
        }
    }
}
