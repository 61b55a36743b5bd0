//! Each file of `events/` means what `events/README.md` says.

use csv_ingester::{ObjectVersion, Request, Sequencer, decode, object_job};
use proptest::prelude::*;
use serde_json::{Value, json};
use wiring_tests::documents::{Document, documents};
use wiring_tests::{read, repository_files};

const BUCKET: &str = "transload-inbox-000000000000";
const ETAG: &str = "0ff2316cb07cefd6e7acb0d1ea9c167d";
/// What csv-ingester is invoked with.
const EVENTS: [&str; 8] = [
    "eventbridge-object-created.json",
    "malformed.json",
    "s3-duplicate.json",
    "s3-encoded-key-unversioned.json",
    "s3-put.json",
    "s3-test-event.json",
    "s3-two-records.json",
    "sweep.json",
];

fn event(name: &str) -> Value {
    serde_json::from_str(&read(format!("events/{name}"))).expect("the event is JSON")
}

fn objects(event: &Value) -> Vec<ObjectVersion> {
    match decode(event) {
        Ok(Request::Objects(objects)) => objects,
        other => panic!("objects were expected: {other:?}"),
    }
}

fn object(key: &str, version: Option<&str>, sequencer: &str) -> ObjectVersion {
    ObjectVersion {
        bucket: BUCKET.to_owned(),
        key: key.to_owned(),
        version: version.map(str::to_owned),
        etag: Some(ETAG.to_owned()),
        sequencer: Sequencer::parse(sequencer).expect("hexadecimal"),
    }
}

#[test]
fn the_readme_lists_every_file_and_every_event_has_a_test() {
    let mut files: Vec<String> = repository_files()
        .iter()
        .filter_map(|path| path.strip_prefix("events").ok())
        .map(|path| path.display().to_string())
        .filter(|name| name != "README.md")
        .collect();
    let readme = documents()
        .into_iter()
        .find(|document| document.path == "events/README.md")
        .expect("events/README.md is there");
    let mut listed = first_column(&readme);
    listed.sort();
    assert_eq!(listed, files);
    // tests/stream_events.rs has those of stream-writer, tests/reprocess.rs those of gsi-reprocessor, and tests/exports.rs the others.
    let elsewhere = ["stream-", "reprocess-", "export-", "transform-", "scan-"];
    files.retain(|name| {
        name.ends_with(".json") && !elsewhere.iter().any(|prefix| name.starts_with(prefix))
    });
    assert_eq!(files, EVENTS);
}

