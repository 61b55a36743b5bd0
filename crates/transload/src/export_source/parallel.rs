//! Many files at a time, each inflated and looked through on a thread of its own.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use csv_ingester::Source;
use futures_util::stream::{self, FuturesUnordered, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use storage::{ErrorKind, ObjectStore, StorageError};
use tokio::sync::mpsc;

use super::{CheckedLines, Expected, ExportSourceError, SourceFile};

/// Chunks of a file that wait for their thread; with the largest of them, of 256 KiB, a megabyte for each file.
const CHUNKS_WAITING: usize = 4;

/// What is wrong with a line, in words that name no more of it than attributes.
pub type WorkFault = Box<dyn Error + Send + Sync>;

/// What is done with the lines of files, on one thread.
pub trait LineWork: Send + 'static {
    /// Takes a line without its ending; `file` is the file's place in the source.
    ///
    /// # Errors
    /// What is wrong with it, which stops the reading.
    fn line(&mut self, file: usize, line: &str) -> Result<(), WorkFault>;
}

/// How far a reading is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadProgress {
    /// Work that is done, of `all`.
    pub done: u64,
    /// Items of all files where there is a manifest, bytes otherwise.
    pub all: u64,
    /// Items that have been read.
    pub items: u64,
}

/// Reads files, by their places in the source, as many at a time as there are `works`, and returns these. Each work is given the
/// lines of whole files in their order; which files it gets is chance.
///
/// Memory is that of the works, and for each a megabyte of what is stored, one inflated chunk and one line.
///
/// # Errors
/// The first file that cannot be read, is not whole, or has a line that its work does not take. The others are let go.
pub async fn read<O: ObjectStore + 'static, W: LineWork>(
    files: &[SourceFile<O>],
    places: impl IntoIterator<Item = usize>,
    works: Vec<W>,
    on_progress: impl FnMut(ReadProgress),
) -> Result<Vec<W>, ExportSourceError> {
    let places: Vec<usize> = places.into_iter().collect();
    let meter = Meter {
        on_progress: RefCell::new(on_progress),
        items: Arc::default(),
        done: Cell::new(0),
        all: places.iter().map(|place| files[*place].weight()).sum(),
        by_items: places.iter().all(|place| files[*place].expected.is_some()),
    };
    let (mut idle, mut running) = (works, FuturesUnordered::new());
    for place in places {
        if idle.is_empty() {
            let done: Result<W, ExportSourceError> =
                running.next().await.expect("every work is in use");
            idle.push(done?);
        }
        let work = idle.pop().expect("one is idle now");
        running.push(one_file(&files[place], place, work, &meter));
    }
    while let Some(done) = running.next().await {
        idle.push(done?);
    }
    meter.show();
    Ok(idle)
}

struct Meter<F> {
    on_progress: RefCell<F>,
    items: Arc<AtomicU64>,
    /// Bytes as they are stored.
    done: Cell<u64>,
    all: u64,
    by_items: bool,
}

impl<F: FnMut(ReadProgress)> Meter<F> {
    fn show(&self) {
        let items = self.items.load(Ordering::Relaxed);
        let done = match self.by_items {
            true => items,
            false => self.done.get(),
        };
        (self.on_progress.borrow_mut())(ReadProgress {
            done,
            all: self.all,
            items,
        });
    }
}

/// Fetches a file here, where the store is, and has its lines looked through on another thread.
async fn one_file<O: ObjectStore + 'static, W: LineWork>(
    file: &SourceFile<O>,
    place: usize,
    work: W,
    meter: &Meter<impl FnMut(ReadProgress)>,
) -> Result<W, ExportSourceError> {
    let mut content = file.source()?.read_from(0);
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let (name, expected) = (file.name.clone(), file.expected.clone());
    let items = Arc::clone(&meter.items);
    let worker = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without timers and sockets takes nothing from the system");
        let source = Received(RefCell::new(Some(receiver)));
        runtime.block_on(look_through(source, name, expected, place, work, &items))
    });
    while let Some(chunk) = content.next().await {
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        // A worker that wants no more has failed, and says so below.
        if sender.send(chunk).await.is_err() {
            break;
        }
        meter.done.set(meter.done.get() + bytes);
        meter.show();
    }
    drop(sender);
    let worked = worker.await.map_err(|source| ExportSourceError::Stopped {
        name: file.name.clone(),
        source,
    })?;
    worked.map_err(|error| gone(error, file))
}

/// A data file that the manifest names and the store does not have is a fault of the export.
fn gone<O>(error: ExportSourceError, file: &SourceFile<O>) -> ExportSourceError {
    match error {
        ExportSourceError::Lines(crate::change_log::LogError::Store(error))
            if error.kind() == ErrorKind::NotFound && file.expected.is_some() =>
        {
            ExportSourceError::FileGone {
                name: file.name.clone(),
            }
        }
        error => error,
    }
}

async fn look_through<W: LineWork>(
    source: Received,
    name: String,
    expected: Option<Expected>,
    place: usize,
    mut work: W,
    items: &AtomicU64,
) -> Result<W, ExportSourceError> {
    let mut lines = CheckedLines::open(source, name, expected).await?;
    loop {
        let fault = match lines.next().await? {
            None => return Ok(work),
            // DynamoDB writes none, people do.
            Some((_, json)) if json.trim_ascii().is_empty() => continue,
            Some((line, json)) => match work.line(place, json) {
                Ok(()) => None,
                Err(fault) => Some((line, fault)),
            },
        };
        if let Some((line, fault)) = fault {
            return Err(ExportSourceError::Line {
                name: lines.name().to_owned(),
                line,
                fault,
            });
        }
        items.fetch_add(1, Ordering::Relaxed);
    }
}

/// What comes from another thread; it can be read once, from its beginning.
struct Received(RefCell<Option<mpsc::Receiver<Result<Bytes, StorageError>>>>);

impl Source for Received {
    fn read_from(&self, _offset: u64) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
        match self.0.take() {
            Some(receiver) => stream::unfold(receiver, |mut receiver| async {
                let chunk = receiver.recv().await?;
                Some((chunk, receiver))
            })
            .boxed_local(),
            None => async {
                let fault = "what came was read before: expected to be read once";
                Err(StorageError::new(
                    ErrorKind::Internal,
                    "read",
                    "a file",
                    fault,
                ))
            }
            .into_stream()
            .boxed_local(),
        }
    }
}
