//! Where the rows go.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;

use super::error::MergeError;
use crate::output::WholeFile;

/// A file that appears when it is complete, or the standard output.
#[derive(Debug)]
pub struct Sink(Target);

#[derive(Debug)]
enum Target {
    File(WholeFile),
    Stdout(BufWriter<Stdout>),
}

impl Sink {
    /// A file, which is called `<path>.partial` until it is complete.
    ///
    /// # Errors
    /// A path where no file can be written.
    pub fn file(path: &Path) -> Result<Self, MergeError> {
        Ok(Self(Target::File(WholeFile::create(path)?)))
    }

    /// The standard output, to which rows go as they are read.
    pub fn stdout() -> Self {
        Self(Target::Stdout(BufWriter::with_capacity(
            256 * 1024,
            io::stdout(),
        )))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), MergeError> {
        match &mut self.0 {
            Target::File(file) => Ok(file.append(bytes)?),
            Target::Stdout(out) => out.write_all(bytes).map_err(MergeError::Stdout),
        }
    }

    /// Every row is written.
    pub(super) fn finish(self) -> Result<(), MergeError> {
        match self.0 {
            Target::File(file) => Ok(file.finish()?),
            Target::Stdout(mut out) => out.flush().map_err(MergeError::Stdout),
        }
    }
}
