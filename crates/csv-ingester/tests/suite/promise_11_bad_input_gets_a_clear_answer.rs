//! Promise 11: bad input gets one clear answer that names the object, the place and what was expected; everything else goes in.

use std::io::Write;
use std::time::Duration;

use crate::world::{INBOX, KEY, LAKE, World, notification, run_paused};
use csv_ingester::Outcome;
use lambda_support::FailureKind;
use serde_json::json;
use storage::failing::{Fault, FaultPlan};
use storage::{ErrorKind, ObjectId};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

/// Uploads, invokes twice, and expects a job that failed once and for all: the message, and the world.
async fn fails(
    body: impl Into<bytes::Bytes>,
    metadata: &[(&str, &str)],
    mapping: Option<&str>,
) -> (String, World) {
    let world = World::new(50);
    if let Some(mapping) = mapping {
        world
            .objects
            .seed(LAKE, "mappings/m.json", mapping.to_owned(), &[]);
    }
    let object = world.objects.seed(INBOX, KEY, body, metadata);
    let event = notification(&object, "10");
    let report = world.invoke_well(&event).await;
    assert_eq!(report.objects[0].outcome, Outcome::Failed);
    let again = world.invoke_well(&event).await;
    assert_eq!(
        again.objects[0].outcome,
        Outcome::AlreadyDone,
        "a repeat does nothing"
    );
    let messages = world.queue.messages();
    assert_eq!(messages.len(), 1, "one message: {messages:?}");
    let message: serde_json::Value = serde_json::from_str(&messages[0]).expect("JSON");
    let text = message["error_message"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert!(
        text.contains(&format!("s3://{INBOX}/{KEY}")),
        "it names the object: {text}"
    );
    assert!(
        text.contains("expected"),
        "it says what was expected: {text}"
    );
    let job = world.job_row("10").attributes;
    assert_eq!(job["processing_status"], "FAILED");
    assert_eq!(job["error_message"], text.as_str());
    assert!(
        world.ledger.rows().iter().all(|row| row.open.is_none()),
        "nothing is left to sweep"
    );
    (text, world)
}

/// Name, file, its metadata, the row mapping `m.json`, words of the message.
type Case = (
    &'static str,
    Vec<u8>,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
    &'static [&'static str],
);

#[test]
fn promise_11_an_input_that_can_never_succeed_fails_once_with_one_message() {
    run_paused(async {
        let zip = b"PK\x03\x04rest of an archive".to_vec();
        let cases: Vec<Case> = vec![
            ("empty file", Vec::new(), &[], None, &["header"]),
            (
                "only a byte order mark",
                b"\xef\xbb\xbf".to_vec(),
                &[],
                None,
                &["header"],
            ),
            (
                "duplicate column",
                b"id,seq,v,v\n".to_vec(),
                &[],
                None,
                &["v", "3", "4"],
            ),
            (
                "column without a name",
                b"id,seq,,v\n".to_vec(),
                &[],
                None,
                &["column 3"],
            ),
            (
                "no key column",
                b"id,v\na,b\n".to_vec(),
                &[],
                None,
                &["seq", "id, v"],
            ),
            ("zip archive", zip, &[], None, &["zip", "CSV"]),
            (
                "unclosed header",
                b"id,\"seq\n1,2\n".to_vec(),
                &[],
                None,
                &["id"],
            ),
            (
                "mapping is not there",
                b"id,seq\na,1\n".to_vec(),
                &[("transload-mapping", "gone.json")],
                None,
                &["mappings/gone.json"],
            ),
            (
                "mapping is wrong",
                b"id,seq\na,1\n".to_vec(),
                &[("transload-mapping", "m.json")],
                Some("{\"colums\": {}}"),
                &["mappings/m.json", "colums"],
            ),
            (
                "mapping names no column",
                b"id,seq\na,1\n".to_vec(),
                &[("transload-mapping", "m.json")],
                Some("{\"columns\": {\"price\": {\"type\": \"N\"}}}"),
                &["price"],
            ),
            (
                "index key of another type",
                b"id,seq,rank\na,1,2\n".to_vec(),
                &[("transload-mapping", "m.json")],
                Some("{\"columns\": {\"rank\": {\"type\": \"BOOL\"}}}"),
                &["rank"],
            ),
        ];
        for (name, body, metadata, mapping, words) in cases {
            let (message, world) = fails(body, metadata, mapping).await;
            for word in words {
                assert!(
                    message.contains(word),
                    "{name}: {message:?} should say {word:?}"
                );
            }
            assert!(world.items().is_empty(), "{name}: nothing is written");
            assert!(
                world.parts("json-copy/").is_empty() && world.parts("unprocessed/").is_empty(),
                "{name}"
            );
        }
    });
}

