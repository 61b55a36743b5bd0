//! What was inferred of each data file becomes one schema, however large the parts are as far as they may be kept.

use std::time::Duration;

use crate::simulation::{LAKE, Step, World};
use export_jobs::MAX_PARTIAL_SCHEMA_BYTES;
use lambda_support::FailureKind;
use serde_json::json;
use storage::failing::{Fault, FaultPlan};
use storage::{Clock, ObjectStore};
use transcode::{Inference, LineForm, Shaping};

/// What is inferred of one item with so many attributes, whose names begin like this.
fn partial(attributes: usize, begins: &str) -> String {
    let mut inference = Inference::new(None);
    let value = |number| format!(r#""{begins}{number}":{{"S":"x"}}"#);
    let values: Vec<String> = (0..attributes).map(value).collect();
    let line = format!(r#"{{"Item":{{{}}}}}"#, values.join(","));
    inference
        .add(line.as_bytes(), LineForm::Full, &Shaping::default())
        .expect("an item");
    inference.to_json()
}

/// A planned window of so many files; its job, and the keys of the partial schemas.
async fn planned(files: usize) -> (World, String, Vec<String>) {
    let world = World::new(1);
    world
        .exports
        .inner()
        .set_lines(move |_| vec![Vec::new(); files]);
    let calm = FaultPlan::seeded(0);
    let begin =
        json!({"action": "begin", "window": "a", "format": "parquet", "schema": "inferred"});
    let mut step = Step::Begin(begin);
    let job = loop {
        match step {
            Step::Transform(job) => break job,
            other => step = world.step(other, &calm).await,
        }
        world.exports.inner().complete_all();
    };
    let rows = world.ledger.inner().rows().into_iter();
    let keys: Vec<String> = rows
        .filter(|row| row.part != export_jobs::EXPORT_PART)
        .map(|row| {
            let stem = row.part.split('.').next().expect("a name");
            format!("schemas/table=offers/full-a/{stem}.json")
        })
        .collect();
    assert_eq!(keys.len(), files);
    (world, job, keys)
}

/// The text with blanks behind it, so that it has so many bytes.
fn padded(mut text: String, bytes: u64) -> String {
    let bytes = usize::try_from(bytes).expect("it fits into memory");
    text.push_str(&" ".repeat(bytes - text.len()));
    text
}

#[tokio::test(start_paused = true)]
async fn a_partial_schema_may_have_sixteen_mebibytes_and_no_byte_more() {
    let (world, job, keys) = planned(2).await;
    let event = json!({"action": "merge_schema", "job": job});
    let lake = world.lake.inner();
    let largest = padded(partial(3, "wide"), MAX_PARTIAL_SCHEMA_BYTES + 1);
    lake.seed(LAKE, &keys[0], partial(1, "narrow"), &[]);
    lake.seed(LAKE, &keys[1], largest.clone(), &[]);
    let failure = world.call(event.clone()).await.expect_err("too large");
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    let what = format!(
        "s3://lake/{} has 16777217 bytes: expected a JSON document of at most 16777216",
        keys[1]
    );
    assert_eq!(failure.message, what);

    lake.seed(LAKE, &keys[1], largest[..largest.len() - 1].to_owned(), &[]);
    let merged = world.call(event).await.expect("they are merged");
    let key = merged["schema_key"].as_str().expect("a key");
    let snapshot = lake.snapshot(LAKE);
    let schema = String::from_utf8(snapshot[key].to_vec()).expect("a text");
    for name in ["narrow0", "wide0", "wide2"] {
        assert!(schema.contains(name), "{schema}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_four_partial_schemas_are_held_at_once() {
    const FILES: usize = 16;
    let mut before = 0;
    for is_slow in [false, true] {
        let (world, job, keys) = planned(FILES).await;
        for (number, key) in keys.iter().enumerate() {
            let text = partial(1, &format!("of{number}a"));
            let put = world.lake.inner().put(LAKE, key, text.into());
            put.await.expect("memory");
        }
        let plan = FaultPlan::seeded(0);
        if is_slow {
            for nth in 1..=FILES {
                let slow = Fault::Slow(Duration::from_secs(10));
                plan.inject("GetObject", before + nth, slow);
            }
        }
        let began = world.clock.now();
        let event = json!({"action": "merge_schema", "job": job});
        let answer = world.invoke(&event, &plan).await.expect("nobody dies");
        answer.expect("they are merged");
        let took = began.until(world.clock.now()).as_secs();
        assert_eq!(took, if is_slow { 40 } else { 0 });
        // What is read before them.
        before = plan.count("GetObject") - FILES;
    }
}
