use bytes::Bytes;

use super::*;
use crate::failing::{Failing, Fault, FaultPlan};
use crate::memory::MemoryObjects;

const KEY: &str = "tables/offers/part-00000.jsonl.gz";

fn lake() -> MemoryObjects {
    MemoryObjects::new().with_bucket("lake")
}

/// Bytes that repeat only after a long time, so that a part that is moved is another one.
fn content(len: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes());
    numbers.take(len).collect()
}

async fn staged<O: ObjectStore>(
    objects: &O,
    content: &[u8],
    chunk: usize,
) -> Result<Option<Staged>, StorageError> {
    let mut writer = StagedWriter::new(objects, "lake", KEY);
    for chunk in content.chunks(chunk) {
        if let Err(error) = writer.write(chunk).await {
            writer.abandon().await.expect("an abort");
            return Err(error);
        }
    }
    writer.finish().await
}

fn kind<T>(answer: Result<T, StorageError>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind())
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_published_and_then_everything_is() {
    let objects = lake();
    let content = content(STAGED_PART_BYTES + 10);
    let object = staged(&objects, &content, 1 << 20).await.unwrap().unwrap();
    assert_eq!((object.bucket.as_str(), object.key.as_str()), ("lake", KEY));
    assert_eq!(object.parts.len(), 2);
    assert_eq!(object.bytes, content.len() as u64);
    assert_eq!(objects.content("lake", KEY), None);

    // It goes through a ledger's row on its way.
    let row = serde_json::to_value(&object).unwrap();
    let object: Staged = serde_json::from_value(row).unwrap();
    publish(&objects, &object).await.unwrap();
    assert_eq!(objects.content("lake", KEY).unwrap(), content);
    publish(&objects, &object)
        .await
        .expect("a repeat is success");
    assert_eq!(objects.content("lake", KEY).unwrap(), content);
    discard(&objects, &object)
        .await
        .expect("nothing is there to discard");
    assert_eq!(objects.content("lake", KEY).unwrap(), content);
    assert!(objects.open_uploads().is_empty());
}

#[tokio::test]
async fn however_the_bytes_are_cut_the_parts_are_the_same() {
    let part = STAGED_PART_BYTES;
    for len in [1, part, part + 1, 2 * part + 7] {
        let content = content(len);
        let mut parts = Vec::new();
        for chunk in [61_001, part, part + 1, len] {
            let objects = lake();
            let object = staged(&objects, &content, chunk).await.unwrap().unwrap();
            publish(&objects, &object).await.unwrap();
            assert!(
                objects.content("lake", KEY).unwrap() == content,
                "{len} bytes in chunks of {chunk} are others"
            );
            parts.push(object.parts);
        }
        assert_eq!(parts[0].len(), len.div_ceil(part), "{len} bytes");
        assert!(parts.iter().all(|these| *these == parts[0]), "{len} bytes");
    }
}

#[tokio::test]
async fn without_a_byte_there_is_no_object_and_no_request() {
    let plan = FaultPlan::seeded(1);
    let objects = Failing::new(lake(), plan.clone());
    let mut writer = StagedWriter::new(&objects, "lake", KEY);
    writer.write(b"").await.unwrap();
    assert_eq!(writer.bytes(), 0);
    assert_eq!(writer.finish().await.unwrap(), None);
    StagedWriter::new(&objects, "lake", KEY)
        .abandon()
        .await
        .unwrap();
    assert_eq!(plan.operations(), 0);
}

