//! Promise 9: a window is COMPLETED only when every data file of its verified manifest is, and what is not says why.

use crate::simulation::{ARN, LAKE, Step, TABLE, World};
use bytes::Bytes;
use export_jobs::names::success_object;
use export_jobs::{JobRow, PartRow, Status, change, read};
use serde_json::{Value as Json, json};
use storage::failing::FaultPlan;
use storage::{ObjectStore, RecoveryWindow};

const JOB: &str = "export/offers/full-weekly";

fn event() -> Json {
    json!({"action": "begin", "type": "full", "window": "weekly"})
}

/// A world in which the export is complete and polled.
async fn exported(seed: u64) -> (World, JobRow) {
    let world = World::new(seed);
    let calm = FaultPlan::seeded(0);
    let begun = world.step(Step::Begin(event()), &calm).await;
    world.exports.inner().complete_all();
    assert_eq!(world.step(begun, &calm).await, Step::Plan(JOB.to_owned()));
    let row = world.row(JOB).await.expect("it was begun");
    (world, row)
}

async fn replace(world: &World, key: &str, old: &str, new: &str) {
    let lake = world.lake.inner();
    let content = lake.content(LAKE, key).expect("it is there");
    let text = String::from_utf8(content.to_vec()).expect("JSON");
    let changed = text.replacen(old, new, 1);
    assert_ne!(changed, text, "{old} is in {key}");
    lake.put(LAKE, key, Bytes::from(changed))
        .await
        .expect("memory");
}

/// Writes a manifest's own checksum again: what follows is wrong in itself.
async fn sign(world: &World, key: &str) {
    use base64::Engine;
    use md5::{Digest, Md5};
    let content = world.lake.inner().content(LAKE, key).expect("it is there");
    let digest = base64::prelude::BASE64_STANDARD.encode(Md5::digest(&content));
    let beside = key.replace(".json", ".md5");
    let put = world.lake.inner().put(LAKE, &beside, Bytes::from(digest));
    put.await.expect("memory");
}

