use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use records::TableShape;
use tokio::time::Instant;

use super::plan::{Crash, Fault, FaultPlan, Landing, Verdict};
use crate::test_clock::tokio_now;
use crate::{
    ErrorKind, Ledger, LedgerRow, Notices, ObjectBody, ObjectId, ObjectStore, PutItem,
    StorageError, TableStore, Upload, UploadedPart,
};

/// A store that fails as its plan says.
#[derive(Debug, Clone)]
pub struct Failing<T> {
    inner: T,
    plan: FaultPlan,
    /// Batches given up by their callers that have not arrived yet.
    wire: Arc<Mutex<Vec<LateBatch>>>,
}

#[derive(Debug)]
struct LateBatch {
    table: TableShape,
    items: Vec<PutItem>,
    due: Due,
}

#[derive(Debug)]
enum Due {
    AfterBatches(u32),
    At(Instant),
}

type Content = LocalBoxStream<'static, Result<Bytes, StorageError>>;

impl<T> Failing<T> {
    /// `inner`, failing by `plan`.
    #[must_use]
    pub fn new(inner: T, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            wire: Arc::default(),
        }
    }

    /// The store underneath, which never fails.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The same store as the next process meets it: what the last one left on the wire still arrives.
    #[must_use]
    pub fn with_plan(&self, plan: FaultPlan) -> Self
    where
        T: Clone,
    {
        Self {
            inner: self.inner.clone(),
            plan,
            wire: Arc::clone(&self.wire),
        }
    }

    /// Does one operation with what the plan has for it, where that suits any operation.
    async fn run<R>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<R, StorageError>>,
    ) -> Result<R, StorageError> {
        self.run_verdict(operation, self.plan.next(operation), work)
            .await
    }

    async fn run_verdict<R>(
        &self,
        operation: &'static str,
        verdict: Verdict,
        work: impl Future<Output = Result<R, StorageError>>,
    ) -> Result<R, StorageError> {
        match verdict {
            Verdict::Dead | Verdict::Crash(Crash::Before) => Err(dead(operation)),
            Verdict::Crash(Crash::After | Crash::Late(_)) => {
                let _ = work.await;
                Err(dead(operation))
            }
            Verdict::Fault(Fault::Fail(kind)) => Err(injected(kind, operation, "made to fail")),
            Verdict::Fault(Fault::AnswerLost) => {
                let _ = work.await;
                Err(answer_lost(operation))
            }
            Verdict::Fault(Fault::Slow(delay)) => {
                self.wait(operation, delay / 2).await?;
                let answer = work.await;
                self.wait(operation, delay - delay / 2).await?;
                answer
            }
            Verdict::Pass | Verdict::Fault(_) => work.await,
        }
    }

    /// Waits, unless the process dies meanwhile.
    async fn wait(&self, operation: &'static str, delay: Duration) -> Result<(), StorageError> {
        tokio::time::sleep(delay).await;
        match self.plan.is_dead() {
            true => Err(dead(operation)),
            false => Ok(()),
        }
    }

    fn wire(&self) -> MutexGuard<'_, Vec<LateBatch>> {
        self.wire
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl<T: TableStore> Failing<T> {
    /// Lets everything arrive that is still on the wire, in the order it was sent; returns how many batches that were.
    pub async fn settle(&self) -> usize {
        let late = std::mem::take(&mut *self.wire());
        self.arrive(&late).await;
        late.len()
    }

    async fn arrive(&self, late: &[LateBatch]) {
        for batch in late {
            if self.plan.refuses(&batch.items) {
                continue;
            }
            // Nobody waits for this answer.
            let _ = self.inner.put_batch(&batch.table, &batch.items).await;
        }
    }

    /// Puts a batch on the wire.
    fn send_late(&self, table: &TableShape, items: &[PutItem], landing: Landing) {
        let due = match landing {
            Landing::AfterBatches(batches) => Due::AfterBatches(batches),
            Landing::AfterTime(delay) => Due::At(tokio_now() + delay),
        };
        self.wire().push(LateBatch {
            table: table.clone(),
            items: items.to_vec(),
            due,
        });
    }

    /// Lets those batches arrive whose time has come.
    async fn arrive_due(&self) {
        let now = tokio_now();
        let due: Vec<LateBatch> = self
            .wire()
            .extract_if(.., |batch| match batch.due {
                Due::AfterBatches(batches) => batches == 0,
                Due::At(time) => time <= now,
            })
            .collect();
        self.arrive(&due).await;
    }

    /// What the store does with a batch that reaches it now, when it takes at most `limit` of the items.
    async fn carry_out(
        &self,
        table: &TableShape,
        items: &[PutItem],
        limit: usize,
    ) -> Result<Vec<usize>, StorageError> {
        self.arrive_due().await;
        let answer = self.answer(table, items, limit).await;
        for batch in self.wire().iter_mut() {
            if let Due::AfterBatches(batches) = &mut batch.due {
                *batches = batches.saturating_sub(1);
            }
        }
        self.arrive_due().await;
        answer
    }

    async fn answer(
        &self,
        table: &TableShape,
        items: &[PutItem],
        limit: usize,
    ) -> Result<Vec<usize>, StorageError> {
        if self.plan.refuses(items) {
            return Err(injected(
                ErrorKind::Refused,
                "BatchWriteItem",
                "an item is not to the store's liking",
            ));
        }
        let admitted = self.plan.admit(limit.min(items.len()));
        self.write_some(table, items, admitted).await
    }

    /// Writes `count` of the items, chosen at random, and hands back the others.
    async fn write_some(
        &self,
        table: &TableShape,
        items: &[PutItem],
        count: usize,
    ) -> Result<Vec<usize>, StorageError> {
        if count >= items.len() {
            return self.inner.put_batch(table, items).await;
        }
        if count == 0 {
            return Err(injected(
                ErrorKind::Throttled,
                "BatchWriteItem",
                "throughput exceeds what the table takes",
            ));
        }
        let chosen = self.plan.choose(count, items.len());
        let some: Vec<PutItem> = chosen.iter().map(|at| items[*at].clone()).collect();
        let left = self.inner.put_batch(table, &some).await?;
        let written = |position: &usize| match chosen.binary_search(position) {
            Ok(at) => !left.contains(&at),
            Err(_) => false,
        };
        Ok((0..items.len())
            .filter(|position| !written(position))
            .collect())
    }
}

