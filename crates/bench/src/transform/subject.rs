//! Who is measured, and how each of them is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use super::Format;
use super::export::Export;
use super::items::Shape;
use crate::endpoint::LEDGER_TABLE;
use crate::process::DoneWhen;
use crate::turns::{as_function, subject_command};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The release bootstrap of export-transformer.
    Transload,
    /// Inflating and compressing the same bytes.
    Floor,
    /// boto3's TypeDeserializer, line by line.
    Boto3,
    /// A query of DuckDB.
    Duckdb,
    /// A query of polars.
    Polars,
}

impl Subject {
    pub(super) const ALL: [Self; 5] = [
        Self::Transload,
        Self::Floor,
        Self::Boto3,
        Self::Duckdb,
        Self::Polars,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transload => "transload",
            Self::Floor => "floor",
            Self::Boto3 => "boto3",
            Self::Duckdb => "duckdb",
            Self::Polars => "polars",
        }
    }

    /// Why it is not measured with a format; nothing if it is.
    pub(super) fn leaves_out(self, format: Format) -> Option<&'static str> {
        match (self, format) {
            (Self::Boto3, Format::Parquet) => Some("boto3 writes no Parquet"),
            _ => None,
        }
    }

    pub(super) fn is_python(self) -> bool {
        matches!(self, Self::Boto3 | Self::Duckdb | Self::Polars)
    }

    pub(super) fn done_when(self) -> DoneWhen {
        match self {
            Self::Transload => DoneWhen::Idle,
            Self::Floor | Self::Boto3 | Self::Duckdb | Self::Polars => DoneWhen::Exited,
        }
    }

    /// The program that is run.
    pub(super) fn program(self, places: &Places) -> &Path {
        match self {
            Self::Transload => &places.bootstrap,
            Self::Floor => &places.floor,
            Self::Boto3 | Self::Duckdb | Self::Polars => &places.python,
        }
    }

    /// How it is started: the function against the endpoint at `address`, the others with folders.
    pub(super) fn command(
        self,
        address: &str,
        export: &Export,
        format: Format,
        output: &Path,
        places: &Places,
    ) -> Command {
        let mut command = subject_command(self.program(places), address);
        let data = export.data_folder();
        match self {
            Self::Transload => {
                as_function(&mut command, "export-transformer", address);
                command.env("LEDGER_TABLE", LEDGER_TABLE);
            }
            Self::Floor => {
                command.arg(data).arg(&export.plain).arg(output);
                command.args(["--format", format.name()]);
            }
            Self::Boto3 | Self::Duckdb | Self::Polars => {
                command
                    .arg(places.peers.join(format!("transform_{}.py", self.name())))
                    .args([export.shape.name(), format.name()])
                    .arg(data)
                    .arg(output)
                    // It is read when polars is loaded.
                    .env("POLARS_MAX_THREADS", "1");
            }
        }
        command
    }
}

impl Shape {
    /// The case of this shape with a format.
    pub(super) fn case(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Flat, Format::Zstd) => "flat/json-zstd1",
            (Self::Flat, Format::Gzip) => "flat/json-gzip6",
            (Self::Flat, Format::Parquet) => "flat/parquet-zstd1",
            (Self::Nested, Format::Zstd) => "nested/json-zstd1",
            (Self::Nested, Format::Gzip) => "nested/json-gzip6",
            (Self::Nested, Format::Parquet) => "nested/parquet-zstd1",
        }
    }
}

/// Where the programs are, and where files go.
#[derive(Debug, Clone)]
pub struct Places {
    /// The release bootstrap of export-transformer.
    pub bootstrap: PathBuf,
    /// The program `bench-endpoint`.
    pub endpoint: PathBuf,
    /// The program `bench-transform-floor`.
    pub floor: PathBuf,
    /// The program `bench-transform-check`.
    pub checker: PathBuf,
    /// A Python that has boto3, DuckDB and polars.
    pub python: PathBuf,
    /// The folder of the Python subjects.
    pub peers: PathBuf,
    /// The folder for generated files, outputs and logs.
    pub work: PathBuf,
}