/// Rows that can be inflated before the break, by another reader.
fn whole_rows(gzip: &[u8]) -> u64 {
    let mut reader = flate2::read::GzDecoder::new(gzip);
    let (mut text, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = std::io::Read::read(&mut reader, &mut byte) {
        text.push(byte[0]);
    }
    // Without the header.
    text.iter().filter(|byte| **byte == b'\n').count() as u64 - 1
}

#[test]
fn promise_11_a_gzip_that_breaks_keeps_and_counts_the_rows_before() {
    run_paused(async {
        let mut text = String::from("id,seq,v\n");
        let mut random = 1_u64;
        for row in 0..3_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push_str(&format!("k{row},1,{random}\n"));
        }
        let whole = gzip(text.as_bytes());
        let truncated = whole[..whole.len() / 2].to_vec();
        let mut lying = whole.clone();
        let last = lying.len() - 6;
        lying[last] ^= 0xff;
        for (name, body) in [("truncated", truncated), ("with a wrong checksum", lying)] {
            let bytes = body.len();
            let broken = body.clone();
            let (message, world) = fails(body, &[], None).await;
            assert!(
                message.contains("gzip") && message.contains("compressed byte"),
                "{name}: {message}"
            );
            if name == "truncated" {
                assert!(
                    message.contains(&bytes.to_string()),
                    "{name}: {message} should say byte {bytes}"
                );
            }
            let job = world.job_row("10").attributes;
            let written = job["rows_written"].as_u64().expect("a count");
            assert_eq!(written, whole_rows(&broken), "{name}");
            assert_eq!(job["rows_read"], written);
            assert_eq!(world.items().len() as u64, written);
            assert_eq!(world.lines("json-copy/").len() as u64, written);
        }
    });
}

#[test]
fn promise_11_bad_rows_are_set_aside_with_their_place_and_the_rest_goes_in() {
    run_paused(async {
        let long_key = "k".repeat(2_049);
        let large = "x".repeat(410_000);
        let digits = "1".repeat(39);
        let rows: Vec<(Vec<u8>, Option<&str>, &str)> = vec![
            (b"a,1,5,one".to_vec(), None, ""),
            (b"b,2,5".to_vec(), None, "3 fields"),
            (b"c,3,5,\xff\xfe".to_vec(), Some("v"), "UTF-8"),
            (b",4,5,v".to_vec(), Some("id"), "empty"),
            (format!("{long_key},5,5,v").into_bytes(), Some("id"), "2048"),
            (format!("d,6,5,{large}").into_bytes(), None, "409600"),
            (b"e,seven,5,v".to_vec(), Some("seq"), "number"),
            (format!("f,{digits},5,v").into_bytes(), Some("seq"), "38"),
            (b"g,9,high,v".to_vec(), Some("rank"), "number"),
            (b"h,10,5,\"two\nlines\"".to_vec(), None, ""),
            (b"i,11,5,\"never closed".to_vec(), None, "quote"),
            (b"j,12,5,last".to_vec(), None, ""),
        ];
        let mut file = b"id,seq,rank,v\n".to_vec();
        let mut expected = Vec::new();
        let mut line = 2;
        for (row, column, word) in &rows {
            if !word.is_empty() {
                expected.push((line, file.len(), *column, *word, row.clone()));
            }
            line += 1 + row.iter().filter(|byte| **byte == b'\n').count();
            file.extend_from_slice(row);
            file.push(b'\n');
        }
        let world = World::new(50);
        let object = world.upload(file.clone());
        let report = world.invoke_well(&notification(&object, "10")).await;
        assert_eq!(report.objects[0].outcome, Outcome::Completed);
        let rejects = world.lines("unprocessed/");
        assert_eq!(rejects.len(), expected.len(), "{rejects:#?}");
        for (reject, (line, offset, column, word, row)) in rejects.iter().zip(&expected) {
            let reason = reject["reason"].as_str().expect("a reason");
            assert_eq!(reject["line"], *line, "{reason}");
            assert_eq!(reject["byte_offset"], *offset, "{reason}");
            assert_eq!(
                reject.get("column").and_then(|name| name.as_str()),
                *column,
                "{reason}"
            );
            assert!(
                reason.replace(',', "").contains(word),
                "{reason:?} should say {word:?}"
            );
            match std::str::from_utf8(row) {
                Ok(text) => assert_eq!(reject["row"], text),
                Err(_) => assert_eq!(reject["row_base64"], records::base64_text(row)),
            }
        }
        let ids: Vec<String> = world
            .items()
            .iter()
            .map(|item| crate::world::text(&item["id"]))
            .collect();
        assert_eq!(ids, ["a", "h", "j"]);
        assert!(world.queue.messages().is_empty());
    });
}

