//! Whether a run did what it is measured for.

use serde_json::{Value, json};

use super::items::expected;
use super::subject::Subject;
use super::{CONCURRENCY, Output, floor};
use crate::endpoint::{Counts, Reprocessed};

/// Besides the calls for items: the next page of the index, and the lease being renewed.
const CALLS_BESIDE: u64 = 2;
/// A bundle has more lines than this, but for the last.
const FEW_LINES: u64 = 100;

/// Whether all of the items have been reprocessed, each once and as it was.
pub(super) fn check(
    subject: Subject,
    output: Output,
    items: u64,
    counts: &Counts,
) -> Result<(), String> {
    let fault = items_fault(output, items, &counts.reprocessed)
        .or_else(|| calls_fault(counts))
        .or_else(|| match subject {
            Subject::Transload => function_fault(items, counts),
            Subject::Floor => floor_fault(output, items, &counts.reprocessed),
            Subject::PythonSequential => None,
        });
    fault.map_or(Ok(()), |fault| Err(counts.explain(&fault)))
}

fn items_fault(output: Output, items: u64, found: &Reprocessed) -> Option<String> {
    let expected = expected(items);
    if found.marked != expected.marked {
        return Some(format!(
            "{} items are marked of {items}, and not each once and otherwise unchanged",
            found.marked.items
        ));
    }
    if found.outputs != expected.outputs {
        return Some(format!(
            "the lake has outputs of {} items of {items}, and not of each the right one once",
            found.outputs.items
        ));
    }
    let (fewest, most) = match output {
        Output::Objects => (items, items),
        Output::Bundles => (items.min(1), items.div_ceil(FEW_LINES)),
    };
    (!(fewest..=most).contains(&found.objects)).then(|| {
        format!(
            "the outputs are in {} objects, expected {fewest} to {most}",
            found.objects
        )
    })
}

fn calls_fault(counts: &Counts) -> Option<String> {
    let found = &counts.reprocessed;
    if found.marked_without_output > 0 {
        return Some(format!(
            "{} items were marked before S3 had their object",
            found.marked_without_output
        ));
    }
    if found.other_updates > 0 {
        return Some(format!(
            "{} updates marked no pending item",
            found.other_updates
        ));
    }
    if found.most_at_once > u64::from(CONCURRENCY) + CALLS_BESIDE {
        return Some(format!(
            "{} calls were under way at once",
            found.most_at_once
        ));
    }
    (counts.refused > 0).then(|| "requests were refused".to_owned())
}

fn floor_fault(output: Output, items: u64, found: &Reprocessed) -> Option<String> {
    let expected = floor::calls(output, items);
    (found.calls != expected)
        .then(|| format!("it made the calls {:?}, expected {expected:?}", found.calls))
}

/// What is missing of a function's run.
fn function_fault(items: u64, counts: &Counts) -> Option<String> {
    let expected = [
        ("taken", items),
        ("done", items),
        ("skipped", 0),
        ("failed", 0),
        ("set_aside", 0),
        ("unfinished", 0),
        ("left", 0),
    ];
    let is_good = |answer: &Value| {
        let mut members = expected.iter();
        members.all(|(name, number)| answer[name] == json!(number))
    };
    if !matches!(&counts.function_answers[..], [answer] if is_good(answer)) {
        return Some(format!(
            "the function was to give one answer with {expected:?}"
        ));
    }
    (counts.ledger_writes == 0).then(|| "nothing was written to the ledger".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: u64 = 150;

    fn complete(output: Output, objects: u64) -> Counts {
        let expected = expected(ITEMS);
        Counts {
            reprocessed: Reprocessed {
                marked: expected.marked,
                outputs: expected.outputs,
                objects,
                calls: floor::calls(output, ITEMS),
                most_at_once: 32,
                ..Reprocessed::default()
            },
            ledger_writes: 2,
            function_answers: vec![json!({
                "taken": ITEMS, "done": ITEMS, "skipped": 0, "failed": 0, "set_aside": 0, "unfinished": 0, "left": 0,
            })],
            ..Counts::default()
        }
    }

    #[test]
    fn a_run_counts_only_if_everything_was_done() {
        let whole = complete(Output::Objects, ITEMS);
        type Spoil = fn(&mut Counts);
        let spoilt: [(&str, Spoil); 12] = [
            ("149 items are marked", |counts| {
                counts.reprocessed.marked = expected(ITEMS - 1).marked;
            }),
            // The right number, and not the right items.
            ("150 items are marked", |counts| {
                counts.reprocessed.marked = expected(ITEMS).outputs;
            }),
            ("outputs of 151 items", |counts| {
                counts.reprocessed.outputs = expected(ITEMS + 1).outputs;
            }),
            ("outputs of 150 items", |counts| {
                counts.reprocessed.outputs = expected(ITEMS).marked;
            }),
            ("in 149 objects", |counts| counts.reprocessed.objects -= 1),
            ("before S3 had", |counts| {
                counts.reprocessed.marked_without_output = 1;
            }),
            ("marked no pending", |counts| {
                counts.reprocessed.other_updates = 1;
            }),
            ("35 calls", |counts| counts.reprocessed.most_at_once = 35),
            ("requests were refused", |counts| counts.refused = 1),
            ("one answer", |counts| counts.function_answers.clear()),
            ("one answer", |counts| {
                counts.function_answers[0]["left"] = Value::Null;
            }),
            ("the ledger", |counts| counts.ledger_writes = 0),
        ];
        let check = |counts: &Counts| check(Subject::Transload, Output::Objects, ITEMS, counts);
        assert_eq!(check(&whole), Ok(()));
        for (word, spoil) in spoilt {
            let mut counts = whole.clone();
            spoil(&mut counts);
            let fault = check(&counts).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
    }

    #[test]
    fn bundles_are_few_and_the_floor_makes_its_calls_and_no_others() {
        let check = |subject, output, objects, spoil: fn(&mut Counts)| {
            let mut counts = complete(output, objects);
            counts.function_answers.clear();
            counts.ledger_writes = 0;
            spoil(&mut counts);
            check(subject, output, ITEMS, &counts)
        };
        let as_it_is: fn(&mut Counts) = |_| {};
        let (python, floor) = (Subject::PythonSequential, Subject::Floor);
        for (objects, is_good) in [(0, false), (1, true), (2, true), (3, false)] {
            let checked = check(python, Output::Bundles, objects, as_it_is);
            assert_eq!(checked.is_ok(), is_good, "{objects}: {checked:?}");
        }
        assert_eq!(check(floor, Output::Objects, ITEMS, as_it_is), Ok(()));
        let fault = check(floor, Output::Objects, ITEMS, |counts| {
            counts.reprocessed.calls.insert("Query".to_owned(), 2);
        });
        assert!(fault.unwrap_err().contains("it made the calls"));
    }
}
