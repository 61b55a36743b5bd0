//! Promise 4: memory does not grow with the input. Alone in its file, so that no other test shares the process.

#[path = "suite/world/mod.rs"]
mod world;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use csv_ingester::{Dependencies, Invocation, Outcome, handle};
use lambda_support::peak_memory_bytes;
use records::TableShape;
use storage::memory::{EndlessObjects, MemoryLedger, MemoryQueue};
use storage::{Clock, PutItem, StorageError, TableStore, TestClock};
use world::{World, notification, run_paused, shape};

const MB: u64 = 1_000_000;
/// No part is larger.
const MAX_PART_BYTES: usize = 16 * 1024 * 1024;

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

/// So many bytes of an inbox object, or a few less.
fn chunks(bytes: u64) -> impl Iterator<Item = Bytes> {
    let mut left = bytes;
    (0..).map(chunk).map_while(move |chunk| {
        let whole = left >= chunk.len() as u64;
        left = left.saturating_sub(chunk.len() as u64);
        whole.then_some(chunk)
    })
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
            objects: Rc::new(EndlessObjects::new(MAX_PART_BYTES, move || chunks(bytes))),
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
