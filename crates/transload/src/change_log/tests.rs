use std::io::Write;
use std::time::Duration;

use futures_util::TryStreamExt;
use storage::TestClock;
use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::MemoryObjects;

use super::*;
use records::changes::{SnapshotSource, completion_object};

const FOLDER: &str = "changes/table=t/source=stream/dt=1970-01-01/hour=01/";

fn log(objects: &MemoryObjects) -> Log<MemoryObjects> {
    Log::new(Rc::new(objects.clone()), "lake", "t")
}

fn lake() -> MemoryObjects {
    MemoryObjects::new().with_bucket("lake").with_chunks_of(7)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Everything that can be taken out of an object: lines as they are, faults as messages.
async fn read<O: ObjectStore + 'static>(log: &Log<O>, key: &str) -> Vec<String> {
    let mut taken = Vec::new();
    let mut lines = match log.lines(key).await {
        Ok(lines) => lines,
        Err(error) => return vec![crate::describe(&error)],
    };
    loop {
        match lines.next().await {
            Ok(Some((number, line))) => taken.push(format!("{number}:{line}")),
            Ok(None) => return taken,
            Err(error) => taken.push(crate::describe(&error)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lines_come_out_of_every_compression_whatever_the_chunks() {
    let two_members = [gzip(b"a\n\nb"), gzip(b"c\nd")].concat();
    let zstd = zstd::encode_all(&b"a\n\nbc\nd\n"[..], 3).unwrap();
    let expected = ["1:a", "2:", "3:bc", "4:d"];
    for content in [two_members, zstd, b"a\n\nbc\nd".to_vec()] {
        let objects = lake();
        objects.seed("lake", "k", content, &[]);
        assert_eq!(read(&log(&objects), "k").await, expected);
    }
    let objects = lake();
    objects.seed("lake", "k", "", &[]);
    assert!(read(&log(&objects), "k").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_read_on() {
    let plan = FaultPlan::seeded(1);
    plan.inject("GetObject", 1, Fault::BodyError(10));
    let objects = lake();
    objects.seed("lake", "k", gzip(b"one\ntwo\nthree\n"), &[]);
    let log = Log::new(Rc::new(Failing::new(objects, plan.clone())), "lake", "t");
    assert_eq!(read(&log, "k").await, ["1:one", "2:two", "3:three"]);
    assert_eq!(plan.count("GetObject"), 2);
}

#[tokio::test(start_paused = true)]
async fn faults_name_object_and_line() {
    let objects = lake();
    let mut cut = gzip(b"one\ntwo\n");
    cut.truncate(cut.len() - 3);
    objects.seed("lake", "cut", cut, &[]);
    objects.seed("lake", "bytes", &b"one\n\xff\nthree"[..], &[]);
    let long = [
        b"one\n".to_vec(),
        vec![b'x'; MAX_LINE_BYTES],
        b"\nthree\n".to_vec(),
    ]
    .concat();
    objects.seed("lake", "long", gzip(&long), &[]);
    objects.seed(
        "lake",
        "longer",
        gzip(&[&long[..4], b"x", &long[4..]].concat()),
        &[],
    );
    let log = log(&objects);
    let taken = read(&log, "cut").await;
    assert!(
        taken.last().is_some_and(|last| last.starts_with(
            "s3://lake/cut cannot be read after line 2: expected lines of JSON, plain or compressed with gzip or zstd: the gzip data breaks at"
        )),
        "{taken:?}"
    );
    assert_eq!(
        read(&log, "bytes").await,
        [
            "1:one",
            "s3://lake/bytes, line 2: it is not UTF-8: expected a line of JSON",
            "3:three"
        ]
    );
    let taken = read(&log, "long").await;
    assert_eq!((taken.len(), &*taken[2]), (3, "3:three"));
    assert_eq!(
        read(&log, "longer").await,
        [
            "1:one",
            "s3://lake/longer, line 2: it is too long: expected at most 16777216 bytes"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_record_that_there_may_be_is_a_line() {
    let objects = MemoryObjects::new().with_bucket("lake");
    let long = "x".repeat(5_000_000);
    objects.seed("lake", "k", gzip(long.as_bytes()), &[]);
    let taken = read(&log(&objects), "k").await;
    assert!(taken == [format!("1:{long}")], "{} lines", taken.len());
}

#[tokio::test]
async fn hours_come_in_order_with_those_that_have_nothing() {
    let objects = lake();
    for name in ["b.jsonl.zst", "a.jsonl.gz", "c.jsonl"] {
        objects.seed("lake", &format!("{FOLDER}{name}"), "x", &[]);
    }
    for name in ["a.jsonl.gz.tmp", "_SUCCESS", "a.json"] {
        objects.seed("lake", &format!("{FOLDER}{name}"), "x", &[]);
    }
    objects.seed("lake", &FOLDER.replace("stream", "scan"), "x", &[]);
    let log = log(&objects);
    let hours: Vec<_> = log
        .hours("stream", 0..3)
        .map_ok(|found| {
            let names = found.objects.iter().map(|object| object.key.clone());
            (found.hour, names.collect::<Vec<_>>())
        })
        .try_collect()
        .await
        .unwrap();
    let names = ["a.jsonl.gz", "b.jsonl.zst", "c.jsonl"].map(|name| format!("{FOLDER}{name}"));
    assert_eq!(hours, [(0, vec![]), (1, names.to_vec()), (2, vec![])]);
    assert_eq!(log.all("stream").await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_complete_is_read_from_both_sources() {
    let objects = lake();
    let repair = Completion {
        source: SnapshotSource::Export,
        time: 7_200,
        end: 7_200,
        window_start: Some(3_600),
    };
    let scan = Completion {
        source: SnapshotSource::Scan,
        time: 4_000,
        end: 4_000,
        window_start: None,
    };
    for completion in [repair, scan] {
        let key = completion_object("t", completion.source, completion.time, "x");
        objects.seed("lake", &key, completion.line("x"), &[]);
    }
    let beside = completion_object("t", SnapshotSource::Scan, 4_000, "x") + ".tmp";
    objects.seed("lake", &beside, "no completion", &[]);
    let rows = FOLDER.replace("stream", "export") + "rows.jsonl.gz";
    objects.seed("lake", &rows, "no completion", &[]);
    assert_eq!(log(&objects).completions().await.unwrap(), [scan, repair]);

    let key = completion_object("t", SnapshotSource::Scan, 4_000, "y");
    objects.seed("lake", &key, "", &[]);
    let error = log(&objects).completions().await.unwrap_err();
    assert_eq!(
        crate::describe(&error),
        format!(
            "s3://lake/{key}: it says nothing of a completion: expected one line with \"COMPLETE\""
        )
    );
}

#[tokio::test(start_paused = true)]
async fn completions_are_read_sixteen_at_a_time() {
    let objects = lake();
    let plan = FaultPlan::seeded(1);
    for nth in 1..=32 {
        let completion = Completion {
            source: SnapshotSource::Export,
            time: 4_000,
            end: 4_000,
            window_start: None,
        };
        let key = completion_object("t", completion.source, completion.time, &nth.to_string());
        objects.seed("lake", &key, completion.line("x"), &[]);
        plan.inject("GetObject", nth, Fault::Slow(Duration::from_secs(1)));
    }
    let log = Log::new(Rc::new(Failing::new(objects, plan)), "lake", "t");
    let clock = TestClock::default();
    assert_eq!(log.completions().await.unwrap().len(), 32);
    assert_eq!(clock.elapsed().as_secs(), 2);
}
