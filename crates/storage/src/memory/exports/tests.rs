use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use md5::{Digest, Md5};
use records::export::{DataFile, ExportKind, ExportSummary};

use super::*;
use crate::ExportView;

const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/offers";
const HOUR: Duration = Duration::from_hours(1);

fn exports() -> (TestClock, MemoryObjects, MemoryExports) {
    let clock = TestClock::default();
    let objects = MemoryObjects::new().with_bucket("lake");
    let exports = MemoryExports::new(clock, objects.clone()).with_table(TABLE);
    (clock, objects, exports)
}

fn second(clock: TestClock) -> u64 {
    clock.now().0 / 1000
}

fn request(token: &str, span: ExportSpan) -> ExportRequest {
    ExportRequest {
        table_arn: TABLE.to_owned(),
        bucket: "lake".to_owned(),
        prefix: "exports".to_owned(),
        span,
        client_token: token.to_owned(),
    }
}

fn full(clock: TestClock) -> ExportSpan {
    ExportSpan::Full {
        time: second(clock) - 300,
    }
}

fn window(clock: TestClock, ago: u64, seconds: u64) -> ExportSpan {
    let from = second(clock) - ago;
    ExportSpan::Incremental {
        from,
        to: from + seconds,
        view: ExportView::NewAndOldImages,
    }
}

fn text(objects: &MemoryObjects, key: &str) -> String {
    let content = objects.content("lake", key).expect("an object");
    String::from_utf8(content.to_vec()).expect("text")
}

/// The lines of the data files by way of the manifests, whose checksums are checked.
fn read_back(objects: &MemoryObjects, description: &ExportDescription) -> Vec<Vec<String>> {
    let key = description.manifest_key.as_ref().expect("a manifest");
    let summary = ExportSummary::parse(&text(objects, key)).expect("a summary");
    for key in [key, &summary.files_key] {
        let md5 = text(objects, &key.replace(".json", ".md5"));
        let body = text(objects, key);
        assert_eq!(md5, BASE64_STANDARD.encode(Md5::digest(body)), "{key}");
    }
    assert_eq!(Some(summary.item_count), description.item_count);
    let mut items = 0;
    let mut files = Vec::new();
    for line in text(objects, &summary.files_key).lines() {
        let file = DataFile::parse(line).expect("a data file");
        let body = objects.content("lake", &file.key).expect("a data file");
        let md5 = BASE64_STANDARD.encode(Md5::digest(&body));
        assert_eq!(file.md5_checksum, md5, "{}", file.key);
        if file.item_count == 0 {
            assert_eq!(body.len(), 20, "an empty gzip file");
        }
        items += file.item_count;
        let mut content = String::new();
        let mut decoder = GzDecoder::new(&body[..]);
        decoder.read_to_string(&mut content).expect("gzip");
        files.push(content.lines().map(str::to_owned).collect());
    }
    assert_eq!(items, summary.item_count);
    files
}

