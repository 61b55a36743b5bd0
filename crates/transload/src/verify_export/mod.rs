//! Whether an export is whole, and whether a table or another export holds the same.
//!
//! Both sides are read once and summed up by the hash of the key, in buckets: the order of rows plays no part, and memory is two
//! megabytes for each thread and side, for any number of rows. Only where sums differ, rows are looked at again: those of as many
//! buckets as have half a million rows, at some 100 bytes each.

mod buckets;
mod comparison;
mod row;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod works;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, TryStreamExt, stream};
use records::TableShape;
use storage::{Clock, ItemStore, ObjectStore, StorageError};

use crate::digest::Fingerprint;
use crate::export_source::{ExportSource, ReadProgress, read};
use crate::pacer::Pacer;
use buckets::{Buckets, choose};
use comparison::{Comparison, Found, FoundRows, difference};
use row::{Row, Rows};
use works::{CompareWork, FindWork, ReadWork, Sample, SampleWork, Side, SumWork, lock};

pub use comparison::{AttributeDifference, Difference, DifferenceCounts, DifferenceKind};
pub use row::RowFault;
pub use table::ScanOptions;
pub use task::{Against, Report, Stage, Task, VerifyExportError};

/// Rows that are held for a comparison, of both sides together.
const HELD_ROWS: u64 = 500_000;
/// Items of a sample that are read from the table at a time.
const READS_AT_A_TIME: usize = 16;

/// Verifies the manifests' checksums and counts of the export, of its files too, and compares it.
///
/// # Errors
/// A store that fails, exports that cannot be compared, and whatever is wrong with an export itself
/// ([`crate::export_source::ExportSourceError::is_fault_of_export`]). Differences are in the report.
pub async fn verify<O, I, C>(
    task: &Task<'_, O, I, C>,
    mut on_progress: impl FnMut(Stage, ReadProgress),
) -> Result<Report, VerifyExportError>
where
    O: ObjectStore + 'static,
    I: ItemStore,
    C: Clock,
{
    let on_progress = &mut on_progress;
    match &task.against {
        Against::Manifests { quick: true } => Ok(Report {
            bytes: Some(task.a.look_for_files().await?),
            ..Report::default()
        }),
        Against::Manifests { quick: false } => task.read_through(on_progress).await,
        Against::Export(b) => task.compare(Other::Export(b), on_progress).await,
        Against::Table {
            tables,
            shape,
            scan,
        } => {
            let other = Other::Table {
                tables: *tables,
                shape,
                scan: *scan,
            };
            task.compare(other, on_progress).await
        }
        Against::Sample {
            tables,
            shape,
            items,
            reads,
        } => {
            let sample = (*items, *reads);
            task.compare_sample(*tables, shape, sample, on_progress)
                .await
        }
    }
}

/// A side B that is read whole.
#[derive(Clone, Copy)]
enum Other<'a, O, I> {
    Export(&'a ExportSource<O>),
    Table {
        tables: &'a I,
        shape: &'a TableShape,
        scan: ScanOptions,
    },
}

type OnProgress<'a> = &'a mut dyn FnMut(Stage, ReadProgress);

