//! Plain JSON against the reference: `records`' tree of an item.

use crate::spelling::{Speller, attributes, spoil};
use proptest::prelude::*;
use records::{Item, Value, item_from_dynamodb_json, write_item_plain_json};
use serde::Deserialize;
use serde_json::value::RawValue;
use transcode::{Added, JsonEncoder, LineFault, LineForm, Shaping};

#[derive(Deserialize)]
struct Full<'a> {
    #[serde(rename = "Item", borrow)]
    item: &'a RawValue,
}

/// What a tree makes of a line; nothing if it is none.
fn reference(line: &[u8]) -> Option<Item> {
    let text = std::str::from_utf8(line).ok()?;
    // serde would also take an array for a struct.
    text.trim_start().starts_with('{').then_some(())?;
    let line: Full<'_> = serde_json::from_str(text).ok()?;
    item_from_dynamodb_json(line.item.get()).ok()
}

fn plain(item: &Item) -> String {
    let mut out = Vec::new();
    write_item_plain_json(item, &mut out);
    String::from_utf8(out).unwrap()
}

/// Both spellings of equal plain JSON are one value, with exact numbers.
fn parsed(json: &str) -> Value {
    Value::from_plain_json(json).unwrap()
}

/// A value whose lists have no order and no doubles: the reference sorts the elements of a set, and one that is spoiled can have
/// its place elsewhere or be another one's equal.
fn unordered(value: Value) -> Value {
    match value {
        Value::L(elements) => {
            let mut elements: Vec<Value> = elements.into_iter().map(unordered).collect();
            elements.sort_by_cached_key(|element| format!("{element:?}"));
            elements.dedup();
            Value::L(elements)
        }
        Value::M(members) => {
            let members = members.into_iter();
            Value::M(
                members
                    .map(|(name, value)| (name, unordered(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

pub fn encode(form: LineForm, line: &[u8]) -> Result<String, LineFault> {
    let mut out = b"kept".to_vec();
    let added = JsonEncoder::new(form, Shaping::default()).add(line, &mut out);
    let behind = String::from_utf8(out.split_off(4)).expect("what is written is UTF-8");
    assert_eq!(out, b"kept");
    match added {
        Ok(added) => {
            assert_eq!(added, Added::Written);
            let json = behind.strip_suffix('\n').expect("a line ends in one");
            assert!(!json.contains('\n'), "{json}");
            Ok(json.to_owned())
        }
        Err(fault) => {
            assert_eq!(behind, "");
            Err(fault)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_item_of_any_spelling_is_what_the_reference_makes_of_it(
        item in attributes(), seed in any::<u64>(),
    ) {
        let (line, _) = Speller::new(seed).full_line(&item);
        let wanted = reference(line.as_bytes()).expect("the generator writes good lines");
        prop_assert_eq!(wanted.len(), item.len());
        let json = encode(LineForm::Full, line.as_bytes()).unwrap();
        prop_assert_eq!(parsed(&json), parsed(&plain(&wanted)), "{}", line);
    }

    #[test]
    fn a_spoiled_line_is_taken_where_the_reference_takes_it_and_nowhere_else(
        item in attributes(), seed in any::<u64>(),
    ) {
        let (line, _) = Speller::new(seed).full_line(&item);
        let line = spoil(&line, seed);
        let shown = String::from_utf8_lossy(&line);
        match (encode(LineForm::Full, &line), reference(&line)) {
            (Ok(json), Some(wanted)) => {
                prop_assert_eq!(unordered(parsed(&json)), unordered(parsed(&plain(&wanted))), "{}", shown);
            }
            (Err(fault), None) => prop_assert!(fault.to_string().contains(": expected ")),
            (Ok(json), None) => prop_assert!(false, "only the encoder takes {} as {}", shown, json),
            (Err(fault), Some(_)) => prop_assert!(false, "only the reference takes {}: {}", shown, fault),
        }
    }

    #[test]
    fn an_incremental_line_has_its_members_in_one_order(
        images in prop::collection::vec(attributes(), 3), seed in any::<u64>(), micros in any::<u64>(),
    ) {
        let mut speller = Speller::new(seed);
        let metadata = match speller.choose(2) {
            0 => format!(r#"{{"WriteTimestampMicros": {{"N":"{micros}"}}}}"#),
            _ => format!(r#"{{"New":[1], "WriteTimestampMicros":"{micros}"}}"#),
        };
        let mut members = vec![("Metadata".to_owned(), metadata)];
        let mut wanted = format!(r#"{{"Metadata":{{"WriteTimestampMicros":{micros}}}"#);
        for (name, image) in ["Keys", "NewImage", "OldImage"].into_iter().zip(&images) {
            let there = name == "Keys" || speller.choose(2) == 0;
            if there {
                let mut json = String::new();
                speller.item(image, &mut json);
                wanted += &format!(r#","{name}":{}"#, plain(&item_from_dynamodb_json(&json).unwrap()));
                members.push((name.to_owned(), json));
            } else if speller.choose(2) == 0 {
                members.push((name.to_owned(), "null".to_owned()));
            }
        }
        speller.strangers(&mut members);
        let mut line = String::new();
        speller.object(members, &mut line);
        let json = encode(LineForm::Incremental, line.as_bytes()).unwrap();
        prop_assert_eq!(parsed(&json), parsed(&(wanted + "}")), "{}", line);
        let places: Vec<Option<usize>> = ["Metadata", "Keys", "NewImage", "OldImage"]
            .iter()
            .map(|name| outer_members(&json).iter().position(|member| member == name))
            .collect();
        let there: Vec<usize> = places.into_iter().flatten().collect();
        prop_assert!(there.is_sorted() && there.len() >= 2, "{}", json);
    }
}

/// Names of an object's members in their order.
fn outer_members(json: &str) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Names;
                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Names, A::Error> {
                    let mut names = Vec::new();
                    while let Some((name, serde::de::IgnoredAny)) = map.next_entry()? {
                        names.push(name);
                    }
                    Ok(Names(names))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Names>(json).unwrap().0
}

#[test]
fn bytes_are_copied_as_they_are_spelled() {
    let line = br#"{"Item":{"s":{"S":"a\/\u00e9\ud83d\ude00\n\""},"":{"N":"1.50"},"e":{"N":"1E+2"},"z":{"N":"-0"},"p":{"N":"+007."},"o":{"N":"007"},"y":{"N":"00"},"b":{"B":"AQI="},"t":{"BOOL":true},"f":{"BOOL":false},"x":{"NULL":true},"ss":{"SS":["b","a"]},"ns":{"NS":["2","1e1"]},"bs":{"BS":["AQ=="]},"l":{"L":[]},"m":{"M":{}},"n":{"M":{"l":{"L":[{"S":""},{"L":[{"N":"5"}]}]}}}}}
"#;
    assert_eq!(
        encode(LineForm::Full, line).unwrap(),
        r#"{"s":"a\/\u00e9\ud83d\ude00\n\"","":1.50,"e":100,"z":0,"p":7,"o":7,"y":0,"b":"AQI=","t":true,"f":false,"x":null,"ss":["b","a"],"ns":[2,10],"bs":["AQ=="],"l":[],"m":{},"n":{"l":["",[5]]}}"#
    );
    let lines = [
        r#"{"OldImage":{"n":{"N":"1"}},"Keys":{"id":{"S":"b"}},"New":0,"Metadata":{"WriteTimestampMicros":"17"},"NewImage":{}}"#,
        r#"{"Metadata":{"WriteTimestampMicros":{"N":"17"}},"Keys":{"id":{"S":"b"}},"NewImage":null}"#,
    ];
    let json = lines.map(|line| encode(LineForm::Incremental, line.as_bytes()).unwrap());
    assert_eq!(
        json,
        [
            r#"{"Metadata":{"WriteTimestampMicros":17},"Keys":{"id":"b"},"NewImage":{},"OldImage":{"n":1}}"#,
            r#"{"Metadata":{"WriteTimestampMicros":17},"Keys":{"id":"b"}}"#,
        ]
    );
}

#[test]
fn what_is_no_line_says_where_and_what_was_expected() {
    let cases: [(&[u8], &str); 24] = [
        (b"", "at byte 0: expected a line of an export, '{'"),
        (b"[]", "at byte 0: expected a line of an export, '{'"),
        (
            b"{}",
            "at byte 2: expected a line of a full export, with the member Item",
        ),
        (
            b"{\"Item\":{}} x",
            "at byte 12: expected the end of the line",
        ),
        (
            b"{\"Item\":{},\"Item\":{}}",
            "at byte 12: expected each member of the line once",
        ),
        (b"{\"Item\":null}", "at byte 8: expected an object, '{'"),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\xff\"}}}",
            "at byte 19: expected UTF-8",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\t\"}}}",
            "at byte 19: expected no control character in a text",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\\x\"}}}",
            "at byte 19: expected an escape of JSON",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\\ud800\"}}}",
            "at byte 19: expected an escape of JSON",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\\udc00\"}}}",
            "at byte 19: expected an escape of JSON",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"abc",
            "at byte 22: expected the closing quote of a text",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":1}}}",
            "at byte 18: expected a text in quotes",
        ),
        (
            b"{\"Item\":{\"a\":{\"N\":\"NaN\"}}}",
            "at byte 19: expected a number of at most 38 digits",
        ),
        (
            b"{\"Item\":{\"a\":{\"N\":\"1e126\"}}}",
            "at byte 19: expected a number of at most 38 digits",
        ),
        (
            b"{\"Item\":{\"a\":{\"N\":\"123456789012345678901234567890123456789\"}}}",
            "at byte 19: expected a number of at most 38 digits",
        ),
        (
            b"{\"Item\":{\"a\":{\"B\":\"AQI\"}}}",
            "at byte 19: expected standard base64",
        ),
        (
            b"{\"Item\":{\"a\":{\"X\":\"\"}}}",
            "at byte 14: expected the type of a value",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\",\"N\":\"1\"}}}",
            "at byte 20: expected '}', since a value has one type",
        ),
        (
            b"{\"Item\":{\"a\":{}}}",
            "at byte 14: expected the type of a value",
        ),
        (
            b"{\"Item\":{\"a\":{\"NULL\":false}}}",
            "at byte 21: expected true, since NULL is true or nothing",
        ),
        (
            b"{\"Item\":{\"a\":{\"L\":[{\"S\":\"\"},]}}}",
            "at byte 28: expected an element",
        ),
        (
            b"{\"Item\":{\"a\":{\"S\":\"\"},\"\\u0061\":{\"S\":\"\"}}}",
            "the member \"a\" is there twice: expected each name once in an object",
        ),
        (b"{\"Item\":{,}}", "at byte 9: expected a name in quotes"),
    ];
    for (line, expected) in cases {
        let message = encode(LineForm::Full, line).unwrap_err().to_string();
        assert!(
            message.contains(expected),
            "{}: {message}",
            String::from_utf8_lossy(line)
        );
    }
    let cases = [
        (
            r#"{"Keys":{}}"#,
            "at byte 11: expected a line of an incremental export, with the members Metadata and Keys",
        ),
        (
            r#"{"Metadata":{},"Keys":{}}"#,
            "at byte 14: expected WriteTimestampMicros in the line's metadata",
        ),
        (
            r#"{"Metadata":{"WriteTimestampMicros":17},"Keys":{}}"#,
            "expected a value such as",
        ),
        (
            r#"{"Metadata":{"WriteTimestampMicros":"1.5"},"Keys":{}}"#,
            "at byte 37: expected microseconds since 1970",
        ),
        (
            r#"{"Metadata":{"WriteTimestampMicros":{"S":"1"}},"Keys":{}}"#,
            "expected microseconds since 1970",
        ),
    ];
    for (line, expected) in cases {
        let message = encode(LineForm::Incremental, line.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn lists_and_maps_are_nested_32_levels_at_most() {
    for (open, close) in [("{\"L\":[", "]}"), ("{\"M\":{\"a\":", "}}")] {
        let line = |levels: usize| {
            format!(
                "{{\"Item\":{{\"a\":{}{{\"S\":\"\"}}{}}}}}",
                open.repeat(levels),
                close.repeat(levels)
            )
        };
        assert!(encode(LineForm::Full, line(32).as_bytes()).is_ok());
        for levels in [33, 100_000] {
            let fault = encode(LineForm::Full, line(levels).as_bytes()).unwrap_err();
            assert!(
                fault
                    .to_string()
                    .ends_with("expected at most 32 lists and maps inside one another"),
                "{fault}"
            );
        }
    }
}

#[test]
fn a_name_that_is_there_twice_is_found_among_few_and_many() {
    for count in [2, 3, 40, 63, 64, 65, 66, 5_000] {
        // Names of all lengths, many of which begin and end alike.
        let name = |index: usize| format!("{index}{}same", "-".repeat(index % 23));
        let members = |last: &str| {
            let mut members: Vec<String> = (0..count - 1)
                .map(|index| format!("\"{}\":{{\"N\":\"1\"}}", name(index)))
                .collect();
            members.push(format!("\"{last}\":{{\"BOOL\":true}}"));
            format!("{{\"Item\":{{\"m\":{{\"M\":{{{}}}}}}}}}", members.join(","))
        };
        assert!(
            encode(LineForm::Full, members(&name(count)).as_bytes()).is_ok(),
            "{count}"
        );
        for twin in [0, (count - 1) / 2, count - 2] {
            let escaped = format!("\\u{:04x}{}", name(twin).as_bytes()[0], &name(twin)[1..]);
            for last in [name(twin), escaped] {
                let fault = encode(LineForm::Full, members(&last).as_bytes()).unwrap_err();
                assert!(
                    fault.to_string().contains("is there twice"),
                    "{count}: {fault}"
                );
            }
        }
    }
}
