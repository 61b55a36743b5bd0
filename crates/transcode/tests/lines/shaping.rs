//! Renamed and dropped attributes, and items that are not kept, against the same done to a tree.

use crate::spelling::{Attributes, Speller, Tree, tree};
use proptest::collection::btree_map;
use proptest::prelude::*;
use records::{Item, Value, item_from_dynamodb_json, write_item_plain_json};
use transcode::{Added, JsonEncoder, LineForm, Shaping, entity_of};

const SHAPING: &str = r#"{"columns": {"a": {"rename": "b"}, "b": {"rename": "a"}, "c": {"rename": "d\n"}, "e": {"drop": true},
    "f": {}, "g": {"rename": "e"}, "h": {"drop": false}}, "keep": {"f": ["x", 7, "8"]}}"#;

/// What the shaping means; nothing where two attributes would have one name.
fn shaped(item: &Item) -> Option<Item> {
    let mut shaped = Item::new();
    for (name, value) in item {
        let name = match name.as_str() {
            "a" => "b",
            "b" => "a",
            "c" => "d\n",
            "e" => continue,
            "g" => "e",
            other => other,
        };
        if shaped.insert(name.to_owned(), value.clone()).is_some() {
            return None;
        }
    }
    Some(shaped)
}

fn kept(item: &Item) -> bool {
    match item.get("f") {
        Some(Value::S(text)) => text == "x" || text == "8",
        Some(Value::N(number)) => ["7", "8"].contains(&number.as_str()),
        _ => false,
    }
}

