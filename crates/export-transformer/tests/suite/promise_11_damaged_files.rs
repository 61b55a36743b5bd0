//! Promise 11: a data file that is not as its manifest says is given up with one message that reads alone; nothing of it can be
//! seen, nothing of it stays staged, and the right file makes everything good.

use std::time::Duration;

use crate::simulation::{
    KEY, LAKE, LONG, World, by_kind, entry, gzip, invoke, lines, md5_of, run_paused, settings,
    text_of,
};
use export_jobs::{Format, Status};
use export_transformer::Outcome;
use futures_util::future::join;
use lambda_support::FailureKind;
use serde_json::{Value, json};
use storage::failing::{Failing, Fault, FaultPlan};
use storage::{ObjectStore, TestClock};

const LINES: u64 = 120;

/// What is wrong, the bytes, the manifest's entry, and what the message says.
fn damages() -> Vec<(&'static str, Vec<u8>, Value, String)> {
    let good = lines(LINES);
    let text = text_of(&good);
    let body = gzip(&text);
    let md5 = md5_of(&body);
    let manifest = entry(&body, LINES);
    let mut cases = Vec::new();
    let with =
        |name, body: Vec<u8>, file: Value, message: &str| (name, body, file, message.to_owned());

    let mut other = good.clone();
    other[7] = other[7].replace("k00007", "k00008");
    let other = gzip(&text_of(&other));
    let found = md5_of(&other);
    cases.push((
        "another file",
        other,
        manifest.clone(),
        format!("its MD5 is {found}: expected {md5}, as the manifest has it"),
    ));
    cases.push(with(
        "an item is missing",
        body.clone(),
        entry(&body, LINES + 1),
        "it has 120 items: expected 121, as the manifest has it",
    ));
    for cut in [body.len() - 1, body.len() - 8, body.len() / 2, 15] {
        let short = body[..cut].to_vec();
        // Also if the manifest were of the short file.
        let file = entry(&short, LINES);
        let message =
            format!("its gzip data breaks off after {cut} bytes: expected a whole gzip file");
        cases.push(("cut", short, file, message));
    }
    let empty = Vec::new();
    let file = entry(&empty, LINES);
    cases.push(with("no byte", empty, file, "breaks off after 0 bytes"));
    let mut crc = body.clone();
    let at = crc.len() - 6;
    crc[at] ^= 1;
    let file = entry(&crc, LINES);
    cases.push(with(
        "wrong CRC",
        crc,
        file,
        "its gzip data is damaged behind byte",
    ));
    let mut length = body.clone();
    let at = length.len() - 2;
    length[at] ^= 1;
    let file = entry(&length, LINES);
    cases.push(with(
        "wrong length",
        length,
        file,
        "its gzip data is damaged behind byte",
    ));
    let mut inside = body.clone();
    inside[body.len() / 2] ^= 0x55;
    cases.push(with(
        "a byte in the middle",
        inside,
        manifest.clone(),
        "expected",
    ));
    for tail in [&b"\0"[..], b"\0\0\0\0", b"and more"] {
        let long = [&body[..], tail].concat();
        let file = entry(&long, LINES);
        let message = format!(
            "byte {}, behind the end of its gzip data, is no gzip: expected the end of the file",
            body.len()
        );
        cases.push(("trailing bytes", long, file, message));
    }
    let file = entry(&text, LINES);
    cases.push(with(
        "not compressed",
        text.clone(),
        file,
        "it does not begin as gzip: expected a gzip file",
    ));

    let mut broken = good.clone();
    broken[41] = r#"{"Item":{"id":{"S":"k"}"#.to_owned();
    let broken = gzip(&text_of(&broken));
    let file = entry(&broken, LINES);
    cases.push(with("a broken line", broken, file, "line 42: "));
    let mut blank = good.clone();
    blank[99] = String::new();
    let blank = gzip(&text_of(&blank));
    let file = entry(&blank, LINES);
    cases.push(with(
        "an empty line",
        blank,
        file,
        "line 100 is empty: expected one item",
    ));
    let long = gzip(&[&text[..], &vec![b'x'; 9 * 1024 * 1024]].concat());
    let file = entry(&long, LINES + 1);
    cases.push(with(
        "a long line",
        long,
        file,
        "line 121 has more than 8388608 bytes: expected one item",
    ));
    cases
}

