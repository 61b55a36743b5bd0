//! An HTTP server on 127.0.0.1 that plays the parts of S3, DynamoDB, SQS and the Lambda Runtime API that one function process
//! needs, and counts what it gets. Signatures are not looked at.

mod answer;
mod dynamodb;
mod invocation;
mod log;
mod outputs;
mod pace;
mod s3;
mod tables;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::digest::Digest;
use answer::{Answer, AnswerBody};
use pace::Pace;

pub use tables::{ExportWork, Tables};

/// The table that items go into. Its keys are the strings `account` and `offer_id`.
pub const TABLE: &str = "offers";
/// The ledger, a table with the keys `job` and `part` and the index `open-jobs`.
pub const LEDGER_TABLE: &str = "ledger";
/// The bucket that holds the one object there may be.
pub const INBOX_BUCKET: &str = "inbox";
/// Key of that object.
pub const OBJECT_KEY: &str = "offers.csv";
/// A bucket that takes everything and keeps nothing but the names of a change log's objects, and the objects made of pending
/// items.
pub const LAKE_BUCKET: &str = "lake";

/// What there is to do for the one process.
#[derive(Debug, Clone)]
pub enum Work {
    /// The file that is the object `inbox/offers.csv`, and of which the only event tells.
    Object(PathBuf),
    /// A file of [`crate::stream::batches`], of which each batch is an event.
    Batches(PathBuf),
    /// So many pending items in the table ([`crate::reprocess::items`]), and one event of a schedule.
    Pending(u64),
    /// An export in the lake, and an event for each of its data files: a file of an [`ExportWork`].
    Export(PathBuf),
}

/// What the endpoint is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it gives to the function.
    pub work: Work,
    /// How long BatchWriteItem takes to answer; with pending items, how long every call does but those of a function's runtime.
    pub delay: Duration,
    /// Percentage of the items that are handed back as unprocessed; below 100.
    pub handed_back_percent: u8,
    /// Deadline of every invocation, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The clock by which calls take their time.
    pub now: fn() -> Instant,
}

/// What the endpoint got.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Items that BatchWriteItem accepted.
    pub written: Digest,
    /// BatchWriteItem requests that were answered with success.
    pub batches: u64,
    /// Items that were handed back as unprocessed.
    pub handed_back: u64,
    /// Bytes of the object that were sent.
    pub object_bytes: u64,
    /// Bytes of finished uploads.
    pub uploaded_bytes: u64,
    /// Lines of finished uploads under `json-copy/` in the lake.
    pub backup_lines: u64,
    /// Records in new objects of a change log, under `changes/` in the lake.
    pub log_records: Digest,
    /// What became of pending items.
    pub reprocessed: Reprocessed,
    /// What was made of an export, under `tables/` in the lake.
    pub tables: Tables,
    /// Rows written to the ledger.
    pub ledger_writes: u64,
    /// Messages sent to a queue.
    pub messages: u64,
    /// Requests that were answered with an error.
    pub refused: u64,
    /// The last such answer.
    pub last_refusal: Option<String>,
    /// What the function answered to each event, or said when it failed.
    pub function_answers: Vec<Value>,
}

/// What became of pending items.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reprocessed {
    /// Items as conditional updates left them that took them out of the index's partition of pending items.
    pub marked: Digest,
    /// How many of these were marked before S3 had answered that there is an object with what was made of them.
    pub marked_without_output: u64,
    /// Updates that did anything else.
    pub other_updates: u64,
    /// What was made of items, in whatever object, each time that it came.
    pub outputs: Digest,
    /// The objects that it came in.
    pub objects: u64,
    /// Calls by operation.
    pub calls: BTreeMap<String, u64>,
    /// The most calls that were under way at once.
    pub most_at_once: u64,
}

impl Counts {
    /// A fault of the run with what may have led to it.
    pub fn explain(&self, fault: &str) -> String {
        format!(
            "{fault} ({} requests were refused, the last with {}; the function said {})",
            self.refused,
            self.last_refusal.as_deref().unwrap_or("nothing"),
            self.function_answers
                .last()
                .map_or("nothing".to_owned(), ToString::to_string),
        )
    }
}

