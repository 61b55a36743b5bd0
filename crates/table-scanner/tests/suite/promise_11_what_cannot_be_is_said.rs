//! Promise 11: what cannot be scanned, or not in this way, is said in one sentence; and a scan is begun once.

use crate::simulation::{JOB, LAKE, Setting, TABLE, World, lines_under};
use lambda_support::{Failure, FailureKind};
use serde_json::{Value as Json, json};
use storage::failing::{Fault, FaultPlan};
use storage::{ObjectStore, TableIdentity};

fn world() -> World {
    World::new(
        1,
        Setting {
            format: "json-lines",
            items: 9,
            segments: 2,
            split_bytes: 1024 * 1024,
            read_units: 0,
            late_of_1000: 0,
        },
    )
}

async fn ask(world: &World, event: Json) -> Result<Json, Failure> {
    let answer = world.invoke(&event, &FaultPlan::seeded(1), 900).await;
    let report = answer.expect("nobody crashes")?;
    Ok(serde_json::to_value(report).expect("an answer is JSON"))
}

async fn refusal(world: &World, event: Json) -> String {
    let failure = ask(world, event).await.expect_err("it is refused");
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    failure.message
}

#[tokio::test(start_paused = true)]
async fn promise_3_the_same_id_is_the_same_scan_and_other_settings_are_refused() {
    let world = world();
    let begun = json!({"state": "begun", "job": JOB, "segments": [0, 1]});
    world.begin_in_calm().await;
    let before = world.scan_row();
    for event in [
        json!({"action": "begin", "scan": "one"}),
        json!({"action": "begin", "scan": "one", "segments": 2, "consistent": true, "format": "json-lines", "codec": "gzip"}),
    ] {
        assert_eq!(ask(&world, event).await.unwrap(), begun);
    }
    assert_eq!(world.scan_row(), before);
    assert_eq!(
        refusal(
            &world,
            json!({"action": "begin", "scan": "one", "segments": 3})
        )
        .await,
        "the scan \"one\" of the table offers was begun with 2 segments, and the event asks for 3 segments: expected the same settings, or another id"
    );
    for other in [
        json!({"action": "begin", "scan": "one", "read_units": 9}),
        json!({"action": "begin", "scan": "one", "consistent": false}),
        json!({"action": "begin", "scan": "one", "format": "changes"}),
        json!({"action": "begin", "scan": "one", "codec": "zstd"}),
        json!({"action": "begin", "scan": "one", "discriminator": "kind"}),
    ] {
        let message = refusal(&world, other).await;
        assert!(message.contains("expected the same settings"), "{message}");
    }
    let another = ask(&world, json!({"action": "begin", "scan": "two"}))
        .await
        .unwrap();
    assert_eq!(another["segments"].as_array().unwrap().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn promise_11_a_table_made_anew_under_the_name_is_refused_at_every_step() {
    let world = world();
    world.begin_in_calm().await;
    let anew = TableIdentity {
        arn: "arn:aws:dynamodb:us-east-1:123456789012:table/offers".to_owned(),
        id: "offers-2".to_owned(),
    };
    // It is made anew while a segment's page is on its way: what was read is not committed.
    let slow = FaultPlan::seeded(1);
    slow.inject("Scan", 2, Fault::Slow(std::time::Duration::from_secs(20)));
    let event = json!({"action": "scan", "job": JOB, "segment": 0});
    let (answered, ()) = futures_util::future::join(world.invoke(&event, &slow, 900), async {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        drop(world.tables.inner().clone().with_identity(TABLE, anew));
    })
    .await;
    let failure = answered
        .expect("nobody crashes")
        .expect_err("it is another table");
    assert_eq!(failure.kind, FailureKind::Invalid);
    let message = "the table offers was made anew after the scan \"one\" began: expected the table with the id offers-1, found offers-2; begin a scan with another id";
    assert_eq!(failure.message, message);
    assert!(world.lake.inner().snapshot(LAKE).is_empty());
    assert!(world.lake.inner().open_uploads().is_empty());
    for event in [
        json!({"action": "scan", "job": JOB, "segment": 1}),
        json!({"action": "begin", "scan": "one"}),
    ] {
        assert_eq!(refusal(&world, event).await, message);
    }
    let finished = ask(&world, json!({"action": "finish", "job": JOB}))
        .await
        .unwrap();
    assert_eq!(
        (&finished["status"], &finished["failed_segments"]),
        (&json!("FAILED"), &json!([0, 1]))
    );
    assert!(
        finished["message"].as_str().unwrap().contains(message),
        "{finished}"
    );
}

#[tokio::test(start_paused = true)]
async fn promise_11_parquet_wants_a_declared_schema_and_every_message_says_what_was_expected() {
    let world = world();
    let lake = world.lake.inner();
    lake.seed(LAKE, "settings/bad.json", "{}", &[]);
    for event in [
        json!({"action": "begin", "scan": "p", "format": "parquet"}),
        json!({"action": "begin", "scan": "p", "format": "parquet", "schema": "inferred"}),
    ] {
        assert_eq!(
            refusal(&world, event).await,
            "a scan reads once: expected a declared schema (schema_key, the key of one under settings/ of the lake bucket); transload schema infer makes one"
        );
    }
    for event in [
        json!({"action": "begin", "scan": "p", "format": "parquet", "schema_key": "settings/bad.json"}),
        json!({"action": "begin", "scan": "p", "shaping_key": "settings/bad.json", "format": "changes"}),
        json!({"action": "begin", "scan": "p", "codec": "lz4"}),
        json!({"action": "scan", "job": "scan/offers/none", "segment": 0}),
        json!({"action": "finish", "job": "scan/offers/none"}),
    ] {
        let message = refusal(&world, event).await;
        assert!(message.contains(": expected "), "{message}");
    }
    let missing = json!({"action": "begin", "scan": "p", "format": "parquet", "schema_key": "settings/none.json"});
    assert!(
        refusal(&world, missing)
            .await
            .contains("settings/none.json")
    );
    lake.seed(
        LAKE,
        "settings/kinds.json",
        r#"{"version":1,"discriminator":"kind","entities":{}}"#,
        &[],
    );
    let other = json!({"action": "begin", "scan": "p", "format": "parquet", "schema_key": "settings/kinds.json", "discriminator": "type"});
    assert_eq!(
        refusal(&world, other).await,
        "the event's discriminator is \"type\" and that of s3://lake/settings/kinds.json is \"kind\": expected the same"
    );
    world.begin_in_calm().await;
    assert_eq!(
        refusal(&world, json!({"action": "scan", "job": JOB, "segment": 2})).await,
        "the job scan/offers/one has no segment 2: expected one of 0 to 1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_declared_schema_is_kept_as_it_was_and_makes_parquet() {
    let world = world();
    let lake = world.lake.inner();
    let schema = r#"{"version":1,"entities":{"item":{"columns":[{"name":"account","type":"string"},{"name":"id","type":"integer"}]}}}"#;
    lake.seed(LAKE, "settings/mine.json", schema, &[]);
    let event = json!({"action": "begin", "scan": "one", "segments": 1, "format": "parquet", "schema_key": "settings/mine.json"});
    ask(&world, event.clone()).await.unwrap();
    lake.seed(
        LAKE,
        "settings/mine.json",
        schema.replace("integer", "string"),
        &[],
    );
    assert!(
        refusal(&world, event).await.contains("the schema"),
        "it is another one now"
    );
    // What the user wrote is not read again: the scan has its copy.
    lake.delete(LAKE, "settings/mine.json").await.unwrap();
    ask(&world, json!({"action": "scan", "job": JOB, "segment": 0}))
        .await
        .unwrap();
    let finished = ask(&world, json!({"action": "finish", "job": JOB}))
        .await
        .unwrap();
    assert_eq!(
        (&finished["rows"], &finished["objects"]),
        (&json!(9), &json!(1))
    );
    let kept = world.scan_row().schema_key.unwrap();
    assert!(kept.starts_with("schemas/table=offers/declared-"), "{kept}");
    assert_eq!(lake.content(LAKE, &kept).unwrap(), schema);
    let key = "tables/offers/tl_export=scan-one/tl_type=item/segment-0000-00000.parquet";
    let body = lake.content(LAKE, key).expect("the object of the segment");
    assert!(body.starts_with(b"PAR1") && body.ends_with(b"PAR1"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_scan_says_that_it_is_no_snapshot_and_comes_last() {
    let world = world();
    world.begin_in_calm().await;
    ask(&world, json!({"action": "scan", "job": JOB, "segment": 1}))
        .await
        .unwrap();
    let early = ask(&world, json!({"action": "finish", "job": JOB}))
        .await
        .unwrap();
    assert_eq!(
        (
            &early["status"],
            &early["snapshot"],
            &early["failed_segments"]
        ),
        (&json!("FAILED"), &json!(false), &json!([0]))
    );
    assert_eq!(
        early["message"],
        "of 2 segments, these are not completed: 0 (segment 0: 0 rows were read): expected all; scan them again, then finish again"
    );
    let success = "tables/offers/tl_export=scan-one/_SUCCESS.json";
    assert_eq!(world.lake.inner().content(LAKE, success), None);
    let finished = world.drain().await;
    world.check(&finished);
    let told: Json =
        serde_json::from_slice(&world.lake.inner().content(LAKE, success).unwrap()).unwrap();
    assert_eq!(
        (&told["snapshot"], &told["rows"]),
        (&json!(false), &json!(9))
    );
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .starts_with("A scan is no snapshot")
    );
    assert_eq!(lines_under(world.lake.inner(), "tables/").len(), 9);
    let again = ask(&world, json!({"action": "finish", "job": JOB}))
        .await
        .unwrap();
    assert_eq!(again, finished);
}
