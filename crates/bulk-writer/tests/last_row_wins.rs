//! Promise 2: the last accepted row of a key is what the table holds, at any concurrency and under any answers; against a naive
//! reference that writes the rows one after another.

use std::collections::BTreeMap;
use std::time::Duration;

use bulk_writer::{BulkWriter, RunBuilder, SendWindow, SettledRun, WriteFailure, WriterSettings};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use records::{Item, KeyAttribute, KeyType, TableShape, Value};
use storage::failing::{Failing, FaultPlan, Rates};
use storage::memory::MemoryTables;
use storage::{Clock, TestClock, Timestamp};

const POISON: &str = "poison";
const SINGLE: &str = r#"{"id":{"S":"a"}}"#;

#[derive(Debug, Clone)]
struct InputRow {
    key: u8,
    refused: bool,
}

#[derive(Debug, Clone)]
struct History {
    rows: Vec<InputRow>,
    run_rows: usize,
    /// Runs that fit into the writer before it has no room.
    runs_ahead: usize,
    lanes: usize,
    rates: Rates,
    seed: u64,
}

fn histories() -> impl Strategy<Value = History> {
    let row =
        (0..12_u8, prop::bool::weighted(0.03)).prop_map(|(key, refused)| InputRow { key, refused });
    let rates = (
        0..200_u32,
        0..100_u32,
        0..200_u32,
        0..200_u32,
        0..200_u32,
        0..50_u32,
        0..50_u32,
        0..600_u64,
    )
        .prop_map(
            |(unanswered, answer_lost, throttled, slow, unprocessed, partly_done, late, delay)| {
                Rates {
                    unanswered,
                    answer_lost,
                    throttled,
                    slow,
                    unprocessed,
                    partly_done,
                    late,
                    body: 0,
                    longest_delay: Duration::from_millis(delay * 500),
                }
            },
        );
    (
        prop::collection::vec(row, 0..300),
        1..60_usize,
        1..12_usize,
        1..5_usize,
        rates,
        any::<u64>(),
    )
        .prop_map(|(rows, run_rows, runs_ahead, lanes, rates, seed)| History {
            rows,
            run_rows,
            runs_ahead,
            lanes,
            rates,
            seed,
        })
}

fn table() -> TableShape {
    TableShape {
        name: "offers".to_owned(),
        partition: KeyAttribute {
            name: "id".to_owned(),
            kind: KeyType::S,
        },
        sort: None,
        indexes: Vec::new(),
    }
}

fn item(number: usize, row: &InputRow) -> String {
    let note = if row.refused { POISON } else { "fine" };
    format!(
        r#"{{"id":{{"S":"k{}"}},"row":{{"N":"{number}"}},"note":{{"S":"{note}"}}}}"#,
        row.key
    )
}

fn key_of(json: &str) -> Vec<u8> {
    let item = records::item_from_dynamodb_json(json.as_bytes()).expect("the test's own item");
    table().canonical_key(&item).expect("it has the key")
}

/// Number of the row that each key must end with.
fn reference(rows: &[InputRow]) -> BTreeMap<String, usize> {
    let accepted = rows.iter().enumerate().filter(|(_, row)| !row.refused);
    accepted
        .map(|(number, row)| (format!("k{}", row.key), number))
        .collect()
}

fn held(items: &[Item]) -> BTreeMap<String, usize> {
    let text = |value: &Value| match value {
        Value::S(text) => text.clone(),
        Value::N(number) => number.as_str().to_owned(),
        other => panic!("unexpected {other:?}"),
    };
    items
        .iter()
        .map(|item| {
            (
                text(&item["id"]),
                text(&item["row"]).parse().expect("a row number"),
            )
        })
        .collect()
}

struct Written {
    runs: Vec<SettledRun<usize>>,
    tables: Failing<MemoryTables>,
    quiet_until: Timestamp,
}

async fn write(history: &History) -> Written {
    let shape = table();
    let plan = FaultPlan::seeded(history.seed);
    plan.at_random("BatchWriteItem", history.rates);
    plan.refuse_items_with(POISON);
    let tables = Failing::new(MemoryTables::new().with_table(shape.clone()), plan);
    let clock = TestClock::at(Timestamp(1_000_000_000_000));
    let settings = WriterSettings {
        lanes: history.lanes,
        // Small enough that submitting has to wait now and then.
        max_unsettled_bytes: 50 * history.run_rows * history.runs_ahead,
        // The longest injected delay, with room: what lands, lands within it.
        settle: Duration::from_secs(301),
        patience: Duration::from_secs(1_000_000),
        ..WriterSettings::default()
    };
    let random = ChaCha8Rng::seed_from_u64(history.seed);
    let mut writer = BulkWriter::new(
        &tables,
        &clock,
        random,
        &shape,
        settings,
        SendWindow::unbounded(),
    );
    let mut runs = Vec::new();
    for (index, rows) in history.rows.chunks(history.run_rows).enumerate() {
        while !writer.has_room() {
            runs.extend(
                writer
                    .next_settled(true)
                    .await
                    .expect("no final failure was injected"),
            );
        }
        let mut builder = RunBuilder::default();
        for (offset, row) in rows.iter().enumerate() {
            let json = item(index * history.run_rows + offset, row);
            builder.accept(json.as_bytes(), &key_of(&json));
            builder.count(json.len());
        }
        writer.submit(builder.finish(index));
    }
    while let Some(run) = writer
        .next_settled(true)
        .await
        .expect("no final failure was injected")
    {
        runs.push(run);
    }
    let quiet_until = writer.quiet_until();
    drop(writer);
    // A new owner would write from then on: nothing of this load may land later.
    tokio::time::sleep(clock.now().until(quiet_until)).await;
    Written {
        runs,
        tables,
        quiet_until,
    }
}

