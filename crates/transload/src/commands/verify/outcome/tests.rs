use storage::StreamDescription;

use super::*;
use crate::verify_changes::Finding;

/// 2026-11-20T00:00Z.
const DAY: u64 = 498_648;

fn report(findings: Vec<Finding>) -> Report {
    let hours = (DAY..DAY + 6).map(|hour| HourReport {
        hour,
        ..HourReport::default()
    });
    let mut hours: Vec<HourReport> = hours.collect();
    hours[1] = HourReport {
        hour: DAY + 1,
        objects: 2,
        bytes: 1_000,
        records: 12_345,
        inserts: 10_000,
        modifies: 2_000,
        removes: 345,
        duplicates: 3,
        faults: 1,
        latest: Some(Duration::from_secs(127)),
    };
    hours[2] = HourReport {
        latest: Some(Duration::from_secs(72_300)),
        hour: DAY + 2,
        ..hours[1]
    };
    Report {
        hours,
        stream: Some(StreamDescription {
            label: "2026-11-01T08:00:00.000".to_owned(),
            arn: "arn".to_owned(),
            view: StreamView::OldImage,
        }),
        exportable: 0..u64::MAX,
        labels: ["2026-10-01T08:00:00.000".to_owned()].into(),
        compared: None,
        findings,
    }
}

fn outcome(report: &Report) -> Outcome<'_> {
    Outcome {
        bucket: "lake",
        table: "offers",
        hours: DAY..DAY + 6,
        report,
    }
}