/// The server, bound to a free port.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// A view of a running endpoint.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    object: Option<s3::StoredObject>,
    export: Option<ExportWork>,
    timer: Option<pace::Timer>,
    state: Mutex<State>,
    function_is_idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    percent_to_hand_back: u32,
    ledger: dynamodb::LedgerRows,
    uploads: s3::Uploads,
    tables: tables::Uploads,
    log_keys: HashSet<String>,
    batches: Option<File>,
    pending: Option<dynamodb::PendingItems>,
    outputs: outputs::Outputs,
    calls_at_once: u64,
    events_given: u64,
}

impl Endpoint {
    /// Binds a free port on 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port, or the file to work on cannot be read.
    pub async fn bind(settings: Settings) -> io::Result<Self> {
        let (mut object, mut export, mut state) = (None, None, State::default());
        match &settings.work {
            Work::Object(file) => object = Some(s3::StoredObject::of_file(file)?),
            Work::Batches(file) => state.batches = Some(File::open(file)?),
            Work::Pending(items) => state.pending = Some(dynamodb::PendingItems::new(*items)),
            Work::Export(file) => {
                let work = ExportWork::of_file(file)?;
                state.ledger = dynamodb::ledger_of(&work.ledger)?;
                export = Some(work);
            }
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let shared = Shared {
            timer: state
                .pending
                .is_some()
                .then(|| pace::Timer::start(settings.delay, settings.now)),
            settings,
            object,
            export,
            state: Mutex::new(state),
            function_is_idle: Notify::new(),
        };
        Ok(Self {
            listener,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the socket does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A view that outlives the call of [`Endpoint::serve`].
    pub fn observer(&self) -> Observer {
        Observer(Arc::clone(&self.shared))
    }

    /// Answers requests until it is dropped.
    ///
    /// # Errors
    /// If no connection can be accepted any more.
    pub async fn serve(self) -> io::Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve_connection(stream, Arc::clone(&self.shared)));
        }
    }
}

impl Observer {
    /// What has come so far.
    pub fn counts(&self) -> Counts {
        self.0.state().counts.clone()
    }

    /// Waits until the function has answered its last event and asks for the next one.
    pub async fn function_is_idle(&self) {
        self.0.function_is_idle.notified().await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The counts of a request that panicked are still counts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { respond(request, &shared).await }
    });
    // A connection that breaks is the client's business: what it sent is counted, what it did not send is missed.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond<B>(
    request: Request<B>,
    shared: &Shared,
) -> Result<Response<AnswerBody>, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let line = format!("{} {}", request.method(), request.uri());
    let target = request
        .headers()
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .map(str::to_owned);
    let path = request.uri().path().to_owned();
    let pace = Pace::begin(target.as_deref(), request.method(), &path, shared);
    let answer = match &target {
        Some(target) => {
            let body = request.into_body().collect().await?.to_bytes();
            call(target, &body, shared).await
        }
        None if request.uri().path().starts_with(invocation::PREFIX) => {
            invocation::answer(request, shared).await?
        }
        None => s3::answer(request, shared).await?,
    };
    if let Some(pace) = pace {
        pace.end().await;
    }
    if answer.refusal().is_none() {
        outputs::answered(&path, shared);
    }
    if let Some(refusal) = answer.refusal() {
        let mut state = shared.state();
        state.counts.refused += 1;
        state.counts.last_refusal = Some(format!("{}: {refusal}", target.unwrap_or(line)));
    }
    Ok(answer.into_response())
}

/// A call in one of the JSON protocols.
async fn call(target: &str, body: &[u8], shared: &Shared) -> Answer {
    match target.split_once('.') {
        Some(("DynamoDB_20120810", operation)) => dynamodb::call(operation, body, shared).await,
        Some(("AmazonSQS", "SendMessage")) => {
            shared.state().counts.messages += 1;
            Answer::json(&json!({"MessageId": "1", "MD5OfMessageBody": "0"}))
        }
        _ => Answer::json_error(
            "UnknownOperationException",
            "this endpoint does not play that operation",
            json!({}),
        ),
    }
}