#[tokio::test]
async fn what_is_abandoned_or_discarded_leaves_nothing() {
    let objects = lake();
    let mut writer = StagedWriter::new(&objects, "lake", KEY);
    writer.write(&content(STAGED_PART_BYTES)).await.unwrap();
    assert_eq!(writer.bytes(), STAGED_PART_BYTES as u64);
    assert_eq!(objects.open_uploads().len(), 1);
    writer.abandon().await.unwrap();
    assert!(objects.open_uploads().is_empty());

    let object = staged(&objects, b"text", 4).await.unwrap().unwrap();
    assert_eq!(objects.open_uploads().len(), 1);
    for _ in 0..2 {
        discard(&objects, &object).await.unwrap();
        assert!(objects.open_uploads().is_empty());
    }
    assert_eq!(
        kind(publish(&objects, &object).await),
        Some(ErrorKind::NotFound)
    );
    assert!(objects.snapshot("lake").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fault_while_it_is_written_is_told_and_no_upload_stays() {
    let content = content(2 * STAGED_PART_BYTES + 1);
    for (operation, nth) in [
        ("CreateMultipartUpload", 1),
        ("UploadPart", 1),
        ("UploadPart", 2),
        ("UploadPart", 3),
    ] {
        let fault = Fault::Fail(ErrorKind::Unanswered);
        let plan = FaultPlan::seeded(1);
        plan.inject(operation, nth, fault);
        let objects = Failing::new(lake(), plan);
        let answer = staged(&objects, &content, 1 << 20).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unanswered);
        assert!(error.to_string().starts_with(operation), "{error}");
        assert!(
            objects.inner().open_uploads().is_empty(),
            "{operation} {nth}"
        );
        let again = staged(&objects, &content, 1 << 20).await.unwrap().unwrap();
        publish(&objects, &again).await.unwrap();
        assert!(objects.inner().content("lake", KEY).unwrap() == content);
    }

    // The abort fails as well: the first error is the one that is told.
    let plan = FaultPlan::seeded(1);
    plan.inject("UploadPart", 1, Fault::Fail(ErrorKind::Denied));
    plan.inject("AbortMultipartUpload", 1, Fault::AnswerLost);
    let objects = Failing::new(lake(), plan.clone());
    let mut writer = StagedWriter::new(&objects, "lake", KEY);
    writer.write(b"text").await.unwrap();
    assert_eq!(kind(writer.finish().await), Some(ErrorKind::Denied));
    assert_eq!(plan.count("AbortMultipartUpload"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_while_it_is_published_is_told_and_a_repeat_publishes() {
    let faults = [
        Fault::Fail(ErrorKind::Unanswered),
        Fault::Fail(ErrorKind::Throttled),
        Fault::AnswerLost,
    ];
    for fault in faults {
        let plan = FaultPlan::seeded(1);
        let objects = Failing::new(lake(), plan.clone());
        let object = staged(&objects, b"text", 4).await.unwrap().unwrap();
        plan.inject("CompleteMultipartUpload", 1, fault.clone());
        let error = publish(&objects, &object).await.unwrap_err();
        assert!(error.kind().is_transient(), "{error}");
        let is_there = objects.inner().content("lake", KEY).is_some();
        assert_eq!(is_there, fault == Fault::AnswerLost);

        // That the upload is gone says nothing while nobody can look at the object.
        if is_there {
            plan.inject("GetObject", 1, Fault::Fail(ErrorKind::Denied));
            let answer = publish(&objects, &object).await;
            assert_eq!(kind(answer), Some(ErrorKind::Denied));
        }
        publish(&objects, &object).await.unwrap();
        assert_eq!(objects.inner().content("lake", KEY).unwrap(), "text");
    }
}

#[tokio::test]
async fn an_upload_that_somebody_aborted_is_an_error() {
    let objects = lake();
    let object = staged(&objects, b"text", 4).await.unwrap().unwrap();
    discard(&objects, &object).await.unwrap();
    let error = publish(&objects, &object).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

    for other in ["", "tex", "texts"] {
        let body = Bytes::from(other);
        objects.put("lake", KEY, body).await.unwrap();
        let error = publish(&objects, &object).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        let expected = format!("has {} bytes: expected 4", other.len());
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert_eq!(objects.content("lake", KEY).unwrap(), other);
    }
}

#[tokio::test]
async fn the_last_of_two_that_are_published_stays() {
    let objects = lake();
    let first = staged(&objects, b"first", 5).await.unwrap().unwrap();
    let second = staged(&objects, b"second", 6).await.unwrap().unwrap();
    publish(&objects, &first).await.unwrap();
    publish(&objects, &second).await.unwrap();
    assert_eq!(objects.content("lake", KEY).unwrap(), "second");
    let repeat = publish(&objects, &first).await;
    assert_eq!(kind(repeat), Some(ErrorKind::Conflict));
    assert_eq!(objects.content("lake", KEY).unwrap(), "second");
}
