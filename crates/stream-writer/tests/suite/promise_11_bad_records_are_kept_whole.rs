//! Promise 11 for a stream: what has no place in the log is kept whole with the reason, and the rest is written.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::{LAKE, TABLE, config, event, lake, log};
use lambda_support::FailureKind;
use serde_json::value::RawValue;
use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::MemoryObjects;
use storage::{Clock, ErrorKind, TestClock};
use stream_writer::{Dependencies, handle};

fn record(number: u64) -> String {
    format!(
        r#"{{"eventID":"e{number}","eventName":"INSERT","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":1768388096.0,"Keys":{{"id":{{"S":"k"}}}},"NewImage":{{"id":{{"S":"k"}}}},"SequenceNumber":"{number}"}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:table/{TABLE}/stream/2026-01-14T00:00:00.000"}}"#
    )
}

/// The identifiers of the answer, or the failure.
async fn invoke(
    objects: Failing<MemoryObjects>,
    event: &RawValue,
    time: Duration,
) -> Result<Vec<String>, lambda_support::Failure> {
    let clock = TestClock::default();
    let dependencies = Dependencies {
        objects,
        clock,
        config: config(),
    };
    let deadline = clock.now().plus(time);
    let answer = handle(event, deadline, &dependencies).await?;
    assert!(clock.now() < deadline);
    Ok(answer
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier.expect("an identifier is there"))
        .collect())
}

/// The records set aside, with their reasons.
fn set_aside(lake: &MemoryObjects) -> BTreeMap<String, String> {
    lake.snapshot(LAKE)
        .into_iter()
        .filter(|(key, _)| key.starts_with("unprocessed/changes/table=offers/"))
        .map(|(_, content)| {
            let kept: BTreeMap<String, Box<RawValue>> =
                serde_json::from_slice(&content).expect("JSON");
            let reason = serde_json::from_str(kept["reason"].get()).expect("a text");
            (kept["record"].get().to_owned(), reason)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn promise_11_each_bad_record_is_kept_whole_with_its_reason_and_the_rest_is_written() {
    let long_key = record(7).replace(
        r#""Keys":{"id":{"S":"k"}}"#,
        &format!(r#""Keys":{{"id":{{"S":"{}"}}}}"#, "k".repeat(2_049)),
    );
    let bad = [
        (
            record(1).replace("\"dynamodb\":", "\"other\":"),
            "dynamodb is missing: expected the change",
        ),
        (
            record(2).replace(r#","SequenceNumber":"2""#, ""),
            "dynamodb.SequenceNumber is missing: expected a text of 1 to 40 digits",
        ),
        (
            record(3).replace("INSERT", "REPLACE"),
            "eventName is \"REPLACE\": expected INSERT, MODIFY or REMOVE",
        ),
        (
            record(4).replace("table/offers/", "table/accounts/"),
            "the record is of the table accounts: expected one of offers",
        ),
        (
            r#"{"kinesis":{"partitionKey":"k","sequenceNumber":"5","data":"e30="},"eventSource":"aws:kinesis","eventID":"shardId-0:5","eventName":"aws:kinesis:record"}"#.to_owned(),
            "eventSource is \"aws:kinesis\": expected aws:dynamodb",
        ),
        (
            record(6).replace("\"e6\"", &format!("\"{}\"", "e".repeat(201))),
            "eventID is",
        ),
        (long_key, "dynamodb.Keys is"),
        (
            record(8).replace(r#""ApproximateCreationDateTime":1768388096.0,"#, ""),
            "dynamodb.ApproximateCreationDateTime is missing: expected seconds since 1970",
        ),
        ("[1]".to_owned(), "the record cannot be read"),
        ("null".to_owned(), "the record cannot be read"),
    ];
    let good = [record(10), record(20)];
    let all = [&good[0]]
        .into_iter()
        .chain(bad.iter().map(|(json, _)| json))
        .chain([&good[1]]);
    let event = event(all.map(String::as_str));
    let lake = lake();
    let store = Failing::new(lake.clone(), FaultPlan::seeded(1));
    for _ in 0..2 {
        let answer = invoke(store.clone(), &event, Duration::from_secs(60)).await;
        assert_eq!(answer.expect("handled"), Vec::<String>::new());
    }
    let lines: Vec<String> = log(&lake).into_values().flatten().collect();
    assert_eq!(lines, good);
    let kept = set_aside(&lake);
    assert_eq!(kept.len(), bad.len());
    for (json, reason) in bad {
        let found = &kept[&json];
        assert!(found.starts_with(reason), "{found}");
        assert!(found.contains("expected"), "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_could_not_be_set_aside_comes_again_with_the_one_before_it() {
    let unnamed = "{}".to_owned();
    let cases = [
        ([record(1), unnamed.clone(), record(3)], Some("1")),
        ([unnamed.clone(), record(2), record(3)], None),
    ];
    for (records, expected) in cases {
        let plan = FaultPlan::seeded(1);
        // The group is the first to be put, what is set aside the second.
        plan.inject("PutObject", 2, Fault::Fail(ErrorKind::Unanswered));
        let store = Failing::new(lake(), plan);
        let event = event(records.iter().map(String::as_str));
        let answer = invoke(store, &event, Duration::from_secs(60)).await;
        match expected {
            Some(number) => assert_eq!(answer.expect("an answer"), [number]),
            None => assert_eq!(
                answer.map_err(|failure| failure.kind),
                Err(FailureKind::Transient)
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_given_up_before_the_deadline() {
    let plan = FaultPlan::seeded(1);
    plan.inject("PutObject", 1, Fault::Slow(Duration::from_secs(600)));
    let store = Failing::new(lake(), plan);
    let event = event([record(5)].iter().map(String::as_str));
    let answer = invoke(store, &event, Duration::from_secs(30)).await;
    assert_eq!(answer.expect("an answer"), ["5"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_under_our_name_that_is_not_ours_is_left_alone() {
    let lake = lake();
    let store = Failing::new(lake.clone(), FaultPlan::seeded(1));
    let event = event([record(5)].iter().map(String::as_str));
    invoke(store.clone(), &event, Duration::from_secs(60))
        .await
        .expect("an answer");
    let (key, _) = lake.snapshot(LAKE).pop_first().expect("an object");
    lake.seed(LAKE, &key, "no gzip", &[]);
    let answer = invoke(store, &event, Duration::from_secs(60)).await;
    assert_eq!(answer.expect("an answer"), ["5"]);
    assert_eq!(lake.content(LAKE, &key).as_deref(), Some(&b"no gzip"[..]));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_batch_is_said_to_be_none() {
    for json in [r#"{"sweep":true}"#, "[]", r#"{"Records":{}}"#, "7"] {
        let event = RawValue::from_string(json.to_owned()).expect("JSON");
        let store = Failing::new(lake(), FaultPlan::seeded(1));
        let failure = invoke(store, &event, Duration::from_secs(60))
            .await
            .expect_err(json);
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(
            failure.message.contains("expected {\"Records\": […]}"),
            "{failure}"
        );
    }
}
