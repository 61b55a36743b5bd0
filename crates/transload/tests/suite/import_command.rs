//! `transload import` as a person or a script meets it, up to where a cloud is needed; beyond that the tests of `src/import`
//! play the cloud.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:stack-import";

fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .arg("import");
    command
}

fn run(folder: &TempDir, args: &[&str]) -> (i32, String, String) {
    let output = command(folder).args(args).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn folder(rows: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ids.csv"), rows).unwrap();
    folder
}

const DRY: [&str; 6] = ["ids.csv", "--table", "ids", "--key", "id:S", "--dry-run"];

#[test]
fn a_dry_run_says_what_the_import_costs_and_needs_no_cloud() {
    let folder = folder("id,processed\na,false\nb,false\n");
    let (code, text, errors) = run(&folder, &DRY);
    assert_eq!((code, errors.as_str()), (0, ""));
    insta::assert_snapshot!(text.trim_end(), @r#"
    ids.csv: CSV with ',', compression NONE, 29 B stored, 29 B uncompressed
                  2 rows
                  0 of them are no items
                  2 items (different keys)
                 17 bytes an item on average; the largest: ids.csv, line 2: 17 bytes
                  2 write units of the table

    what an import makes of it:
      note     1 column becomes text, numbers too: only keys have types
               → nothing, if that is meant; ingest takes types from a row mapping

    an import takes about 10 min 1 s (assumed, as AWS states no figure: 600 s, and 50000 rows or 20000000 bytes a second) and costs about $0.0021 (prices of 2026-11-20, us-east-1)
    dry run: nothing was uploaded or started
    "#);
    let (code, text, _) = run(&folder, &[&DRY[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["result"]), (0, &Value::Null));
    assert_eq!(json["import"]["seconds"], 601);
    assert_eq!(json["preflight"]["rows"], 2);
}

#[test]
fn what_would_fail_or_lose_rows_is_refused_before_anything_is_sent() {
    let rows = "id,n\na,1\n,2\na,3\n\"b\n\",4\n";
    let folder = folder(rows);
    // Without credentials every call would fail with another message.
    let cloud = ["ids.csv", "--table", "ids", "--key", "id"];
    let cases: [(&[&str], &str); 4] = [
        (
            &[],
            "1 row has no key or an empty one; 1 row has the key of a row before",
        ),
        (
            &["--accept-duplicates"],
            "1 row has no key or an empty one; 1 row has a line break",
        ),
        (
            &["--accept-line-breaks"],
            "1 row has no key or an empty one; 1 row has the key",
        ),
        (
            &["--accept-line-breaks", "--accept-duplicates", "--json"],
            "(1 row has no key or an empty one)",
        ),
    ];
    for (more, wanted) in cases {
        let args = [&cloud[..], &["--dry-run"], more].concat();
        let (code, text, errors) = run(&folder, &args);
        assert_eq!(code, 2, "{more:?}");
        assert!(errors.contains(wanted), "{more:?}: {errors}");
        assert!(!text.is_empty(), "what was found is shown");
    }
    fs::write(folder.path().join("ids.csv"), "id,n\na,1\na,3\n").unwrap();
    let args = [&DRY[..], &["--accept-duplicates"]].concat();
    assert_eq!(run(&folder, &args).0, 0);
    let (code, text, errors) = run(&folder, &DRY);
    assert_eq!(code, 2);
    assert!(
        text.contains("ids.csv, line 3: it has the key of line 2"),
        "{text}"
    );
    assert!(errors.contains("nothing was imported"), "{errors}");
}

#[test]
fn what_cannot_be_used_is_said_and_ends_with_2() {
    let folder = folder("id\na\n");
    let cloud = ["--bucket", "lake", "--state-machine", MACHINE];
    let cases: [(&[&str], &str); 7] = [
        (&["ids.csv", "--table", "ids"], "--key"),
        (
            &["ids.csv", "--table", "ids", "--key", "id"],
            "--bucket <BUCKET>",
        ),
        (
            &["ids.csv", "--table", "a b", "--key", "id"],
            "expected 3 to 255",
        ),
        (
            &[
                "ids.csv",
                "--table",
                "ids",
                "--key",
                "id",
                "--bucket",
                "s3://lake",
            ],
            "without s3://",
        ),
        (
            &[
                "ids.csv",
                "--table",
                "ids",
                "--key",
                "id",
                "--state-machine",
                "import",
            ],
            "expected the ARN of a state machine",
        ),
        (
            &[
                "ids.csv",
                "--table",
                "ids",
                "--key",
                "id",
                "--stream",
                "ALL",
                "--dry-run",
            ],
            "NEW_AND_OLD_IMAGES, NEW_IMAGE, OLD_IMAGE, KEYS_ONLY, NONE",
        ),
        (
            &["none.csv", "--table", "ids", "--key", "id", "--dry-run"],
            "there is no file",
        ),
    ];
    for (args, wanted) in cases {
        let (code, _, errors) = run(&folder, args);
        assert_eq!(code, 2, "{args:?}: {errors}");
        assert!(errors.contains(wanted), "{args:?}: {errors}");
    }
    let args = [&["ids.csv", "--table", "ids", "--key", "id"][..], &cloud].concat();
    let (code, _, errors) = run(&folder, &args);
    assert_eq!(code, 1);
    assert!(
        errors.contains("no region is set: set AWS_REGION"),
        "{errors}"
    );
}

#[test]
fn a_source_without_rows_is_not_imported() {
    for rows in ["id,n\n", "\n\n", "\u{feff}", "id,n\r\n\r\n"] {
        let (code, text, errors) = run(&folder(rows), &[&DRY[..], &["--json"]].concat());
        assert_eq!(code, 2, "{rows:?}: {errors}");
        assert!(
            errors.contains("nothing was imported"),
            "{rows:?}: {errors}"
        );
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["preflight"]["items"], 0);
    }
    let (code, _, errors) = run(&folder("id,n\n"), &DRY);
    assert_eq!(code, 2);
    assert_eq!(
        errors,
        "error: nothing was imported: there is no row in the source that could be an item\n"
    );
}

#[test]
fn a_state_machine_of_another_region_is_refused_before_anything_is_sent() {
    let folder = folder("id\na\n");
    let output = command(&folder)
        .envs([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ])
        .args([
            "ids.csv", "--table", "ids", "--key", "id", "--bucket", "lake",
        ])
        // Whatever is sent there, is answered by nobody.
        .args(["--endpoint-url", "http://127.0.0.1:9"])
        .args(["--state-machine", MACHINE])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("is in us-east-1, and the region is eu-west-1: set AWS_REGION=us-east-1"),
        "{errors}"
    );
}

#[test]
#[cfg(unix)]
fn a_reader_that_has_gone_stops_nothing() {
    for (rows, wanted) in [("id\na\n", 0), ("id\n", 2)] {
        let folder = folder(rows);
        let gone = || std::os::unix::net::UnixStream::pair().unwrap().0;
        let status = command(&folder)
            .args(DRY)
            .stdout(std::os::fd::OwnedFd::from(gone()))
            .stderr(std::os::fd::OwnedFd::from(gone()))
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(wanted), "{rows:?}");
    }
}

#[test]
fn help_names_the_options_and_rights() {
    let (code, text, _) = run(&folder("id\n"), &["--help"]);
    assert_eq!(code, 0);
    for word in [
        "--accept-duplicates",
        "--dry-run",
        "--state-machine",
        "states:StartExecution",
    ] {
        assert!(text.contains(word), "{word}");
    }
}
