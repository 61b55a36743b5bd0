//! `transload touch` as a person or a script meets it: exit codes, messages, files. DynamoDB is played by a few lines here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Answers as a table `offers` with three items does, of which one is gone when it is written; keeps the updates.
fn start() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let updates = Arc::<Mutex<Vec<Value>>>::default();
    let kept = Arc::clone(&updates);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || converse(&stream.unwrap(), &kept));
        }
    });
    (url, updates)
}

fn converse(stream: &TcpStream, kept: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream);
    while let Some((operation, body)) = request(&mut reader) {
        let (status, answer) = answer(&operation, &body, kept);
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let mut writer = stream;
        if writer.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(operation: &str, body: &Value, kept: &Mutex<Vec<Value>>) -> (u16, Value) {
    match operation {
        "DescribeTable" => {
            let description = json!({"Table": {
                "TableName": "offers",
                "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/offers",
                "TableId": "5e6f",
                "ItemCount": 3,
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
                "LatestStreamLabel": "2026-01-14T00:00:00.000",
                "LatestStreamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/offers/stream/2026-01-14T00:00:00.000",
            }});
            (200, description)
        }
        "Scan" => {
            let items = match body["Segment"].as_u64() {
                Some(0) => {
                    json!([{"id": {"S": "a"}}, {"id": {"S": "b"}, "touched": {"N": "7"}}, {"id": {"S": "gone"}}])
                }
                _ => json!([]),
            };
            (
                200,
                json!({"Items": items, "ConsumedCapacity": {"CapacityUnits": 0.5}}),
            )
        }
        _ => {
            kept.lock().unwrap().push(body.clone());
            match body["Key"]["id"]["S"].as_str() {
                Some("gone") => (
                    400,
                    json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}),
                ),
                _ => (200, json!({})),
            }
        }
    }
}

/// The operation and its input; none when the connection has ended.
fn request(reader: &mut impl BufRead) -> Option<(String, Value)> {
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                operation = value.rsplit('.').next().unwrap().to_owned();
            }
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((operation, serde_json::from_slice(&body).unwrap()))
}

fn run(folder: &TempDir, url: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.current_dir(folder).arg("touch").args(args);
    command.env_clear();
    command.env("HOME", folder.path());
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_ENDPOINT_URL", url);
    let output = command.output().expect("it starts");
    (
        output.status.code().expect("it was not killed"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

const NUMBER: [&str; 8] = [
    "--table",
    "offers",
    "--attribute",
    "touched",
    "--value",
    "7",
    "--value-type",
    "N",
];

#[test]
fn the_result_accounts_for_every_item() {
    let (url, updates) = start();
    let folder = folder();
    let (code, out, err) = run(&folder, &url, &NUMBER);
    assert_eq!((code, err.as_str()), (0, ""));
    let (head, rest) = out.split_once('\n').unwrap();
    assert!(head.starts_with("touched of offers in "), "{head}");
    insta::assert_snapshot!(rest, @"
3 items seen
1 touched
1 held the value already
1 gone meanwhile
0 refused by DynamoDB
");
    let updates = updates.lock().unwrap();
    let mut keys: Vec<_> = updates
        .iter()
        .map(|update| update["Key"]["id"]["S"].as_str().unwrap())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "gone"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn json_is_one_line_with_every_figure() {
    let (url, _) = start();
    let args = [
        &NUMBER[..],
        &["--json", "--segments", "1", "--checkpoint", "c.json"],
    ]
    .concat();
    let (code, out, err) = run(&folder(), &url, &args);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 1);
    let mut result: Value = serde_json::from_str(&out).unwrap();
    assert!(result["seconds"].take().as_f64().unwrap() > 0.0);
    assert_eq!(
        result,
        json!({
            "command": "touch", "table": "offers", "attribute": "touched", "value": "7", "resumed": false,
            "seen": 3, "touched": 1, "held_already": 1, "gone": 1, "refused": 0, "seconds": null,
        })
    );
}

#[test]
fn unusable_arguments_end_with_2_and_say_what_to_do() {
    let (url, updates) = start();
    let folder = folder();
    fs::write(folder.path().join("taken.json"), "{}").unwrap();
    let message = |args: &[&str]| {
        let (code, out, err) = run(&folder, &url, args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        let lines: Vec<_> = err.lines().take_while(|line| !line.is_empty()).collect();
        lines.join(" ")
    };
    let with = |more: &[&'static str]| [&NUMBER[..], more].concat();
    insta::assert_snapshot!(message(&["--table", "offers"]), @"error: the following required arguments were not provided:   --attribute <NAME>   --value <VALUE>");
    insta::assert_snapshot!(message(&["--table", "offers", "--attribute", "t", "--value", "x", "--value-type", "N"]), @r#"error: --value "x" cannot be used with --value-type N: not a number: expected decimal digits such as 12, -3.5 or 6.02e23"#);
    insta::assert_snapshot!(message(&["--table", "offers", "--attribute", "t", "--value", "x", "--value-type", "BOOL"]), @"error: invalid value 'BOOL' for '--value-type <TYPE>'   [possible values: S, N]");
    insta::assert_snapshot!(message(&["--table", "offers", "--attribute", "id", "--value", "x"]), @r#"error: "id" is a key attribute of the table offers: expected --attribute to name one that is no key, best one that nothing reads"#);
    insta::assert_snapshot!(message(&with(&["--rate", "0"])), @"error: invalid value '0' for '--rate <WRITES>': 0 is not in 1..=1000");
    insta::assert_snapshot!(message(&with(&["--rate", "1001"])), @"error: invalid value '1001' for '--rate <WRITES>': 1001 is not in 1..=1000");
    insta::assert_snapshot!(message(&with(&["--segments", "0"])), @"error: invalid value '0' for '--segments <SEGMENTS>': 0 is not in 1..=1000");
    insta::assert_snapshot!(message(&with(&["--checkpoint", "taken.json"])), @r#"error: "taken.json" is no checkpoint (missing field `table` at line 1 column 2): expected one that transload touch has written; delete it to begin anew, or name another --checkpoint"#);
    assert!(updates.lock().unwrap().is_empty());
}

#[test]
fn help_shows_an_example_and_says_what_it_costs() {
    let (code, out, _) = run(&folder(), "", &["--help"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("\n  transload touch --table offers --attribute touched --value 2026-11-20\n"),
        "{out}"
    );
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("An export is better wherever it will do"),
        "{words}"
    );
    assert!(words.contains("one write unit for each KB"), "{words}");
    assert!(words.contains("Never name the table's TTL attribute"));
}
