#![doc = include_str!("../README.md")]

mod advice;
pub mod change_log;
pub mod commands;
mod digest;
mod duplicate_keys;
pub mod export_source;
pub mod generate;
pub mod import;
pub mod ingest;
pub mod merge;
mod output;
mod pacer;
pub mod plan;
pub mod preflight;
pub mod replay;
pub mod schema;
pub mod touch;
pub mod verify_changes;
pub mod verify_export;
mod wording;

use std::time::Instant;

use clap::{Parser, Subcommand};

/// What `main` reads from the machine once, so that nothing else reads a clock or the environment or draws a random number.
/// (The SDK finds region and credentials by itself.)
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time now.
    pub now: jiff::Timestamp,
    /// When the program started; how long a command took counts from here.
    pub started: Instant,
    /// The seed where none is given. 32 bits, so that it is short to type and exact in every JSON reader.
    pub random_seed: u32,
    /// The address that the environment names for DynamoDB in place of the region's own.
    pub endpoint_url: Option<String>,
}

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(name = "transload", bin_name = "transload", version, about = "Load DynamoDB tables from CSV files; verify and replay their change logs; verify exports and infer schemas", after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  transload generate --rows 100000 --output data.csv
  transload ingest data.csv --table offers
  transload verify changes --bucket my-lake --table offers
  transload help ingest";

#[derive(Debug, Subcommand)]
enum Command {
    Generate(commands::generate::GenerateArgs),
    Ingest(commands::ingest::IngestArgs),
    Merge(commands::merge::MergeArgs),
    Verify(commands::verify::VerifyArgs),
    Redrive(commands::redrive::RedriveArgs),
    Replay(commands::replay::ReplayArgs),
    Schema(commands::schema::SchemaArgs),
    Touch(commands::touch::TouchArgs),
    Plan(commands::plan::PlanArgs),
    Import(commands::import::ImportArgs),
}

impl Cli {
    /// Runs the command that was asked for.
    ///
    /// # Errors
    /// Whatever the command could not do; [`Error::exit_code`] is for the shell and [`describe`] for the person.
    pub fn run(&self, surroundings: &Surroundings) -> Result<(), Error> {
        match &self.command {
            Command::Generate(args) => Ok(commands::generate::run(args, surroundings)?),
            Command::Verify(args) => {
                Ok(commands::verify::run(args, surroundings).map_err(Box::new)?)
            }
            Command::Ingest(args) => {
                commands::ingest::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Merge(args) => {
                commands::merge::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Redrive(args) => {
                commands::redrive::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Replay(args) => {
                commands::replay::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Schema(args) => {
                commands::schema::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Touch(args) => {
                commands::touch::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Plan(args) => {
                commands::plan::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
            Command::Import(args) => {
                commands::import::run(args, surroundings).map_err(Box::new)?;
                Ok(())
            }
        }
    }
}

/// A command that did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `transload generate` failed.
    #[error(transparent)]
    Generate(#[from] commands::generate::GenerateError),
    /// `transload ingest` failed.
    #[error(transparent)]
    Ingest(#[from] Box<commands::ingest::IngestError>),
    /// `transload merge` failed.
    #[error(transparent)]
    Merge(#[from] Box<commands::merge::MergeCommandError>),
    /// `transload verify` failed, or found something.
    #[error(transparent)]
    Verify(#[from] Box<commands::verify::VerifyCommandError>),
    /// `transload redrive` failed.
    #[error(transparent)]
    Redrive(#[from] Box<commands::redrive::RedriveCommandError>),
    /// `transload replay` failed.
    #[error(transparent)]
    Replay(#[from] Box<commands::replay::ReplayCommandError>),
    /// `transload schema` failed, or something does not fit.
    #[error(transparent)]
    Schema(#[from] Box<commands::schema::SchemaArgsError>),
    /// `transload touch` failed.
    #[error(transparent)]
    Touch(#[from] Box<commands::touch::TouchCommandError>),
    /// `transload plan` failed.
    #[error(transparent)]
    Plan(#[from] Box<commands::plan::PlanError>),
    /// `transload import` failed, or would have.
    #[error(transparent)]
    Import(#[from] Box<commands::import::ImportCommandError>),
}

impl Error {
    /// 2 when the arguments cannot be used, as clap answers too; 1 when the work failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Generate(error) if error.is_usage() => 2,
            Self::Verify(error) => error.exit_code(),
            Self::Ingest(error) if error.is_usage() => 2,
            Self::Merge(error) if error.is_usage() => 2,
            Self::Redrive(error) if error.is_usage() => 2,
            Self::Replay(error) if error.is_usage() => 2,
            Self::Schema(error) if error.is_usage() => 2,
            Self::Touch(error) if error.is_usage() => 2,
            Self::Plan(error) if error.is_usage() => 2,
            Self::Import(error) => error.exit_code(),
            Self::Generate(_)
            | Self::Ingest(_)
            | Self::Merge(_)
            | Self::Redrive(_)
            | Self::Replay(_)
            | Self::Schema(_)
            | Self::Touch(_)
            | Self::Plan(_) => 1,
        }
    }
}

/// An error and all its sources in one line.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        // Some errors print their source themselves; saying it twice helps nobody.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_declared_consistently() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_is_described_with_its_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk full:\n  no room"));
        assert_eq!(describe(&error), "cannot write: disk full: no room");
    }
}
