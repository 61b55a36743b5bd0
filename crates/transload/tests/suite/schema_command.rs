//! `transload schema` as a person or a script meets it: exit codes, messages, files. Nothing here needs AWS.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const LINES: &str = concat!(
    r#"{"Item":{"id":{"S":"a"},"kind":{"S":"order"},"price":{"N":"1.50"},"tags":{"SS":["x"]}}}"#,
    "\n",
    r#"{"Item":{"id":{"S":"b"},"kind":{"S":"order"},"price":{"N":"12"},"odd":{"S":"secret"}}}"#,
    "\n",
    r#"{"Item":{"id":{"S":"c"},"kind":{"S":"order"},"price":{"N":"2"},"odd":{"N":"1"}}}"#,
    "\n",
);

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("items.jsonl"), LINES).unwrap();
    folder
}

/// Exit code, standard output and standard error, without any way to AWS.
fn run(folder: &TempDir, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.current_dir(folder).arg("schema").args(args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("HOME", folder.path());
    let output = command.output().expect("it starts");
    (
        output.status.code().expect("it was not killed"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_schema_is_inferred_and_conflicts_are_told() {
    let folder = folder();
    let (code, out, err) = run(&folder, &["infer", "items.jsonl"]);
    assert_eq!(code, 0, "{err}");
    let schema: Value = serde_json::from_str(&out).unwrap();
    let columns = schema["entities"]["item"]["columns"].as_array().unwrap();
    let names: Vec<_> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["id", "kind", "odd", "price", "tags"]);
    assert_eq!(columns[2]["type"], "json");
    assert_eq!(columns[4]["type"], json!({"set": "string"}));
    insta::assert_snapshot!(err, @r#"
3 items in 1 file read: 5 columns of 1 entity, 1 conflict
conflict: entity "item", attribute odd: types S (1), N (1), so it is json
"#);

    let (code, out, _) = run(&folder, &["infer", "items.jsonl", "-o", "schema.json"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let written = fs::read_to_string(folder.path().join("schema.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), schema);

    let (code, out, _) = run(
        &folder,
        &["infer", "items.jsonl", "--discriminator", "kind", "--json"],
    );
    assert_eq!((code, out.lines().count()), (0, 1));
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&result["items"], &result["files"]), (&json!(3), &json!(1)));
    assert_eq!(result["schema"]["discriminator"], "kind");
    assert_eq!(result["conflicts"][0]["path"], "odd");
}

#[test]
fn a_schema_is_shown_to_a_person_and_to_athena_and_glue() {
    let folder = folder();
    run(&folder, &["infer", "items.jsonl", "-o", "one.json"]);
    run(
        &folder,
        &[
            "infer",
            "items.jsonl",
            "--discriminator",
            "kind",
            "-o",
            "kinds.json",
        ],
    );
    let (code, out, err) = run(&folder, &["show", "kinds.json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"
Entities by the attribute "kind"
order: 5 columns
  id     string
  kind   string
  odd    json
  price  decimal(3,1)
  tags   set of string
tl_other: items of no other entity, whole in _extra
"#);
    let table = [
        "--location",
        "s3://lake/tables/offers/",
        "--table",
        "offers",
    ];
    let (code, out, _) = run(
        &folder,
        &[&["show", "one.json", "--athena"], &table[..]].concat(),
    );
    assert_eq!(code, 0);
    assert!(
        out.starts_with("CREATE EXTERNAL TABLE `offers` (\n  `id` string,\n"),
        "{out}"
    );
    assert!(out.contains("LOCATION 's3://lake/tables/offers/'"), "{out}");
    let (code, out, _) = run(
        &folder,
        &[&["show", "one.json", "--glue"], &table[..]].concat(),
    );
    assert_eq!(code, 0);
    let input: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(input["Name"], "offers");
    let (code, out, _) = run(&folder, &["show", "one.json", "--json"]);
    assert_eq!(code, 0);
    assert_eq!(
        out,
        fs::read_to_string(folder.path().join("one.json")).unwrap()
    );
}

#[test]
fn what_does_not_fit_is_counted_and_no_value_is_printed() {
    let folder = folder();
    let schema = r#"{"version":1,"entities":{"item":{"columns":[{"name":"id","type":"string"},{"name":"kind","type":"string"},{"name":"price","type":"integer"},{"name":"tags","type":{"set":"string"}}]}}}"#;
    fs::write(folder.path().join("schema.json"), schema).unwrap();
    let check = ["check", "schema.json", "items.jsonl"];
    let (code, out, err) = run(&folder, &check);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"
0 of 3 items in 1 file fit the schema whole.
item: 0 of 3 items
In _extra, as often as it is there:
              1  item, "odd": there is no such column (N)
              1  item, "odd": there is no such column (S)
              1  item, "price": N does not fit the column's type
"#);
    let (code, out, err) = run(&folder, &[&check[..], &["--strict", "--json"]].concat());
    assert_eq!(code, 1);
    insta::assert_snapshot!(err, @"error: 3 items do not fit the schema whole; the standard output says in what");
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["misfits"][2]["reason"], "other_type");
    assert!(!out.contains("secret"), "{out}");

    run(&folder, &["infer", "items.jsonl", "-o", "schema.json"]);
    let (code, out, _) = run(&folder, &[&check[..], &["--strict"]].concat());
    assert_eq!(code, 0);
    assert!(
        out.starts_with("3 of 3 items in 1 file fit the schema whole.\n"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_used_ends_with_2_and_what_is_broken_with_1() {
    let folder = folder();
    fs::write(
        folder.path().join("bad.jsonl"),
        "{\"Item\":{\"id\":{\"S\":\"a\"}}}\n{}\n",
    )
    .unwrap();
    fs::write(folder.path().join("none.json"), "{}").unwrap();
    fs::write(folder.path().join("kinds.json"), r#"{"version":1,"discriminator":"kind","entities":{"a":{"columns":[]},"b":{"columns":[]}}}"#).unwrap();
    let message = |args: &[&str], expected: i32| {
        let (code, out, err) = run(&folder, args);
        assert_eq!((code, out.as_str()), (expected, ""), "{args:?}: {err}");
        err.lines()
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    insta::assert_snapshot!(message(&["infer", "gone.jsonl"], 2), @r#"error: there is no file or folder "gone.jsonl": expected an export, or files of DynamoDB JSON lines"#);
    insta::assert_snapshot!(message(&["infer", "items.jsonl", "s3://lake/x/"], 2), @r#"error: "s3://lake/x/" cannot be read together with others: expected one s3:// address, or files of this machine"#);
    insta::assert_snapshot!(message(&["infer", "items.jsonl", "--sample", "0"], 2), @"error: invalid value '0' for '--sample <FILES>': 0 is not in 1..=4294967295");
    let wrong = message(&["infer", "bad.jsonl"], 1);
    assert!(
        wrong.starts_with("error: bad.jsonl, line 2: ") && wrong.contains(": expected "),
        "{wrong}"
    );
    let wrong = message(&["show", "none.json"], 2);
    assert!(
        wrong.starts_with("error: none.json: ") && wrong.contains(": expected "),
        "{wrong}"
    );
    let athena = [
        "show",
        "kinds.json",
        "--athena",
        "--location",
        "s3://l/",
        "--table",
        "t",
    ];
    insta::assert_snapshot!(message(&athena, 2), @r#"error: each entity has a table of its own: expected --entity with one of "a", "b""#);
    let other = [&athena[..], &["--entity", "c"]].concat();
    insta::assert_snapshot!(message(&other, 2), @r#"error: the schema has no entity "c": expected one of "a", "b""#);
    let wrong = message(&["show", "kinds.json", "--athena"], 2);
    assert!(
        wrong.contains("--location <s3://BUCKET/tables/TABLE/>"),
        "{wrong}"
    );
}

#[test]
fn help_shows_examples() {
    let folder = folder();
    for (command, example) in [
        (
            "infer",
            "\n  transload schema infer items.jsonl.gz more/ --shaping shaping.json\n",
        ),
        ("show", "\n  transload schema show schema.json\n"),
        (
            "check",
            "\n  transload schema check schema.json items.jsonl.gz --strict\n",
        ),
    ] {
        let (code, out, _) = run(&folder, &[command, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains(example), "{out}");
    }
}
