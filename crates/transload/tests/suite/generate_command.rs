//! `transload generate` as a person or a script meets it: exit codes, messages, files.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transload"));
    command.current_dir(folder).arg("generate").args(args);
    command
}

/// Exit code, standard output and standard error of a run in `folder`.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    texts(command(folder, args).output().expect("it starts"))
}

fn texts(output: Output) -> (i32, String, String) {
    (
        output.status.code().expect("it was not killed"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it prints UTF-8")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder exists");
    entries
        .map(|entry| entry.expect("the folder is readable").file_name())
        .map(|name| name.into_string().expect("names are UTF-8"))
        .collect()
}

#[test]
fn without_options_it_writes_a_thousand_rows_to_data_csv() {
    let folder = folder();
    let (code, out, err) = run(folder.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(names(folder.path()), ["data.csv"]);
    let text = fs::read_to_string(folder.path().join("data.csv")).unwrap();
    assert_eq!(text.lines().count(), 1001);
    assert!(out.contains("Wrote 1,000 rows to data.csv"), "{out}");
    assert!(out.contains(" KiB ("), "{out}");
}

#[test]
fn the_printed_options_make_the_same_file_again() {
    let folder = folder();
    let (_, out, _) = run(folder.path(), &["--rows", "70", "--accounts", "5"]);
    let (_, options) = out.split_once("again: ").expect("the options are printed");
    let mut again: Vec<&str> = options.split_whitespace().collect();
    again.extend(["--output", "again.csv"]);
    let (code, _, err) = run(folder.path(), &again);
    assert_eq!((code, err.as_str()), (0, ""));
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("data.csv"), read("again.csv"));
}

#[test]
fn two_runs_without_a_seed_differ() {
    let folder = folder();
    let rows = |_| {
        let (code, out, _) = run(folder.path(), &["--rows", "5", "--output", "-"]);
        assert_eq!(code, 0);
        out
    };
    assert_ne!(rows(1), rows(2));
}

#[test]
fn json_is_one_line_with_every_figure() {
    let folder = folder();
    let args = ["--rows", "50", "--accounts", "4", "--seed", "42", "--json"];
    let args = [
        &args[..],
        &["--now", "2026-01-31T12:34:56.5Z", "-o", "x.csv"],
    ]
    .concat();
    let (code, out, err) = run(folder.path(), &args);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 1);
    let mut result: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(result["seconds"].take().as_f64().unwrap() >= 0.0);
    assert_eq!(
        result,
        serde_json::json!({
            "command": "generate",
            "rows": 50,
            "accounts": 4,
            "bytes": fs::metadata(folder.path().join("x.csv")).unwrap().len(),
            "seed": 42,
            "now": "2026-01-31T12:34:56+00:00",
            "output": "x.csv",
            "seconds": null,
        })
    );
}

