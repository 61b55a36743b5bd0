//! Who is measured, and how each of them is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::process::DoneWhen;
use crate::turns::{as_function, subject_command};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The release bootstrap of stream-writer.
    Transload,
    /// Gzip of the same bytes.
    Floor,
    /// A Python handler of the usual shape.
    PythonHandler,
}

impl Subject {
    pub(super) const ALL: [Self; 3] = [Self::Transload, Self::Floor, Self::PythonHandler];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transload => "transload",
            Self::Floor => "floor",
            Self::PythonHandler => "python-handler",
        }
    }

    pub(super) fn done_when(self) -> DoneWhen {
        match self {
            Self::Floor => DoneWhen::Exited,
            Self::Transload | Self::PythonHandler => DoneWhen::Idle,
        }
    }

    /// The program that is run.
    pub(super) fn program(self, places: &Places) -> &Path {
        match self {
            Self::Transload => &places.bootstrap,
            Self::Floor => &places.floor,
            Self::PythonHandler => &places.python,
        }
    }

    /// How it is started against the endpoint at `address`.
    pub(super) fn command(self, address: &str, batches: &Path, places: &Places) -> Command {
        let mut command = subject_command(self.program(places), address);
        match self {
            Self::Transload => as_function(&mut command, "stream-writer", address),
            Self::PythonHandler => {
                as_function(&mut command, "stream-handler", address);
                command.arg(places.peers.join("stream_handler.py"));
            }
            Self::Floor => {
                command.arg(batches);
            }
        }
        command
    }
}

/// Where the programs are, and where files go.
#[derive(Debug, Clone)]
pub struct Places {
    /// The release bootstrap of stream-writer.
    pub bootstrap: PathBuf,
    /// The program `bench-endpoint`.
    pub endpoint: PathBuf,
    /// The program `bench-gzip-floor`.
    pub floor: PathBuf,
    /// A Python that has boto3.
    pub python: PathBuf,
    /// The folder of the Python subjects.
    pub peers: PathBuf,
    /// The folder for generated files and logs.
    pub work: PathBuf,
}
