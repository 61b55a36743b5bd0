//! Backup and rejects as files beside the input.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv_ingester::{RecordedRun, Recorder, RowCounts};

use crate::output::{LinesFile, OutputError, with_suffix};

/// The files that a load has left beside its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) backup: Option<PathBuf>,
    pub(super) unprocessed: Option<PathBuf>,
    /// First line of the unprocessed file.
    pub(super) first_reject: Option<Vec<u8>>,
}

/// Writes settled runs into `<input>.json-copy.jsonl` and `<input>.unprocessed.jsonl`.
#[derive(Debug)]
pub(super) struct FileRecorder {
    backup: LinesFile,
    unprocessed: LinesFile,
    first_reject: Option<Vec<u8>>,
    counts: Rc<Cell<RowCounts>>,
}

impl FileRecorder {
    /// Begins both files, so that what cannot be written is found out before the first row goes into the table.
    pub(super) fn beside(input: &Path) -> Result<Self, OutputError> {
        Ok(Self {
            backup: LinesFile::create(with_suffix(input, ".json-copy.jsonl"))?,
            unprocessed: LinesFile::create(with_suffix(input, ".unprocessed.jsonl"))?,
            first_reject: None,
            counts: Rc::default(),
        })
    }

    /// Counts of everything recorded; shared, so that progress can be shown meanwhile.
    pub(super) fn counts(&self) -> Rc<Cell<RowCounts>> {
        Rc::clone(&self.counts)
    }

    /// Every row that there will be has been recorded: the files appear.
    pub(super) fn finish(self) -> Result<Recorded, OutputError> {
        Ok(Recorded {
            unprocessed: self.unprocessed.finish()?,
            backup: self.backup.finish()?,
            first_reject: self.first_reject,
        })
    }
}

impl Recorder for FileRecorder {
    type Error = OutputError;

    async fn record(&mut self, run: RecordedRun) -> Result<(), OutputError> {
        self.backup.append(&run.backup)?;
        self.unprocessed.append(&run.unprocessed)?;
        if self.first_reject.is_none() && !run.unprocessed.is_empty() {
            let line = run.unprocessed.split(|byte| *byte == b'\n').next();
            self.first_reject = line.map(<[u8]>::to_vec);
        }
        let mut counts = self.counts.get();
        counts += run.counts;
        self.counts.set(counts);
        Ok(())
    }
}
