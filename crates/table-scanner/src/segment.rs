//! Scanning a segment: pages in, committed objects out.
//!
//! Rows are staged, then committed, then published, in this order: whoever dies before the commit leaves nothing, and the next
//! worker reads on from the place that was committed last; whoever dies after it leaves a row that says what is to be published.

use std::time::Duration;
use std::vec;

use export_jobs::hold::ExecutionArn;
use export_jobs::names::segment_part;
use export_jobs::output::{Checkpoint, OutputError, OutputPlan, Outputs, discard_all};
use export_jobs::{PartRow, SCAN_PART, ScanRow, Status, read};
use lambda_support::{Failure, FailureKind, peak_memory_bytes};
use records::{Item, TableShape, item_from_dynamodb_json, write_item_dynamodb_json};
use storage::staged::publish;
use storage::{
    Clock, ErrorKind, ItemStore, Ledger, ObjectStore, ScanPage, StorageError, TableStore, Timestamp,
};
use tracing::{info, warn};

use crate::error::ScanError;
use crate::handler::{Dependencies, Invocation};
use crate::pace::Pace;
use crate::pages::{Pages, Turn, key_of};
use crate::progress::{Committed, Held, Step, Taken};
use crate::report::SegmentReport;
use crate::settings::recorded_schema;

/// What is left before the function is killed when work under way is dropped.
const TIME_TO_LEAVE: Duration = Duration::from_secs(3);
/// What is left, at most, when no more pages are read: what is open has to be compressed, staged, committed and published.
const TIME_TO_FINISH: Duration = Duration::from_secs(30);

/// Reads a segment from where the last invocation stopped, as far as the time allows.
///
/// An execution for which it is read has to be the one that the scan's row names, if that names any: another one that took the scan
/// over has found that this one had ended, and works on the segments, though this one was redriven since.
pub async fn scan_segment<O, T, L, W, C>(
    job: &str,
    segment: u32,
    execution: Option<&ExecutionArn>,
    invocation: Invocation,
    dependencies: &Dependencies<O, T, L, W, C>,
) -> Result<SegmentReport, ScanError>
where
    O: ObjectStore,
    T: ItemStore + TableStore,
    L: Ledger,
    C: Clock,
{
    let (ledger, clock) = (&dependencies.ledger, &dependencies.clock);
    let started = clock.now();
    let time = started.until(invocation.deadline);
    let before = |span: Duration| started.plus(time.saturating_sub(span));
    let stored = read::<ScanRow, _>(ledger, job, SCAN_PART).await?;
    let scan = stored.ok_or_else(|| ScanError::NoJob(job.to_owned()))?.row;
    if segment >= scan.segments {
        return Err(ScanError::NoSegment {
            job: job.to_owned(),
            segment,
            last: scan.segments - 1,
        });
    }
    let stored = read::<PartRow, _>(ledger, job, &segment_part(segment)).await?;
    if let Some(stored) = stored
        && stored.row.processing_status == Status::Completed
    {
        return Ok(SegmentReport::of(segment, &stored.row));
    }
    if let (Some(execution), Some(holder)) = (execution, &scan.execution)
        && !execution.is(holder)
    {
        return Err(ScanError::Elsewhere {
            job: job.to_owned(),
            holder: holder.clone(),
            execution: execution.to_string(),
        });
    }
    let shape = dependencies.tables.describe(&scan.table).await?;
    check_table(&dependencies.tables, &scan).await?;
    let schema = recorded_schema(&dependencies.objects, &scan).await?;
    let plan = OutputPlan::of_scan(&scan, segment, schema);
    let owner = format!("{:016x}", invocation.random);
    let held = match Held::take(ledger, clock, job, segment, &owner).await? {
        Taken::Completed(row) => return Ok(SegmentReport::of(segment, &row)),
        Taken::Held(held) => held,
    };
    let page = ScanPage {
        segment,
        segments: scan.segments,
        limit: None,
        consistent: scan.consistent,
        start: place_of(&held)?,
        attributes: None,
    };
    let paid_until = Timestamp(held.progress().paid_until);
    let pages = Pages::new(
        &dependencies.tables,
        clock,
        &shape,
        page,
        Pace::new(scan.read_units, scan.segments, paid_until),
        before(TIME_TO_FINISH.min(time / 3)),
        invocation.random,
    );
    let mut work = Work {
        objects: &dependencies.objects,
        tables: &dependencies.tables,
        scan: &scan,
        shape: &shape,
        plan: &plan,
        name: held.name(),
        rows_before: held.row().rows_read,
        held,
        pages,
        commits: 0,
    };
    let time_left = clock.now().until(before(TIME_TO_LEAVE.min(time / 6)));
    let outcome = tokio::select! {
        biased;
        outcome = work.run() => outcome,
        // What is staged and not committed is forgotten, and read again.
        () = tokio::time::sleep(time_left) => match work.commits {
            0 => Err(ScanError::TimeOver(work.name.clone())),
            _ => Ok(None),
        },
    };
    let report =
        outcome.map(|row| SegmentReport::of(segment, row.as_ref().unwrap_or(work.held.row())));
    if let Err(error) = &report {
        work.note_failure(error).await;
    }
    work.log(job, &report, started.until(clock.now()));
    report
}

