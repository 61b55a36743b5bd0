//! Moving the rows: from the input through the lanes into the table, and settled runs on to whoever records them.

use std::time::Duration;

use bulk_writer::{BulkWriter, Progress, SendWindow, SettledRun, WriteFailure};
use rand::Rng;
use storage::{Clock, TableStore, Timestamp};
use tokio::sync::mpsc;

use crate::input::{Input, InputError, Source};
use crate::rows::{RecordedRun, RowReader, RunLines, Step, record_run};

/// Settled runs that may wait to be recorded.
const RUNS_TO_RECORD: usize = 4;
/// The longest time between two looks at the window, and two reports of progress.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Takes settled runs in file order: into backup and rejects, and the ledger where there is one.
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait Recorder {
    /// Why recording cannot go on.
    type Error;
    /// Records one run; on the last run of a block everything before it is made permanent.
    async fn record(&mut self, run: RecordedRun) -> Result<(), Self::Error>;
}

/// Why the rows stopped coming.
#[derive(Debug)]
pub enum End {
    /// Every row of the input has settled.
    Finished,
    /// The compressed input broke; every row before that has settled.
    Broken(InputError),
    /// The send window closed: the deadline, a lost lease, a newer version.
    WindowClosed,
    /// The input cannot be read on for now.
    Unreadable(InputError),
    /// The table cannot be written.
    Unwritable(WriteFailure),
    /// Nobody takes settled runs any more; the recorder says why.
    NotRecorded,
}

/// What a transfer came to.
#[derive(Debug)]
pub struct Transferred<E> {
    /// Rows read, settled or not.
    pub rows_read: u64,
    /// Why it ended.
    pub end: End,
    /// What the recorder says.
    pub recorded: Result<(), E>,
    /// Until when an attempt without an answer may still land.
    pub quiet_until: Timestamp,
    /// Counters of the writer.
    pub progress: Progress,
}

/// Moves every row, until the input ends or the window closes. Attempts under way are always waited for. `on_progress` is
/// called once a second at the least, with the rows read and the writer's counters.
pub async fn transfer<S, T, C, R, Rec>(
    reader: &mut RowReader,
    input: &mut Input<S>,
    mut writer: BulkWriter<'_, T, C, R, RunLines>,
    window: &SendWindow,
    clock: &C,
    recorder: &mut Rec,
    mut on_progress: impl FnMut(u64, Progress),
) -> Transferred<Rec::Error>
where
    S: Source,
    T: TableStore,
    C: Clock,
    R: Rng,
    Rec: Recorder,
{
    let (settled_runs, mut to_record) = mpsc::channel::<RecordedRun>(RUNS_TO_RECORD);
    let move_rows = async {
        let end = pump(
            reader,
            input,
            &mut writer,
            window,
            clock,
            &settled_runs,
            &mut on_progress,
        )
        .await;
        // Whatever ended the loop, what is under way is waited for: an abandoned attempt could land at any time.
        for settled in writer.stop().await {
            let _ = settled_runs.send(record_run(settled)).await;
        }
        drop(settled_runs);
        end
    };
    let record = async {
        while let Some(run) = to_record.recv().await {
            if let Err(error) = recorder.record(run).await {
                to_record.close();
                return Err(error);
            }
        }
        Ok(())
    };
    let (end, recorded) = tokio::join!(move_rows, record);
    Transferred {
        rows_read: reader.rows_read(),
        end,
        recorded,
        quiet_until: writer.quiet_until(),
        progress: writer.progress(),
    }
}

async fn pump<S, T, C, R>(
    reader: &mut RowReader,
    input: &mut Input<S>,
    writer: &mut BulkWriter<'_, T, C, R, RunLines>,
    window: &SendWindow,
    clock: &C,
    settled_runs: &mpsc::Sender<RecordedRun>,
    on_progress: &mut impl FnMut(u64, Progress),
) -> End
where
    S: Source,
    T: TableStore,
    C: Clock,
    R: Rng,
{
    let mut last_end: Option<End> = None;
    loop {
        let mut needs_bytes = false;
        while last_end.is_none() && !needs_bytes && writer.has_room() {
            match reader.next_run() {
                Step::Run(run) => writer.submit(run),
                Step::NeedMore => needs_bytes = true,
                Step::End => last_end = Some(End::Finished),
            }
        }
        on_progress(reader.rows_read(), writer.progress());
        if clock.now() >= window.end() {
            return End::WindowClosed;
        }
        if settled_runs.is_closed() {
            return End::NotRecorded;
        }
        // Without room, or without input to come, lanes that hold less than a full batch have to send it.
        let flush = !needs_bytes;
        let settled = tokio::select! {
            settled = writer.next_settled(flush) => settled,
            chunk = input.next_chunk(), if needs_bytes => {
                match chunk {
                    Ok(Some(chunk)) => reader.feed(&chunk),
                    Ok(None) => reader.finish(),
                    Err(error @ InputError::Store(_)) => return End::Unreadable(error),
                    Err(error) => {
                        if let Some(run) = reader.last_run() {
                            writer.submit(run);
                        }
                        last_end = Some(End::Broken(error));
                    }
                }
                continue;
            }
            // The window may be moved meanwhile, and whoever shows the progress wants to see that time goes by.
            () = tokio::time::sleep(clock.now().until(window.end()).min(LOOK_AGAIN)) => continue,
        };
        match settled {
            Ok(Some(run)) => pass_on(run, settled_runs).await,
            Ok(None) if !writer.is_idle() => return End::WindowClosed,
            Ok(None) => {
                if let Some(end) = last_end.take() {
                    return end;
                }
            }
            Err(failure) => return End::Unwritable(failure),
        }
    }
}

/// Hands a settled run to the recorder; if that has ended, the loop sees it next time.
async fn pass_on(run: SettledRun<RunLines>, settled_runs: &mpsc::Sender<RecordedRun>) {
    let _ = settled_runs.send(record_run(run)).await;
}
