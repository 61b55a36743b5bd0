//! Whole runs with small files: the endpoint, the subjects that need no Python, and what is found out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bench::endpoint::{TABLE, Work};
use bench::process::{DoneWhen, EndpointCommand, Run, RunError, run};
use bench::report::Figure;
use bench::reprocess;
use bench::rows::digest_of_file;
use bench::stream::{Extent, Places, Subject, measure};
use bench::turns::BenchError;
use tempfile::TempDir;

const ROWS: u64 = 1_010;

#[expect(
    clippy::disallowed_methods,
    reason = "a run is timed, and no test looks at the time"
)]
fn now() -> Instant {
    Instant::now()
}

fn file(folder: &TempDir) -> PathBuf {
    let mut text = "account,offer_id,risk,note\n".to_owned();
    for row in 0..ROWS {
        let note = if row % 3 == 0 {
            ""
        } else {
            "\"a \"\"b\"\", ü\""
        };
        text.push_str(&format!("{},{row:012},low,{note}\n", row % 7));
    }
    let path = folder.path().join("offers.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn endpoint(object: &Path, hand_back_percent: u8) -> EndpointCommand {
    EndpointCommand {
        program: env!("CARGO_BIN_EXE_bench-endpoint").into(),
        work: Work::Object(object.to_owned()),
        delay_ms: 1,
        hand_back_percent,
    }
}

fn run_bare_sdk(hand_back_percent: u8) -> (Run, PathBuf, TempDir) {
    let folder = TempDir::new().unwrap();
    let input = file(&folder);
    let command = |address: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench-bare-sdk"));
        command
            .args([
                "--endpoint",
                &format!("http://{address}"),
                "--table",
                TABLE,
                "--input",
            ])
            .arg(&input);
        command
    };
    let endpoint = endpoint(&input, hand_back_percent);
    let run = run(
        &endpoint,
        command,
        DoneWhen::Exited,
        &folder.path().join("log"),
        now,
    )
    .unwrap();
    (run, input, folder)
}

#[test]
fn the_bare_loop_brings_every_row_once() {
    let (run, input, _folder) = run_bare_sdk(0);
    assert_eq!(run.counts.written, digest_of_file(&input).unwrap());
    assert_eq!(run.counts.written.items, ROWS);
    assert_eq!(run.counts.batches, ROWS.div_ceil(25));
    assert_eq!((run.counts.handed_back, run.counts.refused), (0, 0));
    assert!(run.subject.cpu.as_micros() > 0 && run.endpoint.cpu.as_micros() > 0);
    assert!(run.subject.peak_rss_bytes > 1_000_000);
}

#[test]
fn what_is_handed_back_is_sent_again_until_all_is_there() {
    let (run, input, _folder) = run_bare_sdk(20);
    assert_eq!(run.counts.written, digest_of_file(&input).unwrap());
    // Every fifth of all items that came, those that came again among them.
    assert_eq!(run.counts.handed_back, (run.counts.handed_back + ROWS) / 5);
}

fn shell(script: &str, done_when: DoneWhen) -> Result<Run, RunError> {
    let folder = TempDir::new().unwrap();
    let input = file(&folder);
    let command = |_: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    };
    run(
        &endpoint(&input, 0),
        command,
        done_when,
        &folder.path().join("log"),
        now,
    )
}

#[test]
fn a_subject_that_does_nothing_has_written_nothing() {
    assert_eq!(
        shell("exit 0", DoneWhen::Exited)
            .unwrap()
            .counts
            .written
            .items,
        0
    );
}

#[test]
fn a_subject_that_fails_and_a_function_that_ends_are_errors() {
    for (script, done_when) in [
        ("exit 3", DoneWhen::Exited),
        ("exit 0", DoneWhen::Idle),
        ("exit 3", DoneWhen::Idle),
    ] {
        let ended = shell(script, done_when);
        assert!(
            matches!(ended, Err(RunError::Subject { .. })),
            "{script}: {ended:?}"
        );
    }
}

