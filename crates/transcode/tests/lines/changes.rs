//! Lines of the change log, read by what reads the log.

use std::collections::BTreeMap;

use crate::spelling::{Attributes, Speller, Tree, attributes};
use proptest::prelude::*;
use records::changes::{ChangeKind, ChangeLine, LogLine, Origin, SnapshotSource};
use records::{Value, item_from_dynamodb_json};
use transcode::{Added, ChangeEncoder, LineFault, LineForm, Snapshot};

fn export() -> Snapshot {
    Snapshot {
        id: "01768386000000-a1b2c3d4".to_owned(),
        source: SnapshotSource::Export,
        snapshot_time: 1_768_386_000,
        window_start: None,
    }
}

fn window() -> Snapshot {
    Snapshot {
        window_start: Some(1_768_382_400),
        ..export()
    }
}

fn encode(
    form: LineForm,
    snapshot: Snapshot,
    keys: &[&str],
    line: &str,
) -> Result<String, LineFault> {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let mut out = b"kept".to_vec();
    let added =
        ChangeEncoder::new(form, snapshot, keys).add("data.x-17", line.as_bytes(), &mut out);
    let behind = String::from_utf8(out.split_off(4)).unwrap();
    assert_eq!(out, b"kept");
    assert_eq!(behind.is_empty(), added.is_err());
    assert_eq!(added?, Added::Written);
    assert_eq!(behind.matches('\n').count(), 1);
    assert!(behind.ends_with('\n') && !behind.contains('\r'));
    Ok(behind)
}

fn change(line: &str) -> ChangeLine<'_> {
    match LogLine::parse(line).unwrap() {
        LogLine::Change(change) => *change,
        LogLine::Complete(_) => panic!("{line} is a completion"),
    }
}

fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], "")
}

