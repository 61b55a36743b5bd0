//! The handler: an event in, a report out.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use lambda_support::{Failure, FailureKind, error_chain, peak_memory_bytes};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use records::TableShape;
use serde_json::Value;
use storage::{Clock, ItemStore, Ledger, ObjectStore, TableStore, Timestamp};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::gate::Gate;
use crate::lease::{LaneLease, LaneOwner, last_worked};
use crate::markers::{Lane, check_index};
use crate::names::{lane_part, lanes_job};
use crate::process::Process;
use crate::report::{Counts, Ended, LaneReport, Left, Report};
use crate::request::Request;
use crate::run::{Times, count_left, run};
use crate::work::Work;

/// What is left before the function is killed when work under way is dropped and the lane is left.
const TIME_TO_LEAVE: Duration = Duration::from_secs(3);
/// What is left, at most, when no more items are taken: an item whose calls are all tried three times takes longer than this
/// only if each of them hangs.
const TIME_TO_FINISH: Duration = Duration::from_secs(30);
/// Rows of the ledger that are read at the same time.
const LEDGER_CONCURRENCY: usize = 32;

/// What the handler borrows from `main`, or from a test.
pub struct Dependencies<O, T, L, C, P> {
    /// The lake.
    pub objects: O,
    /// The table.
    pub tables: T,
    /// The ledger.
    pub ledger: L,
    /// Wall-clock time.
    pub clock: C,
    /// What is done with an item.
    pub process: P,
    /// The environment's settings.
    pub config: Config,
}

/// What is different in each invocation.
#[derive(Debug, Clone, Copy)]
pub struct Invocation {
    /// When the function will be killed.
    pub deadline: Timestamp,
    /// Tells workers apart.
    pub random: u64,
}

/// Runs the lanes that the event asks for, one after another, those first that were left alone for longest.
///
/// # Errors
/// `Invalid` for an event or an index that cannot be used. A service's failure, if a lane's index could not be read or no item of a
/// lane went through because of it, and no other lane has done anything: a lane that failed is missing in the report.
pub async fn handle<O, T, L, C, P>(
    event: &Value,
    invocation: Invocation,
    dependencies: &Dependencies<O, T, L, C, P>,
) -> Result<Report, Failure>
where
    O: ObjectStore,
    T: ItemStore + TableStore,
    L: Ledger,
    C: Clock,
    P: Process,
{
    let started = dependencies.clock.now();
    let config = &dependencies.config;
    let request =
        Request::read(event, config).map_err(|error| Failure::new(FailureKind::Invalid, &error))?;
    let table = dependencies
        .tables
        .describe(&config.table)
        .await
        .map_err(|error| Failure::from(&error))?;
    check_index(&table, &config.index, &config.markers.attribute).map_err(|message| Failure {
        kind: FailureKind::Invalid,
        message,
    })?;

    let times = times(started, invocation.deadline);
    let mut reports: Vec<LaneReport> = Vec::new();
    let mut first_failure = None;
    let mut left = request.count_left.then_some(Left {
        items: 0,
        is_all: true,
    });
    for lane in in_turn(&request.lanes, dependencies).await? {
        if !reports.is_empty() && dependencies.clock.now() >= times.take_until {
            // Its turn comes first the next time.
            left = left.map(|left| Left {
                is_all: false,
                ..left
            });
            break;
        }
        let ran = run_lane(&lane, &table, &request, invocation, times, dependencies).await;
        let (report, lane_left) = match ran {
            Ok(ran) => ran,
            Err(failure) => {
                // The other lanes have nothing to do with it.
                error!(lane = lane.number, error = %failure, "a lane failed");
                first_failure.get_or_insert(failure);
                left = None;
                continue;
            }
        };
        left = left.zip(lane_left).map(|(left, lane)| Left {
            items: left.items + lane.items,
            is_all: left.is_all && lane.is_all,
        });
        reports.push(report);
    }
    if let Some(failure) = first_failure
        && reports.iter().all(|report| report.counts.done == 0)
    {
        return Err(failure);
    }
    let elapsed = started.until(dependencies.clock.now());
    let report = Report::new(reports, left, elapsed, config.period);
    log(&report, elapsed);
    Ok(report)
}

fn times(now: Timestamp, deadline: Timestamp) -> Times {
    let time = now.until(deadline);
    let before = |span: Duration| now.plus(time.saturating_sub(span));
    Times {
        take_until: before(TIME_TO_FINISH.min(time / 3)),
        work_until: before(TIME_TO_LEAVE.min(time / 6)),
    }
}

