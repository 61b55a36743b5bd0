//! The state into a table that holds nothing else: by the bulk writer.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bulk_writer::{BulkWriter, RunBuilder, SendWindow, SettledRun, WriterSettings};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use records::changes::{ChangeKind, KeyState};
use records::{TableShape, item_from_dynamodb_json};
use storage::{Clock, TableStore};

use super::gather::Gathered;
use super::{Fates, Progress, ReplayError, Target, refused_line};
use crate::output::{LinesFile, OutputError};

/// The longest time between two reports of progress.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The items of a run, in case one of them is refused; they are put in once the run has been made.
type Items = Rc<RefCell<Vec<Bytes>>>;
type Writer<'a, T, C> = BulkWriter<'a, T, C, ChaCha8Rng, Items>;

/// Puts every item. A part has settled before the next one is merged, which takes the thread for a while.
pub(super) async fn fill<T: TableStore, C: Clock>(
    gathered: &Gathered,
    into: &Target<'_, T, C>,
    seed: u64,
    refused: &mut LinesFile,
    on_progress: &mut impl FnMut(&Progress),
) -> Result<Fates, ReplayError> {
    let mut writer = BulkWriter::new(
        into.tables,
        into.clock,
        ChaCha8Rng::seed_from_u64(seed),
        into.shape,
        WriterSettings::default(),
        SendWindow::unbounded(),
    );
    let mut filling = Filling {
        fates: Fates::default(),
        refused,
        on_progress,
        total: gathered.census.keys,
    };
    for part in 0..gathered.parts() {
        let written = filling
            .write(&mut writer, gathered.scattered(part)?, into.shape)
            .await;
        if let Err(stop) = written {
            // An abandoned attempt could land at any time.
            writer.stop().await;
            return Err(match stop {
                Stop::Output(error) => error.into(),
                Stop::Write(source) => ReplayError::Unfilled {
                    table: into.shape.name.clone(),
                    written: writer.progress().written,
                    source: Box::new(source),
                },
            });
        }
    }
    Ok(filling.fates)
}

enum Stop {
    Output(OutputError),
    Write(bulk_writer::WriteFailure),
}

struct Filling<'a, F> {
    fates: Fates,
    refused: &'a mut LinesFile,
    on_progress: &'a mut F,
    total: u64,
}

impl<F: FnMut(&Progress)> Filling<'_, F> {
    async fn write<T: TableStore, C: Clock>(
        &mut self,
        writer: &mut Writer<'_, T, C>,
        states: impl Iterator<Item = KeyState>,
        shape: &TableShape,
    ) -> Result<(), Stop> {
        let mut run = RunBuilder::default();
        for state in states {
            match state.new_image.filter(|_| state.kind != ChangeKind::Remove) {
                Some(item) => accept(&mut run, &item, shape),
                None => self.fates.removed += 1,
            }
            if run.is_full() {
                submit(writer, &mut run);
                // A run that has settled by now is taken; others are waited for only if there is no room.
                while !writer.has_room() {
                    self.settle_next(writer).await?;
                }
            }
        }
        if !run.is_empty() {
            submit(writer, &mut run);
        }
        while !writer.is_idle() {
            self.settle_next(writer).await?;
        }
        Ok(())
    }

    async fn settle_next<T: TableStore, C: Clock>(
        &mut self,
        writer: &mut Writer<'_, T, C>,
    ) -> Result<(), Stop> {
        let settled = tokio::time::timeout(LOOK_AGAIN, writer.next_settled(true)).await;
        if let Some(run) = settled.unwrap_or(Ok(None)).map_err(Stop::Write)? {
            self.settle(run).map_err(Stop::Output)?;
        }
        let progress = writer.progress();
        (self.on_progress)(&Progress::Writing {
            // An item counts when the table has acknowledged it; it settles with the rest of its run.
            done: progress.written + self.fates.removed + self.fates.refused,
            total: self.total,
            throttled: progress.throttled,
        });
        Ok(())
    }

    fn settle(&mut self, settled: SettledRun<Items>) -> Result<(), OutputError> {
        self.fates.written += settled.written;
        self.fates.refused += settled.refused.len() as u64;
        let items = settled.tag.borrow();
        for row in &settled.refused {
            let item = String::from_utf8_lossy(&items[row.index]);
            self.refused.append(&refused_line(&row.reason, &item))?;
        }
        Ok(())
    }
}

fn accept(run: &mut RunBuilder, image: &str, shape: &TableShape) {
    let key = item_from_dynamodb_json(image)
        .ok()
        .and_then(|item| shape.canonical_key(&item).ok())
        .expect("every image and every key was checked when the log was read");
    run.accept(image.as_bytes(), &key);
    run.count(image.len());
}

fn submit<T: TableStore, C: Clock>(writer: &mut Writer<'_, T, C>, run: &mut RunBuilder) {
    let items = Items::default();
    let run = run.finish(Rc::clone(&items));
    *items.borrow_mut() = run.rows().iter().map(|row| row.put.item.clone()).collect();
    writer.submit(run);
}
