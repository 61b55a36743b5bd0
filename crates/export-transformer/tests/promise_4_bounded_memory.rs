//! Promise 4: memory does not grow with the data file. Alone in its file, so that no other test shares the process.

#![allow(clippy::unwrap_used, reason = "what helps tests may fail as tests do")]

#[path = "suite/simulation/mod.rs"]
mod simulation;

use bytes::Bytes;
use export_jobs::Format;
use export_transformer::{Dependencies, Outcome, handle};
use futures_util::{StreamExt, stream};
use lambda_support::peak_memory_bytes;
use md5::{Digest, Md5};
use records::base64_text;
use serde_json::json;
use simulation::{JOB, KEY, LONG, World, config, event, gzip, run_paused, settings, text_of};
use storage::{
    Clock, ListedObject, ObjectBody, ObjectId, ObjectMeta, ObjectStore, StorageError, TestClock,
    Upload, UploadedPart,
};

const MB: u64 = 1_000_000;
/// Lines of a member, of 4 KB each.
const LINES: u64 = 1_000;

/// A member's lines, whose text has three quarters of its length when it is compressed.
fn member() -> Bytes {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut state = 1_u64;
    let mut digit = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[(state >> 58) as usize])
    };
    let lines: Vec<String> = (0..LINES)
        .map(|id| {
            let text: String = (0..4_000).map(&mut digit).collect();
            format!(r#"{{"Item":{{"id":{{"S":"k{id:05}"}},"text":{{"S":"{text}"}}}}}}"#)
        })
        .collect();
    Bytes::from(gzip(&text_of(&lines)))
}

/// A data file that is one gzip member, again and again, and a lake that forgets what it is given.
struct EndlessObjects {
    member: Bytes,
    times: usize,
}

impl ObjectStore for EndlessObjects {
    async fn open(&self, _: &ObjectId, from: u64) -> Result<ObjectBody, StorageError> {
        assert_eq!(from, 0, "nothing breaks here");
        let pieces: Vec<Bytes> = (0..self.member.len())
            .step_by(64 * 1024)
            .map(|at| self.member.slice(at..self.member.len().min(at + 64 * 1024)))
            .collect();
        let all = (0..self.times).flat_map(move |_| pieces.clone()).map(Ok);
        Ok(ObjectBody {
            meta: ObjectMeta {
                size: (self.member.len() * self.times) as u64,
                etag: "e".to_owned(),
                metadata: Default::default(),
            },
            content: stream::iter(all).boxed_local(),
        })
    }

    async fn put(&self, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put_new(&self, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn put_replacing(&self, _: &str, _: &str, _: &str, _: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError> {
        Ok(Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id: "u".to_owned(),
        })
    }

    async fn upload_part(
        &self,
        _: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError> {
        assert!(
            body.len() <= 8 * 1024 * 1024,
            "a part of {} bytes",
            body.len()
        );
        Ok(UploadedPart {
            number,
            etag: "e".to_owned(),
        })
    }

    async fn complete_upload(&self, _: &Upload, _: Vec<UploadedPart>) -> Result<(), StorageError> {
        Ok(())
    }

    async fn abort_upload(&self, _: &Upload) -> Result<(), StorageError> {
        Ok(())
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<ListedObject>, StorageError> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), StorageError> {
        Ok(())
    }
}

fn peak_after(member: &Bytes, times: usize) -> u64 {
    run_paused(async {
        let mut hash = Md5::new();
        (0..times).for_each(|_| hash.update(member));
        let items = LINES * times as u64;
        let file = json!({
            "itemCount": items,
            "md5Checksum": base64_text(&hash.finalize()),
            "dataFileS3Key": KEY,
        });
        let world = World::with_body(
            settings(Format::JsonLines, 64 << 20),
            Vec::new(),
            file.clone(),
        );
        let clock = TestClock::default();
        let dependencies = Dependencies {
            objects: EndlessObjects {
                member: member.clone(),
                times,
            },
            ledger: world.ledger.clone(),
            clock,
            config: config(),
        };
        let event = event("transform", &file);
        assert_eq!(event["job"], JOB);
        let report = handle(&event, clock.now().plus(LONG), 7, &dependencies)
            .await
            .unwrap();
        assert_eq!(
            (report.status, report.rows_written),
            (Outcome::Completed, items)
        );
    });
    peak_memory_bytes()
}

#[test]
fn promise_4_memory_does_not_grow_with_the_data_file() {
    let member = member();
    // The shorter one fills a part of its object already.
    let small = peak_after(&member, 4);
    let large = peak_after(&member, 12);
    println!("peak: {small} bytes with 16 MB of lines, {large} with 48 MB");
    assert!(
        large < small + 6 * MB,
        "the peak grew from {small} to {large}"
    );
    assert!(large < 64 * MB, "the peak is {large}");
}