fn with_keys(mut item: Attributes) -> Attributes {
    item.insert("account".to_owned(), Tree::S("a-1".to_owned()));
    item.insert("offer\"id".to_owned(), Tree::N("7.0".to_owned()));
    item
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_item_is_an_insert_with_its_own_bytes(item in attributes(), seed in any::<u64>()) {
        let (line, item) = Speller::new(seed).full_line(&with_keys(item));
        let log = encode(LineForm::Full, export(), &["account", "offer\"id"], &line).unwrap();
        let change = change(&log);
        prop_assert_eq!(&*change.event_id, "01768386000000-a1b2c3d4-data.x-17");
        prop_assert_eq!(change.kind, ChangeKind::Insert);
        prop_assert_eq!(change.seconds, 1_768_386_000);
        prop_assert_eq!(change.origin, Origin::Snapshot { source: SnapshotSource::Export, time: 1_768_386_000 });
        prop_assert_eq!(change.new_image.unwrap().get(), one_line(&item));
        prop_assert!(change.old_image.is_none());
        let item = item_from_dynamodb_json(&item).unwrap();
        let keys: BTreeMap<String, Value> = item
            .into_iter()
            .filter(|(name, _)| name == "account" || name == "offer\"id")
            .collect();
        prop_assert_eq!(change.keys, keys);
    }

    #[test]
    fn a_line_of_a_window_is_what_the_item_came_to(
        images in prop::collection::vec(attributes(), 2), seed in any::<u64>(), micros in 0..2_000_000_000_000_000u64,
    ) {
        let mut speller = Speller::new(seed);
        let mut keys = String::new();
        speller.item(&with_keys(Attributes::new()), &mut keys);
        let mut members = vec![
            ("Metadata".to_owned(), format!(r#"{{"WriteTimestampMicros":{{"N":"{micros}"}}}}"#)),
            ("Keys".to_owned(), keys.clone()),
        ];
        let mut wanted = Vec::new();
        for (name, image) in ["NewImage", "OldImage"].into_iter().zip(&images) {
            let there = speller.choose(2) == 0;
            let mut json = String::new();
            speller.item(image, &mut json);
            wanted.push(there.then(|| one_line(json.trim())));
            if there {
                members.push((name.to_owned(), json));
            }
        }
        let mut line = String::new();
        speller.object(members, &mut line);
        let log = encode(LineForm::Incremental, window(), &[], &line).unwrap();
        let change = change(&log);
        let kind = match wanted[0] {
            Some(_) => ChangeKind::Modify,
            None => ChangeKind::Remove,
        };
        prop_assert_eq!(change.kind, kind);
        prop_assert_eq!(change.seconds, micros / 1_000_000);
        prop_assert_eq!(change.origin, Origin::Repair { start: 1_768_382_400, end: 1_768_386_000 });
        prop_assert_eq!(change.keys, item_from_dynamodb_json(&keys).unwrap());
        prop_assert_eq!(change.new_image.map(|image| image.get().to_owned()), wanted[0].clone());
        prop_assert_eq!(change.old_image.map(|image| image.get().to_owned()), wanted[1].clone());
    }
}

#[test]
fn lines_are_those_of_the_document() {
    let item = r#"{"account":{"S":"a-1"},"offer_id":{"N":"7"},"price":{"N":"12.5"}}"#;
    let line = format!(r#"{{"Item":{item}}}"#);
    let scan = Snapshot {
        id: "scan-1768386000".to_owned(),
        source: SnapshotSource::Scan,
        ..export()
    };
    assert_eq!(
        encode(LineForm::Full, scan, &["account", "offer_id"], &line).unwrap(),
        r#"{"eventID":"scan-1768386000-data.x-17","eventName":"INSERT","source":"scan","snapshotTime":1768386000,"dynamodb":{"ApproximateCreationDateTime":1768386000,"Keys":{"account":{"S":"a-1"},"offer_id":{"N":"7"}},"NewImage":{"account":{"S":"a-1"},"offer_id":{"N":"7"},"price":{"N":"12.5"}}}}
"#
    );
    let line = r#"{"Keys":{"account":{"S":"a-1"},"offer_id":{"N":"7"}},"Metadata":{"WriteTimestampMicros":"1768387211999999"}}"#;
    assert_eq!(
        encode(LineForm::Incremental, window(), &[], line).unwrap(),
        r#"{"eventID":"01768386000000-a1b2c3d4-data.x-17","eventName":"REMOVE","source":"export","snapshotTime":1768386000,"windowStart":1768382400,"dynamodb":{"ApproximateCreationDateTime":1768387211,"Keys":{"account":{"S":"a-1"},"offer_id":{"N":"7"}}}}
"#
    );
}

#[test]
fn what_the_log_cannot_have_is_refused() {
    let long = "k".repeat(2_049);
    let keys = "expected the one or two key attributes, each an S, N or B of at most 2,048 bytes";
    let cases = [
        (LineForm::Full, r#"{"Item":{"x":{"S":""}}}"#.to_owned(), "the key attribute \"id\" is not in the item: expected"),
        (LineForm::Full, r#"{"Item":{"id":{"BOOL":true}}}"#.to_owned(), keys),
        (LineForm::Full, format!(r#"{{"Item":{{"id":{{"S":"{long}"}}}}}}"#), keys),
        (LineForm::Full, format!(r#"{{"Item":{{"id":{{"B":"{}"}}}}}}"#, "AAAA".repeat(683)), keys),
        (LineForm::Incremental, r#"{"Metadata":{"WriteTimestampMicros":"1"},"Keys":{}}"#.to_owned(), keys),
        (LineForm::Incremental, r#"{"Metadata":{"WriteTimestampMicros":"1"},"Keys":{"a":{"N":"1"},"b":{"N":"1"},"c":{"N":"1"}}}"#.to_owned(), keys),
        (LineForm::Incremental, r#"{"Metadata":{"WriteTimestampMicros":"18446744073709551615"},"Keys":{"a":{"N":"1"}}}"#.to_owned(), ""),
        (LineForm::Incremental, r#"{"Metadata":{"WriteTimestampMicros":"253370764800000000"},"Keys":{"a":{"N":"1"}}}"#.to_owned(), "expected WriteTimestampMicros before the year 9999"),
    ];
    for (form, line, expected) in cases {
        let message = encode(form, export(), &["id"], &line)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{line}: {message}");
    }
    let fits = format!(
        r#"{{"Item":{{"id":{{"B":"{}AAA="}}}}}}"#,
        "AAAA".repeat(682)
    );
    change(&encode(LineForm::Full, export(), &["id"], &fits).unwrap());
    for id in ["a b".to_owned(), "é".to_owned(), "i".repeat(191)] {
        let snapshot = Snapshot { id, ..export() };
        let fault = encode(
            LineForm::Full,
            snapshot,
            &["id"],
            r#"{"Item":{"id":{"S":""}}}"#,
        )
        .unwrap_err();
        assert!(
            fault.to_string().ends_with(
                "cannot be one of the log: expected at most 200 letters, digits, '-', '_' and '.'"
            ),
            "{fault}"
        );
    }
}
