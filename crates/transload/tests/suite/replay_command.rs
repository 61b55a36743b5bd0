//! `transload replay` as a person or a script meets it: exit codes, messages, files. S3 and DynamoDB are played by a few lines here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

const OBJECT: &str = "changes/table=offers/source=stream/dt=2026-01-14/hour=10/0000000000000000000000000000000000000001-e1.jsonl";

/// The lake `lake` with one object of the log of `offers`, and the tables `copy` (empty) and `full`.
#[derive(Default)]
struct Aws {
    objects: BTreeMap<&'static str, String>,
    /// Operations of DynamoDB and their inputs, but for descriptions and scans.
    writes: Mutex<Vec<(String, Value)>>,
}

impl Aws {
    fn start(object: String) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let aws = Arc::new(Self {
            objects: BTreeMap::from([(OBJECT, object)]),
            writes: Mutex::default(),
        });
        let shared = Arc::clone(&aws);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let aws = Arc::clone(&shared);
                thread::spawn(move || aws.converse(&stream.unwrap()));
            }
        });
        (aws, url)
    }

    fn converse(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader) {
            let (status, body) = match &request.operation {
                Some(operation) => self.dynamo(operation, &request.body),
                None => self.s3(&request.path),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\netag: \"e\"\r\nlast-modified: Wed, 14 Jan 2026 10:00:00 GMT\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let mut writer = stream;
            if writer.write_all((head + &body).as_bytes()).is_err() {
                return;
            }
        }
    }

    fn s3(&self, path: &str) -> (u16, String) {
        let Some((_, query)) = path
            .split_once('?')
            .filter(|(_, query)| query.contains("list-type"))
        else {
            let key = path.split('?').next().unwrap().trim_start_matches("/lake/");
            return match self.objects.get(key.replace("%3D", "=").as_str()) {
                Some(content) => (200, content.clone()),
                None => (404, String::new()),
            };
        };
        let prefix = query
            .split("prefix=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let prefix = prefix.replace("%2F", "/").replace("%3D", "=");
        let listed: String = self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, content)| {
                format!(
                    "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-01-14T10:00:00.000Z</LastModified></Contents>",
                    content.len()
                )
            })
            .collect();
        (
            200,
            format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            ),
        )
    }

    fn dynamo(&self, operation: &str, body: &Value) -> (u16, String) {
        let answer = match operation {
            "DescribeTable" => json!({"Table": {
                "TableName": body["TableName"],
                "TableArn": format!("arn:aws:dynamodb:us-east-1:123456789012:table/{}", body["TableName"].as_str().unwrap_or_default()),
                "TableId": "5e6f",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }}),
            "Scan" => {
                let items = match body["TableName"].as_str() {
                    Some("full") => json!([{"id": {"S": "x"}}]),
                    _ => json!([]),
                };
                json!({"Items": items, "ConsumedCapacity": {"CapacityUnits": 0.5}})
            }
            _ => {
                let mut writes = self.writes.lock().unwrap();
                writes.push((operation.to_owned(), body.clone()));
                if body["Item"]["id"]["S"] == "b" {
                    let refusal = json!({
                        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                        "Item": {"id": {"S": "b"}, "v": {"N": "3"}},
                    });
                    return (400, refusal.to_string());
                }
                json!({"UnprocessedItems": {}})
            }
        };
        (200, answer.to_string())
    }
}

struct Request {
    path: String,
    operation: Option<String>,
    body: Value,
}

impl Request {
    /// None when the connection has ended.
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        let (mut operation, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                    operation = value.rsplit('.').next().map(str::to_owned);
                }
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self {
            path,
            operation,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }
}

fn line(id: &str, sequence: u32, name: &str, images: &str) -> String {
    let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/offers/stream/2026-01-14T00:00:00.000";
    format!(
        r#"{{"eventID":"e{sequence}","eventName":"{name}","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":1768386096,"Keys":{{"id":{{"S":"{id}"}}}},{images}"SequenceNumber":"{sequence}"}},"eventSourceARN":"{arn}"}}"#
    ) + "\n"
}

