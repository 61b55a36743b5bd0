//! `transload ingest` as a person or a script meets it: exit codes, messages, files. DynamoDB is played by a few lines here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

const ROWS: &str = "account,offer,price\na,1,10\na,2\na,1,11\nb,1,12\n";
const GOOD_ROWS: &str = "account,offer,price\na,1,10\na,1,11\nb,1,12\n";

/// Answers requests as a table `offers` with the keys `account` and `offer` does, and keeps the items.
struct Dynamo {
    url: String,
    items: Arc<Mutex<Vec<Value>>>,
}

impl Dynamo {
    /// With an answer to every `BatchWriteItem`: status and body; none means that it is never answered.
    fn start(to_batches: Option<(u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let items = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&items);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, to_batches) = (Arc::clone(&kept), to_batches.clone());
                thread::spawn(move || converse(&stream.unwrap(), &kept, to_batches.as_ref()));
            }
        });
        Self { url, items }
    }

    fn taking_everything() -> Self {
        Self::start(Some((200, json!({"UnprocessedItems": {}}))))
    }
}

fn converse(stream: &TcpStream, kept: &Mutex<Vec<Value>>, to_batches: Option<&(u16, Value)>) {
    let mut reader = BufReader::new(stream);
    while let Some((operation, body)) = request(&mut reader) {
        let (status, answer) = if operation == "DescribeTable" {
            describe_table(&body)
        } else {
            kept.lock().unwrap().push(body["RequestItems"].clone());
            match to_batches {
                Some(answer) => answer.clone(),
                None => return thread::sleep(Duration::from_secs(600)),
            }
        };
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

fn describe_table(body: &Value) -> (u16, Value) {
    match body["TableName"].as_str() {
        Some("offers") => (
            200,
            json!({"Table": {
                "TableName": "offers",
                "KeySchema": [{"AttributeName": "account", "KeyType": "HASH"}, {"AttributeName": "offer", "KeyType": "RANGE"}],
                "AttributeDefinitions": [
                    {"AttributeName": "account", "AttributeType": "S"}, {"AttributeName": "offer", "AttributeType": "S"}],
            }}),
        ),
        Some("secret") => (
            400,
            json!({"__type": "com.amazon.coral.service#AccessDeniedException", "message": "not authorized"}),
        ),
        _ => (
            400,
            json!({"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "Requested resource not found"}),
        ),
    }
}

/// The command in `folder`, with region and credentials and nothing else of the machine's environment.
fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.current_dir(folder).arg("ingest").args(args);
    command.env_clear();
    command.env("HOME", folder);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "test");
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

fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    texts(command(folder, args).output().expect("it starts"))
}

fn folder(rows: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.csv"), rows).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_result_accounts_for_every_row_and_rejects_are_loud() {
    let dynamo = Dynamo::taking_everything();
    let folder = folder(ROWS);
    let args = [
        "data.csv",
        "--table",
        "offers",
        "--endpoint-url",
        &dynamo.url,
    ];
    let (code, out, err) = run(folder.path(), &args);
    assert_eq!(code, 0, "{err}");
    let (head, rest) = out.split_once('\n').unwrap();
    assert!(
        head.starts_with("data.csv (45 B) into offers in "),
        "{head}"
    );
    insta::assert_snapshot!(rest, @"
              4 rows read
              2 written
              1 superseded (a later row has the same key)
              1 rejected
accepted rows as JSON: data.csv.json-copy.jsonl
rejected rows and why: data.csv.unprocessed.jsonl
");
    insta::assert_snapshot!(err, @"warning: 1 of 4 rows were rejected and are not in the table; the first is line 3: the row has 2 fields, the header has 3; all with their reasons: data.csv.unprocessed.jsonl");
    assert_eq!(
        names(folder.path()),
        [
            "data.csv",
            "data.csv.json-copy.jsonl",
            "data.csv.unprocessed.jsonl"
        ]
    );
    let items = Value::from(dynamo.items.lock().unwrap().clone()).to_string();
    assert!(
        items.contains(r#"{"S":"11"}"#) && !items.contains(r#"{"S":"10"}"#),
        "{items}"
    );
}

#[test]
fn json_is_one_line_and_the_endpoint_may_come_from_the_environment() {
    let dynamo = Dynamo::taking_everything();
    let folder = folder(GOOD_ROWS);
    let output = command(folder.path(), &["data.csv", "--table", "offers", "--json"])
        .env("AWS_ENDPOINT_URL", &dynamo.url)
        .output();
    let (code, out, err) = texts(output.unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 1);
    let mut result: Value = serde_json::from_str(&out).unwrap();
    assert!(result["seconds"].take().as_f64().unwrap() > 0.0);
    assert!(result["rows_per_second"].take().is_u64());
    assert!(result["calls"].take().as_u64().unwrap() >= 1);
    assert_eq!(
        result,
        json!({
            "command": "ingest", "file": "data.csv", "table": "offers", "bytes": GOOD_ROWS.len(), "complete": true,
            "rows_read": 3, "rows_written": 2, "rows_superseded": 1, "rows_rejected": 0,
            "throttled": 0, "unanswered": 0, "calls": null, "backup": "data.csv.json-copy.jsonl", "unprocessed": null,
            "seconds": null, "rows_per_second": null,
        })
    );
}

#[test]
fn a_mapping_makes_other_items() {
    let dynamo = Dynamo::taking_everything();
    let folder = folder("acct,offer,price\na,1,10\nb,2,dear\n");
    let mapping = r#"{"columns": {"acct": {"rename": "account"}, "price": {"type": "N"}}, "constants": {"processed": "false"}}"#;
    fs::write(folder.path().join("mapping.json"), mapping).unwrap();
    let args = [
        "data.csv",
        "--table",
        "offers",
        "--mapping",
        "mapping.json",
        "--endpoint-url",
        &dynamo.url,
    ];
    let (code, _, err) = run(folder.path(), &args);
    assert_eq!(code, 0);
    assert!(err.contains("the first is line 3, column price: "), "{err}");
    let items = dynamo.items.lock().unwrap();
    assert_eq!(
        items[0]["offers"][0]["PutRequest"]["Item"],
        json!({"account": {"S": "a"}, "offer": {"S": "1"}, "price": {"N": "10"}, "processed": {"S": "false"}})
    );
}

#[test]
fn unusable_arguments_end_with_2_and_say_what_to_do() {
    let folder = folder(ROWS);
    fs::create_dir(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("wrong.json"), r#"{"colums": {}}"#).unwrap();
    let message = |args: &[&str]| {
        let (code, out, err) = run(folder.path(), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        err.lines()
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    insta::assert_snapshot!(message(&["data.csv"]), @"error: the following required arguments were not provided:   --table <TABLE>");
    insta::assert_snapshot!(message(&["--table", "offers"]), @"error: the following required arguments were not provided:   <FILE>");
    insta::assert_snapshot!(message(&["data.csv", "--table", ""]), @"error: a value is required for '--table <TABLE>' but none was supplied");
    insta::assert_snapshot!(message(&["no.csv", "--table", "offers"]), @r#"error: there is no file "no.csv": expected a CSV file, plain or compressed with gzip or zstd"#);
    insta::assert_snapshot!(message(&["taken", "--table", "offers"]), @r#"error: "taken" is no regular file, but a folder, a pipe or a device: write the rows into a file first"#);
    insta::assert_snapshot!(message(&["data.csv", "--table", "offers", "--mapping", "no.json"]), @r#"error: cannot read the row mapping "no.json": expected a file with a JSON object: No such file or directory (os error 2)"#);
    insta::assert_snapshot!(message(&["data.csv", "--table", "offers", "--mapping", "wrong.json"]), @r#"error: the row mapping "wrong.json" is wrong: expected a JSON object with the members columns, constants and shards: unknown field `colums`, expected one of `columns`, `constants`, `shards` at line 1 column 9"#);
    insta::assert_snapshot!(message(&["data.csv", "--table", "offers", "--endpoint-url", "localhost:4566"]), @"error: invalid value 'localhost:4566' for '--endpoint-url <URL>': expected an address such as http://127.0.0.1:4566");
    let output = command(folder.path(), &["data.csv", "--table", "offers"])
        .env("AWS_ENDPOINT_URL_DYNAMODB", "localhost:4566")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
        .output();
    let (code, _, err) = texts(output.unwrap());
    assert_eq!(code, 2);
    insta::assert_snapshot!(err, @r#"error: AWS_ENDPOINT_URL "localhost:4566" cannot be used: expected an address such as http://127.0.0.1:4566"#);
}

#[test]
fn a_load_that_cannot_begin_ends_with_1_and_says_what_to_do() {
    let dynamo = Dynamo::taking_everything();
    let folder = folder(ROWS);
    let message = |command: &mut Command| {
        let (code, out, err) = texts(command.output().unwrap());
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        err.replace(&dynamo.url, "URL")
    };
    let on = |table: &str| {
        command(
            folder.path(),
            &["data.csv", "--table", table, "--endpoint-url", &dynamo.url],
        )
    };
    insta::assert_snapshot!(message(&mut on("orders")), @"error: there is no table orders: check --table, the region (AWS_REGION or the profile's) and --endpoint-url: DescribeTable on orders: ResourceNotFoundException: Requested resource not found");
    insta::assert_snapshot!(message(&mut on("secret")), @"error: access to the table secret is denied: check the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID), which need dynamodb:DescribeTable and dynamodb:BatchWriteItem on it: DescribeTable on secret: AccessDeniedException: not authorized");
    insta::assert_snapshot!(message(on("offers").env_remove("AWS_REGION")), @"error: connect on AWS: no region is set: set AWS_REGION");
    let unknown = message(on("offers").env_remove("AWS_ACCESS_KEY_ID"));
    assert!(
        unknown.starts_with("error: connect on AWS: no credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID"),
        "{unknown}"
    );
    fs::write(folder.path().join("data.csv"), "account,price\na,1\n").unwrap();
    insta::assert_snapshot!(message(&mut on("offers")), @r#"error: "data.csv" cannot be loaded (a row mapping, --mapping FILE.json, can rename columns and add constant ones): the sort key "offer" (type S) of table offers has no source: expected a column, constant or shard of that name (columns: account, price)"#);
    assert_eq!(names(folder.path()), ["data.csv"]);
}

#[test]
fn an_endpoint_that_nobody_answers_at_is_given_up_soon() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let folder = folder(ROWS);
    let mut child = command(
        folder.path(),
        &["data.csv", "--table", "offers", "--endpoint-url", &url],
    )
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    // Far less than the 120 s for which a table that takes nothing is waited for.
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    let (code, _, err) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, 1);
    insta::assert_snapshot!(err.replace(&port.to_string(), "PORT"), @"error: the table offers does not answer: check the network, the region and --endpoint-url: DescribeTable on offers: the connection failed: dispatch failure: io error: client error (Connect): tcp connect error: Connection refused (os error 111)");
}

#[test]
fn a_broken_gzip_prints_what_was_loaded_and_ends_with_1() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(GOOD_ROWS.as_bytes()).unwrap();
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(bytes.len() - 4);
    let dynamo = Dynamo::taking_everything();
    let folder = folder(bytes);
    let args = [
        "data.csv",
        "--table",
        "offers",
        "--json",
        "--endpoint-url",
        &dynamo.url,
    ];
    let (code, out, err) = run(folder.path(), &args);
    assert_eq!(code, 1);
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&result["complete"], &result["rows_read"]),
        (&json!(false), &json!(3))
    );
    insta::assert_snapshot!(err, @r#"error: "data.csv" is not whole: only the 3 rows before the break were read; get the whole file and run the command again: the gzip data breaks at compressed byte 60 (after 41 inflated bytes): expected a whole gzip file: unexpected end of file"#);
    assert_eq!(
        names(folder.path()),
        ["data.csv", "data.csv.json-copy.jsonl"]
    );
}

#[test]
fn a_killed_load_leaves_no_half_file_and_the_next_one_takes_over() {
    let silent = Dynamo::start(None);
    let folder = folder(GOOD_ROWS);
    let mut child = command(
        folder.path(),
        &[
            "data.csv",
            "--table",
            "offers",
            "--endpoint-url",
            &silent.url,
        ],
    )
    .spawn()
    .unwrap();
    let mut checks = 0;
    while silent.items.lock().unwrap().is_empty() {
        if checks == 3000 {
            child.kill().unwrap();
            panic!("no batch came in half a minute");
        }
        checks += 1;
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        names(folder.path()),
        [
            "data.csv",
            "data.csv.json-copy.jsonl.partial",
            "data.csv.unprocessed.jsonl.partial"
        ]
    );

    let dynamo = Dynamo::taking_everything();
    let args = [
        "data.csv",
        "--table",
        "offers",
        "--endpoint-url",
        &dynamo.url,
    ];
    let (code, _, err) = run(folder.path(), &args);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        names(folder.path()),
        ["data.csv", "data.csv.json-copy.jsonl"]
    );
}

#[test]
fn help_shows_an_example() {
    let folder = folder("");
    let (code, out, _) = run(folder.path(), &["--help"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("\n  transload ingest data.csv --table offers\n"),
        "{out}"
    );
    assert!(out.contains("AWS_PROFILE"), "{out}");
}