/// Refuses a table that was made anew under the name.
async fn check_table<T: ItemStore>(tables: &T, scan: &ScanRow) -> Result<(), ScanError> {
    let found = tables.identity(&scan.table).await?.id;
    match found == scan.table_id {
        true => Ok(()),
        false => Err(ScanError::OtherTable {
            scan: scan.scan.clone(),
            table: scan.table.clone(),
            recorded: scan.table_id.clone(),
            found,
        }),
    }
}

/// Where the segment goes on.
fn place_of<L: Ledger, C: Clock>(held: &Held<'_, L, C>) -> Result<Option<Item>, StorageError> {
    let Some(after) = &held.progress().after else {
        return Ok(None);
    };
    item_from_dynamodb_json(after).map(Some).map_err(|error| {
        let message = "the checkpoint's key cannot be read: expected DynamoDB JSON";
        StorageError::new(ErrorKind::Internal, "GetItem", held.name(), message).with_source(error)
    })
}

/// One worker's work on a segment.
struct Work<'a, O, T, L, C> {
    objects: &'a O,
    tables: &'a T,
    scan: &'a ScanRow,
    shape: &'a TableShape,
    plan: &'a OutputPlan,
    name: String,
    held: Box<Held<'a, L, C>>,
    pages: Pages<'a, T, C>,
    rows_before: u64,
    commits: u64,
}

/// Where the reading is.
struct Place {
    /// What is left of the page.
    items: vec::IntoIter<Item>,
    /// The key behind which the segment goes on; nothing at its beginning.
    after: Option<Item>,
    /// Where the page ends, until all of its items are taken.
    page_end: Option<Item>,
    is_last_page: bool,
    /// Rows of the segment before the next one.
    rows: u64,
    /// See [`Step::read_until`].
    read_until: u64,
}

/// Why a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// An object is full.
    Split,
    /// The segment's end.
    End,
    /// No time is left for another page.
    TimeOver,
}

