//! The endpoint as a process: it says on its standard output where it listens, when the function is idle, and, when its
//! standard input ends, what it got.

use std::error::Error;
use std::future::pending;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bench::endpoint::{Endpoint, Settings, Work};
use bench::process::Said;
use clap::Parser;
use tokio::sync::oneshot;

/// The function may take an hour: longer than Lambda allows, so that a slow machine can still measure a large file.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Play S3, DynamoDB, SQS and the Lambda Runtime API for one process, and count what it sends
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    work: WorkArguments,
    /// How long BatchWriteItem takes to answer, in milliseconds; with pending items, how long every call does
    #[arg(long, default_value = "0")]
    delay_ms: u64,
    /// Percentage of the items that are handed back as unprocessed
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u8).range(0..=90))]
    hand_back_percent: u8,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct WorkArguments {
    /// The file that is the object inbox/offers.csv, and of which the only event tells
    #[arg(long)]
    object: Option<PathBuf>,
    /// The file of batches, of which each is an event
    #[arg(long)]
    batches: Option<PathBuf>,
    /// How many items of the table are pending
    #[arg(long)]
    pending: Option<u64>,
    /// The file that says which export there is, and which events
    #[arg(long)]
    export: Option<PathBuf>,
}

impl WorkArguments {
    fn work(self) -> Result<Work, &'static str> {
        let object = self.object.map(Work::Object);
        let work = object.or(self.batches.map(Work::Batches));
        let work = work.or(self.pending.map(Work::Pending));
        let work = work.or(self.export.map(Work::Export));
        work.ok_or("expected --object, --batches, --pending or --export")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let endpoint = Endpoint::bind(Settings {
        work: arguments.work.work()?,
        delay: Duration::from_millis(arguments.delay_ms),
        handed_back_percent: arguments.hand_back_percent,
        deadline_ms: deadline_ms()?,
        now,
    })
    .await?;
    let observer = endpoint.observer();
    say(&Said::Listening(endpoint.address()?.to_string()))?;
    let say_when_idle = async {
        observer.function_is_idle().await;
        say(&Said::FunctionIsIdle)?;
        pending::<io::Result<()>>().await
    };
    tokio::select! {
        served = endpoint.serve() => served?,
        said = say_when_idle => said?,
        _ = end_of_input() => {}
    }
    say(&Said::Ended(Box::new(observer.counts())))?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a main may read the clock")]
fn deadline_ms() -> Result<u64, Box<dyn Error>> {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + TIME_LIMIT;
    Ok(u64::try_from(deadline.as_millis())?)
}

#[expect(clippy::disallowed_methods, reason = "a main may read the clock")]
fn now() -> Instant {
    Instant::now()
}

fn say(said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

fn end_of_input() -> oneshot::Receiver<()> {
    let (ended, is_ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    is_ended
}