async fn planned(world: &World) -> String {
    let answer = world.call(json!({"action": "plan", "job": JOB})).await;
    let failure = answer.expect_err("the export is damaged");
    assert_eq!(
        failure.kind,
        lambda_support::FailureKind::Invalid,
        "{failure}"
    );
    let row = world.row(JOB).await.expect("it was begun");
    assert_eq!(row.processing_status, Status::Failed);
    assert_eq!(row.error_message.as_ref(), Some(&failure.message));
    failure.message
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_damaged_manifest_is_named_and_nothing_is_planned() {
    let (world, row) = exported(1).await;
    let summary = row.manifest_key.expect("it was polled");
    let files = summary.replace("manifest-summary", "manifest-files");

    replace(&world, &files, "\"itemCount\":2", "\"itemCount\":3").await;
    let message = planned(&world).await;
    assert!(
        message.contains(&format!("s3://lake/{files} has the MD5 ")),
        "{message}"
    );
    assert!(message.contains("expected "), "{message}");
    // Nothing of it has been taken for true.
    assert_eq!(world.ledger.inner().rows().len(), 1);

    sign(&world, &files).await;
    let message = planned(&world).await;
    assert!(
        message.contains(&format!("s3://lake/{files} has the item count ")),
        "{message}"
    );

    replace(&world, &files, "\"itemCount\":3", "\"items\":3").await;
    sign(&world, &files).await;
    let message = planned(&world).await;
    assert!(
        message.contains(&format!("s3://lake/{files}, line 3: ")),
        "{message}"
    );
    assert!(
        message.contains("expected a JSON object with dataFileS3Key"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_manifest_of_another_table_or_window_is_refused() {
    let cases = [
        (
            ARN.to_owned(),
            ARN.replace("offers", "orders"),
            "is of the table",
        ),
        (
            "/export/".to_owned(),
            "/export/0".to_owned(),
            "is of the export",
        ),
        (
            "\"exportTime\":\"2026-".to_owned(),
            "\"exportTime\":\"2025-".to_owned(),
            "is of the window",
        ),
        (
            format!("\"s3Bucket\":\"{LAKE}\""),
            "\"s3Bucket\":\"pond\"".to_owned(),
            "is of the bucket",
        ),
        (
            "DYNAMODB_JSON".to_owned(),
            "ION".to_owned(),
            "outputFormat is \"ION\": expected DYNAMODB_JSON",
        ),
    ];
    for (old, new, expected) in cases {
        let (world, row) = exported(2).await;
        let summary = row.manifest_key.expect("it was polled");
        // The table's ARN is also the beginning of the export's.
        let old = match expected {
            "is of the table" => format!("\"tableArn\":\"{old}"),
            _ => old,
        };
        let new = match expected {
            "is of the table" => format!("\"tableArn\":\"{new}"),
            _ => new,
        };
        replace(&world, &summary, &old, &new).await;
        sign(&world, &summary).await;
        let message = planned(&world).await;
        assert!(
            message.contains(&format!("s3://lake/{summary}")),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_missing_manifest_is_named() {
    let (world, row) = exported(3).await;
    let summary = row.manifest_key.expect("it was polled");
    let files = summary.replace("manifest-summary", "manifest-files");
    let lake = world.lake.inner();
    lake.delete(LAKE, &files).await.expect("memory");
    let message = planned(&world).await;
    assert!(message.contains(&format!("s3://lake/{files}")), "{message}");

    let (world, _) = exported(3).await;
    let checksum = summary.replace(".json", ".md5");
    let deleted = world.lake.inner().delete(LAKE, &checksum);
    deleted.await.expect("memory");
    let message = planned(&world).await;
    assert!(message.contains("manifest-summary.md5"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_window_with_a_file_that_is_not_done_is_failed_and_done_when_that_is() {
    let (world, _) = exported(4).await;
    world
        .call(json!({"action": "plan", "job": JOB}))
        .await
        .expect("it is whole");
    world.transform(JOB).await;
    let ledger = world.ledger.inner();
    let part = ledger
        .rows()
        .into_iter()
        .find(|row| row.attributes.get("item_count") == Some(&json!(2)))
        .expect("a file has two items");
    let completed = part.clone();
    let mut broken = part.clone();
    broken.revision += 1;
    broken
        .attributes
        .insert("processing_status".to_owned(), "FAILED".into());
    broken
        .attributes
        .insert("error_message".to_owned(), "the MD5 is another one".into());
    storage::Ledger::write(ledger, &broken)
        .await
        .expect("memory");

    let finish = json!({"action": "finish", "job": JOB});
    let end = world.call(finish.clone()).await.expect("it can be read");
    assert_eq!(end["status"], "FAILED");
    let told = end["failed_files"][0].as_str().expect("a file");
    assert_eq!(told, format!("{}: the MD5 is another one", part.part));
    assert!(
        end["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("1 of 3 files are not COMPLETED")),
        "{end}"
    );
    assert_eq!(
        world
            .lake
            .inner()
            .content(LAKE, &success_object(TABLE, "full-weekly")),
        None
    );
    let row = world.row(JOB).await.expect("a row");
    assert_eq!(
        (row.processing_status, row.failed_files),
        (Status::Failed, vec![part.part.clone()])
    );

    // The next execution does what is left; what was done stays as it is.
    let again = world.call(event()).await.expect("it goes on");
    assert_eq!(again["state"], "running", "{again}");
    world
        .call(json!({"action": "plan", "job": JOB}))
        .await
        .expect("it is whole");
    let mut mended = completed;
    mended.revision += 2;
    storage::Ledger::write(ledger, &mended)
        .await
        .expect("memory");
    let end = world.call(finish).await.expect("it can be read");
    assert_eq!(end["status"], "COMPLETED", "{end}");
    assert!(
        world
            .lake
            .inner()
            .content(LAKE, &success_object(TABLE, "full-weekly"))
            .is_some()
    );
    assert_eq!(world.exports.inner().begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn promise_9_what_lies_beside_the_files_objects_keeps_a_window_from_being_whole() {
    let (world, row) = exported(5).await;
    world
        .call(json!({"action": "plan", "job": JOB}))
        .await
        .expect("it is whole");
    world.transform(JOB).await;
    let lake = world.lake.inner();
    let strange = format!(
        "tables/{TABLE}/tl_export={}/tl_type=item/mine.jsonl.gz",
        row.window
    );
    lake.put(LAKE, &strange, Bytes::from_static(b"x"))
        .await
        .expect("memory");
    let finish = json!({"action": "finish", "job": JOB});
    let end = world.call(finish.clone()).await.expect("it can be read");
    assert_eq!(end["status"], "FAILED");
    assert!(
        end["message"]
            .as_str()
            .is_some_and(|message| message.contains(&strange)),
        "{end}"
    );
    lake.delete(LAKE, &strange).await.expect("memory");

    let listed = lake.list(LAKE, "tables/").await.expect("memory");
    let cut = listed
        .iter()
        .find(|object| object.bytes == 2)
        .expect("a file has two items");
    lake.put(LAKE, &cut.key, Bytes::from_static(b"x"))
        .await
        .expect("memory");
    let end = world.call(finish.clone()).await.expect("it can be read");
    assert!(
        end["message"]
            .as_str()
            .is_some_and(|message| message.contains("has 1 bytes: expected 2")),
        "{end}"
    );
    lake.delete(LAKE, &cut.key).await.expect("memory");
    let end = world.call(finish.clone()).await.expect("it can be read");
    assert!(
        end["message"]
            .as_str()
            .is_some_and(|message| message.contains("is not there: expected 2 bytes")),
        "{end}"
    );
    lake.put(LAKE, &cut.key, Bytes::from_static(b"xx"))
        .await
        .expect("memory");
    assert_eq!(
        world.call(finish).await.expect("it can be read")["status"],
        "COMPLETED"
    );
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_part_that_is_completed_is_never_changed() {
    let (world, _) = exported(6).await;
    world
        .call(json!({"action": "plan", "job": JOB}))
        .await
        .expect("it is whole");
    world.transform(JOB).await;
    let before = world.ledger.inner().rows();
    world
        .call(json!({"action": "plan", "job": JOB}))
        .await
        .expect("it is whole");
    let part = before
        .iter()
        .find(|row| row.part != "export")
        .expect("parts");
    let ledger = world.ledger.inner();
    let seen = change::<PartRow, _, _, _>(ledger, &world.clock, JOB, &part.part, |row, _| {
        let row = row.as_mut().expect("it is there");
        row.processing_status = Status::Pending;
        row.rows_read
    })
    .await;
    assert!(seen.is_ok());
    let now = read::<PartRow, _>(ledger, JOB, &part.part)
        .await
        .expect("memory")
        .expect("it is there");
    assert_eq!(now.row.processing_status, Status::Completed);
    let parts = |rows: Vec<storage::LedgerRow>| {
        rows.into_iter()
            .filter(|row| row.part != "export")
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(ledger.rows()), parts(before));
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_table_that_cannot_be_exported_says_what_to_enable() {
    let world = World::new(7);
    world.exports.inner().set_recovery(None);
    let failure = world.call(event()).await.expect_err("recovery is off");
    assert!(
        failure
            .message
            .starts_with("point-in-time recovery of the table offers is off"),
        "{failure}"
    );
    assert!(
        failure
            .message
            .contains("aws dynamodb update-continuous-backups"),
        "{failure}"
    );
    assert_eq!(world.ledger.inner().rows().len(), 0);

    // Recovery has just been switched on: nothing is old enough.
    let now = world.now();
    world.exports.inner().set_recovery(Some(RecoveryWindow {
        earliest: now,
        latest: now,
    }));
    let failure = world
        .call(event())
        .await
        .expect_err("nothing is old enough");
    assert!(
        failure.message.contains("expected to be asked again later"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_window_that_was_begun_otherwise_is_refused() {
    let world = World::new(8);
    world.run(event()).await;
    let mut other = event();
    other["format"] = "changes".into();
    let failure = world.call(other).await.expect_err("it was begun otherwise");
    assert!(
        failure.message.contains("was begun with another format"),
        "{failure}"
    );
    for (wrong, expected) in [
        (
            json!({"action": "begin", "type": "full"}),
            "without a window",
        ),
        (
            json!({"action": "begin", "type": "incremental", "window": "a"}),
            "expected none",
        ),
        (
            json!({"action": "begin", "window": "a/b"}),
            "expected a time such as",
        ),
        (
            json!({"action": "begin", "window": "a", "codec": "lz4"}),
            "expected gzip or zstd",
        ),
        (
            json!({"action": "begin", "window": "a", "schema": "inferred"}),
            "expected it with the format parquet",
        ),
        (
            json!({"action": "begin", "window": "a", "format": "parquet", "schema": "declared"}),
            "without schema_key",
        ),
        (
            json!({"action": "begin", "window": "a", "shaping_key": "settings/none.json"}),
            "s3://lake/settings/none.json",
        ),
        (
            json!({"action": "poll", "job": "export/offers/full-none"}),
            "expected the job that the action begin answered",
        ),
        (
            json!({"action": "finish", "job": "export/offers/full-none"}),
            "expected the job that the action begin answered",
        ),
    ] {
        let failure = world.call(wrong).await.expect_err("it is wrong");
        assert!(failure.message.contains(expected), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn promise_9_a_row_of_other_bytes_says_nothing_of_a_file() {
    let (world, _) = exported(9).await;
    world
        .call(json!({"action": "plan", "job": JOB}))
        .await
        .expect("it is whole");
    world.transform(JOB).await;
    let ledger = world.ledger.inner();
    let mut other = ledger
        .rows()
        .into_iter()
        .find(|row| row.attributes.get("item_count") == Some(&json!(2)))
        .expect("a file has two items");
    other.revision += 1;
    let md5 = "AAAAAAAAAAAAAAAAAAAAAA==";
    other
        .attributes
        .insert("md5_checksum".to_owned(), md5.into());
    storage::Ledger::write(ledger, &other)
        .await
        .expect("memory");
    let finish = json!({"action": "finish", "job": JOB});
    let end = world.call(finish).await.expect("it can be read");
    assert_eq!(end["status"], "FAILED", "{end}");
    assert_eq!(
        end["failed_files"],
        json!([format!("{}: not done yet", other.part)])
    );
}
