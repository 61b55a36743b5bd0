//! The endpoint over the wire.

use std::io::Write as _;
use std::time::Duration;

use bench::digest::Digest;
use bench::endpoint::Work;
use bench::stream::batches;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempPath};

use crate::support::Server;

const CONTENTS: &str = "account,offer_id\n1,2\n";

/// An endpoint with a small object, which has to stay there as long as it is read.
async fn start(handed_back_percent: u8) -> (Server, TempPath) {
    let object = NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&object, CONTENTS).unwrap();
    let work = Work::Object(object.to_path_buf());
    let server = Server::start_with(work, handed_back_percent, Duration::ZERO).await;
    (server, object)
}

fn batch(ids: impl IntoIterator<Item = u32>) -> Value {
    let puts: Vec<_> = ids
        .into_iter()
        .map(|id| json!({"PutRequest": {"Item": {"account": {"S": "1"}, "offer_id": {"S": id.to_string()}}}}))
        .collect();
    json!({"RequestItems": {"offers": puts}})
}

#[tokio::test]
async fn items_are_counted() {
    let (server, _object) = start(0).await;
    let answer = server.dynamodb("BatchWriteItem", &batch(0..25)).await;
    assert_eq!(
        (answer.status(), answer.json()),
        ("200", json!({"UnprocessedItems": {}}))
    );
    server.dynamodb("BatchWriteItem", &batch(25..28)).await;
    let counts = server.observer.counts();
    assert_eq!(
        (counts.written.items, counts.batches, counts.refused),
        (28, 2, 0)
    );
}

#[tokio::test]
async fn a_batch_that_brings_no_items_is_refused() {
    let (server, _object) = start(0).await;
    let twice = batch([1, 1]);
    let other_table = json!({"RequestItems": {"other": []}});
    for body in [json!({}), batch([]), batch(0..26), twice, other_table] {
        let answer = server.dynamodb("BatchWriteItem", &body).await;
        assert_eq!(answer.status(), "400", "{body}: {}", answer.body);
    }
    // A body that was put in after its length was set.
    let whole = batch(0..5).to_string();
    let target = "x-amz-target: DynamoDB_20120810.BatchWriteItem\r\n";
    let answer = server
        .send_with_length("POST /", target, whole.as_bytes(), 2)
        .await;
    assert_eq!(answer.status(), "400");
    assert!(
        answer.body.contains("SerializationException"),
        "{}",
        answer.body
    );
    let counts = server.observer.counts();
    assert_eq!(
        (counts.written.items, counts.batches, counts.refused),
        (0, 0, 6)
    );
}

