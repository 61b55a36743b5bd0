use records::{IndexShape, KeyAttribute, KeyType};

use super::*;
use crate::StreamView;

fn shape() -> TableShape {
    let key = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableShape {
        name: "offers".to_owned(),
        partition: key("id", KeyType::S),
        sort: None,
        indexes: vec![IndexShape {
            name: "pending".to_owned(),
            partition: vec![key("marker", KeyType::S)],
            sort: Vec::new(),
        }],
    }
}

fn item(json: &str) -> Item {
    records::item_from_dynamodb_json(json).unwrap()
}

fn page(segment: u32, segments: u32) -> ScanPage {
    ScanPage {
        segment,
        segments,
        limit: None,
        consistent: false,
        start: None,
        attributes: None,
    }
}

#[test]
fn numbers_have_the_order_of_decimals() {
    let ascending = [
        "-9.9E+125",
        "-1000",
        "-999.5",
        "-10",
        "-9",
        "-1",
        "-0.5",
        "-0.05",
        "-1E-130",
        "0",
        "1E-130",
        "1E-45",
        "0.05",
        "0.5",
        "0.50001",
        "1",
        "1.5",
        "9",
        "10",
        "10.01",
        "99",
        "100",
        "999999",
        "1E+40",
        "1.5E+100",
        "9.9E+125",
    ];
    for (left_at, left) in ascending.iter().enumerate() {
        for (right_at, right) in ascending.iter().enumerate() {
            let number = |text: &str| Number::parse(text).unwrap();
            assert_eq!(
                compare_numbers(&number(left), &number(right)),
                left_at.cmp(&right_at),
                "{left} and {right}"
            );
        }
    }
}

#[test]
fn only_values_of_one_type_have_an_order() {
    let value = |json: &str| Value::from_dynamodb_json(json).unwrap();
    let order = |left: &str, right: &str| compare(&value(left), &value(right));
    assert_eq!(order(r#"{"S":"Z"}"#, r#"{"S":"a"}"#), Some(Ordering::Less));
    assert_eq!(
        order(r#"{"S":"\uffff"}"#, r#"{"S":"😀"}"#),
        Some(Ordering::Less),
        "by UTF-8, not by UTF-16"
    );
    assert_eq!(
        order(r#"{"B":"fw=="}"#, r#"{"B":"gA=="}"#),
        Some(Ordering::Less)
    );
    assert_eq!(order(r#"{"S":"1"}"#, r#"{"N":"2"}"#), None);
    assert_eq!(order(r#"{"BOOL":false}"#, r#"{"BOOL":true}"#), None);
}

#[tokio::test]
async fn a_page_ends_at_its_limit_or_at_1_mib_and_costs_what_was_read() {
    let tables = MemoryTables::new().with_table(shape());
    let large = "x".repeat(300 * 1024);
    for id in ["a", "b", "c", "d"] {
        let json = format!(r#"{{"id":{{"S":"{id}"}},"x":{{"S":"{large}"}}}}"#);
        tables.seed("offers", [item(&json)]);
    }
    let first = tables.scan_page(&shape(), &page(0, 1)).await.unwrap();
    assert_eq!(first.items.len(), 3);
    assert_eq!(first.next, Some(item(r#"{"id":{"S":"c"}}"#)));
    // 900 KiB and a few bytes are 226 units, at half the price.
    assert_eq!(first.capacity_tenths, 1130);
    let rest = ScanPage {
        start: first.next,
        consistent: true,
        attributes: Some(vec!["id".to_owned(), "y".to_owned()]),
        ..page(0, 1)
    };
    let second = tables.scan_page(&shape(), &rest).await.unwrap();
    assert_eq!(second.items, [item(r#"{"id":{"S":"d"}}"#)]);
    assert_eq!((second.next, second.capacity_tenths), (None, 760));

    let limited = ScanPage {
        limit: Some(1),
        ..rest
    };
    let last = tables.scan_page(&shape(), &limited).await.unwrap();
    assert_eq!(last.items.len(), 1);
    let empty = ScanPage {
        start: last.next.clone(),
        ..limited
    };
    let empty = tables.scan_page(&shape(), &empty).await.unwrap();
    assert_eq!((empty.items.len(), empty.next), (0, None));
    assert_eq!(last.next, Some(item(r#"{"id":{"S":"d"}}"#)));
}

#[tokio::test]
async fn refuses_pages_and_writes_that_dynamodb_refuses() {
    let tables = MemoryTables::new().with_table(shape());
    let key = || item(r#"{"id":{"S":"a"}}"#);
    let spoils: [fn(&mut ScanPage); 8] = [
        |page| page.segments = 0,
        |page| page.segment = 1,
        |page| page.segments = MAX_SEGMENTS + 1,
        |page| page.limit = Some(0),
        |page| page.attributes = Some(Vec::new()),
        |page| page.attributes = Some(vec!["a".to_owned(), "a".to_owned()]),
        |page| page.start = Some(item(r#"{"id":{"N":"1"}}"#)),
        |page| {
            let start = item(r#"{"id":{"S":"a"}}"#);
            (page.segment, page.segments) = (1 - segment_of(&shape(), &start, 2), 2);
            page.start = Some(start);
        },
    ];
    for (case, spoil) in spoils.into_iter().enumerate() {
        let mut page = page(0, 1);
        spoil(&mut page);
        let error = tables.scan_page(&shape(), &page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "case {case}");
    }
    tables.seed("offers", [item(r#"{"id":{"S":"a"},"v":{"N":"1"}}"#)]);
    let update = |json: &str, remove: &[&str]| ItemWrite::Update {
        key: key(),
        set: item(json),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    };
    let set = |json: &str| update(json, &[]);
    let writes = [
        ItemWrite::Put(item(r#"{"v":{"N":"1"}}"#)),
        ItemWrite::Delete(item(r#"{"id":{"S":"a"},"v":{"N":"1"}}"#)),
        ItemWrite::Delete(Item::new()),
        set("{}"),
        set(r#"{"id":{"S":"a"}}"#),
        set(r#"{"marker":{"BOOL":true}}"#),
        update(r#"{"x":{"N":"1"}}"#, &["x"]),
        update("{}", &["x", "x"]),
        update("{}", &["id"]),
        update("{}", &[""]),
    ];
    for write in writes {
        let answer = tables.write_if(&shape(), &write, &Condition::Exists).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Refused, "{write:?}");
    }
    let than = Condition::NotNewer {
        attribute: "v".to_owned(),
        than: Value::Bool(true),
    };
    let most = (0..=MAX_COMPARED_ATTRIBUTES).map(|n| (n.to_string(), Value::Null));
    let delete = ItemWrite::Delete(key());
    for condition in [
        than,
        Condition::holds(Item::new()),
        Condition::holds(most.collect()),
    ] {
        let answer = tables.write_if(&shape(), &delete, &condition).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Refused);
    }
    for key in [item(r#"{"id":{"S":"a"},"v":{"N":"1"}}"#), Item::new()] {
        let answer = tables.item(&shape(), &key).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Refused, "{key:?}");
    }
    assert_eq!(tables.scan("offers").len(), 1);
}

#[tokio::test]
async fn a_table_has_the_stream_that_it_was_given() {
    let stream = StreamDescription {
        label: "2026-01-14T00:00:00.000".to_owned(),
        arn: "arn".to_owned(),
        view: StreamView::NewAndOldImages,
    };
    let tables = MemoryTables::new()
        .with_table(shape())
        .with_stream("offers", stream.clone());
    assert_eq!(tables.stream("offers").await.unwrap(), Some(stream));
}