#[test]
fn a_person_sees_hours_notes_and_what_to_run() {
    let report = report(vec![Finding::Faults {
        count: 2,
        hours: vec![DAY + 1],
        first: vec!["s3://lake/x, line 2: bad".to_owned()],
    }]);
    insta::assert_snapshot!(outcome(&report).text(), @r#"
Change log of offers in s3://lake, 2026-11-20T00:00Z to 2026-11-20T06:00Z (UTC)
Stream enabled 2026-11-01T08:00:00.000 (UTC), old images

hour                  objects     records    inserted    modified     removed    repeated      faults      latest
2026-11-20T00:00Z  no records
2026-11-20T01:00Z           2      12,345      10,000       2,000         345           3           1       2m07s
2026-11-20T02:00Z           2      12,345      10,000       2,000         345           3           1      20h05m
2026-11-20T03:00Z  no records until 2026-11-20T06:00Z (3 hours)
all                         4      24,690      20,000       4,000         690           6           2      20h05m

Note: 4 hours have no records. Whether nothing changed or records were lost, the log cannot say: compare it with an incremental export of these hours (--export).

Note: what was lost is made good by two exports, the first of which begins two minutes before the other; and only once the lines and the completion of both are in the log. Those of exports begun by hand do not come there; a full export by the export machine does, with the format changes, and is a fresh state of the table (infra/README.md).

Note: the range has records of other streams of the table (enabled 2026-10-01T08:00:00.000). What changed while none was enabled is not in the log.

Note: the stream has old images only: from such records no state of the table can be made.

1. 2 lines or objects of the log cannot be read or do not belong where they are; what they hold is not counted.
     s3://lake/x, line 2: bad
   $ aws dynamodb export-table-to-point-in-time --table-arn "$(aws dynamodb describe-table --table-name offers --query Table.TableArn --output text)" --s3-bucket lake --export-format DYNAMODB_JSON --export-type INCREMENTAL_EXPORT --incremental-export-specification ExportFromTime=2026-11-20T00:57:00Z,ExportToTime=2026-11-20T02:01:00Z,ExportViewType=NEW_AND_OLD_IMAGES
   $ aws dynamodb export-table-to-point-in-time --table-arn "$(aws dynamodb describe-table --table-name offers --query Table.TableArn --output text)" --s3-bucket lake --export-format DYNAMODB_JSON --export-type INCREMENTAL_EXPORT --incremental-export-specification ExportFromTime=2026-11-20T00:59:00Z,ExportToTime=2026-11-20T02:01:00Z,ExportViewType=NEW_AND_OLD_IMAGES
"#);
}

#[test]
fn where_no_export_can_be_made_none_is_spoken_of() {
    let mut report = report(vec![Finding::BeforeStream {
        label: "2026-11-20T02:00:00.000".to_owned(),
        hours: vec![DAY + 1],
    }]);
    assert!(outcome(&report).text().contains("two exports"));
    report.exportable = 0..DAY * SECONDS_PER_HOUR;
    let text = outcome(&report).text();
    assert!(
        !text.contains("two exports") && !text.contains("$ aws"),
        "{text}"
    );
}

#[test]
fn a_stream_is_enabled_with_all_that_reads_it() {
    let finding = Finding::NoStream;
    let report = report(Vec::new());
    let outcome = outcome(&report);
    let place = outcome.place();
    insta::assert_snapshot!(finding.message(place), @"No stream is enabled on the table offers, if it is still there: what changes now does not come into the log. Deploying the same template again does not enable it, since CloudFormation finds nothing to change: deploy it with another StreamViewType, then with the old one. Or enable it by hand, make an event source mapping for the new stream, and let the function's role read the new stream's ARN.");
    insta::assert_snapshot!(finding.commands(place).join("\n"), @r#"
    aws dynamodb update-table --table-name offers --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES
    aws lambda create-event-source-mapping --function-name STREAM_WRITER --event-source-arn "$(aws dynamodb describe-table --table-name offers --query Table.LatestStreamArn --output text)" --starting-position TRIM_HORIZON --function-response-types ReportBatchItemFailures --bisect-batch-on-function-error --maximum-record-age-in-seconds 72000 --destination-config '{"OnFailure":{"Destination":"arn:aws:s3:::lake"}}'
    "#);
}

#[test]
fn a_good_log_is_said_to_be_one() {
    let text = outcome(&report(Vec::new())).text();
    assert!(text.ends_with("\n\nNothing wrong was found."), "{text}");
}

#[test]
fn a_program_gets_everything() {
    let mut report = report(vec![Finding::NoStream]);
    report.hours.truncate(2);
    let json: Value = serde_json::from_str(&outcome(&report).json()).unwrap();
    let hour = json!({
        "hour": "2026-11-20T01:00Z", "objects": 2, "bytes": 1000, "records": 12345, "inserts": 10000, "modifies": 2000,
        "removes": 345, "duplicates": 3, "faults": 1, "latest_seconds": 127,
    });
    assert_eq!(json["hours"][1], hour);
    assert_eq!(json["hours"][0]["latest_seconds"], Value::Null);
    assert_eq!(json["total"]["records"], 12345);
    let finding = json!({
        "kind": "no_stream",
        "message": report.findings[0].message(outcome(&report).place()),
        "examples": [],
        "commands": report.findings[0].commands(outcome(&report).place()),
    });
    assert_eq!(json["findings"], json!([finding]));
    let rest = json!({
        "command": "verify changes", "bucket": "lake", "table": "offers", "from": "2026-11-20T00:00Z",
        "to": "2026-11-20T06:00Z", "compared_items": null, "notes": outcome(&report).notes(), "stream_labels": ["2026-10-01T08:00:00.000"],
        "stream": {"label": "2026-11-01T08:00:00.000", "arn": "arn", "view": "old images"},
    });
    for (name, value) in rest.as_object().unwrap() {
        assert_eq!(&json[name], value, "{name}");
    }
}

#[test]
fn a_person_is_not_flooded() {
    let text = outcome(&report(vec![Finding::NoStream; 23])).text();
    assert_eq!(text.matches("No stream is enabled").count(), 20);
    assert!(
        text.ends_with("\n\nAnd 3 more, which --json has as well."),
        "{text}"
    );
}

#[test]
fn times_are_short() {
    assert_eq!(short(Duration::from_secs(0)), "0m00s");
    assert_eq!(short(Duration::from_secs(3_599)), "59m59s");
    assert_eq!(short(Duration::from_secs(72_300)), "20h05m");
}