fn first_column(document: &Document) -> Vec<String> {
    let cells = document
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn a_put_is_one_object_and_its_repetition_is_the_same() {
    let put = event("s3-put.json");
    let expected = object(
        "in/offers.csv",
        Some("tX4bVqYk1sM9Zc7Rw2Jp5Gh8Dn3Lf6Ae"),
        "006961F2C0A1B2C3D4",
    );
    assert_eq!(
        object_job(&expected),
        format!("ingest/{BUCKET}/in/offers.csv#6961f2c0a1b2c3d4")
    );
    assert_eq!(objects(&put), [expected]);
    assert_eq!(objects(&event("s3-duplicate.json")), objects(&put));
}

#[test]
fn an_encoded_key_is_decoded() {
    let expected = object("in/red flower+1 é.csv", None, "006961F2C0A1B2C3D5");
    assert_eq!(
        objects(&event("s3-encoded-key-unversioned.json")),
        [expected]
    );
}

#[test]
fn the_key_of_an_encoded_event_may_hold_a_letter_with_umlaut() {
    let mut event = event("s3-encoded-key-unversioned.json");
    event["Records"][0]["s3"]["object"]["key"] = json!("in/f%C3%BCr+M%c3%bcller%25.csv");
    assert_eq!(objects(&event)[0].key, "in/für Müller%.csv");
}

#[test]
fn both_records_of_an_event_count() {
    let expected = [
        object(
            "in/offers.csv",
            Some("Qm8Ks3Vt6Yb1Xz4Nc7Rd2Wf5Hj9Lg0Pe"),
            "006961F2C0A1B2C3D6",
        ),
        object(
            "in/offers-copy.csv",
            Some("Bn2Ht7Uc4Ov9Ia6Se1Mw3Kx8Zq5Fy0Tr"),
            "006961F2C0A1B2C3D7",
        ),
    ];
    assert_eq!(objects(&event("s3-two-records.json")), expected);
    let put = objects(&event("s3-put.json"));
    assert!(expected[0].sequencer > put[0].sequencer);
}

#[test]
fn the_test_event_and_the_sweep_are_known() {
    assert_eq!(decode(&event("s3-test-event.json")), Ok(Request::Test));
    assert_eq!(decode(&event("sweep.json")), Ok(Request::Sweep));
}

#[test]
fn both_forms_of_one_upload_name_one_job() {
    let bridge = event("eventbridge-object-created.json");
    let expected = object(
        "in/red flower+1 é.csv",
        Some("Vd5Jp0Ys8Ck3Lb6Xe1Rz9Gt4Wn7Qh2Ma"),
        "006961F2C0A1B2C3D8",
    );
    assert_eq!(objects(&bridge), [expected]);

    let mut notification = event("s3-encoded-key-unversioned.json");
    let record = &mut notification["Records"][0]["s3"]["object"];
    record["versionId"] = bridge["detail"]["object"]["version-id"].clone();
    record["sequencer"] = bridge["detail"]["object"]["sequencer"].clone();
    assert_eq!(objects(&notification), objects(&bridge));

    // EventBridge may leave out the zeros in front, and either may change the case.
    let mut shorter = bridge.clone();
    shorter["detail"]["object"]["sequencer"] = json!("6961f2c0a1b2c3d8");
    assert_eq!(objects(&shorter), objects(&bridge));
    assert_eq!(
        object_job(&objects(&shorter)[0]),
        object_job(&objects(&notification)[0])
    );
}

#[test]
fn a_malformed_event_is_one_error_that_names_the_place() {
    let malformed = event("malformed.json");
    let message = decode(&malformed).unwrap_err().to_string();
    assert_eq!(
        message,
        "the event cannot be read: Records[0] is no S3 record: missing field `object`"
    );

    let mut second = event("s3-two-records.json");
    second["Records"][1] = malformed["Records"][0].clone();
    let message = decode(&second).unwrap_err().to_string();
    assert!(message.contains("Records[1]"), "{message}");
}

#[test]
fn the_events_speak_of_the_sample_file() {
    let size = read("events/offers.csv").len();
    for name in EVENTS {
        let event = event(name);
        let records = event["Records"].as_array().into_iter().flatten();
        let announced = records
            .filter_map(|record| record["s3"].get("object"))
            .chain(event["detail"].get("object"));
        for object in announced {
            assert_eq!(object["size"], size, "{name}");
            let etag = object.get("eTag").or(object.get("etag"));
            assert_eq!(etag, Some(&json!(ETAG)), "{name}");
        }
    }
}

/// Names and values that the decoder looks at.
const NAMES: &[&str] = &[
    "Records",
    "s3",
    "object",
    "key",
    "bucket",
    "name",
    "sequencer",
    "versionId",
    "eTag",
    "eventName",
    "eventTime",
    "detail-type",
    "detail",
    "etag",
    "version-id",
    "Event",
    "sweep",
];
const TEXTS: &[&str] = &[
    "ObjectCreated:Put",
    "Object Created",
    "s3:TestEvent",
    "%",
    "%FF",
    "+",
    "0",
    "",
];

/// JSON whose members have names that the decoder looks at, now and then.
fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let name = prop_oneof![
        8 => prop::sample::select(NAMES).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    scalar.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Every place in a document, as the JSON pointers of RFC 6901.
fn places(document: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match document {
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                places(entry, &format!("{here}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, &format!("{here}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// The key as S3 writes it into a notification: `+` for a space, `%XX` for what is not plain.
fn form_encoded(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'/' | b'.' | b'-' | b'_' | b'*' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_the_decoder_panic(event in any_json()) {
        let _ = decode(&event);
    }

    #[test]
    fn a_sample_with_any_part_replaced_or_missing_never_makes_the_decoder_panic(
        name in prop::sample::select(&EVENTS[..]),
        place in any::<prop::sample::Index>(),
        replacement in prop::option::of(any_json()),
    ) {
        let mut event = event(name);
        let mut found = Vec::new();
        places(&event, "", &mut found);
        let place = place.get(&found);
        match (replacement, place.rsplit_once('/')) {
            (Some(replacement), _) => *event.pointer_mut(place).expect("found above") = replacement,
            (None, Some((parent, child))) => {
                if let Some(fields) = event.pointer_mut(parent).and_then(Value::as_object_mut) {
                    fields.remove(child);
                }
            }
            (None, None) => event = Value::Null,
        }
        if let Err(error) = decode(&event) {
            prop_assert!(error.to_string().starts_with("the event cannot be read: "));
        }
    }

    #[test]
    fn every_key_comes_back_from_its_encoded_form(key in "\\PC{0,40}|[ +%/.a-zäß€]{0,40}") {
        prop_assume!(!key.is_empty() && !key.ends_with('/'));
        let mut notification = event("s3-put.json");
        notification["Records"][0]["s3"]["object"]["key"] = json!(form_encoded(&key));
        prop_assert_eq!(&objects(&notification)[0].key, &key);

        let mut bridge = event("eventbridge-object-created.json");
        bridge["detail"]["object"]["key"] = json!(key);
        prop_assert_eq!(&objects(&bridge)[0].key, &key);
    }
}