#[test]
fn on_the_standard_output_there_are_only_rows() {
    let folder = folder();
    let (code, out, err) = run(
        folder.path(),
        &["--rows", "3", "--accounts", "2", "--output", "-", "--json"],
    );
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), 4);
    assert!(out.starts_with("account,offer_id,"), "{out}");
    let result: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(result["bytes"], out.len());
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let folder = folder();
    let mut child = command(folder.path(), &["--rows", "1000000", "--output", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 100];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut start).unwrap();
    drop(pipe);
    let (code, _, err) = texts(child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn more_accounts_than_rows_is_warned_about() {
    let folder = folder();
    let (code, _, err) = run(folder.path(), &["--rows", "3", "--accounts", "4"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(err, @"warning: --accounts 4 is more than --rows 3: at most 3 different accounts can appear");
    let (_, _, err) = run(folder.path(), &["--rows", "4", "--accounts", "4"]);
    assert_eq!(err, "");
}

#[test]
fn unusable_arguments_end_with_2_and_say_what_to_do() {
    let folder = folder();
    fs::create_dir(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    fs::write(folder.path().join("kept.csv"), "").unwrap();
    let mut kept = fs::metadata(folder.path().join("kept.csv"))
        .unwrap()
        .permissions();
    kept.set_readonly(true);
    fs::set_permissions(folder.path().join("kept.csv"), kept).unwrap();
    let message = |args: &[&str]| {
        let (code, out, err) = run(folder.path(), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        err.lines().next().unwrap().to_owned()
    };
    insta::assert_snapshot!(message(&["--rows", "0"]), @"error: --rows 0 cannot be used: expected 1 to 1000000000; try --rows 1000, and for more than the most make several files");
    insta::assert_snapshot!(message(&["--rows", "1000000001"]), @"error: --rows 1000000001 cannot be used: expected 1 to 1000000000; try --rows 1000, and for more than the most make several files");
    insta::assert_snapshot!(message(&["--rows", "-5"]), @"error: invalid value '-5' for '--rows <ROWS>': expected a whole number, such as 1000 or 1_000");
    insta::assert_snapshot!(message(&["--rows", "many"]), @"error: invalid value 'many' for '--rows <ROWS>': expected a whole number, such as 1000 or 1_000");
    insta::assert_snapshot!(message(&["--accounts", "0"]), @"error: --accounts 0 cannot be used: expected 1 to 90000000, as account numbers have eight digits; try --accounts 20");
    insta::assert_snapshot!(message(&["--accounts", "90_000_001"]), @"error: --accounts 90000001 cannot be used: expected 1 to 90000000, as account numbers have eight digits; try --accounts 20");
    insta::assert_snapshot!(message(&["--seed", "x"]), @"error: invalid value 'x' for '--seed <SEED>': expected a whole number, such as 1000 or 1_000");
    insta::assert_snapshot!(message(&["--now", "yesterday"]), @"error: invalid value 'yesterday' for '--now <TIME>': expected an ISO time with an offset, such as 2026-01-31T12:34:56+00:00");
    insta::assert_snapshot!(message(&["--now", "1969-01-01T00:00:00Z"]), @"error: --now 1969-01-01T00:00:00Z cannot be used: expected a time in the years 1971 to 9997, such as 2026-01-31T12:34:56+00:00");
    insta::assert_snapshot!(message(&["--output", "taken"]), @r#"error: "taken" names a folder: --output expects the name of a file, such as "taken/data.csv""#);
    insta::assert_snapshot!(message(&["--output", "taken/"]), @r#"error: "taken/" names a folder: --output expects the name of a file, such as "taken/data.csv""#);
    insta::assert_snapshot!(message(&["--output", "new/"]), @r#"error: "new/" names a folder: --output expects the name of a file, such as "new/data.csv""#);
    insta::assert_snapshot!(message(&["--output", "missing/data.csv"]), @r#"error: the folder "missing" does not exist: create it (mkdir -p "missing") or choose another --output"#);
    insta::assert_snapshot!(message(&["--output", "file/data.csv"]), @r#"error: "file" is not a folder, so no file can be written into it: choose another --output"#);
    insta::assert_snapshot!(message(&["--output", "kept.csv"]), @r#"error: "kept.csv" is read-only: make it writable (chmod u+w), delete it or choose another --output"#);
    insta::assert_snapshot!(message(&["--output", ""]), @"error: a value is required for '--output <FILE>' but none was supplied");
}

#[test]
fn a_write_that_fails_ends_with_1() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let folder = folder();
    let (code, out, err) = run(folder.path(), &["--output", "/dev/full"]);
    assert_eq!((code, out.as_str()), (1, ""));
    insta::assert_snapshot!(err, @r#"error: cannot write "/dev/full" (free some space, ask for fewer --rows or choose an --output elsewhere): No space left on device (os error 28)"#);

    let mut to_stdout = command(folder.path(), &["--output", "-"]);
    to_stdout.stdout(fs::File::options().write(true).open(full).unwrap());
    let (code, _, err) = texts(to_stdout.output().unwrap());
    assert_eq!(code, 1);
    insta::assert_snapshot!(err, @"error: cannot write to the standard output: No space left on device (os error 28)");
}

/// A process that does not outlive the test, even one that fails.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.kill().expect("it was started here");
        self.0.wait().expect("it was started here");
    }
}

#[test]
fn a_killed_run_leaves_no_half_file_and_the_next_one_takes_over() {
    let folder = folder();
    let partial = folder.path().join("data.csv.partial");
    let long = command(folder.path(), &["--rows", "50_000_000"]).spawn();
    let child = KilledOnDrop(long.unwrap());
    let mut checks = 0;
    while !fs::metadata(&partial).is_ok_and(|found| found.len() > 0) {
        assert!(checks < 6000, "nothing was written in a minute");
        checks += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let (code, _, err) = run(folder.path(), &[]);
    assert_eq!(code, 1);
    assert!(err.contains("another run is writing"), "{err}");
    drop(child);
    assert_eq!(names(folder.path()), ["data.csv.partial"]);

    let (code, _, err) = run(folder.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(names(folder.path()), ["data.csv"]);
    let text = fs::read_to_string(folder.path().join("data.csv")).unwrap();
    assert_eq!(text.lines().count(), 1001);
}

#[test]
fn help_shows_an_example() {
    for args in [&["--help"][..], &["generate", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_transload"))
            .args(args)
            .output()
            .unwrap();
        let (code, out, _) = texts(output);
        assert_eq!(code, 0);
        assert!(
            out.contains("\n  transload generate --rows 100000 "),
            "{out}"
        );
    }
}
