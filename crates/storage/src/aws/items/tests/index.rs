//! Queries of an index and reads of one item, as they go over the wire.

use serde_json::json;

use super::super::super::canned::Answer;
use super::*;

const MARKED: &str = r#"{"account":{"S":"a"},"n":{"N":"1"},"marker":{"S":"false"}}"#;

fn page(select: IndexSelect) -> IndexPage {
    IndexPage {
        index: "pending".to_owned(),
        attribute: "marker".to_owned(),
        value: "false".to_owned(),
        select,
        limit: Some(100),
        start: None,
    }
}

#[tokio::test]
async fn a_page_of_an_index_is_asked_for_by_its_key_and_read_as_keys() {
    let (server, tables) = tables(vec![
        Answer::new(500, "{}"),
        Answer::new(
            200,
            format!(
                r#"{{"Items":[{KEY},{KEY}],"Count":2,"ScannedCount":2,"LastEvaluatedKey":{MARKED}}}"#
            ),
        ),
        Answer::new(200, r#"{"Items":[],"Count":0,"ScannedCount":0}"#),
        refusal("ResourceNotFoundException", ""),
    ])
    .await;
    let first = page(IndexSelect::Keys);
    let entries = tables.index_page(&shape(), &first).await.unwrap();
    let expected = IndexEntries {
        keys: vec![item(KEY), item(KEY)],
        count: 2,
        next: Some(item(MARKED)),
    };
    assert_eq!(entries, expected);
    let next = IndexPage {
        limit: None,
        start: entries.next,
        ..first
    };
    let entries = tables.index_page(&shape(), &next).await.unwrap();
    assert_eq!((entries.keys, entries.next), (vec![], None));
    let error = tables.index_page(&shape(), &next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let names_both = error.to_string().contains("offers, index pending");
    assert!(names_both, "{error}");

    let asked = server.asked();
    assert_eq!(
        asked[1].header("x-amz-target"),
        Some("DynamoDB_20120810.Query")
    );
    // An index of DynamoDB is never read consistently: asking for it would be refused.
    assert_eq!(
        body(&asked[1].body),
        json!({
            "TableName": "offers",
            "IndexName": "pending",
            "KeyConditionExpression": "#n0 = :v0",
            "ProjectionExpression": "#n1, #n2",
            "ExpressionAttributeNames": {"#n0": "marker", "#n1": "account", "#n2": "n"},
            "ExpressionAttributeValues": {":v0": {"S": "false"}},
            "Limit": 100,
        })
    );
    assert_eq!(
        body(&asked[2].body),
        json!({
            "TableName": "offers",
            "IndexName": "pending",
            "KeyConditionExpression": "#n0 = :v0",
            "ProjectionExpression": "#n1, #n2",
            "ExpressionAttributeNames": {"#n0": "marker", "#n1": "account", "#n2": "n"},
            "ExpressionAttributeValues": {":v0": {"S": "false"}},
            "ExclusiveStartKey": body(MARKED),
        })
    );
}

#[tokio::test]
async fn a_count_asks_for_no_attributes() {
    let (server, tables) = tables(vec![Answer::new(
        200,
        format!(r#"{{"Count":41,"ScannedCount":41,"LastEvaluatedKey":{MARKED}}}"#),
    )])
    .await;
    let count = page(IndexSelect::Count);
    let entries = tables.index_page(&shape(), &count).await.unwrap();
    assert_eq!((entries.keys, entries.count), (vec![], 41));
    assert_eq!(entries.next, Some(item(MARKED)));
    assert_eq!(
        body(&server.asked()[0].body),
        json!({
            "TableName": "offers",
            "IndexName": "pending",
            "Select": "COUNT",
            "KeyConditionExpression": "#n0 = :v0",
            "ExpressionAttributeNames": {"#n0": "marker"},
            "ExpressionAttributeValues": {":v0": {"S": "false"}},
            "Limit": 100,
        })
    );
}

#[tokio::test]
async fn an_item_is_read_consistently_and_may_not_be_there() {
    let (server, tables) = tables(vec![
        Answer::none(),
        Answer::new(200, format!(r#"{{"Item":{EVERY_TYPE}}}"#)),
        Answer::new(200, "{}"),
        refusal("ValidationException", ""),
    ])
    .await;
    let read = || async {
        let answer = tables.item(&shape(), &item(KEY)).await;
        answer.map_err(|error| error.kind())
    };
    assert_eq!(read().await, Ok(Some(item(EVERY_TYPE))));
    assert_eq!(read().await, Ok(None));
    assert_eq!(read().await, Err(ErrorKind::Refused));
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!(
        asked[1].header("x-amz-target"),
        Some("DynamoDB_20120810.GetItem")
    );
    assert_eq!(
        body(&asked[1].body),
        json!({"TableName": "offers", "Key": body(KEY), "ConsistentRead": true})
    );
}
