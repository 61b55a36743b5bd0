//! `transload schema`: schemas of Parquet files, inferred, shown and checked.

mod check;
mod infer;
mod show;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use storage::aws::{AwsClients, AwsObjects};
use storage::{Clock, StorageError};
use transcode::schema::{Schema, SchemaError};
use transcode::{Shaping, ShapingError};

use super::endpoint::{self, UnusableEndpoint};
use super::paced_bar::PacedBar;
use crate::Surroundings;
use crate::change_log::whole;
use crate::export_source::{ExportSource, ExportSourceError, ReadProgress};
use crate::output::OutputError;
use crate::schema::SchemaCommandError;

/// A schema has 200 entities of 2,000 columns at the most.
const MAX_SCHEMA_BYTES: usize = 256 * 1024 * 1024;

/// Infer, show and check the schemas that Parquet files are written by
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Infer(infer::InferArgs),
    Show(show::ShowArgs),
    Check(check::CheckArgs),
}

/// Why there is no result, or none that is good.
#[derive(Debug, thiserror::Error)]
pub enum SchemaArgsError {
    /// Files of this machine and a bucket, or two exports of buckets.
    #[error(
        "{0:?} cannot be read together with others: expected one s3:// address, or files of this machine"
    )]
    Together(String),
    /// A file cannot be read.
    #[error("cannot read {path:?}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// An address leads to no object.
    #[error("{0:?} names no schema: expected a file, or s3://BUCKET/KEY")]
    Address(String),
    /// The schema cannot be fetched.
    #[error("the schema {name} cannot be read")]
    Store {
        /// `s3://bucket/key`.
        name: String,
        /// The store's answer.
        source: StorageError,
    },
    /// The schema is none.
    #[error("{name}")]
    Schema {
        /// Its file or address.
        name: String,
        /// What is wrong.
        source: SchemaError,
    },
    /// The shaping is none.
    #[error("{path:?}")]
    Shaping {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ShapingError,
    },
    /// The schema has no such entity, or several.
    #[error("{0}")]
    Entity(String),
    /// The environment names an unusable endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnusableEndpoint),
    /// The runtime could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// No region or no credentials.
    #[error(transparent)]
    Connect(StorageError),
    /// The source cannot be used.
    #[error(transparent)]
    Command(#[from] SchemaCommandError),
    /// The schema cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// `--strict`, and something does not fit.
    #[error("{0}")]
    Misfits(String),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl SchemaArgsError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Together(_)
            | Self::Address(_)
            | Self::Schema { .. }
            | Self::Shaping { .. }
            | Self::Entity(_)
            | Self::Endpoint(_) => true,
            Self::Unread { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Command(SchemaCommandError::Source(error)) => error.is_usage(),
            _ => false,
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// Unusable arguments, whatever stopped it, or with `schema check --strict` something that does not fit.
pub fn run(args: &SchemaArgs, surroundings: &Surroundings) -> Result<(), SchemaArgsError> {
    match &args.what {
        What::Infer(args) => infer::run(args, surroundings),
        What::Show(args) => show::run(args, surroundings),
        What::Check(args) => check::run(args, surroundings),
    }
}

/// AWS, connected when it is first needed: what is on this machine needs no credentials.
struct Places {
    endpoint: Option<String>,
    clients: Option<AwsClients>,
}

impl Places {
    fn new(given: Option<&str>, surroundings: &Surroundings) -> Result<Self, SchemaArgsError> {
        Ok(Self {
            endpoint: endpoint::choose(given, surroundings)?,
            clients: None,
        })
    }

    async fn objects(&mut self) -> Result<Rc<AwsObjects>, SchemaArgsError> {
        if self.clients.is_none() {
            let connected = storage::aws::connect(self.endpoint.as_deref()).await;
            self.clients = Some(connected.map_err(SchemaArgsError::Connect)?);
        }
        let clients = self.clients.as_ref().expect("they are there now");
        Ok(Rc::new(clients.objects()))
    }

    async fn source(
        &mut self,
        addresses: &[String],
    ) -> Result<ExportSource<AwsObjects>, SchemaArgsError> {
        let stored = addresses
            .iter()
            .find(|address| address.starts_with("s3://"));
        let opened: Result<_, ExportSourceError> = match (stored, addresses) {
            (Some(address), [_]) => ExportSource::of_objects(self.objects().await?, address).await,
            (Some(address), _) => return Err(SchemaArgsError::Together(address.clone())),
            (None, _) => {
                let paths: Vec<PathBuf> = addresses.iter().map(PathBuf::from).collect();
                ExportSource::of_paths(&paths).await
            }
        };
        Ok(opened.map_err(SchemaCommandError::from)?)
    }

    async fn schema(&mut self, address: &str) -> Result<Schema, SchemaArgsError> {
        let content = match address.strip_prefix("s3://") {
            None => fs::read(address).map_err(|source| SchemaArgsError::Unread {
                path: address.into(),
                source,
            })?,
            Some(rest) => {
                let (bucket, key) = rest
                    .split_once('/')
                    .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
                    .ok_or_else(|| SchemaArgsError::Address(address.to_owned()))?;
                let objects = self.objects().await?;
                let content = whole(&objects, bucket, key, MAX_SCHEMA_BYTES).await;
                content.map_err(|source| SchemaArgsError::Store {
                    name: address.to_owned(),
                    source,
                })?
            }
        };
        Schema::parse(&String::from_utf8_lossy(&content)).map_err(|source| {
            SchemaArgsError::Schema {
                name: address.to_owned(),
                source,
            }
        })
    }
}

fn shaping(path: Option<&PathBuf>) -> Result<Arc<Shaping>, SchemaArgsError> {
    let Some(path) = path else {
        return Ok(Arc::default());
    };
    let json = fs::read_to_string(path).map_err(|source| SchemaArgsError::Unread {
        path: path.clone(),
        source,
    })?;
    let shaping = Shaping::parse(&json).map_err(|source| SchemaArgsError::Shaping {
        path: path.clone(),
        source,
    })?;
    Ok(Arc::new(shaping))
}

fn runtime() -> Result<tokio::runtime::Runtime, SchemaArgsError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SchemaArgsError::Runtime)
}

struct Bar<C>(PacedBar<C>);

impl<C: Clock> Bar<C> {
    fn new(clock: C) -> Self {
        let template = "{bar:20} {percent}%, {msg}, {left} left";
        Self(PacedBar::new(template, 1, clock))
    }

    fn show(&mut self, progress: ReadProgress) {
        let Some(bar) = self.0.due() else {
            return;
        };
        bar.set_length(progress.all.max(progress.done));
        bar.set_message(format!("{} items", indicatif::HumanCount(progress.items)));
        bar.set_position(progress.done);
    }
}

#[cfg(test)]
mod tests {
    use storage::SystemClock;

    use super::*;

    #[test]
    fn the_template_is_one() {
        assert_eq!(Bar::new(SystemClock).0.length(), Some(1));
    }
}