/// The lanes, those first that were left alone for longest: with more lanes than one invocation can do, none is forgotten.
async fn in_turn<O, T, L: Ledger, C, P>(
    lanes: &[Lane],
    dependencies: &Dependencies<O, T, L, C, P>,
) -> Result<Vec<Lane>, Failure> {
    if let [lane] = lanes {
        return Ok(vec![lane.clone()]);
    }
    let config = &dependencies.config;
    let job = &lanes_job(&config.table, &config.index);
    let mut in_turn: Vec<(String, u32)> = stream::iter(lanes)
        .map(async |lane| {
            let last = last_worked(&dependencies.ledger, job, &lane_part(lane.number)).await?;
            Ok((last, lane.number))
        })
        .buffer_unordered(LEDGER_CONCURRENCY)
        .try_collect()
        .await
        .map_err(|error| Failure::from(&error))?;
    in_turn.sort_unstable();
    let numbers = in_turn.into_iter().map(|(_, number)| number);
    Ok(numbers
        .filter_map(|number| config.markers.lane(number))
        .collect())
}

async fn run_lane<O, T, L, C, P>(
    lane: &Lane,
    table: &TableShape,
    request: &Request,
    invocation: Invocation,
    times: Times,
    dependencies: &Dependencies<O, T, L, C, P>,
) -> Result<(LaneReport, Option<Left>), Failure>
where
    O: ObjectStore,
    T: ItemStore,
    L: Ledger,
    C: Clock,
    P: Process,
{
    let config = &dependencies.config;
    let whose = LaneOwner {
        job: lanes_job(&config.table, &config.index),
        part: lane_part(lane.number),
        owner: format!("{:016x}", invocation.random),
        lease: config.lease,
    };
    let lease = LaneLease::take(
        &dependencies.ledger,
        &dependencies.clock,
        whose,
        &lane.pending,
    )
    .await
    .map_err(|error| Failure::from(&error))?;
    let Some(lease) = lease else {
        let report = LaneReport {
            lane: lane.number,
            ended: Ended::Busy,
            counts: Counts::default(),
            runs: 0,
            total_done: 0,
            total_set_aside: 0,
        };
        // Whoever has the lane counts.
        return Ok((report, None));
    };
    let work = Work {
        objects: &dependencies.objects,
        tables: &dependencies.tables,
        clock: &dependencies.clock,
        process: &dependencies.process,
        config,
        table,
        lane,
        run: lease.run,
        gate: Gate::new(config.concurrency),
        retry_until: times.take_until,
        jitter: RefCell::new(ChaCha8Rng::seed_from_u64(invocation.random)),
        throttled: Cell::new(0),
        counts: Cell::new(Counts::default()),
        trouble: RefCell::new(None),
        troubled: Cell::new(0),
    };
    let (ran, failure) = run(&work, &lease, request.output, request.limit, times).await;
    let go_on = ran
        .go_on_after
        .as_ref()
        .map(|key| (lane.pending.as_str(), key));
    let is_empty = ran.ended == Ended::Empty;
    let row = lease.leave(ran.counts, is_empty, go_on).await;
    if work.throttled.get() > 0 {
        warn!(
            lane = lane.number,
            calls_throttled = work.throttled.get(),
            "the table or its index throttles: the run waited"
        );
    }
    if let Some(error) = failure {
        warn!(
            lane = lane.number,
            items_taken = ran.counts.taken,
            items_done = ran.counts.done,
            items_unfinished = ran.counts.unfinished,
            "a service failed; what is unfinished stays pending"
        );
        return Err(Failure::from(&error));
    }
    let row = row.map_err(|error| Failure::from(&error))?;
    let left = match ran.ended {
        Ended::Empty if request.count_left => Some(Left {
            items: ran.counts.failed - ran.counts.set_aside + ran.counts.unfinished,
            // What was changed meanwhile may be pending again.
            is_all: ran.counts.skipped == 0,
        }),
        _ => left_in(&work, request, times).await,
    };
    let report = LaneReport {
        lane: lane.number,
        ended: ran.ended,
        counts: ran.counts,
        runs: row.runs,
        total_done: row.total_done,
        total_set_aside: row.total_set_aside,
    };
    Ok((report, left))
}

/// What is left in a lane, if it is to be counted. That it cannot be counted is no reason to call a run failed.
async fn left_in<O, T, C, P>(
    work: &Work<'_, O, T, C, P>,
    request: &Request,
    times: Times,
) -> Option<Left>
where
    O: ObjectStore,
    T: ItemStore,
    C: Clock,
    P: Process,
{
    if !request.count_left {
        return None;
    }
    let left = count_left(work, times.work_until).await;
    left.inspect_err(|error| {
        warn!(error = error_chain(error), "what is left was not counted");
    })
    .ok()
}

fn log(report: &Report, elapsed: Duration) {
    let counts = report.counts;
    info!(
        lanes = report.lanes.len(),
        items_taken = counts.taken,
        items_done = counts.done,
        items_skipped = counts.skipped,
        items_failed = counts.failed,
        items_set_aside = counts.set_aside,
        items_unfinished = counts.unfinished,
        items_left = report.left,
        items_left_exact = report.left_exact,
        items_per_second = report.items_per_second,
        eta_on_schedule_seconds = report.eta_on_schedule_seconds,
        eta_drain_seconds = report.eta_drain_seconds,
        elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        memory_peak_bytes = peak_memory_bytes(),
        "pending items reprocessed"
    );
}
