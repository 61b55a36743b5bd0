use bytes::Bytes;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use records::{Item, TableShape};

use super::plan::{Fault, FaultPlan, Verdict};
use super::store::{Failing, Write, dead, injected};
use crate::{
    Condition, ErrorKind, Execution, ImportProgress, IndexEntries, IndexPage, ItemStore, ItemWrite,
    Ledger, LedgerRow, ListedObject, Notices, ObjectBody, ObjectId, ObjectStore, PutItem, ScanPage,
    Scanned, StorageError, StreamDescription, TableIdentity, TableImports, TableStore, Timestamp,
    Upload, UploadedPart, Workflows, WriteOutcome,
};

/// What has to be under an object's key for it to be put there.
#[derive(Debug, Clone)]
enum PutWhere {
    Any,
    None,
    /// The object with this ETag.
    Replaced(String),
}

type Content = LocalBoxStream<'static, Result<Bytes, StorageError>>;

impl<T: TableStore> Failing<T> {
    /// What the store does with a batch that reaches it now, when it takes at most `limit` of the items.
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
        let verdict = self.postpone(OPERATION, self.plan.next(OPERATION), || {
            late_batch(table, items)
        })?;
        let (verdict, limit) = match verdict {
            Verdict::Fault(Fault::Unprocessed(count)) => {
                (Verdict::Pass, items.len().saturating_sub(count))
            }
            // Whatever the store answers, the caller does not hear it.
            Verdict::Fault(Fault::PartlyDone(count)) => (Verdict::Fault(Fault::AnswerLost), count),
            verdict => (verdict, usize::MAX),
        };
        let work = self.counted(self.answer(table, items, limit));
        self.run_verdict(OPERATION, verdict, work).await
    }
}

impl<T: ObjectStore> Failing<T> {
    async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        body: Bytes,
        there: PutWhere,
    ) -> Result<(), StorageError> {
        const OPERATION: &str = "PutObject";
        let verdict = self.postpone(OPERATION, self.plan.next(OPERATION), || {
            late_object(bucket, key, &body, &there)
        })?;
        let work = self.counted(write_object(&self.inner, bucket, key, body, &there));
        self.run_verdict(OPERATION, verdict, work).await
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
        self.put_object(bucket, key, body, PutWhere::Any).await
    }

    async fn put_new(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        self.put_object(bucket, key, body, PutWhere::None).await
    }

    async fn put_replacing(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        body: Bytes,
    ) -> Result<(), StorageError> {
        let there = PutWhere::Replaced(etag.to_owned());
        self.put_object(bucket, key, body, there).await
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

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ListedObject>, StorageError> {
        self.run("ListObjectsV2", self.inner.list(bucket, prefix))
            .await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), StorageError> {
        self.run("DeleteObject", self.inner.delete(bucket, key))
            .await
    }
}

impl<T: ItemStore> ItemStore for Failing<T> {
    async fn scan_page(
        &self,
        table: &TableShape,
        page: &ScanPage,
    ) -> Result<Scanned, StorageError> {
        self.run("Scan", self.inner.scan_page(table, page)).await
    }

    async fn index_page(
        &self,
        table: &TableShape,
        page: &IndexPage,
    ) -> Result<IndexEntries, StorageError> {
        self.run("Query", self.inner.index_page(table, page)).await
    }

    async fn item(&self, table: &TableShape, key: &Item) -> Result<Option<Item>, StorageError> {
        self.run("GetItem", self.inner.item(table, key)).await
    }

    async fn write_if(
        &self,
        table: &TableShape,
        write: &ItemWrite,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let operation = write.operation();
        let verdict = self.plan.next(operation);
        let work = self.inner.write_if(table, write, condition);
        if !matches!(write, ItemWrite::Update { .. }) {
            return self.run_verdict(operation, verdict, work).await;
        }
        let verdict = self.postpone(operation, verdict, || late_update(table, write, condition))?;
        self.run_verdict(operation, verdict, self.counted(work))
            .await
    }

    async fn stream(&self, table: &str) -> Result<Option<StreamDescription>, StorageError> {
        self.run("DescribeTable", self.inner.stream(table)).await
    }

    async fn created(&self, table: &str) -> Result<Timestamp, StorageError> {
        self.run("DescribeTable", self.inner.created(table)).await
    }

    async fn item_count(&self, table: &str) -> Result<u64, StorageError> {
        self.run("DescribeTable", self.inner.item_count(table))
            .await
    }

    async fn identity(&self, table: &str) -> Result<TableIdentity, StorageError> {
        self.run("DescribeTable", self.inner.identity(table)).await
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

impl<T: Workflows> Workflows for Failing<T> {
    async fn start(
        &self,
        machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<String, StorageError> {
        self.run("StartExecution", self.inner.start(machine_arn, name, input))
            .await
    }

    async fn execution(&self, execution_arn: &str) -> Result<Execution, StorageError> {
        self.run("DescribeExecution", self.inner.execution(execution_arn))
            .await
    }
}

impl<T: TableImports> TableImports for Failing<T> {
    async fn newest_import(&self, table_arn: &str) -> Result<Option<ImportProgress>, StorageError> {
        self.run("ListImports", self.inner.newest_import(table_arn))
            .await
    }
}

impl<T: Notices> Notices for Failing<T> {
    async fn send(&self, message: &str) -> Result<(), StorageError> {
        self.run("SendMessage", self.inner.send(message)).await
    }
}

fn late_batch<T: TableStore>(table: &TableShape, items: &[PutItem]) -> Write<T> {
    let (table, items) = (table.clone(), items.to_vec());
    Box::new(move |store, plan| {
        async move {
            if !plan.refuses(&items) {
                let _ = store.put_batch(&table, &items).await;
            }
        }
        .boxed_local()
    })
}

fn late_object<T: ObjectStore>(
    bucket: &str,
    key: &str,
    body: &Bytes,
    there: &PutWhere,
) -> Write<T> {
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    let (body, there) = (body.clone(), there.clone());
    Box::new(move |store, _| {
        async move {
            let _ = write_object(store, &bucket, &key, body, &there).await;
        }
        .boxed_local()
    })
}

async fn write_object(
    store: &impl ObjectStore,
    bucket: &str,
    key: &str,
    body: Bytes,
    there: &PutWhere,
) -> Result<(), StorageError> {
    match there {
        PutWhere::Any => store.put(bucket, key, body).await,
        PutWhere::None => store.put_new(bucket, key, body).await,
        PutWhere::Replaced(etag) => store.put_replacing(bucket, key, etag, body).await,
    }
}

fn late_update<T: ItemStore>(
    table: &TableShape,
    write: &ItemWrite,
    condition: &Condition,
) -> Write<T> {
    let (table, write, condition) = (table.clone(), write.clone(), condition.clone());
    Box::new(move |store, _| {
        async move {
            let _ = store.write_if(&table, &write, &condition).await;
        }
        .boxed_local()
    })
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
