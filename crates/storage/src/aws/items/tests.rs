use records::{KeyAttribute, KeyType, Number};
use serde_json::json;

use super::super::canned::{Answer, Canned};
use super::*;
use crate::MAX_COMPARED_ATTRIBUTES;

mod index;

fn shape() -> TableShape {
    let key = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: "offers".to_owned(),
        partition: key("account", KeyType::S),
        sort: Some(key("n", KeyType::N)),
        indexes: Vec::new(),
    }
}

const KEY: &str = r#"{"account":{"S":"a"},"n":{"N":"1"}}"#;
const EVERY_TYPE: &str = r#"{"account":{"S":"a"},"n":{"N":"1"},"b":{"B":"AP8="},"bool":{"BOOL":false},"null":{"NULL":true},
    "ss":{"SS":["a","b"]},"ns":{"NS":["1","2.5"]},"bs":{"BS":["AA=="]},"l":{"L":[{"S":""},{"L":[]}]},"m":{"M":{"x.y":{"N":"-3"}}}}"#;

fn item(json: &str) -> Item {
    records::item_from_dynamodb_json(json).unwrap()
}

fn number(digits: &str) -> Value {
    Value::N(Number::parse(digits).unwrap())
}

fn body(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

fn refusal(code: &str, members: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    Answer::new(
        400,
        format!(r#"{{"__type":"{kind}","message":"m"{members}}}"#),
    )
}

async fn tables(answers: Vec<Answer>) -> (Canned, AwsTables) {
    let server = Canned::start(answers).await;
    let tables = server.clients().await.tables();
    (server, tables)
}

/// What is sent for a write, and by which operation.
async fn sent(write: &ItemWrite, condition: &Condition) -> (String, serde_json::Value) {
    let (server, tables) = tables(vec![Answer::new(200, "{}")]).await;
    let outcome = tables.write_if(&shape(), write, condition).await;
    assert!(outcome.unwrap().is_done());
    let asked = &server.asked()[0];
    let target = asked.header("x-amz-target").unwrap();
    let operation = target.strip_prefix("DynamoDB_20120810.").unwrap();
    assert_eq!(operation, write.operation());
    (operation.to_owned(), body(&asked.body))
}

#[tokio::test]
async fn every_write_is_sent_with_its_condition() {
    let put = ItemWrite::Put(item(EVERY_TYPE));
    let older = Condition::AbsentOrOlder {
        attribute: "version".to_owned(),
        than: number("7"),
    };
    let expected = json!({
        "TableName": "offers",
        "Item": body(EVERY_TYPE),
        "ConditionExpression": "attribute_not_exists(#n0) OR #n1 < :v0",
        "ExpressionAttributeNames": {"#n0": "account", "#n1": "version"},
        "ExpressionAttributeValues": {":v0": {"N": "7"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    assert_eq!(sent(&put, &older).await, ("PutItem".to_owned(), expected));

    let delete = ItemWrite::Delete(item(KEY));
    let not_newer = Condition::NotNewer {
        attribute: "version".to_owned(),
        than: Value::S("7".to_owned()),
    };
    let expected = json!({
        "TableName": "offers",
        "Key": body(KEY),
        "ConditionExpression": "attribute_exists(#n0) AND #n1 <= :v0",
        "ExpressionAttributeNames": {"#n0": "account", "#n1": "version"},
        "ExpressionAttributeValues": {":v0": {"S": "7"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let (operation, request) = sent(&delete, &not_newer).await;
    assert_eq!((operation.as_str(), request), ("DeleteItem", expected));

    let set = ItemWrite::Update {
        key: item(KEY),
        set: item(r#"{"a":{"S":"x"},"b.c":{"BOOL":true}}"#),
        remove: Vec::new(),
    };
    let differs = Condition::ExistsAndDiffers {
        attribute: "a".to_owned(),
        from: Value::S("x".to_owned()),
    };
    let expected = json!({
        "TableName": "offers",
        "Key": body(KEY),
        "UpdateExpression": "SET #n2 = :v1, #n3 = :v2",
        "ConditionExpression": "attribute_exists(#n0) AND (attribute_not_exists(#n1) OR #n1 <> :v0)",
        "ExpressionAttributeNames": {"#n0": "account", "#n1": "a", "#n2": "a", "#n3": "b.c"},
        "ExpressionAttributeValues": {":v0": {"S": "x"}, ":v1": {"S": "x"}, ":v2": {"BOOL": true}},
        "ReturnValues": "ALL_OLD",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let (operation, request) = sent(&set, &differs).await;
    assert_eq!((operation.as_str(), request), ("UpdateItem", expected));

    let update = ItemWrite::Update {
        key: item(KEY),
        set: item(r#"{"marker":{"S":"true"}}"#),
        remove: vec!["marker_tries".to_owned(), "b.c".to_owned()],
    };
    let holds = Condition::holds(item(r#"{"marker":{"S":"false"},"ss":{"SS":["a","b"]}}"#));
    let expected = json!({
        "TableName": "offers",
        "Key": body(KEY),
        "UpdateExpression": "SET #n2 = :v2 REMOVE #n3, #n4",
        "ConditionExpression": "#n0 = :v0 AND #n1 = :v1",
        "ExpressionAttributeNames": {
            "#n0": "marker", "#n1": "ss", "#n2": "marker", "#n3": "marker_tries", "#n4": "b.c",
        },
        "ExpressionAttributeValues": {
            ":v0": {"S": "false"}, ":v1": {"SS": ["a", "b"]}, ":v2": {"S": "true"},
        },
        "ReturnValues": "ALL_OLD",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let (operation, request) = sent(&update, &holds).await;
    assert_eq!((operation.as_str(), request), ("UpdateItem", expected));

    let remove = ItemWrite::Update {
        key: item(KEY),
        set: Item::new(),
        remove: vec!["marker".to_owned()],
    };
    let (_, request) = sent(&remove, &Condition::Exists).await;
    assert_eq!(request["UpdateExpression"], "REMOVE #n1");
    assert_eq!(request.get("ExpressionAttributeValues"), None);

    let (_, request) = sent(&delete, &Condition::Exists).await;
    assert_eq!(request["ConditionExpression"], "attribute_exists(#n0)");
    assert_eq!(
        request["ExpressionAttributeNames"],
        json!({"#n0": "account"})
    );
    assert_eq!(request.get("ExpressionAttributeValues"), None);
}

#[tokio::test]
async fn a_refused_condition_says_what_the_table_holds_and_a_lost_answer_is_asked_for_again() {
    let writes = [
        ItemWrite::Put(item(EVERY_TYPE)),
        ItemWrite::Delete(item(KEY)),
        ItemWrite::Update {
            key: item(KEY),
            set: item(r#"{"a":{"S":"x"}}"#),
            remove: vec!["b".to_owned()],
        },
    ];
    for write in writes {
        let (server, tables) = tables(vec![
            Answer::none(),
            refusal(
                "ConditionalCheckFailedException",
                &format!(r#","Item":{EVERY_TYPE}"#),
            ),
            refusal("ConditionalCheckFailedException", ""),
            refusal("ValidationException", ""),
            refusal("TransactionConflictException", ""),
        ])
        .await;
        let write = || async {
            let answer = tables.write_if(&shape(), &write, &Condition::Exists).await;
            answer.map_err(|error| error.kind())
        };
        let held = WriteOutcome::Refused(Some(item(EVERY_TYPE)));
        assert_eq!(write().await, Ok(held));
        assert_eq!(server.asked().len(), 2);
        assert_eq!(write().await, Ok(WriteOutcome::Refused(None)));
        assert_eq!(write().await, Err(ErrorKind::Refused));
        assert_eq!(write().await, Err(ErrorKind::Throttled));
    }
}

#[tokio::test]
async fn as_many_attributes_are_compared_as_one_expression_takes() {
    let name = |n| format!("a name much longer than its place in the expression {n}");
    let most = (0..MAX_COMPARED_ATTRIBUTES).map(|n| (name(n), number("1")));
    let key = ItemWrite::Delete(item(KEY));
    let (_, request) = sent(&key, &Condition::holds(most.collect())).await;
    let expression = request["ConditionExpression"].as_str().unwrap();
    let operators = expression.matches(" = ").count() + expression.matches(" AND ").count();
    assert!(
        expression.len() <= 4_096 && operators <= 300,
        "{expression}"
    );
    let values = request["ExpressionAttributeValues"].as_object().unwrap();
    assert_eq!(values.len(), MAX_COMPARED_ATTRIBUTES);
}

#[tokio::test]
async fn a_page_is_asked_for_and_read() {
    let (server, tables) = tables(vec![
        Answer::new(500, "{}"),
        Answer::new(
            200,
            format!(
                r#"{{"Items":[{EVERY_TYPE},{KEY}],"Count":2,"ScannedCount":2,"LastEvaluatedKey":{KEY},
                    "ConsumedCapacity":{{"TableName":"offers","CapacityUnits":128.5}}}}"#
            ),
        ),
        Answer::new(
            200,
            r#"{"Items":[],"ConsumedCapacity":{"TableName":"offers","CapacityUnits":1}}"#,
        ),
        Answer::new(200, r#"{"Items":[]}"#),
    ])
    .await;
    let first = ScanPage {
        segment: 2,
        segments: 8,
        limit: Some(100),
        consistent: true,
        start: None,
        attributes: Some(vec!["account".to_owned(), "size".to_owned()]),
    };
    let scanned = tables.scan_page(&shape(), &first).await.unwrap();
    let expected = Scanned {
        items: vec![item(EVERY_TYPE), item(KEY)],
        next: Some(item(KEY)),
        capacity_tenths: 1285,
    };
    assert_eq!(scanned, expected);
    let next = ScanPage {
        limit: None,
        consistent: false,
        start: scanned.next,
        attributes: None,
        ..first
    };
    let scanned = tables.scan_page(&shape(), &next).await.unwrap();
    assert_eq!((scanned.next, scanned.capacity_tenths), (None, 10));
    let error = tables.scan_page(&shape(), &next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);

    let asked = server.asked();
    assert_eq!(
        body(&asked[1].body),
        json!({
            "TableName": "offers",
            "Segment": 2,
            "TotalSegments": 8,
            "Limit": 100,
            "ConsistentRead": true,
            "ProjectionExpression": "#n0, #n1",
            "ExpressionAttributeNames": {"#n0": "account", "#n1": "size"},
            "ReturnConsumedCapacity": "TOTAL",
        })
    );
    assert_eq!(
        body(&asked[2].body),
        json!({
            "TableName": "offers",
            "Segment": 2,
            "TotalSegments": 8,
            "ConsistentRead": false,
            "ExclusiveStartKey": body(KEY),
            "ReturnConsumedCapacity": "TOTAL",
        })
    );
}

#[tokio::test]
async fn a_table_says_when_it_was_made() {
    let described = |time: &str| {
        let table = format!(r#"{{"Table":{{"TableName":"offers"{time}}}}}"#);
        Answer::new(200, table)
    };
    let (_server, tables) = tables(vec![
        described(r#","CreationDateTime":1.664559083209E9"#),
        described(""),
    ])
    .await;
    let created = tables.created("offers").await.unwrap();
    assert_eq!(created, crate::Timestamp(1_664_559_083_209));
    let error = tables.created("offers").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_stream_is_described_while_it_is_enabled() {
    let described = |stream: &str| {
        let table = format!(
            r#"{{"Table":{{"TableName":"offers","LatestStreamLabel":"2026-01-14T00:00:00.000",
                "LatestStreamArn":"arn:aws:dynamodb:us-east-1:000000000000:table/offers/stream/2026-01-14T00:00:00.000"{stream}}}}}"#
        );
        Answer::new(200, table)
    };
    let (_server, tables) = tables(vec![
        described(r#","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}"#),
        described(r#","StreamSpecification":{"StreamEnabled":false}"#),
        described(""),
        described(r#","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"ALL"}"#),
    ])
    .await;
    let stream = tables.stream("offers").await.unwrap().unwrap();
    assert_eq!(stream.label, "2026-01-14T00:00:00.000");
    assert!(
        stream
            .arn
            .ends_with("/offers/stream/2026-01-14T00:00:00.000")
    );
    assert_eq!(stream.view, StreamView::NewAndOldImages);
    assert_eq!(tables.stream("offers").await.unwrap(), None);
    assert_eq!(tables.stream("offers").await.unwrap(), None);
    let error = tables.stream("offers").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_table_is_told_by_its_arn_and_its_id() {
    let described = |members: &str| {
        Answer::new(
            200,
            format!(r#"{{"Table":{{"TableName":"offers"{members}}}}}"#),
        )
    };
    let (_server, tables) = tables(vec![
        described(r#","TableArn":"arn:1","TableId":"id-1""#),
        described(r#","TableArn":"arn:1""#),
        described(r#","TableId":"id-1""#),
    ])
    .await;
    let expected = TableIdentity {
        arn: "arn:1".to_owned(),
        id: "id-1".to_owned(),
    };
    assert_eq!(tables.identity("offers").await.unwrap(), expected);
    for missing in ["table id", "ARN"] {
        let error = tables.identity("offers").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains(missing), "{error}");
    }
}
