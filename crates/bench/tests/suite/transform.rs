//! The bench `transform`: its endpoint over the wire, what its checker reads, and whole runs with small exports.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::digest::Digest;
use bench::endpoint::{ExportWork, Work};
use bench::report::Figure;
use bench::transform::outputs::digest_of_folder;
use bench::transform::{Extent, Places, Subject, measure};
use bench::turns::BenchError;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Server;

const KEY: &str = "exports/AWSDynamoDB/01790000000000-aaaaaaaa/data/a.json.gz";
const OUTPUT: &str = "tables/offers/tl_export=full-x/tl_type=item/a-00000.jsonl.gz";

/// An endpoint with an export of one file, `0123456789`, a row of the ledger and two events.
async fn start() -> (Server, TempDir) {
    let folder = TempDir::new().unwrap();
    let objects = folder.path().join("objects");
    let object = objects.join(KEY);
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, "0123456789").unwrap();
    fs::write(folder.path().join("secret"), "no object").unwrap();
    let row = json!({"job": {"S": "export/offers/full-x"}, "part": {"S": "export"}, "revision": {"N": "1"}});
    let work = ExportWork {
        objects,
        output: folder.path().join("output"),
        ledger: vec![row.as_object().unwrap().clone()],
        events: vec![json!({"file": 1}), json!({"file": 2})],
    };
    let file = folder.path().join("work.json");
    fs::write(&file, serde_json::to_vec(&work).unwrap()).unwrap();
    let server = Server::start_with(Work::Export(file), 0, Duration::ZERO).await;
    (server, folder)
}

#[tokio::test]
async fn data_files_are_read_whole_and_in_ranges() {
    let (server, _folder) = start().await;
    let line = format!("GET /lake/{KEY}");
    let whole = server.send(&line, "", "").await;
    assert_eq!((whole.status(), &*whole.body), ("200", "0123456789"));
    let rest = server.send(&line, "range: bytes=7-\r\n", "").await;
    assert_eq!((rest.status(), &*rest.body), ("206", "789"));
    assert!(rest.head.contains("content-range: bytes 7-9/10"));
    for (line, status) in [
        ("GET /lake/exports/other".to_owned(), "404"),
        ("GET /lake/../secret".to_owned(), "404"),
        ("GET /lake/%2E%2E/secret".to_owned(), "404"),
        (format!("GET /inbox/{KEY}"), "404"),
    ] {
        assert_eq!(server.send(&line, "", "").await.status(), status, "{line}");
    }
}

fn upload_of(answer: &str) -> &str {
    let (_, rest) = answer.split_once("<UploadId>").unwrap();
    rest.split_once('<').unwrap().0
}

fn parts(numbers: &[u16]) -> String {
    let parts = numbers.iter();
    parts
        .map(|number| format!("<Part><ETag>x</ETag><PartNumber>{number}</PartNumber></Part>"))
        .collect()
}

#[tokio::test]
async fn an_object_of_parts_is_seen_once_it_is_complete() {
    let (server, folder) = start().await;
    let begun = server
        .send(&format!("POST /lake/{OUTPUT}?uploads"), "", "")
        .await;
    let upload = upload_of(&begun.body);
    for (number, text) in [(2, "world"), (1, "hello "), (2, "World")] {
        let line = format!("PUT /lake/{OUTPUT}?partNumber={number}&uploadId={upload}");
        assert_eq!(server.send(&line, "", text).await.status(), "200");
    }
    let get = format!("GET /lake/{OUTPUT}");
    assert_eq!(server.send(&get, "", "").await.status(), "404");
    assert_eq!(server.observer.counts().tables.unfinished, 1);

    let complete = format!("POST /lake/{OUTPUT}?uploadId={upload}");
    for wrong in [&[][..], &[1], &[2, 1], &[1, 2, 3]] {
        let answer = server.send(&complete, "", &parts(wrong)).await;
        assert_eq!(answer.status(), "400", "{wrong:?}");
    }
    assert_eq!(
        server.send(&complete, "", &parts(&[1, 2])).await.status(),
        "200"
    );
    assert_eq!(server.send(&get, "", "").await.body, "hello World");
    let kept = fs::read_to_string(folder.path().join("output").join(OUTPUT)).unwrap();
    assert_eq!(kept, "hello World");
    assert_eq!(
        server.send(&complete, "", &parts(&[1, 2])).await.status(),
        "404"
    );
    let counts = server.observer.counts();
    assert_eq!((counts.tables.objects, counts.tables.unfinished), (1, 0));
    assert_eq!(counts.uploaded_bytes, 11);
}

#[tokio::test]
async fn an_upload_that_is_aborted_leaves_nothing() {
    let (server, folder) = start().await;
    let begun = server
        .send(&format!("POST /lake/{OUTPUT}?uploads"), "", "")
        .await;
    let upload = upload_of(&begun.body);
    let part = format!("PUT /lake/{OUTPUT}?partNumber=1&uploadId={upload}");
    assert_eq!(server.send(&part, "", "x").await.status(), "200");
    let abort = format!("DELETE /lake/{OUTPUT}?uploadId={upload}");
    assert_eq!(server.send(&abort, "", "").await.status(), "204");
    assert_eq!(server.observer.counts().tables.unfinished, 0);
    assert_eq!(server.send(&part, "", "x").await.status(), "404");
    assert!(!folder.path().join("output").join(OUTPUT).exists());
    assert_eq!(server.observer.counts().tables.objects, 0);
}

