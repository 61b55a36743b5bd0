//! `transload verify changes` as a person or a script meets it: exit codes and messages. S3 and DynamoDB are played by a few
//! lines here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

const FOLDER: &str = "changes/table=offers/source=stream/dt=2026-11-20/hour=00/";
const LABEL: &str = "2026-11-01T08:00:00.000";

/// Objects of the bucket `lake`, and a table `offers` with a stream.
type Lake = Arc<BTreeMap<String, Vec<u8>>>;

fn start(lake: Lake) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let lake = Arc::clone(&lake);
            thread::spawn(move || converse(&stream.unwrap(), &lake));
        }
    });
    url
}

fn converse(stream: &TcpStream, lake: &Lake) {
    let mut reader = BufReader::new(stream);
    while let Some(target) = request(&mut reader) {
        let (status, answer) = answer(&target, lake);
        let head = format!(
            "HTTP/1.1 {status} X\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let mut writer = stream;
        if writer
            .write_all(&[head.as_bytes(), &answer].concat())
            .is_err()
        {
            return;
        }
    }
}

/// What is asked for; none when the connection has ended.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut target = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            None if target.is_empty() => {
                target = line.split(' ').nth(1).unwrap().to_owned();
            }
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(target)
}

fn answer(target: &str, lake: &Lake) -> (u16, Vec<u8>) {
    let target = target
        .replace("%3D", "=")
        .replace("%2F", "/")
        .replace("/?", "?");
    let prefix = target
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("prefix="));
    match (target.strip_prefix("/lake/"), prefix) {
        _ if target == "/" => (200, table().to_string().into_bytes()),
        (_, Some(prefix)) => (200, list(lake, prefix).into_bytes()),
        (Some(key), None) => {
            let key = key.split('?').next().unwrap();
            lake.get(key)
                .map_or((404, Vec::new()), |content| (200, content.clone()))
        }
        _ => (404, Vec::new()),
    }
}

fn list(lake: &Lake, prefix: &str) -> String {
    let found = lake.iter().filter(|(key, _)| key.starts_with(prefix));
    let found: String = found
        .map(|(key, content)| {
            let bytes = content.len();
            format!("<Contents><Key>{key}</Key><LastModified>2026-11-20T00:01:00.000Z</LastModified><Size>{bytes}</Size></Contents>")
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    )
}

fn table() -> Value {
    json!({"Table": {
        "TableName": "offers",
        "CreationDateTime": 1_790_000_000.209,
        "LatestStreamLabel": LABEL,
        "LatestStreamArn": format!("arn:aws:dynamodb:us-east-1:111122223333:table/offers/stream/{LABEL}"),
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }})
}

fn record(id: &str) -> String {
    format!(
        r#"{{"eventID":"{id}","eventName":"REMOVE","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":1795132830.0,"Keys":{{"id":{{"S":"a"}}}},"SequenceNumber":"1"}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:111122223333:table/offers/stream/{LABEL}"}}"#
    )
}

fn lake(lines: &[String]) -> Lake {
    let content = lines.join("\n").into_bytes();
    Arc::new([(format!("{FOLDER}1.jsonl"), content)].into())
}

/// Exit code, standard output and standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.args(["verify", "changes"]).args(args).env_clear();
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "test");
    let output = command.output().expect("it starts");
    (
        output.status.code().expect("it was not killed"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn run_on(url: &str, args: &[&str]) -> (i32, String, String) {
    let more = [
        "--bucket",
        "lake",
        "--table",
        "offers",
        "--endpoint-url",
        url,
    ];
    run(&[&more, args].concat())
}

const RANGE: [&str; 4] = ["--from", "2026-11-20T00:00Z", "--to", "2026-11-20T05:00Z"];

#[test]
fn a_good_log_ends_with_0_and_a_table_of_its_hours() {
    let url = start(lake(&[record("a"), record("b"), record("a")]));
    let (code, out, err) = run_on(&url, &RANGE);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r"
Change log of offers in s3://lake, 2026-11-20T00:00Z to 2026-11-20T05:00Z (UTC)
Stream enabled 2026-11-01T08:00:00.000 (UTC), new and old images

hour                  objects     records    inserted    modified     removed    repeated      faults      latest
2026-11-20T00:00Z           1           2           0           0           2           1           0       0m30s
2026-11-20T01:00Z  no records until 2026-11-20T05:00Z (4 hours)
all                         1           2           0           0           2           1           0       0m30s

Note: 4 hours have no records. Whether nothing changed or records were lost, the log cannot say: compare it with an incremental export of these hours (--export).

Nothing wrong was found.
");
}

#[test]
fn a_fault_ends_with_1_and_json_has_everything() {
    let url = start(lake(&[record("a"), "{}".to_owned()]));
    let (code, out, err) = run_on(&url, &[&RANGE[..], &["--json"]].concat());
    assert_eq!(code, 1, "{err}");
    insta::assert_snapshot!(err, @"error: gaps or faults in the log: 1; the standard output says what to run for each");
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["total"]["records"], 1);
    assert_eq!(result["hours"][0]["faults"], 1);
    assert_eq!(result["findings"][0]["kind"], "faults");
    assert_eq!(
        result["findings"][0]["examples"][0],
        format!("s3://lake/{FOLDER}1.jsonl, line 2: eventSource is missing: expected aws:dynamodb")
    );
}

#[test]
fn what_cannot_be_verified_ends_with_2_and_says_why() {
    let url = start(lake(&[]));
    let message = |args: &[&str]| {
        let (code, out, err) = run_on(&url, args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        err.lines()
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    insta::assert_snapshot!(message(&["--to", "2026-11-20T05:00Z", "--from", "2026-11-20T05:00Z"]), @"error: the range is empty: expected a --to that is later than --from");
    insta::assert_snapshot!(message(&["--from", "yesterday"]), @"error: invalid value 'yesterday' for '--from <TIME>': expected an ISO time with an offset, such as 2026-11-20T00:00Z");
    insta::assert_snapshot!(message(&["--export", "01-a"]), @r#"error: the log could not be verified: "01-a" names no export: expected s3://bucket/prefix/AWSDynamoDB/<export id>/, the folder of its manifest-summary.json"#);
    let (code, _, err) = run_on("http://127.0.0.1:1", &RANGE);
    assert_eq!(code, 2);
    assert!(
        err.starts_with("error: the log could not be verified: DescribeTable on offers"),
        "{err}"
    );
}

#[test]
fn help_shows_an_example_and_what_cannot_be_known() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("\n  transload verify changes --bucket my-lake --table offers\n"),
        "{out}"
    );
    assert!(
        out.contains("sequence numbers have holes by design"),
        "{out}"
    );
    assert!(out.contains("[default: 72 hours before its end]"), "{out}");
    assert!(out.contains("is a fresh state of the table"), "{out}");
}
