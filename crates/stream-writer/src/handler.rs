//! The handler: a batch of a stream in, the first record that has to come again out.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use futures_util::stream::{self, StreamExt};
use lambda_support::{Failure, FailureKind, error_chain, peak_memory_bytes};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::{Clock, ErrorKind, ObjectStore, StorageError, Timestamp};
use tokio::select;
use tracing::{info, warn};

use crate::append::{Appended, append, set_aside};
use crate::batch::{Group, Plan, SetAside, plan, resume_at};
use crate::config::Config;

/// What is left before the function is killed when an answer is given at the latest.
const TIME_TO_ANSWER: Duration = Duration::from_secs(2);
/// Objects that are written at the same time. A batch has few hours; but a stream that is all wrong has many records.
const CONCURRENCY: usize = 16;

/// What the handler borrows from `main`, or from a test.
pub struct Dependencies<O, C> {
    /// The lake.
    pub objects: O,
    /// Wall-clock time.
    pub clock: C,
    /// The environment's settings.
    pub config: Config,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

/// Brings a batch into the log. `deadline` is when the function will be killed.
///
/// The answer is a partial batch response (Lambda Developer Guide, "Configuring partial batch response with DynamoDB and
/// Lambda"): empty if every record is kept, else one sequence number from which on the batch has to come again.
///
/// # Errors
/// `Invalid` if the event is no batch at all; the store's own failure if what has to come again cannot be named.
pub async fn handle<O: ObjectStore, C: Clock>(
    event: &RawValue,
    deadline: Timestamp,
    dependencies: &Dependencies<O, C>,
) -> Result<DynamoDbEventResponse, Failure> {
    let started = dependencies.clock.now();
    let Event { records } = serde_json::from_str(event.get()).map_err(|error| Failure {
        kind: FailureKind::Invalid,
        message: format!(
            "the event is no batch of a stream ({error}): expected {{\"Records\": […]}}"
        ),
    })?;
    let plan = plan(&records, &dependencies.config.table);
    let time = started.until(deadline).saturating_sub(TIME_TO_ANSWER);
    let stored = store(&plan, time, dependencies).await;

    let elapsed = started.until(dependencies.clock.now());
    info!(
        records = records.len(),
        records_written = stored.appended.records,
        records_held_already = stored.appended.held,
        records_set_aside = plan.set_aside.len(),
        objects = stored.appended.objects,
        objects_bytes = stored.appended.bytes,
        elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        memory_peak_bytes = peak_memory_bytes(),
        "batch handled"
    );
    if !plan.set_aside.is_empty() {
        warn!(
            records = plan.set_aside.len(),
            folder = records::changes::set_aside_folder(&dependencies.config.table),
            "records without a place in the log are kept there, with the reasons"
        );
    }
    answer(&records, stored)
}

/// What storing a plan came to.
#[derive(Default)]
struct Stored {
    appended: Appended,
    /// First and last position of each group that is safe.
    spans: Vec<(usize, usize)>,
    /// The first position that is not safe, and why.
    failed: Option<(usize, StorageError)>,
}

impl Stored {
    fn take(&mut self, work: &Work<'_>, outcome: Result<Appended, StorageError>) {
        let (first, last) = work.span();
        match outcome {
            Ok(appended) => {
                self.spans.push((first, last));
                self.appended.objects += appended.objects;
                self.appended.records += appended.records;
                self.appended.bytes += appended.bytes;
                self.appended.held += appended.held;
            }
            Err(error) => {
                warn!(error = error_chain(&error), "records have to come again");
                if self.failed.as_ref().is_none_or(|(known, _)| first < *known) {
                    self.failed = Some((first, error));
                }
            }
        }
    }
}

/// One thing to store.
enum Work<'a> {
    Group(&'a Group<'a>),
    SetAside(&'a SetAside<'a>),
}

impl Work<'_> {
    /// First and last position in the batch.
    fn span(&self) -> (usize, usize) {
        match self {
            Self::Group(group) => (
                group.first().map_or(0, |placed| placed.position),
                group.last().map_or(0, |placed| placed.position),
            ),
            Self::SetAside(aside) => (aside.position, aside.position),
        }
    }

    async fn store<O: ObjectStore>(
        &self,
        objects: &O,
        config: &Config,
    ) -> Result<Appended, StorageError> {
        match self {
            Self::Group(group) => append(objects, config, group).await,
            Self::SetAside(aside) => set_aside(objects, config, aside)
                .await
                .map(|()| Appended::default()),
        }
    }
}

/// Stores everything, some things at a time, until the time is over. What is under way then may still land: it is found when
/// its records come again.
async fn store<O: ObjectStore, C: Clock>(
    plan: &Plan<'_>,
    time: Duration,
    dependencies: &Dependencies<O, C>,
) -> Stored {
    let Dependencies {
        objects, config, ..
    } = dependencies;
    let works: Vec<Work<'_>> = (plan.groups.iter().map(Work::Group))
        .chain(plan.set_aside.iter().map(Work::SetAside))
        .collect();
    let mut open: BTreeSet<usize> = (0..works.len()).collect();
    let mut stored = Stored::default();
    let mut outcomes = stream::iter(works.iter().enumerate())
        .map(async |(number, work)| (number, work.store(objects, config).await))
        .buffer_unordered(CONCURRENCY);
    let mut over = pin!(tokio::time::sleep(time));
    loop {
        let next = select! {
            biased;
            next = outcomes.next() => next,
            () = &mut over => None,
        };
        let Some((number, outcome)) = next else { break };
        open.remove(&number);
        stored.take(&works[number], outcome);
    }
    for number in open {
        stored.take(&works[number], Err(out_of_time(config)));
    }
    stored
}

fn out_of_time(config: &Config) -> StorageError {
    StorageError::new(
        ErrorKind::Unanswered,
        "PutObject",
        format!("s3://{}", config.lake_bucket),
        "the function's time was over before the answer came",
    )
}

fn answer(records: &[&RawValue], stored: Stored) -> Result<DynamoDbEventResponse, Failure> {
    let mut answer = DynamoDbEventResponse::default();
    let Some((first, error)) = stored.failed else {
        return Ok(answer);
    };
    match resume_at(records, first, &stored.spans) {
        Some(number) => {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(number);
            answer.batch_item_failures.push(failure);
            Ok(answer)
        }
        None => Err(Failure::new(FailureKind::Transient, &error)),
    }
}
