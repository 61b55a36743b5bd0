//! Promise 4: memory does not grow with the data file. Alone in its file, so that no other test shares the process.

#![allow(clippy::unwrap_used, reason = "what helps tests may fail as tests do")]

#[path = "suite/simulation/mod.rs"]
mod simulation;

use bytes::Bytes;
use export_jobs::Format;
use export_transformer::{Dependencies, Outcome, handle};
use lambda_support::peak_memory_bytes;
use md5::{Digest, Md5};
use records::base64_text;
use serde_json::json;
use simulation::{JOB, KEY, LONG, World, config, event, gzip, run_paused, settings, text_of};
use storage::memory::EndlessObjects;
use storage::staged::STAGED_PART_BYTES;
use storage::{Clock, TestClock};

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

/// A data file that is one gzip member, again and again.
fn chunks(member: Bytes, times: usize) -> impl Iterator<Item = Bytes> {
    const CHUNK: usize = 64 * 1024;
    let chunks = move |_| {
        let member = member.clone();
        let starts = (0..member.len()).step_by(CHUNK);
        starts.map(move |at| member.slice(at..member.len().min(at + CHUNK)))
    };
    (0..times).flat_map(chunks)
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
            objects: EndlessObjects::new(STAGED_PART_BYTES, || chunks(member.clone(), times)),
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
