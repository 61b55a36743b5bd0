//! Promise 4: memory does not grow with the input. Alone in its file, so that no other test shares the process.

#[path = "suite/world/mod.rs"]
mod world;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use csv_ingester::{Dependencies, Invocation, Outcome, handle};
use futures_util::{StreamExt, stream};
use lambda_support::peak_memory_bytes;
use records::TableShape;
use storage::memory::{MemoryLedger, MemoryQueue};
use storage::{
    Clock, ListedObject, ObjectBody, ObjectId, ObjectMeta, ObjectStore, PutItem, StorageError,
    TableStore, TestClock, Upload, UploadedPart,
};
use world::{World, notification, run_paused, shape};

const MB: u64 = 1_000_000;

/// An inbox object of any size that is made while it is read, and a lake that forgets what it is given.
struct EndlessObjects {
    bytes: u64,
}

/// Many more than the table takes while the next chunk comes.
const CHUNK_ROWS: u64 = 10_000;

fn chunk(number: u64) -> Bytes {
    let mut text = String::new();
    if number == 0 {
        text.push_str("id,seq,rank,v\n");
    }
    for row in number * CHUNK_ROWS..(number + 1) * CHUNK_ROWS {
        text.push_str(&format!(
            "account-{:08},{row},{},some text that a row of this kind has; number {row}\n",
            row % 5_000,
            row % 9
        ));
    }
    Bytes::from(text)
}

impl ObjectStore for EndlessObjects {
    async fn open(&self, _: &ObjectId, from: u64) -> Result<ObjectBody, StorageError> {
        assert_eq!(from, 0, "nothing breaks here");
        let mut left = self.bytes;
        let chunks = (0..).map(chunk).map_while(move |chunk| {
            let whole = left >= chunk.len() as u64;
            left = left.saturating_sub(chunk.len() as u64);
            whole.then_some(Ok(chunk))
        });
        let mut size = 0;
        for number in 0.. {
            let len = chunk_len(number);
            if size + len > self.bytes {
                break;
            }
            size += len;
        }
        Ok(ObjectBody {
            meta: ObjectMeta {
                size,
                etag: "e".to_owned(),
                metadata: Default::default(),
            },
            content: stream::iter(chunks).boxed_local(),
        })
    }

    async fn put(&self, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put_new(&self, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put_replacing(&self, _: &str, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError> {
        Ok(Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id: "u".to_owned(),
        })
    }

    async fn upload_part(
        &self,
        _: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError> {
        assert!(
            body.len() < 16 * 1024 * 1024,
            "a part of {} bytes",
            body.len()
        );
        Ok(UploadedPart {
            number,
            etag: "e".to_owned(),
        })
    }

    async fn complete_upload(&self, _: &Upload, _: Vec<UploadedPart>) -> Result<(), StorageError> {
        Ok(())
    }

    async fn abort_upload(&self, _: &Upload) -> Result<(), StorageError> {
        Ok(())
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<ListedObject>, StorageError> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), StorageError> {
        Ok(())
    }
}

fn chunk_len(number: u64) -> u64 {
    chunk(number).len() as u64
}

/// A table that takes its time, so that rows pile up in front of it as far as they may.
struct SlowTables;

impl TableStore for SlowTables {
    async fn describe(&self, _: &str) -> Result<TableShape, StorageError> {
        Ok(shape())
    }

    async fn put_batch(&self, _: &TableShape, _: &[PutItem]) -> Result<Vec<usize>, StorageError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(Vec::new())
    }
}

fn peak_after(bytes: u64) -> u64 {
    run_paused(async {
        let world = World::new(50_000);
        let clock = TestClock::default();
        let dependencies = Dependencies {
            objects: Rc::new(EndlessObjects { bytes }),
            tables: SlowTables,
            ledger: MemoryLedger::new(),
            notices: MemoryQueue::new(),
            clock,
            config: world.config.clone(),
        };
        let invocation = Invocation {
            deadline: clock.now().plus(Duration::from_secs(900)),
            random: 1,
        };
        let object = world.upload("");
        let report = handle(&notification(&object, "1"), invocation, &dependencies).await;
        let report = report.expect("nothing fails");
        assert_eq!(report.objects[0].outcome, Outcome::Completed);
        assert!(
            report.objects[0].counts.read * 60 > bytes / 2,
            "the rows were read"
        );
        peak_memory_bytes()
    })
}

#[test]
fn promise_4_memory_is_the_same_for_any_size() {
    peak_after(MB);
    let medium = peak_after(15 * MB);
    let large = peak_after(60 * MB);
    assert!(
        large < medium + 6 * MB,
        "15 MB of input: {medium} bytes of memory; 60 MB: {large}"
    );
    assert!(large < 100 * MB, "{large} bytes");
}