#[tokio::test]
async fn the_function_is_given_the_row_and_the_events() {
    let (server, _folder) = start().await;
    let key = json!({"job": {"S": "export/offers/full-x"}, "part": {"S": "export"}});
    let call = json!({"TableName": "ledger", "Key": key});
    let row = server.dynamodb("GetItem", &call).await.json();
    assert_eq!(row["Item"]["revision"], json!({"N": "1"}));
    let next = "GET /2018-06-01/runtime/invocation/next";
    for number in 1..=2 {
        let event: Value = server.send(next, "", "").await.json();
        assert_eq!(event, json!({"file": number}));
    }
    let idle = server.observer.clone();
    let asking = tokio::spawn(async move { server.send(next, "", "").await.body });
    idle.function_is_idle().await;
    assert!(!asking.is_finished());
}

fn write_gzip(file: &Path, text: &str) {
    let mut lines = GzEncoder::new(File::create(file).unwrap(), Compression::default());
    lines.write_all(text.as_bytes()).unwrap();
    lines.finish().unwrap();
}

#[test]
fn outputs_of_all_formats_are_read_alike() {
    let digest = |write: &dyn Fn(&Path)| {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("deeper")).unwrap();
        write(folder.path());
        digest_of_folder(folder.path())
    };
    let first = "{\"id\":\"a\",\"price\":12.5,\"image\":\"AAE=\"}\n";
    let second = "{\"price\":-0.01,\"id\":\"b\",\"image\":null}\n";
    let expected = digest(&|folder| {
        write_gzip(&folder.join("x.jsonl.gz"), &format!("{first}{second}"));
    })
    .unwrap();
    assert_eq!(expected.items, 2);
    let zstd = digest(&|folder| {
        let lines = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        fs::write(folder.join("x.jsonl.zst"), lines(second)).unwrap();
        fs::write(folder.join("deeper/y.jsonl.zst"), lines(first)).unwrap();
    });
    assert_eq!(zstd.unwrap(), expected);
    let parquet = digest(&|folder| write_parquet(&folder.join("x.parquet"))).unwrap();
    assert_eq!(parquet, expected);
    let one = digest(&|folder| write_gzip(&folder.join("x.jsonl.gz"), first)).unwrap();
    assert_ne!(one, expected);
    assert_eq!(digest(&|_| ()).unwrap(), Digest::default());
    let name = digest(&|folder| fs::write(folder.join("x.csv"), "").unwrap());
    assert!(
        name.unwrap_err()
            .to_string()
            .contains("is no output: expected")
    );
    let broken = digest(&|folder| write_gzip(&folder.join("x.jsonl.gz"), "{}\n[]\n"));
    assert!(broken.unwrap_err().to_string().starts_with("row 2 of "));
}

/// The two rows of the test above, with a decimal and bytes.
fn write_parquet(file: &Path) {
    let schema = "message m {
        required binary id (utf8);
        required int64 price (decimal(18, 2));
        optional binary image;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::default());
    let file = File::create(file).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let ids = column.typed::<ByteArrayType>();
    ids.write_batch(&["a".into(), "b".into()], None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let prices = column.typed::<Int64Type>();
    prices.write_batch(&[1250, -1], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let images = column.typed::<ByteArrayType>();
    images
        .write_batch(&[vec![0, 1].into()], Some(&[1, 0]), None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a run is timed, and no test looks at the time"
)]
fn now() -> Instant {
    Instant::now()
}

/// The whole bench with small exports and one subject, the program `program`.
fn transform(subject: Subject, program: &str) -> Result<Vec<Figure>, BenchError> {
    let folder = TempDir::new().unwrap();
    let places = Places {
        bootstrap: program.into(),
        endpoint: env!("CARGO_BIN_EXE_bench-endpoint").into(),
        floor: program.into(),
        checker: env!("CARGO_BIN_EXE_bench-transform-check").into(),
        python: program.into(),
        peers: folder.path().into(),
        work: folder.path().into(),
    };
    let extent = Extent {
        bytes: 100_000,
        repeats: 2,
        only: vec![subject],
    };
    measure(&extent, &places, now, &|_| {})
}

#[test]
fn the_floor_of_the_transform_is_measured_in_every_case() {
    let program = env!("CARGO_BIN_EXE_bench-transform-floor");
    let figures = transform(Subject::Floor, program).unwrap();
    let cases: Vec<_> = figures
        .iter()
        .filter(|figure| figure.metric == "cpu_seconds")
        .map(|figure| (&*figure.bench, &*figure.subject, &*figure.case))
        .collect();
    let expected = [
        "flat/json-zstd1",
        "flat/json-gzip6",
        "flat/parquet-zstd1",
        "nested/json-zstd1",
        "nested/json-gzip6",
        "nested/parquet-zstd1",
    ];
    assert_eq!(cases, expected.map(|case| ("transform", "floor", case)));
    for metric in ["mb_per_cpu_second", "peak_rss_mb"] {
        let values = figures.iter().filter(|figure| figure.metric == metric);
        assert!(values.clone().all(|figure| figure.value > 0.0));
        assert_eq!(values.count(), expected.len());
    }
}

#[test]
fn a_subject_that_transforms_nothing_is_an_error() {
    for (subject, program, expected) in [
        (Subject::Floor, "/bin/true", "it inflated  bytes of"),
        (Subject::Duckdb, "/bin/true", "0 rows were written of"),
        (
            Subject::Polars,
            "/bin/false",
            "the subject ended with exit status: 1",
        ),
        (
            Subject::Transload,
            "/bin/true",
            "the subject ended with exit status: 0",
        ),
    ] {
        let error = transform(subject, program).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with(expected), "{cause}");
    }
}
