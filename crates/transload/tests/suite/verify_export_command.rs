//! `transload verify export` as a person or a script meets it: exit codes and messages. DynamoDB is played by a few lines here, the
//! exports are files of this machine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use md5::{Digest, Md5};
use records::base64_text;
use serde_json::{Value, json};
use tempfile::TempDir;

const ITEMS: [&str; 3] = [
    r#"{"id":{"S":"a"},"n":{"N":"1.0"}}"#,
    r#"{"id":{"S":"b"},"n":{"N":"2"}}"#,
    r#"{"id":{"S":"c"},"n":{"N":"3"}}"#,
];

/// A full export of the table `offers`, copied to this machine.
fn write_export(folder: &TempDir, name: &str, items: &[&str]) {
    let root = folder.path().join(name);
    fs::create_dir_all(root.join("data")).unwrap();
    let text: String = items
        .iter()
        .map(|item| format!("{{\"Item\":{item}}}\n"))
        .collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let content = encoder.finish().unwrap();
    let md5 = base64_text(&Md5::digest(&content));
    fs::write(root.join("data/f.json.gz"), content).unwrap();
    let count = items.len();
    let list = format!(
        "{{\"itemCount\":{count},\"md5Checksum\":\"{md5}\",\"etag\":\"e-1\",\"dataFileS3Key\":\"AWSDynamoDB/{name}/data/f.json.gz\"}}\n"
    );
    let summary = json!({
        "exportArn": "arn:aws:dynamodb:us-east-1:111122223333:table/offers/export/01790000000000-0a1c3e57",
        "tableArn": "arn:aws:dynamodb:us-east-1:111122223333:table/offers", "s3Bucket": "lake",
        "manifestFilesS3Key": format!("AWSDynamoDB/{name}/manifest-files.json"), "itemCount": count,
        "outputFormat": "DYNAMODB_JSON", "exportTime": "2026-11-20T04:00:00.000Z",
    });
    for (file, content) in [
        ("manifest-files", list),
        ("manifest-summary", summary.to_string()),
    ] {
        fs::write(
            root.join(format!("{file}.md5")),
            base64_text(&Md5::digest(&content)),
        )
        .unwrap();
        fs::write(root.join(format!("{file}.json")), content).unwrap();
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_export(&folder, "01-a", &ITEMS);
    folder
}

/// Answers as a table `offers` with these items does.
fn start(items: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || converse(&stream.unwrap(), items));
        }
    });
    url
}

