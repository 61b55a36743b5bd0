//! Encoders that make a line of each line.

use std::fmt::Write;

use transcode::{Added, ChangeEncoder, JsonEncoder, LineFault, Shaping, Snapshot};

use super::plan::OutputPlan;
use crate::settings::Format;

/// One encoder for all data sets, since it keeps nothing between lines.
pub(super) enum LineEncoder {
    Json(JsonEncoder),
    Changes {
        encoder: ChangeEncoder,
        /// `<stem>-`, and the line's number behind it.
        ordinal: String,
        ordinal_prefix: usize,
    },
}

impl LineEncoder {
    pub(super) fn new(plan: &OutputPlan, shaping: Shaping) -> Self {
        match plan.settings.format {
            Format::Changes => {
                let snapshot = Snapshot {
                    id: plan.event_prefix.clone(),
                    source: plan.source,
                    snapshot_time: plan.snapshot_time,
                    window_start: plan.window_start,
                };
                let ordinal = format!("{}-", plan.event_part);
                Self::Changes {
                    encoder: ChangeEncoder::new(plan.form, snapshot, plan.key_names.clone()),
                    ordinal_prefix: ordinal.len(),
                    ordinal,
                }
            }
            Format::JsonLines | Format::Parquet => Self::Json(JsonEncoder::new(plan.form, shaping)),
        }
    }

    /// Appends what the line becomes.
    pub(super) fn add(
        &mut self,
        number: u64,
        line: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Added, LineFault> {
        match self {
            Self::Json(encoder) => encoder.add(line, out),
            Self::Changes {
                encoder,
                ordinal,
                ordinal_prefix,
            } => {
                ordinal.truncate(*ordinal_prefix);
                // A String takes whatever is written to it.
                let _ = write!(ordinal, "{number}");
                encoder.add(ordinal, line, out)
            }
        }
    }
}