#[test]
fn promise_11_an_object_that_vanished_fails_for_good() {
    run_paused(async {
        let world = World::new(50);
        let gone = ObjectId {
            bucket: INBOX.to_owned(),
            key: KEY.to_owned(),
            version: Some("no-such-version".to_owned()),
            etag: None,
        };
        let report = world.invoke_well(&notification(&gone, "10")).await;
        assert_eq!(report.objects[0].outcome, Outcome::Failed);
        let message = report.objects[0].message.clone().expect("a message");
        assert!(
            message.contains("gone") && message.contains(KEY),
            "{message}"
        );
        assert_eq!(world.queue.messages().len(), 1);
    });
}

/// Without a version, another ETag says that the bytes were replaced: the newer object's own event does the work.
#[test]
fn promise_11_an_object_that_was_replaced_before_it_was_read_is_superseded() {
    run_paused(async {
        let world = World::new(50);
        let older = ObjectId {
            version: None,
            ..world.upload("id,seq\na,1\n")
        };
        let newer = ObjectId {
            version: None,
            ..world.upload("id,seq\nb,1\n")
        };
        let report = world.invoke_well(&notification(&older, "10")).await;
        assert_eq!(report.objects[0].outcome, Outcome::Superseded);
        assert!(world.queue.messages().is_empty() && world.items().is_empty());
        let report = world.invoke_well(&notification(&newer, "11")).await;
        assert_eq!(report.objects[0].outcome, Outcome::Completed);
        assert_eq!(world.items().len(), 1);
    });
}

#[test]
fn promise_11_what_may_get_better_is_an_error_of_the_right_kind_and_the_sweep_goes_on() {
    run_paused(async {
        let cases = [
            ("BatchWriteItem", ErrorKind::Denied, FailureKind::Invalid),
            ("BatchWriteItem", ErrorKind::NotFound, FailureKind::Invalid),
            ("DescribeTable", ErrorKind::NotFound, FailureKind::Invalid),
            (
                "DescribeTable",
                ErrorKind::Unanswered,
                FailureKind::Transient,
            ),
            ("GetObject", ErrorKind::Denied, FailureKind::Invalid),
            ("PutObject", ErrorKind::Unanswered, FailureKind::Transient),
            ("PutObject", ErrorKind::Denied, FailureKind::Invalid),
        ];
        for (operation, kind, expected) in cases {
            let world = World::new(50);
            let object = world.upload("id,seq,v\na,1,x\nb,2,y\n");
            let plan = FaultPlan::seeded(1);
            plan.inject(operation, 1, Fault::Fail(kind));
            let result = world
                .invoke(&plan, &notification(&object, "10"))
                .await
                .expect("no crash");
            let failure = result.expect_err("it has to be an error, so that it is retried");
            assert_eq!(failure.kind, expected, "{operation} {kind:?}: {failure}");
            assert!(failure.message.contains(KEY), "{failure}");
            assert_eq!(
                world.job_row("10").attributes["processing_status"],
                "IN_PROGRESS"
            );
            world.sweep_until_quiet().await;
            assert_eq!(world.items().len(), 2, "{operation} {kind:?}");
            assert!(world.queue.messages().is_empty());
        }
    });
}

#[test]
fn promise_11_attempts_without_any_progress_end_in_a_failure_that_people_see() {
    run_paused(async {
        let world = World::new(50);
        let object = world.upload("id,seq\na,1\n");
        let _ = world.invoke(&denied(), &notification(&object, "10")).await;
        for hour in 0..25 {
            let status = world.job_row("10").attributes["processing_status"].clone();
            assert_eq!(status, "IN_PROGRESS", "not given up within {hour} hours");
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            let swept = world
                .invoke(&denied(), &json!({"sweep": true}))
                .await
                .expect("no crash");
            assert!(
                swept.is_ok(),
                "the ledger has it; Lambda need not repeat the sweep"
            );
        }
        let job = world.job_row("10").attributes;
        assert_eq!(job["processing_status"], "FAILED");
        assert_eq!(world.queue.messages().len(), 1);
        assert!(
            job["error_message"]
                .as_str()
                .expect("a text")
                .contains("given up")
        );
    });
}