fn run_paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime for the test")
        .block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn promise_2_last_row_wins(history in histories()) {
        run_paused(async {
            let written = write(&history).await;
            let expected = reference(&history.rows);
            prop_assert_eq!(&held(&written.tables.inner().scan("offers")), &expected);
            written.tables.settle().await;
            prop_assert_eq!(&held(&written.tables.inner().scan("offers")), &expected, "after late attempts have landed");

            let total = |count: fn(&SettledRun<usize>) -> u64| written.runs.iter().map(count).sum::<u64>();
            let refused = history.rows.iter().filter(|row| row.refused).count() as u64;
            let order: Vec<usize> = written.runs.iter().map(|run| run.tag).collect();
            prop_assert_eq!(order, (0..written.runs.len()).collect::<Vec<_>>(), "runs settle in input order");
            // A refused row that a later one had superseded was never sent, and so never refused.
            prop_assert!(total(|run| run.refused.len() as u64) <= refused);
            prop_assert_eq!(
                total(|run| run.written) + total(|run| run.superseded) + total(|run| run.refused.len() as u64),
                history.rows.len() as u64
            );
            prop_assert!(written.quiet_until.0 == 0 || written.quiet_until > Timestamp(1_000_000_000_000));
            Ok(())
        })?;
    }
}

#[test]
fn a_refused_last_row_gives_way_to_the_one_before_it() {
    run_paused(async {
        let row = |refused| InputRow { key: 1, refused };
        let history = History {
            rows: vec![row(false), row(false), row(true), row(true)],
            run_rows: 10,
            runs_ahead: 1,
            lanes: 2,
            rates: Rates::default(),
            seed: 1,
        };
        let written = write(&history).await;
        assert_eq!(
            held(&written.tables.inner().scan("offers")),
            BTreeMap::from([("k1".to_owned(), 1)])
        );
        let run = &written.runs[0];
        let refused: Vec<usize> = run.refused.iter().map(|row| row.index).collect();
        assert_eq!((run.written, run.superseded, refused), (1, 1, vec![2, 3]));
    });
}

#[test]
fn a_table_that_is_not_there_fails_at_once_and_no_answer_fails_after_the_patience() {
    run_paused(async {
        let shape = table();
        let clock = TestClock::at(Timestamp(0));
        let random = || ChaCha8Rng::seed_from_u64(1);
        let run = || {
            let mut builder = RunBuilder::default();
            builder.accept(SINGLE.as_bytes(), &key_of(SINGLE));
            builder.count(1);
            builder.finish(())
        };
        let nowhere = MemoryTables::new();
        let settings = WriterSettings::default();
        let mut writer = BulkWriter::new(
            &nowhere,
            &clock,
            random(),
            &shape,
            settings,
            SendWindow::unbounded(),
        );
        writer.submit(run());
        let failure = writer
            .next_settled(true)
            .await
            .expect_err("there is no table");
        assert!(matches!(failure, WriteFailure::Store(_)), "{failure:?}");

        let plan = FaultPlan::seeded(1);
        plan.at_random(
            "BatchWriteItem",
            Rates {
                throttled: 1_000,
                ..Rates::default()
            },
        );
        let throttling = Failing::new(MemoryTables::new().with_table(shape.clone()), plan);
        let mut writer = BulkWriter::new(
            &throttling,
            &clock,
            random(),
            &shape,
            settings,
            SendWindow::unbounded(),
        );
        writer.submit(run());
        let began = clock.now();
        let failure = writer
            .next_settled(true)
            .await
            .expect_err("every attempt is throttled");
        assert!(
            matches!(failure, WriteFailure::NoProgress { .. }),
            "{failure:?}"
        );
        let waited = began.until(clock.now());
        assert!(
            waited >= settings.patience && waited < settings.patience * 2,
            "{waited:?}"
        );
    });
}

#[test]
fn nothing_is_sent_after_the_window_has_closed() {
    run_paused(async {
        let shape = table();
        let clock = TestClock::at(Timestamp(5_000));
        let tables = MemoryTables::new().with_table(shape.clone());
        let window = SendWindow::until(Timestamp(5_000));
        let settings = WriterSettings::default();
        let mut writer = BulkWriter::new(
            &tables,
            &clock,
            ChaCha8Rng::seed_from_u64(1),
            &shape,
            settings,
            window,
        );
        let mut builder = RunBuilder::default();
        builder.accept(SINGLE.as_bytes(), &key_of(SINGLE));
        builder.count(1);
        writer.submit(builder.finish(()));
        assert!(
            writer
                .next_settled(true)
                .await
                .expect("no failure")
                .is_none()
        );
        assert!(!writer.is_idle());
        assert!(tables.scan("offers").is_empty());
    });
}
