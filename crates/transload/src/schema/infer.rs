//! A schema from the lines of an export.

use std::sync::Arc;

use storage::ObjectStore;
use transcode::schema::Inferred;
use transcode::{Added, Inference, LineForm, Shaping};

use super::{SchemaCommandError, form, places};
use crate::export_source::{ExportSource, LineWork, ReadProgress, WorkFault, read};

/// What a schema is inferred from.
pub struct InferTask<'a, O> {
    /// The lines.
    pub source: &'a ExportSource<O>,
    /// How many files are read; all without.
    pub sample: Option<usize>,
    /// The attribute that tells entities apart.
    pub discriminator: Option<&'a str>,
    /// What is renamed, dropped and filtered before.
    pub shaping: Arc<Shaping>,
    /// Threads that read files.
    pub threads: usize,
}

/// A schema, and what it was inferred from.
#[derive(Debug)]
pub struct InferredFrom {
    /// The schema and its conflicts.
    pub inferred: Inferred,
    /// Files that were read.
    pub files: u64,
    /// Lines that were read.
    pub items: u64,
    /// Those of them that the shaping does not keep.
    pub filtered: u64,
}

/// Reads the files and infers. The result does not depend on how files are spread over threads.
///
/// # Errors
/// A source that cannot be read or is not whole, or a line that is none.
pub async fn infer<O: ObjectStore + 'static>(
    task: &InferTask<'_, O>,
    mut on_progress: impl FnMut(ReadProgress),
) -> Result<InferredFrom, SchemaCommandError> {
    let form = form(task.source).await?;
    let files = task.source.files();
    let places = places(files.len(), task.sample);
    let count = places.len() as u64;
    let works = (0..task.threads.max(1)).map(|_| InferWork {
        inference: Inference::new(task.discriminator),
        form,
        shaping: Arc::clone(&task.shaping),
        filtered: 0,
    });
    let mut items = 0;
    let works = read(files, places, works.collect(), |progress| {
        items = progress.items;
        on_progress(progress);
    })
    .await?;
    let (mut all, mut filtered) = (Inference::new(task.discriminator), 0);
    for work in works {
        filtered += work.filtered;
        all.merge(work.inference)?;
    }
    Ok(InferredFrom {
        inferred: all.finish(),
        files: count,
        items,
        filtered,
    })
}

struct InferWork {
    inference: Inference,
    form: LineForm,
    shaping: Arc<Shaping>,
    filtered: u64,
}

impl LineWork for InferWork {
    fn line(&mut self, _file: usize, line: &str) -> Result<(), WorkFault> {
        let added = self
            .inference
            .add(line.as_bytes(), self.form, &self.shaping)?;
        self.filtered += u64::from(added == Added::FilteredOut);
        Ok(())
    }
}
