//! Who is measured, and how each of them is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use super::items::INDEX;
use super::{CONCURRENCY, Output};
use crate::endpoint::LEDGER_TABLE;
use crate::process::DoneWhen;
use crate::turns::{as_function, subject_command};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The release bootstrap of gsi-reprocessor.
    Transload,
    /// The calls that nobody can leave out, over bare HTTP.
    Floor,
    /// A Python handler that makes one call after the other.
    PythonSequential,
}

impl Subject {
    pub(super) const ALL: [Self; 3] = [Self::Transload, Self::Floor, Self::PythonSequential];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transload => "transload",
            Self::Floor => "floor",
            Self::PythonSequential => "python-sequential",
        }
    }

    pub(super) fn done_when(self) -> DoneWhen {
        match self {
            Self::Transload => DoneWhen::Idle,
            Self::Floor | Self::PythonSequential => DoneWhen::Exited,
        }
    }

    /// The program that is run.
    pub(super) fn program(self, places: &Places) -> &Path {
        match self {
            Self::Transload => &places.bootstrap,
            Self::Floor => &places.floor,
            Self::PythonSequential => &places.python,
        }
    }

    /// How it is started against the endpoint at `address`.
    pub(super) fn command(
        self,
        address: &str,
        output: Output,
        items: u64,
        places: &Places,
    ) -> Command {
        let mut command = subject_command(self.program(places), address);
        match self {
            Self::Transload => {
                as_function(&mut command, "gsi-reprocessor", address);
                command
                    .env("INDEX_NAME", INDEX)
                    .env("LEDGER_TABLE", LEDGER_TABLE)
                    .env("OUTPUT", output.name())
                    .env("CONCURRENCY", CONCURRENCY.to_string());
            }
            Self::Floor => {
                command
                    .args(["--address", address])
                    .args(["--output", output.name()])
                    .args(["--items", &items.to_string()]);
            }
            Self::PythonSequential => {
                as_function(&mut command, "sequential-handler", address);
                command
                    .env("INDEX_NAME", INDEX)
                    .env("OUTPUT", output.name())
                    .arg(places.peers.join("sequential_handler.py"));
            }
        }
        command
    }
}

/// Where the programs are, and where files go.
#[derive(Debug, Clone)]
pub struct Places {
    /// The release bootstrap of gsi-reprocessor.
    pub bootstrap: PathBuf,
    /// The program `bench-endpoint`.
    pub endpoint: PathBuf,
    /// The program `bench-reprocess-floor`.
    pub floor: PathBuf,
    /// A Python that has boto3.
    pub python: PathBuf,
    /// The folder of the Python subjects.
    pub peers: PathBuf,
    /// The folder for logs.
    pub work: PathBuf,
}
