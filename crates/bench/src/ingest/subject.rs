//! Who is measured, and how each of them is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::endpoint::{INBOX_BUCKET, LEDGER_TABLE, OBJECT_KEY, TABLE};
use crate::process::DoneWhen;
use crate::turns::{as_function, subject_command};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The release bootstrap of csv-ingester, with backup, ledger and lanes.
    Transload,
    /// A bare SDK loop.
    BareSdk,
    /// boto3's batch_writer.
    Boto3BatchWriter,
    /// A handler of the shape of the AWS sample.
    SampleHandler,
}

impl Subject {
    pub(super) const ALL: [Self; 4] = [
        Self::Transload,
        Self::BareSdk,
        Self::Boto3BatchWriter,
        Self::SampleHandler,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transload => "transload",
            Self::BareSdk => "bare-sdk",
            Self::Boto3BatchWriter => "boto3-batch-writer",
            Self::SampleHandler => "sample-handler",
        }
    }

    pub(super) fn is_peer(self) -> bool {
        matches!(self, Self::Boto3BatchWriter | Self::SampleHandler)
    }

    pub(super) fn done_when(self) -> DoneWhen {
        match self {
            Self::Transload => DoneWhen::Idle,
            _ => DoneWhen::Exited,
        }
    }

    /// The program that is run.
    pub(super) fn program(self, places: &Places) -> &Path {
        match self {
            Self::Transload => &places.bootstrap,
            Self::BareSdk => &places.bare_sdk,
            Self::Boto3BatchWriter | Self::SampleHandler => &places.python,
        }
    }

    /// How it is started against the endpoint at `address`.
    pub(super) fn command(self, address: &str, object: &Path, places: &Places) -> Command {
        let url = format!("http://{address}");
        let mut command = subject_command(self.program(places), address);
        match self {
            Self::Transload => {
                as_function(&mut command, "csv-ingester", address);
                command
                    .env("LEDGER_TABLE", LEDGER_TABLE)
                    .env("FAILURE_QUEUE_URL", format!("{url}/000000000000/failures"));
            }
            Self::BareSdk => {
                command
                    .args(["--endpoint", &url, "--table", TABLE, "--input"])
                    .arg(object);
            }
            Self::Boto3BatchWriter | Self::SampleHandler => {
                let script = match self {
                    Self::SampleHandler => "sample_handler.py",
                    _ => "boto3_batch_writer.py",
                };
                command
                    .arg(places.peers.join(script))
                    .args([INBOX_BUCKET, OBJECT_KEY]);
            }
        }
        command
    }
}

/// Where the programs are, and where files go.
#[derive(Debug, Clone)]
pub struct Places {
    /// The release bootstrap of csv-ingester.
    pub bootstrap: PathBuf,
    /// The program `transload`, which generates the files.
    pub generator: PathBuf,
    /// The program `bench-endpoint`.
    pub endpoint: PathBuf,
    /// The program `bench-bare-sdk`.
    pub bare_sdk: PathBuf,
    /// A Python that has boto3.
    pub python: PathBuf,
    /// The folder of the Python subjects.
    pub peers: PathBuf,
    /// The folder for generated files and logs.
    pub work: PathBuf,
}
