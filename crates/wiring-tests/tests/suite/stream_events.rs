//! The `stream-…` files of `events/` mean what `events/README.md` says.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use lambda_support::Environment;
use records::changes::{ChangeKind, StreamRecord};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use storage::memory::MemoryObjects;
use storage::{Clock, TestClock};
use stream_writer::{Config, Dependencies, handle};
use wiring_tests::read;

/// What the local cloud calls the target table of a stack called `transload`.
const TABLE: &str = "transload-TargetTable-99AC6B13704B5";
const LAKE: &str = "transload-lake-000000000000";

/// The objects of the lake, as text, after stream-writer was invoked with a file.
async fn lake_after(name: &str) -> BTreeMap<String, String> {
    let event: Box<RawValue> =
        serde_json::from_str(&read(format!("events/{name}"))).expect("the event is JSON");
    let environment = Environment::from([("TABLE_NAME", TABLE), ("LAKE_BUCKET", LAKE)]);
    let dependencies = Dependencies {
        objects: MemoryObjects::new().with_bucket(LAKE),
        clock: TestClock::default(),
        config: Config::read(&environment).expect("complete"),
    };
    let deadline = dependencies.clock.now().plus(Duration::from_secs(120));
    let answer = handle(&event, deadline, &dependencies).await;
    let answer = answer.expect("a batch is answered");
    assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
    let objects = dependencies.objects.snapshot(LAKE);
    objects
        .into_iter()
        .map(|(key, body)| {
            let mut text = String::new();
            match key.ends_with(".gz") {
                true => MultiGzDecoder::new(&body[..]).read_to_string(&mut text),
                false => (&body[..]).read_to_string(&mut text),
            }
            .expect("text");
            (key, text)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_changes_are_logged_under_their_hours() {
    let lake = lake_after("stream-changes.json").await;
    let folder = format!("changes/table={TABLE}/source=stream/dt=2026-01-09");
    let padded = |last| format!("{:0>40}", format!("70000000000088874700{last}"));
    let names = [
        format!(
            "{folder}/hour=11/{}-c9fbe7d0261a5163fcb6940593e41797.jsonl.gz",
            padded(1)
        ),
        format!(
            "{folder}/hour=12/{}-0e6a4b93f7d84f0c8b1d2a3c4e5f6071.jsonl.gz",
            padded(3)
        ),
    ];
    assert_eq!(
        lake.keys().collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
    let lines: Vec<&str> = lake.values().flat_map(|text| text.lines()).collect();
    let sample = read("events/stream-changes.json");
    let records: Vec<&str> = sample
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| line.starts_with("{\"eventID\""))
        .collect();
    assert_eq!(lines, records);

    let kinds = lines
        .iter()
        .map(|line| StreamRecord::parse(line).expect("a record").kind);
    use ChangeKind::{Insert, Modify, Remove};
    assert_eq!(kinds.collect::<Vec<_>>(), [Insert, Modify, Remove, Remove]);
    // Time to live removed the last one, a user the one before it.
    let identity =
        |line| serde_json::from_str::<Value>(line).expect("JSON")["userIdentity"].clone();
    assert_eq!(identity(lines[2]), Value::Null);
    assert_eq!(
        identity(lines[3]),
        json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"})
    );
    for kind in ["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"] {
        assert!(lines[0].contains(&format!("{{\"{kind}\":")), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_bad_record_is_set_aside_with_its_reason_and_the_good_one_is_logged() {
    let lake = lake_after("stream-bad-records.json").await;
    let logged: Vec<&String> = lake
        .keys()
        .filter(|key| key.starts_with("changes/"))
        .collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(lake[logged[0]].lines().count(), 1);
    assert!(
        logged[0].ends_with("-66666666666666666666666666666666.jsonl.gz"),
        "{logged:?}"
    );
    let folder = format!("unprocessed/changes/table={TABLE}/");
    let mut reasons: Vec<(String, String)> = lake
        .iter()
        .filter(|(key, _)| key.starts_with(&folder))
        .map(|(_, kept)| serde_json::from_str::<Value>(kept).expect("JSON"))
        .map(|kept| {
            (
                kept["record"]["eventID"].to_string(),
                kept["reason"].to_string(),
            )
        })
        .collect();
    reasons.sort();
    let expected = [
        ("1111", "dynamodb is missing"),
        ("2222", "dynamodb.SequenceNumber is missing"),
        ("3333", "eventName is "),
        ("4444", "the record is of the table somebody-elses"),
        ("5555", "dynamodb.Keys is "),
        ("shardId-", "eventSource is "),
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
    for ((id, reason), (id_start, reason_start)) in reasons.iter().zip(expected) {
        assert!(
            id.starts_with(&format!("\"{id_start}"))
                && reason.starts_with(&format!("\"{reason_start}")),
            "{id}: {reason}, expected {reason_start}"
        );
    }
    assert_eq!(lake.len(), 1 + expected.len());
}