#[tokio::test]
async fn a_share_of_the_items_is_handed_back_whole_and_not_counted() {
    let (server, _object) = start(40).await;
    let answer = server.dynamodb("BatchWriteItem", &batch(0..10)).await;
    let handed_back = answer.json()["UnprocessedItems"]["offers"].clone();
    assert_eq!(handed_back, batch([2, 4, 7, 9])["RequestItems"]["offers"]);
    let counts = server.observer.counts();
    assert_eq!((counts.written.items, counts.handed_back), (6, 4));
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_written_is_an_error() {
    let (server, _object) = start(50).await;
    assert_eq!(
        server
            .dynamodb("BatchWriteItem", &batch([1]))
            .await
            .status(),
        "200"
    );
    let answer = server.dynamodb("BatchWriteItem", &batch([2])).await;
    assert_eq!(answer.status(), "400");
    assert!(
        answer
            .body
            .contains("ProvisionedThroughputExceededException"),
        "{}",
        answer.body
    );
    assert_eq!(server.observer.counts().written.items, 1);
}

#[tokio::test]
async fn the_object_is_read_whole_in_ranges_and_in_its_version_only() {
    let (server, _object) = start(0).await;
    let whole = server
        .send("GET /inbox/offers.csv?x-id=GetObject", "", "")
        .await;
    assert_eq!((whole.status(), whole.body.as_str()), ("200", CONTENTS));
    let range = server
        .send("GET /inbox/offers.csv", "range: bytes=17-\r\n", "")
        .await;
    assert_eq!((range.status(), range.body.as_str()), ("206", "1,2\n"));
    assert!(
        range.head.contains("content-range: bytes 17-20/21"),
        "{}",
        range.head
    );
    let head = server.send("HEAD /inbox/offers.csv", "", "").await;
    assert!(head.head.contains("content-length: 21"), "{}", head.head);
    for (line, headers, status) in [
        ("GET /inbox/offers.csv", "range: bytes=21-\r\n", "416"),
        ("GET /inbox/offers.csv", "if-match: \"other\"\r\n", "412"),
        ("GET /inbox/offers.csv?versionId=other", "", "404"),
        ("GET /inbox/other.csv", "", "404"),
    ] {
        let answer = server.send(line, headers, "").await;
        assert_eq!(answer.status(), status, "{line} {headers}");
    }
    assert_eq!(server.observer.counts().object_bytes, 21 + 4);
}

#[tokio::test]
async fn finished_uploads_are_counted_with_their_lines() {
    let (server, _object) = start(0).await;
    server
        .send("PUT /lake/json-copy/a/part-00000.jsonl", "", "{}\n{}\n")
        .await;
    server
        .send("PUT /lake/unprocessed/a/part-00000.jsonl", "", "{}\n")
        .await;
    let begun = server
        .send("POST /lake/json-copy/a/part-00001.jsonl?uploads", "", "")
        .await;
    assert!(
        begun.body.contains("<UploadId>1</UploadId>"),
        "{}",
        begun.body
    );
    let upload = "/lake/json-copy/a/part-00001.jsonl?uploadId=1";
    server
        .send(&format!("PUT {upload}&partNumber=1"), "", "{}\n")
        .await;
    assert_eq!(server.observer.counts().backup_lines, 2);
    assert_eq!(
        server
            .send(&format!("POST {upload}"), "", "<x/>")
            .await
            .status(),
        "200"
    );
    let counts = server.observer.counts();
    assert_eq!((counts.backup_lines, counts.uploaded_bytes), (3, 12));
    assert_eq!(
        server
            .send(&format!("POST {upload}"), "", "<x/>")
            .await
            .status(),
        "404"
    );
    server
        .send("POST /lake/json-copy/a/part-00002.jsonl?uploads", "", "")
        .await;
    let aborted = "/lake/json-copy/a/part-00002.jsonl?uploadId=2";
    assert_eq!(
        server
            .send(&format!("DELETE {aborted}"), "", "")
            .await
            .status(),
        "204"
    );
    assert_eq!(
        server
            .send(&format!("POST {aborted}"), "", "<x/>")
            .await
            .status(),
        "404"
    );
    let chunked = "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n";
    assert_eq!(
        server
            .send("PUT /lake/json-copy/b", chunked, "0\r\n\r\n")
            .await
            .status(),
        "501"
    );
    assert_eq!(server.observer.counts().uploaded_bytes, 12);
}

#[tokio::test]
async fn the_ledger_keeps_rows_and_honours_their_revision() {
    let (server, _object) = start(0).await;
    let row = |revision: u32, open: &str| json!({"job": {"S": "j"}, "part": {"S": "object"}, "revision": {"N": revision.to_string()}, "open": {"S": open}});
    let first = json!({"TableName": "ledger", "Item": row(1, "ingest"), "ConditionExpression": "attribute_not_exists(job)"});
    let next = |before: &str| {
        json!({
            "TableName": "ledger", "Item": row(2, "ingest"), "ConditionExpression": "#revision = :before",
            "ExpressionAttributeNames": {"#revision": "revision"},
            "ExpressionAttributeValues": {":before": {"N": before}},
        })
    };
    for (call, status) in [
        (next("1"), "400"),
        (first.clone(), "200"),
        (first, "400"),
        (next("5"), "400"),
        (next("1"), "200"),
        (
            json!({"TableName": "ledger", "Item": row(3, "ingest")}),
            "400",
        ),
        (
            json!({"TableName": "other", "Item": row(3, "ingest")}),
            "400",
        ),
    ] {
        let answer = server.dynamodb("PutItem", &call).await;
        assert_eq!(answer.status(), status, "{call}: {}", answer.body);
    }
    let key = json!({"job": {"S": "j"}, "part": {"S": "object"}});
    let read = server
        .dynamodb("GetItem", &json!({"TableName": "ledger", "Key": key}))
        .await;
    assert_eq!(read.json(), json!({"Item": row(2, "ingest")}));
    let query = |open: &str| json!({"TableName": "ledger", "IndexName": "open-jobs", "ExpressionAttributeValues": {":kind": {"S": open}}});
    assert_eq!(
        server.dynamodb("Query", &query("ingest")).await.json()["Count"],
        1
    );
    assert_eq!(
        server.dynamodb("Query", &query("other")).await.json()["Count"],
        0
    );
    assert_eq!(server.observer.counts().ledger_writes, 2);
}

#[tokio::test]
async fn the_function_gets_one_event_and_is_idle_when_it_asks_again() {
    let (server, _object) = start(0).await;
    let next = "GET /2018-06-01/runtime/invocation/next";
    let event = server.send(next, "", "").await;
    assert!(
        event.head.contains("lambda-runtime-deadline-ms: 1234"),
        "{}",
        event.head
    );
    assert_eq!(
        event.json()["Records"][0]["s3"]["object"]["size"],
        CONTENTS.len()
    );
    let id = "00000000-0000-0000-0000-000000000001";
    let response = format!("POST /2018-06-01/runtime/invocation/{id}/response");
    assert_eq!(
        server
            .send(&response, "", r#"{"objects":[]}"#)
            .await
            .status(),
        "202"
    );
    assert_eq!(
        server.observer.counts().function_answers,
        [json!({"objects": []})]
    );
    tokio::select! {
        _ = server.send(next, "", "") => panic!("a second event came"),
        () = server.observer.function_is_idle() => {}
    }
}

#[tokio::test]
async fn each_batch_is_an_event_and_then_the_function_is_idle() {
    let file = NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&file, "00000011\n{\"a\":1}\n{}\n00000003\n{}\n").unwrap();
    let work = Work::Batches(file.to_path_buf());
    let server = Server::start_with(work, 0, Duration::ZERO).await;
    let next = "GET /2018-06-01/runtime/invocation/next";
    for (number, expected) in [
        (1, r#"{"Records":[{"a":1},{}]}"#),
        (2, r#"{"Records":[{}]}"#),
    ] {
        let event = server.send(next, "", "").await;
        assert_eq!(event.body, expected);
        let id = format!("lambda-runtime-aws-request-id: 00000000-0000-0000-0000-{number:012}");
        assert!(event.head.contains(&id), "{}", event.head);
    }
    let no_object = server.send("GET /inbox/offers.csv", "", "").await;
    assert_eq!(no_object.status(), "404");
    tokio::select! {
        _ = server.send(next, "", "") => panic!("a third event came"),
        () = server.observer.function_is_idle() => {}
    }
}

#[tokio::test]
async fn the_records_of_new_objects_of_a_log_are_counted() {
    let (server, _object) = start(0).await;
    let mut expected = Digest::default();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for record in ["{\"a\":1}", "{}"] {
        batches::add_record(&mut expected, record);
        gzip.write_all(format!("{record}\n").as_bytes()).unwrap();
    }
    let object = gzip.finish().unwrap();
    let put = "PUT /lake/changes/table=t/1.jsonl.gz";
    let only_new = "if-none-match: *\r\n";
    for (body, status) in [(&object[..], "200"), (&object[..], "412"), (b"{}\n", "400")] {
        let answer = server
            .send_with_length(put, only_new, body, body.len())
            .await;
        assert_eq!(answer.status(), status, "{}", answer.body);
    }
    let counts = server.observer.counts();
    assert_eq!((counts.log_records, counts.refused), (expected, 2));
    assert_eq!(counts.uploaded_bytes, object.len() as u64);
}

#[tokio::test]
async fn messages_are_counted_and_unknown_operations_refused() {
    let (server, _object) = start(0).await;
    let send = "x-amz-target: AmazonSQS.SendMessage\r\n";
    assert_eq!(server.send("POST /", send, "{}").await.status(), "200");
    assert_eq!(
        server
            .dynamodb("DeleteTable", &json!({"TableName": "offers"}))
            .await
            .status(),
        "400"
    );
    let table = server
        .dynamodb("DescribeTable", &json!({"TableName": "offers"}))
        .await;
    assert_eq!(
        table.json()["Table"]["KeySchema"][1]["AttributeName"],
        "offer_id"
    );
    let counts = server.observer.counts();
    assert_eq!((counts.messages, counts.refused), (1, 1));
    assert!(counts.last_refusal.unwrap().contains("DeleteTable"));
}
