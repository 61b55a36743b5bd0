//! The endpoint with pending items, over the wire.

use std::io::Write as _;
use std::time::Duration;

use crate::support::{Answered, Server};
use bench::endpoint::Work;
use bench::reprocess::items::{expected, item, key_attributes, key_of, plain};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const NO_ITEM: &str = r#"{"account":{"S":"account-000"},"offer_id":{"S":"none"}}"#;

async fn start(items: u64) -> Server {
    Server::start_with(Work::Pending(items), 0, Duration::ZERO).await
}

fn key(number: u64) -> Value {
    key_attributes(&key_of(&item(number)).unwrap()).into()
}

fn output(number: u64) -> Value {
    plain(&item(number)).unwrap().into()
}

fn query(more: Value) -> Value {
    let mut query = json!({
        "TableName": "offers",
        "IndexName": "processed-index",
        "KeyConditionExpression": "#n0 = :v0",
        "ExpressionAttributeNames": {"#n0": "processed"},
        "ExpressionAttributeValues": {":v0": {"S": "false"}},
    });
    for (name, value) in more.as_object().unwrap() {
        query[name] = value.clone();
    }
    query
}

/// The mark as the function sends it, on condition of two attributes.
fn mark(number: u64) -> Value {
    json!({
        "TableName": "offers",
        "Key": key(number),
        "UpdateExpression": "SET #n2 = :v2 REMOVE #n3",
        "ConditionExpression": "#n0 = :v0 AND #n1 = :v1",
        "ExpressionAttributeNames": {"#n0": "processed", "#n1": "price", "#n2": "processed", "#n3": "processed_tries"},
        "ExpressionAttributeValues": {":v0": {"S": "false"}, ":v1": item(number)["price"], ":v2": {"S": "true"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    })
}

async fn put(server: &Server, number: u64) -> Answered {
    let name = key_of(&item(number)).unwrap().join("/");
    let line = format!("PUT /lake/reprocessed/table=offers/{name}.json?x-id=PutObject");
    let only_new = "if-none-match: *\r\n";
    server
        .send(&line, only_new, &output(number).to_string())
        .await
}

#[tokio::test]
async fn items_are_found_read_put_and_marked_each_once() {
    let server = start(3).await;
    for number in 0..3 {
        let get = json!({"TableName": "offers", "Key": key(number), "ConsistentRead": true});
        let read = server.dynamodb("GetItem", &get).await;
        assert_eq!(read.json(), json!({"Item": item(number)}));
        assert_eq!(put(&server, number).await.status(), "200");
        let marked = server.dynamodb("UpdateItem", &mark(number)).await;
        assert_eq!(marked.status(), "200", "{}", marked.body);
        let read = server.dynamodb("GetItem", &get).await.json();
        assert_eq!(read["Item"]["processed"], json!({"S": "true"}));
        let left = server
            .dynamodb("Query", &query(json!({"Select": "COUNT"})))
            .await;
        assert_eq!(
            left.json(),
            json!({"Count": 2 - number, "ScannedCount": 2 - number})
        );
    }
    let counts = server.observer.counts();
    let found = &counts.reprocessed;
    let expected = expected(3);
    assert_eq!(
        (found.marked, found.outputs),
        (expected.marked, expected.outputs)
    );
    assert_eq!((found.objects, counts.refused), (3, 0));
    assert_eq!((found.marked_without_output, found.other_updates), (0, 0));
    assert_eq!((found.calls["GetItem"], found.calls["S3 PUT"]), (6, 3));
}

#[tokio::test]
async fn pages_of_the_index_go_on_where_the_one_before_ended() {
    let server = start(5).await;
    let mut found = Vec::new();
    let mut page = json!({"Limit": 2, "ProjectionExpression": "account, offer_id"});
    for (number, count) in [(0, 2), (1, 2), (2, 1)] {
        let answer = server.dynamodb("Query", &query(page.clone())).await.json();
        assert_eq!(answer["Count"], count);
        found.extend(answer["Items"].as_array().unwrap().clone());
        let next = answer["LastEvaluatedKey"].clone();
        assert_eq!(next.is_null(), number == 2, "{answer}");
        // What is marked meanwhile does not move the rest.
        server.dynamodb("UpdateItem", &mark(number * 2 + 1)).await;
        page["ExclusiveStartKey"] = next;
    }
    let all: Vec<_> = (0..5).map(key).collect();
    assert_eq!(found, all);
    let entry = server
        .dynamodb("Query", &query(json!({"Limit": 1})))
        .await
        .json();
    assert_eq!(entry["Items"][0]["processed"], json!({"S": "false"}));
    // DynamoDB does not look behind the limit.
    let rest = server
        .dynamodb("Query", &query(json!({"Limit": 3})))
        .await
        .json();
    assert_eq!(
        (&rest["Count"], rest["LastEvaluatedKey"].is_object()),
        (&json!(3), true)
    );
}

#[tokio::test]
async fn a_page_ends_at_a_mebibyte() {
    let server = start(25_000).await;
    let first = server
        .dynamodb("Query", &query(json!({"Select": "COUNT"})))
        .await
        .json();
    let count = first["Count"].as_u64().unwrap();
    // The names account, offer_id and processed, eleven and twelve bytes of keys, and the marker.
    assert_eq!(count, 1024 * 1024 / (7 + 8 + 11 + 12 + 9 + 5));
    let next = json!({"Select": "COUNT", "ExclusiveStartKey": first["LastEvaluatedKey"]});
    let second = server.dynamodb("Query", &query(next)).await.json();
    assert_eq!(
        second,
        json!({"Count": 25_000 - count, "ScannedCount": 25_000 - count})
    );
}

#[tokio::test]
async fn a_mark_whose_condition_does_not_hold_changes_nothing() {
    let server = start(2).await;
    let changed = |path: &str, value: Value| {
        let mut call = mark(0);
        *call.pointer_mut(path).unwrap() = value;
        call
    };
    for (call, code) in [
        (
            changed("/ExpressionAttributeValues/:v1", json!({"N": "1"})),
            "ConditionalCheckFailedException",
        ),
        (
            changed("/Key", serde_json::from_str(NO_ITEM).unwrap()),
            "ConditionalCheckFailedException",
        ),
        (
            changed("/Key/account", json!({"N": "1"})),
            "ValidationException",
        ),
        (
            changed("/ExpressionAttributeNames/#n3", json!("account")),
            "ValidationException",
        ),
        (
            changed("/ConditionExpression", json!("#n0 = :v0")),
            "ValidationException",
        ),
    ] {
        let answer = server.dynamodb("UpdateItem", &call).await;
        assert_eq!(answer.status(), "400", "{call}");
        assert!(answer.body.contains(code), "{}", answer.body);
        let holds = call["Key"] == key(0) && code.starts_with("Conditional");
        assert_eq!(answer.json().get("Item").is_some(), holds);
    }
    let found = server.observer.counts().reprocessed;
    assert_eq!((found.marked.items, found.other_updates), (0, 0));
    // A second mark of one item fails, and an update without a condition is counted as something else.
    assert_eq!(
        server.dynamodb("UpdateItem", &mark(0)).await.status(),
        "200"
    );
    assert_eq!(
        server.dynamodb("UpdateItem", &mark(0)).await.status(),
        "400"
    );
    let blind = json!({
        "TableName": "offers", "Key": key(1), "UpdateExpression": "SET processed = :v",
        "ExpressionAttributeValues": {":v": {"S": "true"}},
    });
    assert_eq!(server.dynamodb("UpdateItem", &blind).await.status(), "200");
    let found = server.observer.counts().reprocessed;
    assert_eq!((found.marked.items, found.other_updates), (1, 1));
    assert_eq!(found.marked_without_output, 1);
}

#[tokio::test]
async fn a_mark_has_to_wait_for_the_answer_of_the_put() {
    let work = Work::Pending(1);
    let server = Server::start_with(work, 0, Duration::from_millis(200)).await;
    let mark = mark(0);
    let marked = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.dynamodb("UpdateItem", &mark).await
    };
    let (put, marked) = tokio::join!(put(&server, 0), marked);
    assert_eq!((put.status(), marked.status()), ("200", "200"));
    let found = server.observer.counts().reprocessed;
    assert_eq!((found.marked.items, found.marked_without_output), (1, 1));
    assert_eq!(found.most_at_once, 2);
}

#[tokio::test]
async fn what_this_endpoint_is_not_asked_for_is_refused() {
    let server = start(1).await;
    let ledger = json!({"TableName": "ledger", "Key": {"job": {"S": "j"}, "part": {"S": "p"}}});
    assert_eq!(server.dynamodb("GetItem", &ledger).await.json(), json!({}));
    for (operation, call) in [
        ("GetItem", json!({"TableName": "offers", "Key": key(0)})),
        ("Query", query(json!({"IndexName": "other"}))),
        ("Query", query(json!({"ConsistentRead": true}))),
        (
            "Query",
            query(json!({"ExpressionAttributeNames": {"#n0": "price"}})),
        ),
        ("Query", query(json!({"Limit": 0}))),
        ("Query", query(json!({"ExclusiveStartKey": key(0)}))),
        ("Scan", json!({"TableName": "offers"})),
    ] {
        let answer = server.dynamodb(operation, &call).await;
        assert_eq!(
            answer.status(),
            "400",
            "{operation} {call}: {}",
            answer.body
        );
    }
    let table = server
        .dynamodb("DescribeTable", &json!({"TableName": "offers"}))
        .await;
    let index = &table.json()["Table"]["GlobalSecondaryIndexes"][0];
    assert_eq!(index["KeySchema"][0]["AttributeName"], "processed");
    assert_eq!(server.observer.counts().refused, 7);
}

#[tokio::test]
async fn objects_are_put_on_conditions_and_read_back() {
    let server = start(2).await;
    let name = "/lake/reprocessed/table=offers/account-000/000000000000.json";
    let (put_line, body) = (format!("PUT {name}"), output(0).to_string());
    let missing = server.send(&format!("GET {name}"), "", "").await;
    assert_eq!(missing.status(), "404");
    let put = server.send(&put_line, "if-none-match: *\r\n", &body).await;
    let etag = put.head.split("etag: ").nth(1).unwrap();
    let etag = etag.lines().next().unwrap();
    let read = server.send(&format!("GET {name}"), "", "").await;
    assert_eq!(read.body, body);
    assert!(read.head.contains(etag), "{}", read.head);
    let matching = format!("if-match: {etag}\r\n");
    for (headers, body, status) in [
        ("if-none-match: *\r\n", body.as_str(), "412"),
        ("if-match: \"other\"\r\n", &body, "412"),
        ("", "no JSON", "400"),
        (
            "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n",
            &body,
            "501",
        ),
        (&matching, &body, "200"),
    ] {
        let answer = server.send(&put_line, headers, body).await;
        assert_eq!(answer.status(), status, "{headers}: {}", answer.body);
    }
    for name in ["account-000/000000000001.json", "other.json", "x/y.txt"] {
        let line = format!("PUT /lake/reprocessed/table=offers/{name}");
        let answer = server.send(&line, "", &body).await;
        assert_eq!(answer.status(), "400", "{name}: {}", answer.body);
    }
    // The object was put twice.
    let found = server.observer.counts().reprocessed;
    assert_eq!((found.outputs.items, found.objects), (2, 2));
}

#[tokio::test]
async fn the_lines_of_a_bundle_are_outputs() {
    let server = start(3).await;
    let bundle = |lines: &[Value]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        for line in lines {
            writeln!(gzip, "{line}").unwrap();
        }
        gzip.finish().unwrap()
    };
    let line = |number| json!({"run": 1, "key": key(number), "output": output(number)});
    let whole = bundle(&[line(0), line(1), line(2)]);
    let without_key = bundle(&[json!({"run": 1, "output": output(0)})]);
    let unknown = bundle(&[json!({"run": 1, "key": {"id": {"S": "1"}}, "output": {}})]);
    for (body, status) in [
        (&b"{}"[..], "400"),
        (&without_key, "400"),
        (&unknown, "400"),
        (&whole, "200"),
    ] {
        let put = "PUT /lake/reprocessed/table=offers/lane=00/a..b-0123456789abcdef.jsonl.gz";
        let answer = server.send_with_length(put, "", body, body.len()).await;
        assert_eq!(answer.status(), status, "{}", answer.body);
    }
    let found = server.observer.counts().reprocessed;
    assert_eq!((found.outputs, found.objects), (expected(3).outputs, 1));
    server.dynamodb("UpdateItem", &mark(2)).await;
    assert_eq!(
        server.observer.counts().reprocessed.marked_without_output,
        0
    );
}

#[tokio::test]
async fn the_function_gets_one_event_of_a_schedule() {
    let server = start(1).await;
    let next = "GET /2018-06-01/runtime/invocation/next";
    let event = server.send(next, "", "").await;
    assert_eq!(event.json()["source"], "aws.scheduler");
    tokio::select! {
        _ = server.send(next, "", "") => panic!("a second event came"),
        () = server.observer.function_is_idle() => {}
    }
    assert_eq!(server.observer.counts().reprocessed.calls.len(), 0);
}
