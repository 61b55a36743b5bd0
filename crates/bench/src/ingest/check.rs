//! Whether a run did what it is measured for.

use super::subject::Subject;
use crate::digest::Digest;
use crate::endpoint::Counts;

/// Whether everything that the subject is to do has been done.
pub(super) fn check(subject: Subject, expected: Digest, counts: &Counts) -> Result<(), String> {
    let rows = expected.items;
    let faults = if counts.written != expected {
        Some(format!(
            "{} items arrived of {rows}, and not exactly those of the file",
            counts.written.items
        ))
    } else if subject == Subject::Transload {
        transload_fault(rows, counts)
    } else {
        None
    };
    match faults {
        None => Ok(()),
        Some(fault) => Err(counts.explain(&fault)),
    }
}

/// What is missing of a run with everything on.
fn transload_fault(rows: u64, counts: &Counts) -> Option<String> {
    let outcome = counts
        .function_answers
        .last()
        .and_then(|answer| answer.pointer("/objects/0/outcome"));
    if outcome.is_none_or(|outcome| outcome != "COMPLETED") {
        return Some("the function did not say COMPLETED".to_owned());
    }
    if counts.backup_lines != rows {
        return Some(format!(
            "the backup has {} lines of {rows}",
            counts.backup_lines
        ));
    }
    if counts.ledger_writes == 0 {
        return Some("nothing was written to the ledger".to_owned());
    }
    (counts.messages > 0).then(|| "there is a message in the failure queue".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digest::ItemHash;

    fn expected() -> Digest {
        let mut digest = Digest::default();
        digest.add(ItemHash::default());
        digest
    }

    fn complete() -> Counts {
        Counts {
            written: expected(),
            backup_lines: 1,
            ledger_writes: 3,
            function_answers: vec![json!({"objects": [{"outcome": "COMPLETED"}]})],
            ..Counts::default()
        }
    }

    #[test]
    fn a_run_counts_only_if_everything_was_done() {
        assert_eq!(check(Subject::Transload, expected(), &complete()), Ok(()));
        type Spoil = fn(&mut Counts);
        let spoilt: [(&str, Spoil); 5] = [
            ("items arrived", |counts| counts.written = Digest::default()),
            ("backup", |counts| counts.backup_lines = 0),
            ("ledger", |counts| counts.ledger_writes = 0),
            ("failure queue", |counts| counts.messages = 1),
            ("COMPLETED", |counts| counts.function_answers.clear()),
        ];
        for (word, spoil) in spoilt {
            let mut counts = complete();
            spoil(&mut counts);
            let fault = check(Subject::Transload, expected(), &counts).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
        let bare = Counts {
            written: expected(),
            ..Counts::default()
        };
        assert_eq!(check(Subject::BareSdk, expected(), &bare), Ok(()));
    }
}