#[test]
fn promise_11_a_damaged_file_is_given_up_with_its_reason() {
    run_paused(async {
        let good = gzip(&text_of(&lines(LINES)));
        let expected = World::new(by_kind(3_000), LINES);
        expected.invoke().await.unwrap();
        for (name, body, file, message) in damages() {
            for action in ["transform", "infer"] {
                let mut world = World::with_body(by_kind(3_000), body.clone(), file.clone());
                let failure = world.invoke_for(action, LONG).await.unwrap_err();
                let what = format!("{name}, {action}: {failure}");
                assert_eq!(failure.kind, FailureKind::Invalid, "{what}");
                assert!(
                    failure.message.starts_with(&format!("s3://{LAKE}/{KEY}: ")),
                    "{what}"
                );
                assert!(failure.message.contains(&message), "{what}: not {message}");
                assert!(failure.message.contains("expected"), "{what}");
                let part = world.part().await.unwrap();
                assert_eq!(part.processing_status, Status::Failed, "{what}");
                assert_eq!(part.error_message.as_deref(), Some(&*failure.message));
                assert!(part.objects.is_empty() && part.checkpoint.is_none());
                assert!(world.visible().is_empty(), "{what}");
                assert!(world.objects.open_uploads().is_empty(), "{what}");
                // The right file under the same name makes it good.
                world.replace_file(good.clone());
                world.file = entry(&good, LINES);
                world.invoke().await.unwrap();
                assert_eq!(world.visible(), expected.visible(), "{what}");
                assert_eq!(world.part().await.unwrap().error_message, None);
            }
        }
    });
}

#[test]
fn promise_11_a_file_that_is_not_there_says_so() {
    run_paused(async {
        let world = World::new(settings(Format::JsonLines, 4_000), LINES);
        world.objects.delete(LAKE, KEY).await.unwrap();
        let failure = world.invoke().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(
            failure.message.starts_with(&format!(
                "s3://{LAKE}/{KEY}: it cannot be read: expected the data file that the manifest names: GetObject on"
            )),
            "{failure}"
        );
        assert_eq!(
            world.part().await.unwrap().processing_status,
            Status::Failed
        );
    });
}

#[test]
fn promise_11_a_file_that_is_replaced_while_it_is_read_is_named() {
    run_paused(async {
        let good = gzip(&text_of(&lines(LINES)));
        let expected = World::new(by_kind(3_000), LINES);
        expected.invoke().await.unwrap();
        for action in ["transform", "infer"] {
            let world = World::new(by_kind(3_000), LINES);
            // The body stalls; when it is opened again where it was, another object is there.
            let plan = FaultPlan::seeded(1);
            let nth = if action == "infer" { 2 } else { 1 };
            plan.inject("GetObject", nth, Fault::BodyStall(2_000));
            let objects = Failing::new(world.objects.clone(), plan.clone());
            let clock = TestClock::default();
            let run = invoke(
                objects,
                world.ledger.clone(),
                clock,
                action,
                &world.file,
                LONG,
            );
            let replaced = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let mut other = lines(LINES);
                other[7] = other[7].replace("k00007", "k00008");
                world.replace_file(gzip(&text_of(&other)));
            };
            let (result, ()) = join(run, replaced).await;
            let failure = result.unwrap_err();
            let what = format!("{action}: {failure}");
            assert_eq!(failure.kind, FailureKind::Invalid, "{what}");
            let message = format!(
                "s3://{LAKE}/{KEY}: it was replaced while it was read: expected the data file that the manifest names"
            );
            assert!(failure.message.starts_with(&message), "{what}");
            let part = world.part().await.unwrap();
            assert_eq!(part.processing_status, Status::Failed, "{what}");
            assert_eq!(part.error_message.as_deref(), Some(&*failure.message));
            assert!(world.visible().is_empty(), "{what}");
            assert!(world.objects.open_uploads().is_empty(), "{what}");
            assert!(
                !world
                    .objects
                    .snapshot(LAKE)
                    .keys()
                    .any(|key| key.ends_with("/abcd.json"))
            );
            // What is there now is another file than the manifest's; the right one makes it good.
            let failure = world.invoke_for(action, LONG).await.unwrap_err();
            assert!(failure.message.contains("its MD5 is"), "{failure}");
            world.replace_file(good.clone());
            world.invoke().await.unwrap();
            assert_eq!(world.visible(), expected.visible(), "{what}");
        }
    });
}

#[test]
fn promise_11_files_of_every_good_shape_are_taken() {
    run_paused(async {
        let expected = World::new(settings(Format::JsonLines, 4_000), LINES);
        expected.invoke().await.unwrap();
        let text = text_of(&lines(LINES));
        let half = text.len() / 2;
        let members = [gzip(&text[..half]), gzip(b""), gzip(&text[half..])].concat();
        let open_end = gzip(&text[..text.len() - 1]);
        for body in [members, open_end] {
            let file = entry(&body, LINES);
            let world = World::with_body(settings(Format::JsonLines, 4_000), body, file);
            world.invoke().await.unwrap();
            assert_eq!(world.visible(), expected.visible());
        }
        // No item at all: no object, and COMPLETED.
        let body = gzip(b"");
        let file = entry(&body, 0);
        let world = World::with_body(settings(Format::JsonLines, 4_000), body, file);
        let report = world.invoke().await.unwrap();
        assert_eq!((report.status, report.rows_read), (Outcome::Completed, 0));
        assert!(world.visible().is_empty());
        assert_eq!(
            world.part().await.unwrap().processing_status,
            Status::Completed
        );
    });
}

