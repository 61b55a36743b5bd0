//! `transload plan` as a person or a script meets it: exit codes, messages, figures. No cloud is needed for a file.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn run(folder: &TempDir, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder.path());
    let output = command.arg("plan").args(args).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

const ROWS: &str = "id,processed\na,false\nb,false\na,false\nc,\n";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ids.csv"), ROWS).unwrap();
    folder
}

#[test]
fn a_plan_says_what_is_in_the_file_and_which_way_to_take() {
    let folder = folder();
    let (code, text, errors) = run(
        &folder,
        &[
            "ids.csv",
            "--key",
            "id",
            "--index",
            "processed-index:processed:S",
        ],
    );
    assert_eq!((code, errors.as_str()), (0, ""));
    insta::assert_snapshot!(text.trim_end(), @r#"
    ids.csv: CSV with ',', compression NONE, 40 B stored, 40 B uncompressed
                  4 rows
                  0 of them are no items
                  3 items (different keys)
                 14 bytes an item on average; the largest: ids.csv, line 2: 17 bytes
                  4 write units of the table
                  3 write units of processed-index, for 3 rows

    what an import makes of it:
      loses    1 row has the key of a row before: one row of each key stays, at random
                 ids.csv, line 4: it has the key of line 2
               → ingest keeps the last one of a key; --accept-duplicates takes the one that chance leaves
      note     1 row is not in an index, for want of a key
                 ids.csv, line 5: not in processed-index
               → nothing, if that is meant
      note     1 cell is empty: the item has no such attribute
                 ids.csv, line 5: column "processed"
               → nothing, if that is meant

      way          time, about cost, about
      ingest               1 s     $0.0001
      import        10 min 1 s     $0.0021
      bulk put  cannot be taken: it takes DynamoDB JSON and Ion, and the source is CSV
    prices of 2026-11-20, us-east-1; nothing has been run

    ingest
      time: a new table takes 4,000 write units a second, twice as many each 30 minutes, up to 40,000
      rows with one key: the last row of a key wins
      rows that are no items: set aside with line and reason; the others are loaded

    import
      time: assumed, as AWS states no figure: 600 s, and 50000 rows or 20000000 bytes a second
      rows with one key: one row of a key stays, at random and without a word
      rows that are no items: one of them makes the import FAILED; a partial table stays and is paid for

    bulk put
      time: not known: AWS states no figure
      rows with one key: not known: the guides that were read do not say which row stays
      rows that are no items: reported in a bucket; the others are written

    take ingest: of rows with one key the last one wins, where an import leaves it to chance (1 row too many)
    "#);
}

#[test]
fn a_plan_is_one_line_of_json_with_its_own_prices() {
    let folder = folder();
    let prices = include_str!("../../src/plan/prices.json").replace("2026-11-20", "2031-01-01");
    fs::write(folder.path().join("prices.json"), prices).unwrap();
    let args = [
        "ids.csv",
        "--key",
        "id:S",
        "--json",
        "--prices",
        "prices.json",
    ];
    let (code, text, _) = run(&folder, &args);
    assert_eq!((code, text.lines().count()), (0, 1));
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["preflight"]["rows"], 4);
    assert_eq!(plan["preflight"]["duplicate_rows"], 1);
    assert_eq!(plan["preflight"]["findings"][0]["kind"], "duplicate_key");
    assert_eq!(plan["plan"]["choice"], "ingest");
    assert_eq!(plan["plan"]["ways"][1]["name"], "import");
    assert_eq!(plan["plan"]["ways"][1]["seconds"], 601);
    assert_eq!(plan["prices"]["date"], "2031-01-01");
}

#[test]
fn what_cannot_be_used_is_said_and_ends_with_2() {
    let folder = folder();
    fs::write(folder.path().join("prices.json"), "{}").unwrap();
    fs::write(folder.path().join("empty.csv"), "").unwrap();
    fs::create_dir(folder.path().join("rows")).unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["rows", "--key", "id"], "is no regular file, but a folder"),
        (&["ids.csv"], "--table <TABLE>"),
        (
            &["none.csv", "--key", "id"],
            "there is no file \"none.csv\"",
        ),
        (
            &["empty.csv", "--key", "id"],
            "empty.csv is empty: expected rows",
        ),
        (&["ids.csv", "--key", "id:X"], "expected ATTRIBUTE[:TYPE]"),
        (
            &["ids.csv", "--key", "id", "--index", "x:y"],
            "expected NAME:ATTRIBUTE",
        ),
        (
            &["ids.csv", "--key", "id", "--index", "one:id:N"],
            "the attribute \"id\" is said to be S and N",
        ),
        (
            &["ids.csv", "--key", "id", "--table", "t"],
            "cannot be used with",
        ),
        (
            &["ids.csv", "--key", "id", "--prices", "prices.json"],
            "expected JSON with date, region, prices and assumptions",
        ),
        (&["s3://", "--key", "id"], "expected s3://BUCKET/KEY"),
    ];
    for (args, wanted) in cases {
        let (code, _, errors) = run(&folder, args);
        assert_eq!(code, 2, "{args:?}: {errors}");
        assert!(errors.contains(wanted), "{args:?}: {errors}");
    }
}

#[test]
fn help_names_the_options() {
    let (code, text, _) = run(&folder(), &["--help"]);
    assert_eq!(code, 0);
    for option in [
        "--table",
        "--key",
        "--index",
        "--prices",
        "--json",
        "Examples:",
    ] {
        assert!(text.contains(option), "{option}");
    }
}
