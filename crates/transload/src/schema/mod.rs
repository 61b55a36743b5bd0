//! Schemas of Parquet files: inferred from exports, and exports checked against them.
//!
//! What the columns are and what fits them is `transcode`'s to say; here it is fed, file by file, on as many threads as there are.

mod check;
mod infer;
#[cfg(test)]
mod tests;

pub use check::{CheckTask, Checked, EntityCount, Misfit, MisfitReason, check};
pub use infer::{InferTask, InferredFrom, infer};

use storage::ObjectStore;
use transcode::LineForm;
use transcode::schema::SchemaError;

use crate::export_source::{ExportSource, ExportSourceError};

/// Why no schema was inferred, or nothing checked.
#[derive(Debug, thiserror::Error)]
pub enum SchemaCommandError {
    /// The source cannot be read, or is not whole.
    #[error(transparent)]
    Source(#[from] ExportSourceError),
    /// Parts of an inference do not belong together.
    #[error("what was inferred of the files cannot be merged")]
    Merge(#[from] SchemaError),
}

async fn form<O: ObjectStore + 'static>(
    source: &ExportSource<O>,
) -> Result<LineForm, ExportSourceError> {
    Ok(match source.is_incremental().await? {
        true => LineForm::Incremental,
        false => LineForm::Full,
    })
}

/// So many of all files, evenly spread over them; all where there is no limit.
fn places(files: usize, sample: Option<usize>) -> Vec<usize> {
    match sample {
        Some(sample) if sample < files => (0..sample).map(|nth| nth * files / sample).collect(),
        _ => (0..files).collect(),
    }
}