impl<T: TableStore> TableStore for Failing<T> {
    async fn describe(&self, table: &str) -> Result<TableShape, StorageError> {
        self.run("DescribeTable", self.inner.describe(table)).await
    }

    async fn put_batch(
        &self,
        table: &TableShape,
        items: &[PutItem],
    ) -> Result<Vec<usize>, StorageError> {
        const OPERATION: &str = "BatchWriteItem";
        match self.plan.next(OPERATION) {
            Verdict::Fault(Fault::Late(landing)) => {
                self.send_late(table, items, landing);
                Err(answer_lost(OPERATION))
            }
            Verdict::Crash(Crash::Late(landing)) => {
                self.send_late(table, items, landing);
                Err(dead(OPERATION))
            }
            Verdict::Fault(Fault::Unprocessed(count)) => {
                let limit = items.len().saturating_sub(count);
                self.carry_out(table, items, limit).await
            }
            Verdict::Fault(Fault::PartlyDone(count)) => {
                // Whatever the store answers, the caller does not hear it.
                let _ = self.carry_out(table, items, count).await;
                Err(answer_lost(OPERATION))
            }
            verdict => {
                let work = self.carry_out(table, items, usize::MAX);
                self.run_verdict(OPERATION, verdict, work).await
            }
        }
    }
}

impl<T: ObjectStore> ObjectStore for Failing<T> {
    async fn open(&self, object: &ObjectId, from: u64) -> Result<ObjectBody, StorageError> {
        const OPERATION: &str = "GetObject";
        let verdict = self.plan.next(OPERATION);
        let fault = match &verdict {
            Verdict::Fault(fault) => Some(fault.clone()),
            _ => None,
        };
        let mut opened = self
            .run_verdict(OPERATION, verdict, self.inner.open(object, from))
            .await?;
        opened.content = mortal(opened.content, self.plan.clone());
        opened.content = match fault {
            Some(Fault::BodyError(after)) => cut(opened.content, after)
                .chain(stream::once(async {
                    Err(injected(
                        ErrorKind::Unanswered,
                        OPERATION,
                        "the body broke off",
                    ))
                }))
                .boxed_local(),
            Some(Fault::BodyStall(after)) => cut(opened.content, after)
                .chain(stream::pending())
                .boxed_local(),
            Some(Fault::BodyEnd(after)) => cut(opened.content, after),
            _ => opened.content,
        };
        Ok(opened)
    }

    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        self.run("PutObject", self.inner.put(bucket, key, body))
            .await
    }

    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError> {
        self.run(
            "CreateMultipartUpload",
            self.inner.begin_upload(bucket, key),
        )
        .await
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError> {
        self.run("UploadPart", self.inner.upload_part(upload, number, body))
            .await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
    ) -> Result<(), StorageError> {
        self.run(
            "CompleteMultipartUpload",
            self.inner.complete_upload(upload, parts),
        )
        .await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StorageError> {
        self.run("AbortMultipartUpload", self.inner.abort_upload(upload))
            .await
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.run("ListObjectsV2", self.inner.list(bucket, prefix))
            .await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), StorageError> {
        self.run("DeleteObject", self.inner.delete(bucket, key))
            .await
    }
}

impl<T: Ledger> Ledger for Failing<T> {
    async fn read(&self, job: &str, part: &str) -> Result<Option<LedgerRow>, StorageError> {
        self.run("GetItem", self.inner.read(job, part)).await
    }

    async fn write(&self, row: &LedgerRow) -> Result<(), StorageError> {
        self.run("PutItem", self.inner.write(row)).await
    }

    async fn open_jobs(&self, kind: &str) -> Result<Vec<(String, String)>, StorageError> {
        self.run("Query", self.inner.open_jobs(kind)).await
    }
}

impl<T: Notices> Notices for Failing<T> {
    async fn send(&self, message: &str) -> Result<(), StorageError> {
        self.run("SendMessage", self.inner.send(message)).await
    }
}

/// The first `bytes` bytes of a body.
fn cut(content: Content, bytes: u64) -> Content {
    stream::unfold((content, bytes), |(mut content, left)| async move {
        if left == 0 {
            return None;
        }
        let mut next = content.next().await?;
        let mut rest = left;
        if let Ok(chunk) = &mut next {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            rest -= chunk.len() as u64;
        }
        Some((next, (content, rest)))
    })
    .boxed_local()
}

/// A body that no dead process reads from.
fn mortal(content: Content, plan: FaultPlan) -> Content {
    content
        .map(move |chunk| match plan.is_dead() {
            true => Err(dead("GetObject")),
            false => chunk,
        })
        .boxed_local()
}

fn dead(operation: &'static str) -> StorageError {
    injected(ErrorKind::Unanswered, operation, "the process has died")
}

fn answer_lost(operation: &'static str) -> StorageError {
    injected(ErrorKind::Unanswered, operation, "the answer was lost")
}

fn injected(kind: ErrorKind, operation: &'static str, message: &str) -> StorageError {
    StorageError::new(kind, operation, "the failing store", message)
}
