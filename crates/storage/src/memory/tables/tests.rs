use bytes::Bytes;

use super::*;

fn shape() -> TableShape {
    let key = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: "offers".to_owned(),
        partition: key("account", KeyType::S),
        sort: Some(key("offer", KeyType::N)),
        indexes: vec![IndexShape {
            name: "pending".to_owned(),
            partition: vec![key("marker", KeyType::S)],
            sort: Vec::new(),
        }],
    }
}

fn put(json: &str) -> PutItem {
    let key = records::item_from_dynamodb_json(json.as_bytes())
        .ok()
        .and_then(|item| shape().canonical_key(&item).ok());
    PutItem {
        item: Bytes::from(json.to_owned()),
        key: key.unwrap_or_default().into(),
    }
}

async fn kind_of(items: &[PutItem]) -> Option<ErrorKind> {
    let tables = MemoryTables::new().with_table(shape());
    let answer = tables.put_batch(&shape(), items).await;
    let written = tables.scan("offers").len();
    match answer {
        Ok(left) => {
            assert_eq!((left.len(), written), (0, items.len()));
            None
        }
        Err(error) => {
            assert_eq!(written, 0, "a refused batch writes nothing: {error}");
            Some(error.kind())
        }
    }
}

#[tokio::test]
async fn refuses_what_dynamodb_refuses() {
    let good = |n: usize| {
        put(&format!(
            r#"{{"account":{{"S":"a"}},"offer":{{"N":"{n}"}}}}"#
        ))
    };
    let with = |member: String| {
        put(&format!(
            r#"{{"account":{{"S":"a"}},"offer":{{"N":"1"}},{member}}}"#
        ))
    };
    let nested = format!(
        "{}{{\"NULL\":true}}{}",
        r#"{"L":["#.repeat(40),
        "]}".repeat(40)
    );
    let refused = Some(ErrorKind::Refused);
    let cases: Vec<(&str, Vec<PutItem>, Option<ErrorKind>)> = vec![
        ("one item", vec![good(1)], None),
        ("25 items", (0..25).map(good).collect(), None),
        ("no item", vec![], refused),
        ("26 items", (0..26).map(good).collect(), refused),
        (
            "one key in two spellings",
            vec![good(1), put(r#"{"account":{"S":"a"},"offer":{"N":"1.0"}}"#)],
            refused,
        ),
        (
            "no sort key",
            vec![put(r#"{"account":{"S":"a"}}"#)],
            refused,
        ),
        (
            "a key of another type",
            vec![put(r#"{"account":{"S":"a"},"offer":{"S":"1"}}"#)],
            refused,
        ),
        (
            "an empty key",
            vec![put(r#"{"account":{"S":""},"offer":{"N":"1"}}"#)],
            refused,
        ),
        (
            "an item in no index",
            vec![with(r#""x":{"S":""}"#.to_owned())],
            None,
        ),
        (
            "an index key of another type",
            vec![with(r#""marker":{"BOOL":false}"#.to_owned())],
            refused,
        ),
        (
            "an empty index key",
            vec![with(r#""marker":{"S":""}"#.to_owned())],
            refused,
        ),
        (
            "a long index key",
            vec![with(format!(r#""marker":{{"S":"{}"}}"#, "m".repeat(2049)))],
            refused,
        ),
        (
            "a large item",
            vec![with(format!(r#""x":{{"S":"{}"}}"#, "x".repeat(400 * 1024)))],
            refused,
        ),
        (
            "a deep item",
            vec![with(format!(r#""x":{nested}"#))],
            refused,
        ),
        (
            "an absurd key",
            vec![PutItem {
                key: Bytes::from_static(b"other"),
                ..good(1)
            }],
            Some(ErrorKind::Internal),
        ),
    ];
    for (name, items, expected) in cases {
        assert_eq!(kind_of(&items).await, expected, "{name}");
    }
}

#[tokio::test]
async fn refuses_json_that_is_no_item() {
    for json in [
        "{",
        r#"{"account":{"S":"a"},"offer":{"N":"one"}}"#,
        r#"{"account":{"S":"a"},"offer":{"N":"123456789012345678901234567890123456789"}}"#,
        r#"{"account":{"S":"a"},"offer":{"N":"1"},"x":{"SS":[]}}"#,
    ] {
        assert_eq!(
            kind_of(&[put(json)]).await,
            Some(ErrorKind::Refused),
            "{json}"
        );
    }
}

#[tokio::test]
async fn the_last_put_of_a_key_stays() {
    let tables = MemoryTables::new().with_table(shape());
    for value in ["old", "new"] {
        let item = put(&format!(
            r#"{{"account":{{"S":"a"}},"offer":{{"N":"1"}},"v":{{"S":"{value}"}}}}"#
        ));
        tables.put_batch(&shape(), &[item]).await.unwrap();
    }
    let items = tables.clone().scan("offers");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["v"], Value::S("new".to_owned()));
    assert_eq!(tables.puts("offers"), 2);
    assert_eq!(
        tables.describe("orders").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
