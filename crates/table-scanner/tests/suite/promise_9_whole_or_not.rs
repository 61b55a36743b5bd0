//! Promise 9, of scans: a scan is COMPLETED when the lake has what its segments wrote, and nothing else beside it.

use bytes::Bytes;
use serde_json::{Value as Json, json};
use storage::failing::FaultPlan;
use storage::{ObjectStore, StorageError};

use crate::simulation::{JOB, LAKE, Setting, World};

async fn finish(world: &World) -> Json {
    let event = json!({"action": "finish", "job": JOB});
    let answer = world.invoke(&event, &FaultPlan::seeded(1), 900).await;
    let report = answer.expect("nobody crashes").expect("nothing fails");
    serde_json::to_value(report).expect("an answer is JSON")
}

/// A scan whose segments are all read, and of which nobody has asked yet whether it is whole; and the keys of its objects.
async fn scanned(format: &'static str, items: u32, split_bytes: u64) -> (World, Vec<String>) {
    let setting = Setting {
        format,
        items,
        segments: 2,
        split_bytes,
        read_units: 0,
        late_of_1000: 0,
    };
    let world = World::new(1, setting);
    world.begin_in_calm().await;
    for segment in 0..setting.segments {
        let event = json!({"action": "scan", "job": JOB, "segment": segment});
        let answer = world.invoke(&event, &FaultPlan::seeded(1), 900).await;
        let report = answer.expect("nobody crashes").expect("nothing fails");
        let report = serde_json::to_value(report).expect("an answer is JSON");
        assert_eq!(report["status"], "COMPLETED", "{report}");
    }
    let keys = world.lake.inner().snapshot(LAKE).into_keys();
    let keys = keys.filter(|key| key.contains("segment-")).collect();
    (world, keys)
}

async fn put(world: &World, key: &str, body: impl Into<Bytes>) -> Result<(), StorageError> {
    world.lake.inner().put(LAKE, key, body.into()).await
}

/// The scan is FAILED with these words, and nothing in the lake says that it is whole.
async fn refused(world: &World, words: &str) {
    let end = finish(world).await;
    assert_eq!(end["status"], "FAILED", "{end}");
    let message = end["message"].as_str().expect("a sentence");
    assert!(message.contains(words), "{message}");
    assert_eq!(end["failed_segments"], json!([]));
    let row = world.scan_row();
    assert_eq!(row.error_message.as_deref(), Some(message));
    let keys = world.lake.inner().snapshot(LAKE).into_keys();
    let said: Vec<String> = keys
        .filter(|key| key.contains("_SUCCESS") || key.contains("complete"))
        .collect();
    assert_eq!(said, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn promise_9_what_lies_beside_the_segments_objects_keeps_a_scan_from_being_whole() {
    for format in ["json-lines", "changes"] {
        let (world, keys) = scanned(format, 60, 500).await;
        assert!(keys.len() > 4, "{keys:?}");
        let last = keys.last().expect("there are objects");
        let lake = world.lake.inner();

        let strange = last.replace("segment-0001-", "segment-0001-9");
        let of_more_segments = last.replace("segment-0001-", "segment-10000-");
        let as_another_kind = last.replace(".jsonl.gz", ".jsonl");
        for key in [&of_more_segments, &as_another_kind, &strange] {
            put(&world, key, "x").await.expect("memory");
            let expected = format!("{key} is of no segment of this scan: expected only");
            refused(&world, &expected).await;
            lake.delete(LAKE, key).await.expect("memory");
        }

        let whole = lake.content(LAKE, last).expect("it is there");
        put(&world, last, whole.slice(1..)).await.expect("memory");
        let expected = format!(
            "{last} has {} bytes: expected {}",
            whole.len() - 1,
            whole.len()
        );
        refused(&world, &expected).await;
        lake.delete(LAKE, last).await.expect("memory");
        refused(&world, &format!("{last} is not there: expected")).await;
        put(&world, last, whole).await.expect("memory");

        // Of other scans in the same hour, whose names begin like this one's.
        let other = |name: &str| last.replace("/one-segment-", &format!("/{name}-segment-"));
        for key in [
            &other("one-segment-two"),
            &other("one-segment"),
            &other("one-segment-0000"),
            &other("one-segment-0000-00000"),
            &other("one-segment-0000-00000.jsonl.gz"),
            &last.replace("offers", "offers2"),
        ] {
            if key != last {
                put(&world, key, "x").await.expect("memory");
            }
        }
        let end = finish(&world).await;
        assert_eq!(end["status"], "COMPLETED", "{end}");
        // What is COMPLETED stays so, and is said again.
        put(&world, &strange, "x").await.expect("memory");
        assert_eq!(finish(&world).await, end);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_of_more_objects_than_a_row_lists_none_may_be_missing_or_cut() {
    let (world, keys) = scanned("json-lines", 600, 1).await;
    let listed: Vec<String> = world
        .parts()
        .into_iter()
        .flat_map(|part| part.objects)
        .map(|object| object.key)
        .collect();
    let first = &keys[0];
    assert!(
        !listed.contains(first),
        "{} of {}",
        listed.len(),
        keys.len()
    );
    let lake = world.lake.inner();
    let whole = lake.content(LAKE, first).expect("it is there");
    lake.delete(LAKE, first).await.expect("memory");
    refused(&world, &format!("{first} is not there: expected it")).await;
    put(&world, first, whole.slice(1..)).await.expect("memory");
    refused(&world, " bytes together: expected ").await;
    put(&world, first, whole).await.expect("memory");
    assert_eq!(finish(&world).await["status"], "COMPLETED");
}