#[tokio::test(start_paused = true)]
async fn an_export_is_in_the_bucket_when_the_test_completes_it() {
    let (clock, objects, exports) = exports();
    exports.set_lines(|span| match span {
        ExportSpan::Full { .. } => vec![vec!["a".to_owned(), "b".to_owned()], Vec::new()],
        ExportSpan::Incremental { .. } => vec![vec!["c".to_owned()]],
    });
    let begun = exports.begin_export(&request("1", full(clock))).await;
    let full = begun.unwrap();
    let changes = window(clock, 3600, 900);
    let changes = exports.begin_export(&request("2", changes)).await.unwrap();
    assert!(objects.snapshot("lake").is_empty());
    assert_eq!(exports.running(), [full.arn.clone(), changes.arn.clone()]);
    tokio::time::sleep(HOUR).await;
    exports.complete(&changes.arn);
    assert_eq!(exports.running(), vec![full.arn.clone()]);
    assert_eq!(exports.complete_all(), 1);
    assert_eq!(exports.complete_all(), 0);

    let ended = exports.export(&full.arn).await.unwrap();
    assert_eq!(ended.status, ExportStatus::Completed);
    assert_eq!(ended.item_count, Some(2));
    assert_eq!(
        read_back(&objects, &ended),
        [vec!["a".to_owned(), "b".to_owned()], Vec::new()]
    );
    let id = full.arn.rsplit('/').next().unwrap();
    assert!(id.starts_with("01769860800000-"), "{id}");
    let base = format!("exports/AWSDynamoDB/{id}");
    let keys: Vec<String> = objects.snapshot("lake").into_keys().collect();
    let of_full: Vec<&String> = keys.iter().filter(|key| key.starts_with(&base)).collect();
    let (data, others): (Vec<_>, Vec<_>) = of_full
        .into_iter()
        .partition(|key| key.starts_with(&format!("{base}/data/")));
    assert!(data.iter().all(|key| key.ends_with(".json.gz")));
    assert_eq!(data.len(), 2);
    let expected = [
        "_started",
        "manifest-files.json",
        "manifest-files.md5",
        "manifest-summary.json",
        "manifest-summary.md5",
    ];
    let expected = expected.map(|name| format!("{base}/{name}"));
    assert_eq!(others, expected.iter().collect::<Vec<_>>());

    let ended = exports.export(&changes.arn).await.unwrap();
    assert_eq!(read_back(&objects, &ended), [["c".to_owned()]]);
    let shared = "exports/AWSDynamoDB/data/";
    assert_eq!(keys.iter().filter(|key| key.starts_with(shared)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_summary_says_what_an_export_of_its_kind_says() {
    let (clock, objects, exports) = exports();
    let kinds = [
        (
            full(clock),
            ExportKind::Full {
                time: 1_769_860_500,
            },
        ),
        (
            window(clock, 3600, 900),
            ExportKind::Incremental {
                from: 1_769_857_200,
                to: 1_769_858_100,
            },
        ),
    ];
    for (number, (span, kind)) in kinds.into_iter().enumerate() {
        let bare = ExportRequest {
            prefix: String::new(),
            ..request(&number.to_string(), span)
        };
        let arn = exports.begin_export(&bare).await.unwrap().arn;
        exports.complete(&arn);
        let ended = exports.export(&arn).await.unwrap();
        let key = ended.manifest_key.unwrap();
        assert!(key.starts_with("AWSDynamoDB/0"), "{key}");
        let json = text(&objects, &key);
        let summary = ExportSummary::parse(&json).unwrap();
        assert_eq!((summary.kind, summary.table()), (kind, "offers"));
        let raw: serde_json::Value = serde_json::from_str(&json).unwrap();
        let is_full = span == full(clock);
        assert_eq!(raw["s3Prefix"], serde_json::Value::Null);
        assert_eq!(raw.get("exportTime").is_some(), is_full);
        assert_eq!(raw.get("exportType").is_none(), is_full);
        let version = if is_full { "2020-06-30" } else { "2023-08-01" };
        assert_eq!(raw["version"], version);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_stands_for_its_request_for_eight_hours() {
    let (clock, _, exports) = exports();
    let asked = request("1", full(clock));
    let begin = async |request: &ExportRequest| exports.begin_export(request).await;
    let first = begin(&asked).await.unwrap();
    tokio::time::sleep(4 * HOUR).await;
    exports.complete_all();
    tokio::time::sleep(4 * HOUR - Duration::from_millis(1)).await;
    let again = begin(&asked).await.unwrap();
    assert_eq!(again.arn, first.arn);
    assert_eq!(again.status, ExportStatus::Completed);
    let other = begin(&request("1", full(clock))).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict, "another time");
    assert_eq!(exports.begun(), 1);

    tokio::time::sleep(Duration::from_millis(1)).await;
    let second = begin(&asked).await.unwrap();
    assert_ne!(second.arn, first.arn);
    assert_eq!(begin(&asked).await.unwrap().arn, second.arn);
    assert_eq!(exports.begun(), 2);
    let expected = [(first.arn, asked.clone()), (second.arn, asked)];
    assert_eq!(exports.requests(), expected);
}

#[tokio::test(start_paused = true)]
async fn times_outside_of_the_recovery_window_are_refused() {
    let (clock, _, exports) = exports();
    let now = second(clock);
    let full = |time| ExportSpan::Full { time };
    let changes = |from, to| ExportSpan::Incremental {
        from,
        to,
        view: ExportView::NewImage,
    };
    let tokens = std::cell::Cell::new(0);
    let begin = async |span| {
        tokens.set(tokens.get() + 1);
        let request = request(&tokens.get().to_string(), span);
        let answer = exports.begin_export(&request).await;
        answer.err().map(|error| (error.kind(), error.to_string()))
    };
    let refused = async |span, expected: &str| {
        let (kind, message) = begin(span).await.expect("a refusal");
        assert_eq!(kind, ErrorKind::Refused, "{message}");
        assert!(message.contains(expected), "{message}");
    };
    let oldest = now - 35 * 24 * 3600;
    for span in [
        full(now - 300),
        full(oldest),
        changes(oldest, oldest + 900),
        changes(now - 300 - 24 * 3600, now - 300),
    ] {
        assert_eq!(begin(span).await, None, "{span:?}");
    }
    for span in [
        full(now - 299),
        full(oldest - 1),
        changes(oldest - 1, oldest + 900),
        changes(now - 1199, now - 299),
    ] {
        refused(span, "InvalidExportTimeException").await;
    }
    for span in [
        changes(oldest, oldest + 899),
        changes(oldest, oldest + 24 * 3600 + 1),
        changes(now - 300, now - 3600),
    ] {
        refused(span, "ValidationException").await;
    }

    exports.recover_since(now - 100);
    let expected = RecoveryWindow {
        earliest: now - 100,
        latest: now - 100,
    };
    assert_eq!(exports.recovery("offers").await.unwrap(), Some(expected));
    refused(full(now - 300), "InvalidExportTimeException").await;
    tokio::time::sleep(HOUR).await;
    let expected = RecoveryWindow {
        latest: now + 3300,
        ..expected
    };
    assert_eq!(exports.recovery(TABLE).await.unwrap(), Some(expected));
    assert_eq!(begin(changes(now - 100, now + 3300)).await, None);

    exports.set_recovery(Some(RecoveryWindow {
        earliest: 10,
        latest: 20,
    }));
    assert_eq!(begin(full(20)).await, None);
    refused(full(21), "InvalidExportTimeException").await;
    exports.set_recovery(None);
    assert_eq!(exports.recovery("offers").await.unwrap(), None);
    refused(full(20), "PointInTimeRecoveryUnavailableException").await;
}

#[tokio::test(start_paused = true)]
async fn an_export_can_fail_and_no_manifest_says_otherwise() {
    let (clock, objects, exports) = exports();
    exports.fail_next("UNKNOWN", "it did not work");
    let first = request("1", full(clock));
    let first = exports.begin_export(&first).await.unwrap().arn;
    let nowhere = ExportRequest {
        bucket: "elsewhere".to_owned(),
        ..request("2", full(clock))
    };
    let second = exports.begin_export(&nowhere).await.unwrap().arn;
    let third = request("3", full(clock));
    let third = exports.begin_export(&third).await.unwrap().arn;
    assert_eq!(exports.complete_all(), 3);
    let code = async |arn: &str| {
        let description = exports.export(arn).await.unwrap();
        let is_failed = description.status == ExportStatus::Failed;
        assert_eq!(is_failed, description.manifest_key.is_none());
        description.failure.map(|(code, _)| code)
    };
    assert_eq!(code(&first).await.as_deref(), Some("UNKNOWN"));
    assert_eq!(code(&second).await.as_deref(), Some("S3NoSuchBucket"));
    assert_eq!(code(&third).await, None);
    let keys: Vec<String> = objects.snapshot("lake").into_keys().collect();
    let id = first.rsplit('/').next().unwrap();
    let of_first = keys.iter().filter(|key| key.contains(id));
    let expected = format!("exports/AWSDynamoDB/{id}/_started");
    assert_eq!(of_first.collect::<Vec<_>>(), [&expected]);
}

#[tokio::test(start_paused = true)]
async fn three_hundred_exports_run_and_ninety_days_of_them_are_listed() {
    let (clock, _, exports) = exports();
    let begin = async |number: usize| {
        let request = request(&number.to_string(), full(clock));
        exports.begin_export(&request).await
    };
    for number in 0..MAX_RUNNING {
        begin(number).await.unwrap();
    }
    let limited = begin(MAX_RUNNING).await.unwrap_err();
    assert_eq!(limited.kind(), ErrorKind::Throttled);
    let first = exports.running()[0].clone();
    exports.complete(&first);
    begin(MAX_RUNNING).await.unwrap();

    tokio::time::sleep(LISTED_TIME - Duration::from_millis(1)).await;
    begin(MAX_RUNNING + 1).await.unwrap_err();
    assert_eq!(exports.exports(TABLE).await.unwrap().len(), MAX_RUNNING + 1);
    assert_eq!(exports.exports("other").await.unwrap(), []);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(exports.exports(TABLE).await.unwrap(), []);
    exports.export(&first).await.unwrap();
}