fn plain(item: &Item) -> Value {
    let mut out = Vec::new();
    write_item_plain_json(item, &mut out);
    Value::from_plain_json(&String::from_utf8(out).unwrap()).unwrap()
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let filtered = prop_oneof![
        2 => prop::sample::select(vec!["x", "8", "7", ""]).prop_map(|text| Tree::S(text.to_owned())),
        2 => prop::sample::select(vec!["7.0", "8e0", "9"]).prop_map(|text| Tree::N(text.to_owned())),
        1 => tree(),
    ];
    (
        btree_map("[a-eghi]|d\n|é", tree(), 0..6),
        prop::option::of(filtered),
    )
        .prop_map(|(mut item, filtered)| {
            item.extend(filtered.map(|tree| ("f".to_owned(), tree)));
            item
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_full_line_is_shaped_as_its_tree_would_be(item in attributes(), seed in any::<u64>()) {
        let (line, item) = Speller::new(seed).full_line(&item);
        let item = item_from_dynamodb_json(item).unwrap();
        let mut encoder = JsonEncoder::new(LineForm::Full, Shaping::parse(SHAPING).unwrap());
        let mut out = Vec::new();
        let added = encoder.add(line.as_bytes(), &mut out);
        let json = String::from_utf8(out).unwrap();
        match (added, shaped(&item)) {
            (Ok(Added::Written), Some(wanted)) => {
                prop_assert!(kept(&item));
                prop_assert_eq!(Value::from_plain_json(&json).unwrap(), plain(&wanted));
            }
            (Ok(Added::FilteredOut), Some(_)) => {
                prop_assert!(!kept(&item));
                prop_assert_eq!(json, "");
            }
            (Err(fault), None) => {
                prop_assert_eq!(json, "");
                prop_assert_eq!(
                    fault.to_string(),
                    "the attribute \"d\\n\" is there, and another one is renamed to it: expected an item that has only one of the two"
                );
            }
            (added, wanted) => prop_assert!(false, "{:?} for {:?}", added, wanted),
        }
    }
}

#[test]
fn images_and_keys_are_shaped_and_what_is_not_kept_becomes_a_removal() {
    let shaping = r#"{"columns":{"id":{"rename":"key"},"tmp":{"drop":true}},"keep":{"status":["new"],"year":[2026]}}"#;
    let mut encoder = JsonEncoder::new(LineForm::Incremental, Shaping::parse(shaping).unwrap());
    let mut encode = |members: &str| {
        let line = format!(
            r#"{{"Metadata":{{"WriteTimestampMicros":"1"}},"Keys":{{"id":{{"S":"a"}}}}{members}}}"#
        );
        let mut out = Vec::new();
        assert_eq!(
            encoder.add(line.as_bytes(), &mut out).unwrap(),
            Added::Written
        );
        String::from_utf8(out).unwrap()
    };
    let head = r#"{"Metadata":{"WriteTimestampMicros":1},"Keys":{"key":"a"}"#;
    let image = |status: &str, year: &str| {
        format!(
            r#"{{"id":{{"S":"a"}},"tmp":{{"N":"1"}},"status":{{"S":"{status}"}},"year":{{"N":"{year}"}}}}"#
        )
    };
    assert_eq!(
        encode(&format!(
            r#","NewImage":{},"OldImage":{}"#,
            image("new", "2026.0"),
            image("old", "1")
        )),
        format!(
            "{head},\"NewImage\":{{\"key\":\"a\",\"status\":\"new\",\"year\":2026.0}},\"OldImage\":{{\"key\":\"a\",\"status\":\"old\",\"year\":1}}}}\n"
        )
    );
    for (status, year) in [("old", "2026"), ("new", "2025")] {
        let removal = format!("{head}}}\n");
        assert_eq!(
            encode(&format!(r#","NewImage":{}"#, image(status, year))),
            removal
        );
    }
    assert_eq!(
        encode(r#","NewImage":{"status":{"S":"new"}}"#),
        format!("{head}}}\n")
    );
    assert_eq!(encode(""), format!("{head}}}\n"));
}

#[test]
fn a_shaping_that_contradicts_itself_says_what_was_expected() {
    let cases = [
        (
            "[]",
            "invalid type: sequence, expected an object at line 1 column 0): expected a JSON object with the members columns and keep",
        ),
        (
            "{\"column\":{}}",
            "unknown field `column`, expected `columns` or `keep`",
        ),
        (
            r#"{"columns":{"a":{"type":"S"}}}"#,
            "unknown field `type`, expected `rename` or `drop`",
        ),
        (r#"{"columns":{"a":{},"a":{}}}"#, "\"a\" is there twice"),
        (r#"{"columns":{"":{}}}"#, "a name is empty"),
        (
            r#"{"columns":{"a":{"rename":"b","drop":true}}}"#,
            "the shaping's columns.a: expected either rename or drop, and not both",
        ),
        (
            r#"{"columns":{"a":{"rename":""}}}"#,
            "the shaping's columns.a: rename is empty: expected a name; use drop to leave the column out",
        ),
        (
            r#"{"columns":{"a":{"rename":"c"},"b":{"rename":"c"}}}"#,
            "the shaping's columns.b: another column is renamed to the same name: expected a name for each",
        ),
        (
            r#"{"keep":{"a":[]}}"#,
            "the shaping's keep.a: no item would be kept: expected at least one value in the list",
        ),
        (
            r#"{"keep":{"a":[true]}}"#,
            "the shaping's keep.a: expected texts, and numbers of at most 38 digits",
        ),
        (r#"{"keep":{"a":"x"}}"#, "expected a sequence"),
    ];
    for (json, expected) in cases {
        let message = Shaping::parse(json).unwrap_err().to_string();
        assert!(message.contains(expected), "{json}: {message}");
    }
    for json in ["{}", r#"{"columns":{"a":{}},"keep":{}}"#] {
        assert!(Shaping::parse(json).unwrap().is_identity());
    }
    assert!(Shaping::default().is_identity());
    for json in [
        r#"{"columns":{"a":{"drop":true}}}"#,
        r#"{"keep":{"a":[1]}}"#,
    ] {
        assert!(!Shaping::parse(json).unwrap().is_identity());
    }
}

#[test]
fn an_entity_is_the_text_of_the_first_image_that_is_there() {
    let full = |item: &str| {
        entity_of(
            format!(r#"{{"Item":{item}}}"#).as_bytes(),
            LineForm::Full,
            "kind",
        )
    };
    let found = |item: &str| full(item).unwrap();
    assert_eq!(
        found(r#"{"a":{"L":[{"S":"x"}]},"kind":{"S":"or\u0064er"}}"#).as_deref(),
        Some("order")
    );
    assert_eq!(found(r#"{"k\u0069nd":{"N":"1.0"}}"#).as_deref(), Some("1"));
    assert_eq!(found(r#"{"kind":{"S":"1.0"}}"#).as_deref(), Some("1.0"));
    assert_eq!(found(r#"{"kind":{"S":""}}"#).as_deref(), Some(""));
    assert_eq!(found(r#"{"kind":{"BOOL":true}}"#), None);
    assert_eq!(found(r#"{"m":{"M":{"kind":{"S":"x"}}}}"#), None);
    assert!(full(r#"{"kind":{"N":"x"}}"#).is_err());
    assert!(entity_of(b"{}", LineForm::Full, "kind").is_err());
    assert!(
        entity_of(
            b"{\"Item\":{\"kind\":{\"S\":\"\xff\"}}}",
            LineForm::Full,
            "kind"
        )
        .is_err()
    );

    let window = |members: &str| {
        let line = format!(
            r#"{{{members}"Metadata":{{"WriteTimestampMicros":"1"}},"Keys":{{"kind":{{"S":"key"}}}}}}"#
        );
        entity_of(line.as_bytes(), LineForm::Incremental, "kind").unwrap()
    };
    let (old, new) = (
        r#""OldImage":{"kind":{"S":"old"}},"#,
        r#""NewImage":{"kind":{"S":"new"}},"#,
    );
    assert_eq!(window(&format!("{old}{new}")).as_deref(), Some("new"));
    assert_eq!(window(old).as_deref(), Some("old"));
    assert_eq!(window("").as_deref(), Some("key"));
    assert_eq!(window(&format!(r#"{old}"NewImage":{{}},"#)), None);
    assert_eq!(window(r#""OldImage":{},"#), None);
}