#[test]
fn promise_11_settings_and_events_that_cannot_be_say_so() {
    run_paused(async {
        let mut shaped = settings(Format::JsonLines, 4_000);
        shaped.shaping = Some("{".to_owned());
        let world = World::new(shaped, 3);
        let failure = world.invoke().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(
            failure
                .message
                .contains("the job's settings cannot be used"),
            "{failure}"
        );

        // Data sets by one attribute, columns by another.
        for of_schema in [Some("type"), None] {
            let world = World::parquet(1 << 20, 3);
            world.declare(of_schema);
            let failure = world.invoke().await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid);
            assert_eq!(
                failure.message,
                format!(
                    "s3://{LAKE}/{KEY}: the job's settings cannot be used: the discriminator is Some(\"kind\"), and that of the schema is {of_schema:?}: expected the same"
                )
            );
            let part = world.part().await.unwrap();
            assert_eq!(part.processing_status, Status::Failed);
            assert!(world.visible().is_empty() && world.objects.open_uploads().is_empty());
            world.declare(Some("kind"));
            assert_eq!(world.invoke().await.unwrap().rows_written, 3);
        }

        let mut columns = settings(Format::Parquet, 1 << 20);
        columns.schema = Some(export_jobs::SchemaMode::Declared);
        let world = World::new(columns, 3);
        let failure = world.invoke().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
        assert!(
            failure.message.contains("schemas/table=offers"),
            "{failure}"
        );
        world.objects.seed(
            LAKE,
            crate::simulation::SCHEMA_KEY,
            json!({"version": 9}).to_string(),
            &[],
        );
        let failure = world.invoke().await.unwrap_err();
        assert!(failure.message.contains("expected"), "{failure}");
    });
}

#[test]
fn a_schema_is_inferred_once_and_makes_parquet() {
    run_paused(async {
        let mut columns = settings(Format::Parquet, 20_000);
        columns.schema = Some(export_jobs::SchemaMode::Inferred);
        columns.discriminator = Some("kind".to_owned());
        let world = World::new(columns, LINES);
        let report = world.invoke_for("infer", LONG).await.unwrap();
        assert_eq!(
            (report.status, report.rows_read),
            (Outcome::Completed, LINES)
        );
        let key = "schemas/table=offers/full-20261121T040000Z/abcd.json";
        let partial = world
            .objects
            .content(LAKE, key)
            .expect("the object is the record");
        // Again: the object stays, and nothing is read.
        let file = world.objects.content(LAKE, KEY).unwrap();
        world.objects.delete(LAKE, KEY).await.unwrap();
        world.invoke_for("infer", LONG).await.unwrap();
        world.replace_file(file.to_vec());
        let inference =
            transcode::Inference::parse(std::str::from_utf8(&partial).unwrap()).unwrap();
        let schema = inference.finish().schema;
        world
            .objects
            .seed(LAKE, crate::simulation::SCHEMA_KEY, schema.to_json(), &[]);
        let report = world.invoke().await.unwrap();
        assert_eq!((report.rows_read, report.rows_written), (LINES, LINES));
        let visible = world.visible();
        assert_eq!(visible.len(), 4, "{:?}", visible.keys());
        for (key, body) in visible {
            assert!(key.ends_with("/abcd-00000.parquet"), "{key}");
            assert!(
                body.starts_with(b"PAR1") && body.ends_with(b"PAR1"),
                "{key}"
            );
        }
    });
}

/// A line of this data set with a thousand attributes, whose names are as long as they may be.
fn wide_line(kind: usize) -> String {
    let values: String = (0..1_000)
        .map(|number| format!(r#","{number:0>255}":{{"S":""}}"#))
        .collect();
    format!(r#"{{"Item":{{"kind":{{"S":"{kind}"}}{values}}}}}"#)
}

#[test]
fn promise_11_a_schema_that_is_too_large_to_be_merged_is_refused_before_it_is_kept() {
    run_paused(async {
        let mut columns = settings(Format::Parquet, 20_000);
        columns.schema = Some(export_jobs::SchemaMode::Inferred);
        columns.discriminator = Some("kind".to_owned());
        let key = "schemas/table=offers/full-20261121T040000Z/abcd.json";
        for (kinds, fits) in [(20, true), (60, false)] {
            let text: Vec<String> = (0..kinds).map(wide_line).collect();
            let body = gzip(&text_of(&text));
            let file = entry(&body, kinds as u64);
            let world = World::with_body(columns.clone(), body, file);
            let answer = world.invoke_for("infer", LONG).await;
            let kept = world
                .objects
                .content(LAKE, key)
                .map(|kept| kept.len() as u64);
            if fits {
                answer.unwrap();
                // More than a document may have that people write.
                assert!(kept.is_some_and(|bytes| bytes > 4 << 20), "{kept:?} bytes");
                continue;
            }
            let failure = answer.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
            assert!(
                failure
                    .message
                    .starts_with(&format!("s3://{LAKE}/{KEY}: its schema has "))
                    && failure.message.contains("expected at most 16777216")
                    && failure.message.ends_with("declare a schema"),
                "{failure}"
            );
            assert_eq!(kept, None);
            let row = world.part().await.unwrap();
            assert_eq!(row.processing_status, Status::Failed);
            assert_eq!(row.error_message.as_ref(), Some(&failure.message));
        }
    });
}
