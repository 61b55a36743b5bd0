//! Promises 1 and 2: whatever the stores answer, each row of the input is written, superseded or rejected, once, the backup
//! holds the accepted rows in order, and the table what writing them one after another would give.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::{KEY, World, notification, run_paused};
use csv_ingester::Outcome;
use proptest::prelude::*;
use serde_json::json;
use storage::failing::{FaultPlan, Rates};

/// A row of the input, and what is to become of it.
#[derive(Debug, Clone)]
enum InputRow {
    Good { id: u8, seq: u8, spelling: u8 },
    Refused { id: u8, seq: u8 },
    Ragged,
    EmptyKey,
    BadNumber,
    BadIndexKey,
}

const POISON: &str = "poison";

fn rows() -> impl Strategy<Value = Vec<InputRow>> {
    let good = (0..5_u8, 0..3_u8, 0..3_u8).prop_map(|(id, seq, spelling)| InputRow::Good {
        id,
        seq,
        spelling,
    });
    let refused = (0..5_u8, 0..3_u8).prop_map(|(id, seq)| InputRow::Refused { id, seq });
    let row = prop_oneof![
        20 => good,
        1 => refused,
        1 => Just(InputRow::Ragged),
        1 => Just(InputRow::EmptyKey),
        1 => Just(InputRow::BadNumber),
        1 => Just(InputRow::BadIndexKey),
    ];
    prop::collection::vec(row, 0..150)
}

fn rates() -> impl Strategy<Value = Rates> {
    (
        0..120_u32,
        0..60_u32,
        0..120_u32,
        0..120_u32,
        0..250_u32,
        0..30_u32,
        0..30_u32,
    )
        .prop_map(
            |(unanswered, answer_lost, throttled, slow, unprocessed, partly_done, late)| Rates {
                unanswered,
                answer_lost,
                throttled,
                slow,
                unprocessed,
                partly_done,
                late,
                body: 0,
                longest_delay: Duration::from_secs(120),
            },
        )
}

/// The number `seq` in one of its spellings.
fn spelled(seq: u8, spelling: u8) -> String {
    match spelling {
        0 => format!("{seq}"),
        1 => format!("{seq}.0"),
        _ => format!("{seq}e0"),
    }
}

impl InputRow {
    fn csv(&self, number: usize) -> String {
        match self {
            Self::Good { id, seq, spelling } => {
                format!("k{id},{},7,v{number}", spelled(*seq, *spelling))
            }
            Self::Refused { id, seq } => format!("k{id},{seq},7,{POISON}{number}"),
            Self::Ragged => format!("k1,1,7,v{number},more"),
            Self::EmptyKey => format!(",1,7,v{number}"),
            Self::BadNumber => format!("k1,one,7,v{number}"),
            Self::BadIndexKey => format!("k1,1,high,v{number}"),
        }
    }
}

struct Reference {
    table: BTreeMap<String, String>,
    backup: Vec<serde_json::Value>,
    rejected_lines: Vec<u64>,
}

/// Writes the rows one after another. A refused row that a later row of its run supersedes is never sent and so never refused.
fn reference(rows: &[InputRow], block_rows: usize) -> Reference {
    let mut reference = Reference {
        table: BTreeMap::new(),
        backup: Vec::new(),
        rejected_lines: Vec::new(),
    };
    for (number, row) in rows.iter().enumerate() {
        let line = number as u64 + 2;
        let block = number / block_rows;
        let superseded = |id: &u8, seq: &u8| {
            let rest_of_run = &rows[number + 1..((block + 1) * block_rows).min(rows.len())];
            rest_of_run.iter().any(|later| match later {
                InputRow::Good { id: i, seq: s, .. } => (i, s) == (id, seq),
                _ => false,
            })
        };
        match row {
            InputRow::Good { id, seq, .. } => {
                reference.table.insert(format!("k{id}/{seq}"), format!("v{number}"));
                reference
                    .backup
                    .push(json!({"id": format!("k{id}"), "seq": seq, "rank": 7, "v": format!("v{number}")}));
            }
            InputRow::Refused { id, seq } if superseded(id, seq) => reference
                .backup
                .push(json!({"id": format!("k{id}"), "seq": seq, "rank": 7, "v": format!("{POISON}{number}")})),
            _ => reference.rejected_lines.push(line),
        }
    }
    reference
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn promise_1_every_row_ends_somewhere(
        rows in rows(),
        block_rows in 1..80_usize,
        rates in rates(),
        seed in any::<u64>(),
    ) {
        run_paused(async {
            let world = World::new(block_rows as u64);
            let plan = FaultPlan::seeded(seed);
            plan.at_random("BatchWriteItem", rates);
            plan.at_random("GetObject", Rates { body: 300, ..Rates::default() });
            plan.refuse_items_with(POISON);
            let lines: Vec<String> = rows.iter().enumerate().map(|(number, row)| row.csv(number)).collect();
            let file = format!("id,seq,rank,v\n{}\n", lines.join("\n"));
            let object = world.upload(file.clone());

            // Waiting for late attempts may take longer than one invocation has; the sweep goes on.
            let report = world.invoke(&plan, &notification(&object, "0A")).await;
            let report = report.expect("nothing crashes");
            for _ in 0..50 {
                if world.ledger.rows().iter().all(|row| row.open.is_none()) {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(300)).await;
                let _ = world.invoke(&plan, &json!({"sweep": true})).await;
            }
            if let Ok(report) = report {
                let first = &report.objects[0];
                prop_assert!(matches!(first.outcome, Outcome::Completed | Outcome::Deferred));
            }
            let expected = reference(&rows, block_rows);
            prop_assert_eq!(world.values(), expected.table.clone());
            tokio::time::sleep(Duration::from_secs(301)).await;
            // The table refuses what it refuses also when it comes late.
            world.tables.with_plan(plan.clone()).settle().await;
            prop_assert_eq!(world.values(), expected.table, "after late attempts have landed");

            prop_assert_eq!(world.lines("json-copy/"), expected.backup);
            let rejects = world.lines("unprocessed/");
            let rejected: Vec<u64> = rejects.iter().map(|line| line["line"].as_u64().expect("a line number")).collect();
            prop_assert_eq!(rejected, expected.rejected_lines);
            for reject in &rejects {
                let offset = usize::try_from(reject["byte_offset"].as_u64().expect("an offset")).expect("small");
                let row = reject["row"].as_str().expect("the row's text");
                prop_assert_eq!(&file[offset..offset + row.len()], row, "the offset leads to the row");
                prop_assert!(!reject["reason"].as_str().expect("a reason").is_empty());
            }

            let job = world.job_row("a").attributes;
            let count = |name: &str| job[name].as_u64().expect("a count");
            prop_assert_eq!(&job["processing_status"], "COMPLETED");
            prop_assert_eq!(count("rows_read"), rows.len() as u64);
            prop_assert_eq!(count("rows_rejected"), rejects.len() as u64);
            prop_assert_eq!(count("rows_read"), count("rows_written") + count("rows_superseded") + count("rows_rejected"));
            prop_assert!(world.queue.messages().is_empty());
            prop_assert!(world.objects.open_uploads().is_empty());
            let parts = world.parts("json-copy/").len() + world.parts("unprocessed/").len();
            prop_assert!(parts <= 2 * rows.len().div_ceil(block_rows), "{KEY}: a part a block at the most");
            Ok(())
        })?;
    }
}