impl<O, I, C> Task<'_, O, I, C>
where
    O: ObjectStore + 'static,
    I: ItemStore,
    C: Clock,
{
    async fn read_through(&self, on_progress: OnProgress<'_>) -> Result<Report, VerifyExportError> {
        let rows = match self.a.is_incremental().await? {
            true => Rows::Incremental,
            false => Rows::Full(self.key_names.clone().unwrap_or_default()),
        };
        let rows = Arc::new(rows);
        let works = self.works(|| ReadWork(Arc::clone(&rows)));
        let mut items_a = 0;
        let places = 0..self.a.files().len();
        read(self.a.files(), places, works, |progress| {
            items_a = progress.items;
            on_progress(Stage::A, progress);
        })
        .await?;
        Ok(Report {
            items_a,
            ..Report::default()
        })
    }

    async fn compare(
        &self,
        other: Other<'_, O, I>,
        on_progress: OnProgress<'_>,
    ) -> Result<Report, VerifyExportError> {
        let rows = self.rows(&other).await?;
        let (sums_a, items_a) = (self.sums(self.a, &rows, Stage::A, on_progress)).await?;
        let (sums_b, items_b, capacity_tenths) = match &other {
            Other::Export(b) => {
                let (sums, items) = self.sums(b, &rows, Stage::B, on_progress).await?;
                (sums, items, 0)
            }
            Other::Table { .. } => {
                let mut sums = Buckets::new();
                let scanned = self
                    .scan(&other, Stage::Table, on_progress, |row| {
                        sums.add(row.digests());
                    })
                    .await?;
                (sums, scanned.items, scanned.capacity_tenths)
            }
        };
        let differing = sums_a.differing(&sums_b);
        let mut report = Report {
            items_a,
            items_b: Some(items_b),
            capacity_tenths,
            differing_buckets: differing.len() as u64,
            counted_all: true,
            ..Report::default()
        };
        if differing.is_empty() {
            return Ok(report);
        }
        let chosen = choose(&differing, HELD_ROWS);
        report.counted_all = chosen.len() == differing.len();
        let comparison = Comparison::new(&chosen, self.max_differences);
        let comparison = Arc::new(Mutex::new(comparison));
        self.look_again(self.a, Side::A, &rows, &comparison, on_progress)
            .await?;
        match &other {
            Other::Export(b) => {
                self.look_again(b, Side::B, &rows, &comparison, on_progress)
                    .await?;
            }
            Other::Table { .. } => {
                let scanned = self
                    .scan(&other, Stage::Again, on_progress, |row| {
                        lock(&comparison).take_b(&row, row.digests());
                    })
                    .await?;
                report.capacity_tenths += scanned.capacity_tenths;
            }
        }
        let comparison = std::mem::replace(&mut *lock(&comparison), Comparison::new(&[], 0));
        let (counts, found) = comparison.finish();
        report.counts = counts;
        report.differences = self.differences(&rows, found, on_progress).await?;
        Ok(report)
    }

    async fn compare_sample(
        &self,
        tables: &I,
        shape: &TableShape,
        (size, reads): (usize, Option<u32>),
        on_progress: OnProgress<'_>,
    ) -> Result<Report, VerifyExportError> {
        if self.a.is_incremental().await? {
            return Err(VerifyExportError::Incremental(self.a.name().to_owned()));
        }
        let rows = Arc::new(Rows::Full(key_names(shape)));
        let works = self.works(|| SampleWork::new(&rows, size));
        let mut items_a = 0;
        let places = 0..self.a.files().len();
        let works = read(self.a.files(), places, works, |progress| {
            items_a = progress.items;
            on_progress(Stage::A, progress);
        })
        .await?;
        let mut sample = Sample::new(size);
        works.into_iter().for_each(|work| sample.merge(work.sample));
        let all = sample.rows.len() as u64;
        let mut pacer = Pacer::new(self.clock, reads.unwrap_or(u32::MAX));
        let sampled = stream::unfold(
            (sample.rows.into_iter(), &mut pacer),
            |(mut rows, pacer)| async {
                let row = rows.next()?;
                if reads.is_some() {
                    pacer.turn().await;
                }
                Some((row, (rows, pacer)))
            },
        );
        let mut answers = std::pin::pin!(
            sampled
                .map(async |(key, sampled)| {
                    let item = tables.item(shape, &sampled.key).await?;
                    Ok::<_, StorageError>((key, sampled, item))
                })
                .buffer_unordered(READS_AT_A_TIME)
        );
        let (mut counts, mut found, mut done) = (DifferenceCounts::default(), FoundRows::new(), 0);
        while let Some((key, sampled, item)) = answers.try_next().await? {
            done += 1;
            on_progress(
                Stage::Table,
                ReadProgress {
                    done,
                    all,
                    items: done,
                },
            );
            let file = Some(sampled.file);
            let (kind, b) = match item {
                None => (DifferenceKind::OnlyInA, None),
                Some(item) => {
                    let row = Row::of_item(item, &key_names(shape))?;
                    if row.digests().state == sampled.state {
                        continue;
                    }
                    (DifferenceKind::Different, Some(row))
                }
            };
            counts.add(kind);
            found.insert((key, kind), Found { file, b });
            if found.len() > self.max_differences {
                found.pop_last();
            }
        }
        Ok(Report {
            items_a,
            items_b: Some(all),
            counted_all: true,
            counts,
            differences: self.differences(&rows, found, on_progress).await?,
            ..Report::default()
        })
    }

    fn works<W>(&self, mut make: impl FnMut() -> W) -> Vec<W> {
        (0..self.threads.max(1)).map(|_| make()).collect()
    }

    /// How lines of both sides are read.
    async fn rows(&self, other: &Other<'_, O, I>) -> Result<Arc<Rows>, VerifyExportError> {
        let incremental = self.a.is_incremental().await?;
        let rows = match (incremental, other) {
            (true, Other::Table { .. }) => {
                return Err(VerifyExportError::Incremental(self.a.name().to_owned()));
            }
            (false, Other::Table { shape, .. }) => Rows::Full(key_names(shape)),
            (_, Other::Export(b)) if b.is_incremental().await? != incremental => {
                return Err(VerifyExportError::Kinds {
                    a: self.a.name().to_owned(),
                    b: b.name().to_owned(),
                });
            }
            (true, Other::Export(_)) => Rows::Incremental,
            (false, Other::Export(_)) => match &self.key_names {
                Some(names) => Rows::Full(names.clone()),
                None => return Err(VerifyExportError::NoKeys(self.a.name().to_owned())),
            },
        };
        Ok(Arc::new(rows))
    }

    async fn sums(
        &self,
        export: &ExportSource<O>,
        rows: &Arc<Rows>,
        stage: Stage,
        on_progress: OnProgress<'_>,
    ) -> Result<(Buckets, u64), VerifyExportError> {
        let works = self.works(|| SumWork::new(rows));
        let places = 0..export.files().len();
        let works = read(export.files(), places, works, |progress| {
            on_progress(stage, progress);
        })
        .await?;
        let mut sums = Buckets::new();
        works.iter().for_each(|work| sums.merge(&work.buckets));
        let items = sums.rows();
        Ok((sums, items))
    }

    async fn scan(
        &self,
        other: &Other<'_, O, I>,
        stage: Stage,
        on_progress: OnProgress<'_>,
        mut each: impl FnMut(Row),
    ) -> Result<table::Scan, VerifyExportError> {
        let Other::Table {
            tables,
            shape,
            scan,
        } = other
        else {
            return Ok(table::Scan::default());
        };
        let names = key_names(shape);
        let all = tables.item_count(&shape.name).await?;
        table::scan(
            *tables,
            shape,
            *scan,
            self.clock,
            |item| {
                each(Row::of_item(item, &names)?);
                Ok::<(), VerifyExportError>(())
            },
            |items| {
                let done = items;
                on_progress(stage, ReadProgress { done, all, items });
            },
        )
        .await
    }

    async fn look_again(
        &self,
        export: &ExportSource<O>,
        side: Side,
        rows: &Arc<Rows>,
        comparison: &Arc<Mutex<Comparison>>,
        on_progress: OnProgress<'_>,
    ) -> Result<(), VerifyExportError> {
        let works = self.works(|| CompareWork::new(rows, side, comparison));
        let places = 0..export.files().len();
        read(export.files(), places, works, |progress| {
            on_progress(Stage::Again, progress);
        })
        .await?;
        Ok(())
    }

    /// Reads the rows of A that are told of, from the files that have them.
    async fn differences(
        &self,
        rows: &Arc<Rows>,
        found: FoundRows,
        on_progress: OnProgress<'_>,
    ) -> Result<Vec<Difference>, VerifyExportError> {
        let files: BTreeSet<usize> = found
            .values()
            .filter_map(|found| found.file)
            .map(|file| file as usize)
            .collect();
        let wanted: HashSet<Fingerprint> = found.keys().map(|(key, _)| *key).collect();
        let wanted = Arc::new(wanted);
        let works = self.works(|| FindWork::new(rows, &wanted));
        let works = read(self.a.files(), files, works, |progress| {
            on_progress(Stage::Again, progress);
        })
        .await?;
        let mut rows_a = HashMap::new();
        works.into_iter().for_each(|work| rows_a.extend(work.found));
        let mut differences: Vec<Difference> = found
            .iter()
            .filter_map(|((key, kind), found)| difference(*kind, rows_a.get(key), found.b.as_ref()))
            .collect();
        differences.sort_by_key(|difference| difference.kind);
        Ok(differences)
    }
}

fn key_names(shape: &TableShape) -> Vec<String> {
    shape.keys().map(|key| key.name.clone()).collect()
}