/// A job whose process is killed each time never gets to say that it failed.
#[test]
fn promise_11_a_job_that_kills_its_process_is_given_up_too() {
    run_paused(async {
        let world = World::new(50);
        let object = world.upload("id,seq\na,1\n");
        for hour in 0..26 {
            let plan = FaultPlan::seeded(hour);
            plan.inject("DescribeTable", 1, Fault::Slow(Duration::from_secs(1)));
            let event = if hour == 0 {
                notification(&object, "10")
            } else {
                json!({"sweep": true})
            };
            tokio::select! {
                _ = world.invoke(&plan, &event) => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        assert_eq!(
            world.job_row("10").attributes["processing_status"],
            "FAILED"
        );
        assert_eq!(world.queue.messages().len(), 1);
    });
}

#[test]
fn promise_11_one_ledger_row_that_cannot_be_read_keeps_no_other_key_from_its_turn() {
    run_paused(async {
        let world = World::new(50);
        let row = storage::LedgerRow {
            job: "ingest/inbox/a".to_owned(),
            part: "inbox".to_owned(),
            revision: 1,
            open: Some("ingest".to_owned()),
            attributes: serde_json::Map::from_iter([("fence".to_owned(), json!("edited by hand"))]),
        };
        storage::Ledger::write(&world.ledger, &row)
            .await
            .expect("written");
        let object = world.upload("id,seq\na,1\n");
        let plan = FaultPlan::seeded(1);
        plan.inject("DescribeTable", 1, Fault::Fail(ErrorKind::Unanswered));
        let _ = world.invoke(&plan, &notification(&object, "10")).await;
        world.invoke_well(&json!({"sweep": true})).await;
        assert_eq!(world.items().len(), 1);
    });
}

/// Bodies come in chunks of 700 bytes here: the header ends in the second one, inside a quote.
#[test]
fn a_header_that_spans_chunks_and_lines_is_read_whole() {
    run_paused(async {
        let world = World::new(50);
        let note = "n".repeat(720);
        let object = world.upload(format!("\"Preis\n(EUR)\";id;\"{note}\";seq\n5;a;x;1\n"));
        let report = world.invoke_well(&notification(&object, "10")).await;
        assert_eq!(report.objects[0].outcome, Outcome::Completed, "{report:?}");
        assert_eq!(crate::world::text(&world.items()[0]["Preis\n(EUR)"]), "5");
    });
}

#[test]
fn a_mapping_that_is_configured_later_does_not_take_over_in_the_middle_of_a_job() {
    run_paused(async {
        let mut world = World::new(50);
        let object = world.upload("id,seq,v\na,1,7\n");
        let plan = FaultPlan::seeded(1);
        plan.inject("BatchWriteItem", 1, Fault::Fail(ErrorKind::Denied));
        let _ = world.invoke(&plan, &notification(&object, "10")).await;
        world.objects.seed(
            LAKE,
            "mappings/m.json",
            "{\"columns\": {\"v\": {\"type\": \"N\"}}}",
            &[],
        );
        world.config.row_mapping_key = Some("mappings/m.json".to_owned());
        world.sweep_until_quiet().await;
        assert_eq!(world.items()[0]["v"], records::Value::S("7".to_owned()));
    });
}

fn denied() -> FaultPlan {
    let plan = FaultPlan::seeded(1);
    for nth in 1..50 {
        plan.inject("DescribeTable", nth, Fault::Fail(ErrorKind::Denied));
    }
    plan
}

#[test]
fn promise_11_every_record_of_an_event_is_worked_on_although_one_fails() {
    run_paused(async {
        let world = World::new(50);
        let first = world.objects.seed(INBOX, "a.csv", "id,seq\na,1\n", &[]);
        let second = world.objects.seed(INBOX, "b c+ü.csv", "id,seq\nb,1\n", &[]);
        let plan = FaultPlan::seeded(1);
        plan.inject("DescribeTable", 1, Fault::Fail(ErrorKind::Denied));
        let mut encoded = crate::world::record(&second, "11");
        encoded["s3"]["object"]["key"] = json!("b+c%2B%C3%BC.csv");
        let event = json!({"Records": [crate::world::record(&first, "10"), encoded]});
        let result = world.invoke(&plan, &event).await.expect("no crash");
        assert!(
            result
                .expect_err("the first record failed")
                .message
                .contains("a.csv")
        );
        assert_eq!(world.items().len(), 1, "the second one is in");
        world.sweep_until_quiet().await;
        assert_eq!(world.items().len(), 2);
    });
}
