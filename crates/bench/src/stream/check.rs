//! Whether a run did what it is measured for.

use std::path::Path;

use serde_json::json;

use super::batches::Contents;
use super::subject::Subject;
use crate::endpoint::Counts;

/// Whether everything that the subject is to do has been done. `log` is what it printed.
pub(super) fn check(
    subject: Subject,
    expected: &Contents,
    counts: &Counts,
    log: &Path,
) -> Result<(), String> {
    let fault = match subject {
        Subject::Floor => floor_fault(expected, log),
        Subject::Transload | Subject::PythonHandler => {
            function_fault(expected, counts).map(|fault| counts.explain(&fault))
        }
    };
    fault.map_or(Ok(()), Err)
}

fn floor_fault(expected: &Contents, log: &Path) -> Option<String> {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    (said.trim() != expected.bytes.to_string())
        .then(|| format!("it compressed {} bytes of {}", said.trim(), expected.bytes))
}

fn function_fault(expected: &Contents, counts: &Counts) -> Option<String> {
    let all = expected.records.items;
    if counts.log_records != expected.records {
        return Some(format!(
            "{} records are in the log of {all}, and not exactly those of the batches",
            counts.log_records.items
        ));
    }
    let nothing_failed = json!({"batchItemFailures": []});
    let good = counts.function_answers.iter();
    let good = good.filter(|answer| **answer == nothing_failed).count() as u64;
    if (good, counts.function_answers.len() as u64) != (expected.batches, expected.batches) {
        return Some(format!(
            "{good} of {} batches were answered with {nothing_failed}",
            expected.batches
        ));
    }
    (counts.refused > 0).then(|| "requests were refused".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::batches::add_record;
    use super::*;

    #[test]
    fn a_run_counts_only_if_everything_was_done() {
        let mut expected = Contents {
            batches: 1,
            bytes: 3,
            ..Contents::default()
        };
        add_record(&mut expected.records, "{}");
        let complete = Counts {
            log_records: expected.records,
            function_answers: vec![json!({"batchItemFailures": []})],
            ..Counts::default()
        };
        let check = |counts: &Counts| check(Subject::Transload, &expected, counts, Path::new(""));
        assert_eq!(check(&complete), Ok(()));
        type Spoil = fn(&mut Counts);
        let spoilt: [(&str, Spoil); 5] = [
            ("0 records", |counts| {
                counts.log_records = Default::default()
            }),
            ("1 records", |counts| {
                counts.log_records = Default::default();
                add_record(&mut counts.log_records, "[]");
            }),
            ("0 of 1 batches", |counts| counts.function_answers.clear()),
            ("0 of 1 batches", |counts| {
                counts.function_answers[0] =
                    json!({"batchItemFailures": [{"itemIdentifier": "1"}]});
            }),
            ("refused", |counts| counts.refused = 1),
        ];
        for (words, spoil) in spoilt {
            let mut counts = complete.clone();
            spoil(&mut counts);
            let fault = check(&counts).unwrap_err();
            assert!(
                fault.starts_with(words) || fault.contains("were refused"),
                "{fault}"
            );
        }
    }

    #[test]
    fn the_floor_has_to_say_that_it_read_everything() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let expected = Contents {
            bytes: 12,
            ..Contents::default()
        };
        for (said, is_good) in [("12\n", true), ("11\n", false), ("", false)] {
            std::fs::write(log.path(), said).unwrap();
            let checked = check(Subject::Floor, &expected, &Counts::default(), log.path());
            assert_eq!(checked.is_ok(), is_good, "{said}");
        }
    }
}