/// The bench `stream` with one batch a case and one subject, the program `program`.
fn stream(subject: Subject, program: &str) -> Result<Vec<Figure>, BenchError> {
    let folder = TempDir::new().unwrap();
    let places = Places {
        bootstrap: program.into(),
        endpoint: env!("CARGO_BIN_EXE_bench-endpoint").into(),
        floor: program.into(),
        python: program.into(),
        peers: folder.path().into(),
        work: folder.path().into(),
    };
    let extent = Extent {
        batches: 1,
        repeats: 1,
        only: vec![subject],
    };
    measure(&extent, &places, now, &|_| {})
}

#[test]
fn the_floor_of_the_stream_is_measured_in_every_case() {
    let figures = stream(Subject::Floor, env!("CARGO_BIN_EXE_bench-gzip-floor")).unwrap();
    let names: Vec<_> = figures
        .iter()
        .map(|figure| {
            (
                &*figure.bench,
                &*figure.subject,
                &*figure.case,
                &*figure.metric,
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("stream", "floor", "records-1000", "cpu_seconds"),
            ("stream", "floor", "records-1000", "peak_rss_mb"),
            ("stream", "floor", "records-10000", "cpu_seconds"),
            ("stream", "floor", "records-10000", "peak_rss_mb"),
        ]
    );
    assert!(figures.iter().all(|figure| figure.value > 0.0));
}

#[test]
fn a_subject_of_the_stream_that_does_not_do_its_work_is_an_error() {
    for (subject, program, expected) in [
        (Subject::Floor, "/bin/true", "it compressed  bytes of"),
        (
            Subject::Floor,
            "/bin/false",
            "the subject ended with exit status: 1",
        ),
        (
            Subject::Transload,
            "/bin/true",
            "the subject ended with exit status: 0",
        ),
    ] {
        let error = stream(subject, program).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with(expected), "{cause}");
    }
    let missing = stream(Subject::Transload, "/nowhere/bootstrap").unwrap_err();
    assert!(matches!(missing, BenchError::Missing(_)), "{missing}");
}

/// The bench `reprocess` with a few items and one subject, the program `program`.
fn reprocess(subject: reprocess::Subject, program: &str) -> Result<Vec<Figure>, BenchError> {
    let folder = TempDir::new().unwrap();
    let places = reprocess::Places {
        bootstrap: program.into(),
        endpoint: env!("CARGO_BIN_EXE_bench-endpoint").into(),
        floor: program.into(),
        python: program.into(),
        peers: folder.path().into(),
        work: folder.path().into(),
    };
    let extent = reprocess::Extent {
        items: 1_100,
        peer_items: 110,
        repeats: 1,
        only: vec![subject],
    };
    reprocess::measure(&extent, &places, now, &|_| {})
}

#[test]
fn the_floor_of_reprocessing_does_all_of_the_work() {
    let program = env!("CARGO_BIN_EXE_bench-reprocess-floor");
    let figures = reprocess(reprocess::Subject::Floor, program).unwrap();
    let value = |case: &str, metric: &str| {
        let mut figures = figures.iter();
        let found = figures.find(|figure| figure.case == case && figure.metric == metric);
        found.unwrap().value
    };
    assert_eq!(figures.len(), 8);
    assert_eq!(value("objects", "calculated_wall_seconds"), 0.516);
    assert_eq!(value("bundles", "calculated_wall_seconds"), 0.344);
    for case in ["objects", "bundles"] {
        assert!(value(case, "wall_seconds") > value(case, "calculated_wall_seconds"));
        assert!(value(case, "cpu_seconds") > 0.0 && value(case, "peak_rss_mb") > 1.0);
    }
}

#[test]
fn a_subject_that_reprocesses_nothing_is_an_error() {
    let (ours, python) = (
        reprocess::Subject::Transload,
        reprocess::Subject::PythonSequential,
    );
    for (subject, program, expected) in [
        (
            reprocess::Subject::Floor,
            "/bin/true",
            "0 items are marked of 1100",
        ),
        // Without any items there is nothing to do.
        (python, "/bin/true", "0 items are marked of 110,"),
        (ours, "/bin/true", "the subject ended with exit status: 0"),
    ] {
        let error = reprocess(subject, program).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with(expected), "{cause}");
    }
}