impl<O, T, L, C> Work<'_, O, T, L, C>
where
    O: ObjectStore,
    T: ItemStore + TableStore,
    L: Ledger,
    C: Clock,
{
    /// Reads until the end or until the time is over; the segment's row if all of it is done.
    async fn run(&mut self) -> Result<Option<PartRow>, ScanError> {
        // Whoever had the segment before may have died between the commit and this.
        self.publish().await?;
        if self.held.progress().is_whole {
            return self.complete().await.map(Some);
        }
        let mut place = Place {
            items: Vec::new().into_iter(),
            after: place_of(&self.held)?,
            page_end: None,
            is_last_page: false,
            rows: self.held.row().rows_read,
            read_until: self.held.progress().read_until,
        };
        loop {
            let before = (place.after.clone(), place.rows);
            let marks = Checkpoint {
                objects: Vec::new(),
                entities: self.held.progress().entities.clone(),
            };
            let mut outputs = Outputs::resume(self.objects, self.plan, marks)
                .map_err(|error| self.output_error(error))?;
            let stop = match self.gather(&mut outputs, &mut place).await {
                Ok(stop) => stop,
                Err(error) => {
                    outputs.discard().await;
                    return Err(error);
                }
            };
            if stop == Stop::TimeOver && before == (place.after.clone(), place.rows) {
                return match self.pages.fruitless() {
                    Some(error) => Err(error.into()),
                    None => Ok(None),
                };
            }
            let made = outputs.finish().await;
            let made = made.map_err(|error| self.output_error(error))?;
            self.commit(made, &place, stop).await?;
            self.publish().await?;
            match stop {
                Stop::Split => {}
                Stop::End => return self.complete().await.map(Some),
                Stop::TimeOver => return Ok(None),
            }
        }
    }

    /// Adds rows to the outputs until there is a reason to commit them. A page's rows may belong to two steps: the key of a row
    /// says as well as that of a page's end where the segment goes on.
    async fn gather(
        &mut self,
        outputs: &mut Outputs<'_, O>,
        place: &mut Place,
    ) -> Result<Stop, ScanError> {
        let mut line = Vec::new();
        loop {
            for item in place.items.by_ref() {
                line.clear();
                line.extend_from_slice(b"{\"Item\":");
                write_item_dynamodb_json(&item, &mut line);
                line.push(b'}');
                let added = outputs.add(place.rows, &line).await;
                added.map_err(|error| self.output_error(error))?;
                place.rows += 1;
                place.after = Some(key_of(self.shape, &item));
                if outputs.has_progressed() {
                    return Ok(Stop::Split);
                }
            }
            if let Some(end) = place.page_end.take() {
                place.after = Some(end);
            }
            if place.is_last_page {
                return Ok(Stop::End);
            }
            match self.pages.next().await? {
                Turn::TimeOver => return Ok(Stop::TimeOver),
                Turn::Page(page, come) => {
                    place.items = page.items.into_iter();
                    place.is_last_page = page.next.is_none();
                    place.page_end = page.next;
                    place.read_until = place.read_until.max(come);
                }
            }
        }
    }

    /// Makes what was staged a part of the scan, if the table still is the one that was read and the segment is still ours.
    async fn commit(
        &mut self,
        made: Checkpoint,
        place: &Place,
        stop: Stop,
    ) -> Result<(), ScanError> {
        if let Err(error) = check_table(self.tables, self.scan).await {
            discard_all(self.objects, &made.objects).await;
            return Err(error);
        }
        let staged = made.objects.clone();
        let step = Step {
            after: place.after.as_ref().map(json_of),
            is_whole: stop == Stop::End,
            read_until: place.read_until,
            paid_until: self.pages.paid_until().0,
            rows_read: place.rows,
            outputs: made,
        };
        // If this fails, nobody knows whether the row has the objects: they must stay.
        match self.held.commit(step).await? {
            Committed::Yes => {
                self.commits += 1;
                Ok(())
            }
            Committed::Lost { is_in } => {
                if !is_in {
                    discard_all(self.objects, &staged).await;
                }
                Err(ScanError::Lost(self.name.clone()))
            }
        }
    }

    /// Makes everything visible that is committed.
    async fn publish(&self) -> Result<(), ScanError> {
        for object in &self.held.progress().staged {
            publish(self.objects, &object.staged)
                .await
                .map_err(|error| match error.kind() {
                    ErrorKind::NotFound | ErrorKind::Conflict => ScanError::Gone {
                        part: self.name.clone(),
                        source: error,
                    },
                    _ => ScanError::Storage(error),
                })?;
        }
        Ok(())
    }

    async fn complete(&self) -> Result<PartRow, ScanError> {
        let row = self.held.complete().await?;
        row.ok_or_else(|| ScanError::Lost(self.name.clone()))
    }

    fn output_error(&self, error: OutputError) -> ScanError {
        match error {
            OutputError::Storage(error) => error.into(),
            source => ScanError::Output {
                part: self.name.clone(),
                source,
            },
        }
    }

    /// Records a failure that no repeat can mend.
    async fn note_failure(&self, error: &ScanError) {
        let failure = Failure::from(error);
        if failure.kind == FailureKind::Invalid
            && let Err(error) = self.held.fail(&failure.message).await
        {
            warn!(%error, "a segment's failure could not be recorded");
        }
    }

    fn log(&self, job: &str, report: &Result<SegmentReport, ScanError>, elapsed: Duration) {
        let counts = self.pages.counts;
        let row = self.held.row();
        info!(
            job,
            segment = self.plan.stem,
            status = report.as_ref().map_or("FAILED", |report| report.status),
            rows_read = row.rows_read - self.rows_before,
            rows_read_total = row.rows_read,
            rows_filtered_total = row.rows_filtered,
            pages = counts.pages,
            read_units_tenths = counts.tenths,
            calls_waited = counts.waits,
            commits = self.commits,
            elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            memory_peak_bytes = peak_memory_bytes(),
            "a segment was scanned"
        );
    }
}

fn json_of(key: &Item) -> String {
    let mut json = Vec::new();
    write_item_dynamodb_json(key, &mut json);
    String::from_utf8(json).expect("an item is written as JSON")
}