fn new(id: &str, sequence: u32, version: u32) -> String {
    let image = format!(r#""NewImage":{{"id":{{"S":"{id}"}},"v":{{"N":"{version}"}}}},"#);
    line(id, sequence, "MODIFY", &image)
}

/// Two items, of which one was written twice, and a removed one.
fn log() -> String {
    let old = r#""OldImage":{"id":{"S":"c"},"v":{"N":"5"}},"#;
    [
        new("a", 1, 1),
        new("b", 2, 1),
        new("a", 3, 2),
        line("c", 4, "REMOVE", old),
    ]
    .concat()
}

fn command(folder: &Path, url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.current_dir(folder).arg("replay").args(args);
    command.env_clear();
    command.env("HOME", folder);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_ENDPOINT_URL", url);
    command
}

/// Exit code, standard output and standard error.
fn texts(output: Output) -> (i32, String, String) {
    (
        output.status.code().expect("it was not killed"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn run(folder: &TempDir, url: &str, args: &[&str]) -> (i32, String, String) {
    let args = [&["--bucket", "lake", "--table", "offers"], args].concat();
    texts(command(folder.path(), url, &args).output().unwrap())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn an_empty_table_gets_the_items_and_the_result_accounts_for_every_key() {
    let (aws, url) = Aws::start(log());
    let folder = folder();
    let (code, out, err) = run(&folder, &url, &["--into", "copy"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (head, rest) = out.split_once('\n').unwrap();
    assert!(
        head.starts_with("offers in s3://lake, without a snapshot, into copy in "),
        "{head}"
    );
    insta::assert_snapshot!(rest, @"
4 lines read
3 keys in them
2 items written
1 removed, so there is nothing to write
0 refused by DynamoDB
");
    let writes = aws.writes.lock().unwrap();
    let mut items: Vec<String> = Vec::new();
    for (operation, body) in writes.iter() {
        assert_eq!(operation, "BatchWriteItem");
        let puts = body["RequestItems"]["copy"].as_array().unwrap();
        items.extend(puts.iter().map(|put| put["PutRequest"]["Item"].to_string()));
    }
    items.sort();
    insta::assert_snapshot!(items.join("\n"), @r#"
{"id":{"S":"a"},"v":{"N":"2"}}
{"id":{"S":"b"},"v":{"N":"1"}}
"#);
    assert!(names(&folder).is_empty());
}

#[test]
fn json_is_one_line_with_every_figure() {
    let (aws, url) = Aws::start(log());
    let folder = folder();
    let args = [
        "--into",
        "full",
        "--version-attribute",
        "v",
        "--until",
        "2026-01-14T12:00:00+01:00",
        "--json",
    ];
    let (code, out, err) = run(&folder, &url, &args);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 1);
    let mut result: Value = serde_json::from_str(&out).unwrap();
    assert!(result["seconds"].take().as_f64().unwrap() > 0.0);
    assert_eq!(
        result,
        json!({
            "command": "replay", "bucket": "lake", "table": "offers", "into": "full", "output": null,
            "until": "2026-01-14T11:00:00Z", "snapshot_source": null, "snapshot_time": null,
            "objects": 1, "lines_read": 4, "lines_used": 4, "keys": 3, "items": 2, "removed": 1,
            "written": 1, "deleted": 1, "already_there": 0, "newer_in_table": 1, "without_version": 0,
            "refused": 0, "unprocessed": null, "seconds": null,
        })
    );
    let mut operations: Vec<String> = aws
        .writes
        .lock()
        .unwrap()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    operations.sort();
    assert_eq!(operations, ["DeleteItem", "PutItem", "PutItem"]);
}

#[test]
fn a_dry_run_writes_a_file_and_nothing_else() {
    let (aws, url) = Aws::start(log());
    let folder = folder();
    let (code, out, err) = run(&folder, &url, &["--dry-run", "-o", "items.jsonl"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("into items.jsonl in "), "{out}");
    assert_eq!(names(&folder), ["items.jsonl"]);
    let text = fs::read_to_string(folder.path().join("items.jsonl")).unwrap();
    insta::assert_snapshot!(text, @r#"
{"id":{"S":"a"},"v":{"N":"2"}}
{"id":{"S":"b"},"v":{"N":"1"}}
"#);
    assert!(aws.writes.lock().unwrap().is_empty());
}

#[test]
fn again_goes_on_with_the_replay_of_the_marker_and_no_other() {
    let (aws, url) = Aws::start(log());
    let folder = folder();
    let marker = json!({
        "table_arn": "arn:aws:dynamodb:us-east-1:123456789012:table/full", "table_id": "5e6f",
        "log_bucket": "lake", "log_table": "offers", "until": 1_768_386_097,
    });
    let path = folder.path().join("full.replay.json");
    fs::write(&path, marker.to_string()).unwrap();
    let other = [
        "--into",
        "full",
        "--again",
        "--until",
        "2026-01-14T11:00:00Z",
    ];
    let (code, _, err) = run(&folder, &url, &other);
    assert_eq!(code, 2, "{err}");
    insta::assert_snapshot!(err, @r#"error: the marker "full.replay.json" is of another replay, with the --until 2026-01-14T10:21:37Z: expected 2026-01-14T11:00:00Z; repeat that one with --again, or name another --marker (delete the file if that replay is given up)"#);
    assert!(aws.writes.lock().unwrap().is_empty() && path.exists());
    let (code, out, err) = run(&folder, &url, &["--into", "full", "--again"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("2 items written"), "{out}");
    assert_eq!(aws.writes.lock().unwrap().len(), 2);
    assert!(names(&folder).is_empty());
}

#[test]
fn unusable_arguments_end_with_2_and_say_what_to_do() {
    let (aws, url) = Aws::start(log());
    let folder = folder();
    let message = |args: &[&str]| {
        let (code, out, err) = run(&folder, &url, args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        let lines: Vec<_> = err.lines().take_while(|line| !line.is_empty()).collect();
        lines.join(" ")
    };
    insta::assert_snapshot!(message(&[]), @"error: the following required arguments were not provided:   --into <TABLE>");
    insta::assert_snapshot!(message(&["--into", "copy", "--dry-run"]), @"error: the argument '--into <TABLE>' cannot be used with '--dry-run'");
    insta::assert_snapshot!(message(&["--dry-run"]), @"error: the following required arguments were not provided:   --output <FILE>");
    insta::assert_snapshot!(message(&["--into", "copy", "-o", "x"]), @"error: the argument '--into <TABLE>' cannot be used with '--output <FILE>'");
    insta::assert_snapshot!(message(&["--into", "full", "--again"]), @r#"error: there is no file "full.replay.json", which the first try leaves when it begins to write: run the command without --again, in an empty table, or name the file of that try (--marker)"#);
    insta::assert_snapshot!(message(&["--into", "copy", "--version-attribute", "v", "--marker", "m"]), @"error: the argument '--version-attribute <NAME>' cannot be used with '--marker <FILE>'");
    insta::assert_snapshot!(message(&["--into", "copy", "--rate", "5"]), @"error: the following required arguments were not provided:   --version-attribute <NAME>");
    insta::assert_snapshot!(message(&["--into", "copy", "--version-attribute", "v", "--again", "--until", "2026-01-14T10:00:00Z"]), @"error: the argument '--version-attribute <NAME>' cannot be used with '--again'");
    insta::assert_snapshot!(message(&["--into", "copy", "--until", "2026-01-14"]), @"error: invalid value '2026-01-14' for '--until <TIME>': expected an ISO time with an offset and without parts of a second, such as 2026-11-20T10:00:00Z");
    insta::assert_snapshot!(message(&["--into", "full"]), @"error: the table full is not empty: name an empty one, or, to write only over what is older, the attribute that tells (--version-attribute); a replay that was stopped is repeated with --again");
    insta::assert_snapshot!(message(&["--into", "full", "--version-attribute", "id"]), @r#"error: "id" is a key attribute of the table: expected --version-attribute to name one that grows with each write of an item"#);
    assert!(aws.writes.lock().unwrap().is_empty());
    assert!(names(&folder).is_empty());
}

#[test]
fn a_line_that_cannot_be_read_ends_with_1_before_anything_is_written() {
    let (aws, url) = Aws::start(log() + "{\n");
    let folder = folder();
    for args in [
        &["--into", "copy"][..],
        &["--into", "copy", "--version-attribute", "v"],
        &["--dry-run", "-o", "x"],
    ] {
        let (code, out, err) = run(&folder, &url, args);
        assert_eq!((code, out.as_str()), (1, ""));
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(
            err.contains("so nothing is written") && err.contains("-e1.jsonl, line 5: "),
            "{err}"
        );
    }
    assert!(aws.writes.lock().unwrap().is_empty());
    assert!(names(&folder).is_empty());
}

#[test]
fn help_shows_an_example_and_says_what_to_mind() {
    let (code, out, _) = run(&folder(), "", &["--help"]);
    assert_eq!(code, 0);
    assert!(
        out.contains(
            "\n  transload replay --bucket my-lake --table offers --into offers-restored\n"
        ),
        "{out}"
    );
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains(
            "even if somebody deleted it after --until or, as the log lags by a minute to hours, after the log's last record of it: the table keeps no trace of that"
        )
    );
}