fn converse(stream: &TcpStream, items: &[&str]) {
    let mut reader = BufReader::new(stream);
    while let Some((operation, body)) = request(&mut reader) {
        let answer = answer(&operation, &body, items).to_string();
        let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", answer.len());
        let mut writer = stream;
        if writer.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(operation: &str, body: &Value, items: &[&str]) -> Value {
    let mut items = items
        .iter()
        .map(|item| serde_json::from_str::<Value>(item).unwrap());
    match operation {
        "DescribeTable" => json!({"Table": {
            "TableName": "offers",
            "ItemCount": items.count(),
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        }}),
        "Scan" => match body["Segment"].as_u64() {
            Some(0) => {
                json!({"Items": items.collect::<Vec<_>>(), "ConsumedCapacity": {"CapacityUnits": 1.5}})
            }
            _ => json!({"Items": [], "ConsumedCapacity": {"CapacityUnits": 0.0}}),
        },
        _ => match items.find(|item| item["id"] == body["Key"]["id"]) {
            Some(item) => json!({"Item": item}),
            None => json!({}),
        },
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

/// Exit code, standard output and standard error.
fn run(folder: &TempDir, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command
        .current_dir(folder)
        .args(["verify", "export"])
        .args(args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("HOME", folder.path());
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

fn with_table(url: &str, more: &[&'static str]) -> Vec<String> {
    let args = ["01-a", "--table", "offers", "--endpoint-url", url];
    args.iter().chain(more).map(ToString::to_string).collect()
}

fn run_with(folder: &TempDir, args: &[String]) -> (i32, String, String) {
    run(folder, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn an_export_that_is_whole_ends_with_0() {
    let folder = folder();
    let (code, out, err) = run(&folder, &["01-a"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @"
Export 01-a of the table offers, full as of 2026-11-20T04:00:00Z: 3 items in 1 file
The manifests and 1 file are whole: checksums and counts are right, and every line is an item.
");
    let (code, out, err) = run(&folder, &["01-a/manifest-summary.json", "--quick"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("The manifests are whole and 1 file there, "),
        "{out}"
    );
    fs::remove_file(folder.path().join("01-a/manifest-files.md5")).unwrap();
    let (code, _, err) = run(&folder, &["01-a"]);
    assert_eq!(code, 0);
    assert!(
        err.starts_with("warning: 01-a/manifest-files.json has no checksum beside it"),
        "{err}"
    );
}

#[test]
fn a_table_that_holds_the_same_ends_with_0_and_one_that_does_not_with_1() {
    let folder = folder();
    let same = start(&[
        r#"{"n":{"N":"3"},"id":{"S":"c"}}"#,
        r#"{"id":{"S":"a"},"n":{"N":"1"}}"#,
        r#"{"id":{"S":"b"},"n":{"N":"2"}}"#,
    ]);
    let (code, out, err) = run_with(&folder, &with_table(&same, &[]));
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @"
Export 01-a of the table offers, full as of 2026-11-20T04:00:00Z: 3 items in 1 file
The manifests and 1 file are whole: checksums and counts are right, and every line is an item.
Compared with the table offers: 3 items, 1.5 read units, eventually consistent reads
Equal.
Note: the table lives on: items that were written since 2026-11-20T04:00:00Z, the time of the export, differ by right.
");
    let other = start(&[
        r#"{"id":{"S":"a"},"n":{"N":"7"}}"#,
        r#"{"id":{"S":"b"},"n":{"N":"2"}}"#,
        r#"{"id":{"S":"d"},"n":{"N":"3"}}"#,
    ]);
    let (code, out, err) = run_with(&folder, &with_table(&other, &["--values", "--consistent"]));
    assert_eq!(code, 1);
    insta::assert_snapshot!(err, @"error: the export and the table offers differ; the standard output says in what");
    insta::assert_snapshot!(out, @r#"
Export 01-a of the table offers, full as of 2026-11-20T04:00:00Z: 3 items in 1 file
The manifests and 1 file are whole: checksums and counts are right, and every line is an item.
Compared with the table offers: 3 items, 3.0 read units, consistent reads
Different: 1 key only in the export, 1 key only in the table, 1 key different.
  only in the export {"id":"c"}
  only in the table  {"id":"d"}
  different          {"id":"a"} in "n"
      "n": {"N":"1"} in the export, {"N":"7"} in the table offers
Note: the table lives on: items that were written since 2026-11-20T04:00:00Z, the time of the export, differ by right.
"#);
    let (code, out, _) = run_with(&folder, &with_table(&other, &["--sample", "100", "--json"]));
    assert_eq!((code, out.lines().count()), (1, 1));
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["equal"], false);
    assert_eq!(
        (&result["different"], &result["only_in_export"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        result["differences"][1],
        json!({"kind": "different", "key": {"id": "a"}, "attributes": [{"name": "n"}]})
    );
    assert_eq!(result["export"]["time"], "2026-11-20T04:00:00Z");
}

#[test]
fn two_exports_are_compared_without_aws_where_the_key_is_named() {
    let folder = folder();
    write_export(&folder, "02-b", &[ITEMS[2], ITEMS[0], ITEMS[1]]);
    write_export(&folder, "03-c", &ITEMS[..2]);
    let (code, out, err) = run(&folder, &["01-a", "02-b", "--key", "id"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.ends_with("\nEqual.\n"), "{out}");
    let (code, out, err) = run(&folder, &["01-a", "03-c", "--key", "id"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(err, @"error: the export and 03-c differ; the standard output says in what");
    assert!(
        out.ends_with(
            "\nDifferent: 1 key only in the first.\n  only in the first  {\"id\":\"c\"}\n"
        ),
        "{out}"
    );
}

#[test]
fn a_damaged_export_ends_with_1_and_what_cannot_be_verified_with_2() {
    let folder = folder();
    let message = |args: &[&str], expected: i32| {
        let (code, out, err) = run(&folder, args);
        assert_eq!((code, out.as_str()), (expected, ""), "{args:?}: {err}");
        err.lines()
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    insta::assert_snapshot!(message(&["nowhere"], 2), @r#"error: there is no file or folder "nowhere": expected an export, or files of DynamoDB JSON lines"#);
    insta::assert_snapshot!(message(&["s3://lake"], 2), @r#"error: "s3://lake" names no export: expected s3://bucket/prefix/AWSDynamoDB/<export id>/, the folder of its manifest-summary.json"#);
    insta::assert_snapshot!(message(&["01-a", "02-b", "--table", "offers"], 2), @"error: the argument '[OTHER]' cannot be used with '--table <NAME>'");
    let wrong = message(
        &[
            "01-a",
            "--table",
            "offers",
            "--endpoint-url",
            "http://127.0.0.1:1",
        ],
        2,
    );
    assert!(
        wrong.starts_with("error: the table offers does not answer: check the network"),
        "{wrong}"
    );
    insta::assert_snapshot!(message(&["01-a", "01-a", "--endpoint-url", "http://127.0.0.1:1"], 2), @"error: the keys of the items in 01-a are not known: expected --key NAME[,SORT], or a table of the export's name that can be described");
    let wrong = message(&["01-a", "01-a", "--key", "sk"], 1);
    insta::assert_snapshot!(wrong, @r#"error: 01-a/data/f.json.gz, line 1: the item has no key attribute "sk": expected it in every item"#);
    let data = folder.path().join("01-a/data/f.json.gz");
    let mut content = fs::read(&data).unwrap();
    content[4] ^= 1;
    fs::write(&data, content).unwrap();
    let wrong = message(&["01-a"], 1);
    assert!(
        wrong.starts_with("error: 01-a/data/f.json.gz has the MD5 ")
            && wrong.ends_with(", as the manifest says"),
        "{wrong}"
    );
    fs::remove_file(&data).unwrap();
    insta::assert_snapshot!(message(&["01-a", "--quick"], 1), @"error: 01-a/data/f.json.gz is not there: expected it, as the manifest names it");
}

#[test]
fn help_shows_examples_and_says_what_differs_by_right() {
    let (code, out, _) = run(&folder(), &["--help"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("\n  transload verify export s3://my-lake/exports/AWSDynamoDB/01790000000000-0a1c3e57/ --table offers --sample 1000\n"),
        "{out}"
    );
    assert!(
        out.contains("items that were written since the time of the export differ by right"),
        "{out}"
    );
    assert!(out.contains("scanned twice, and paid for twice"), "{out}");
}
