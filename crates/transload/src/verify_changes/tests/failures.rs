use super::*;

#[tokio::test(start_paused = true)]
async fn records_that_were_given_up_and_are_not_in_the_log_are_found() {
    let lake = Lake::new();
    let aside = r#"{"eventID":"no place"}"#;
    let records = [
        record("a", START + 5, Some("1")),
        record("lost", START + 6, Some("1")),
        record("lost", START + 7_206, Some("1")),
        record("lost", START - 60, Some("1")),
        record("lost", START + 4 * 3_600, Some("1")),
        aside.to_owned(),
    ];
    lake.write_failure_at(86_400, "aws/lambda/m/shard/it's", "offers", &records);
    lake.write_failure("aws/lambda/m/shard/held", "offers", &records[..1]);
    lake.write_failure("aws/lambda/m/shard/other", "orders", &records);
    lake.put("aws/lambda/n/kinesis", 3_000, r#"{"KinesisBatchInfo":{}}"#);
    let report = lake.verify().await;
    let [
        finding @ Finding::NotInLog {
            records: 4,
            missing: 3,
            ..
        },
    ] = &report.findings[..]
    else {
        panic!("{:?}", report.findings);
    };
    insta::assert_snapshot!(finding.message(place()), @"3 of 4 records in s3://lake/aws/lambda/m/shard/it's are not in the log. They were given up 2026-11-21T00:00:00.000Z: nothing tries them again. The function writes just what the log lacks.");
    insta::assert_snapshot!(finding.commands(place()).join("\n"), @r"
    aws s3 cp 's3://lake/aws/lambda/m/shard/it'\''s' - | jq -r .payload > batch.json
    aws lambda invoke --function-name arn:aws:lambda:us-east-1:111122223333:function:writer --payload fileb://batch.json /dev/stdout
    ");

    // As that invocation leaves the lake.
    lake.write(0, "late", 100_000, &records[1..2]);
    lake.write(2, "late", 100_000, &records[2..3]);
    lake.put(
        &records::changes::set_aside_object("offers", aside),
        2 * 86_400,
        format!(r#"{{"reason":"r","record":{aside}}}"#),
    );
    assert_eq!(kinds(&lake.verify().await), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_in_the_range_is_looked_for_however_old_it_is() {
    let lake = Lake::new();
    let old = START - 20 * SECONDS_PER_HOUR;
    let records = [
        record("kept", old, Some("1")),
        record("lost", old + 1, Some("1")),
        record("lost", old + 2 * SECONDS_PER_HOUR, Some("1")),
        record("a", START + 5, Some("1")),
    ];
    let write = |name: &str, records: &[String]| {
        let folder = hour_folder("offers", "stream", old);
        let key = format!("{folder}{name}.jsonl.gz");
        lake.put(&key, 0, gzip(&records.join("\n")));
    };
    write("kept", &records[..1]);
    lake.write_failure("aws/lambda/m/1", "offers", &records);
    let report = lake.verify().await;
    let [
        Finding::NotInLog {
            records: 4,
            missing: 2,
            ..
        },
    ] = &report.findings[..]
    else {
        panic!("{:?}", report.findings);
    };
    // What was read besides is not counted.
    assert_eq!(report.hours.len(), 4);
    assert_eq!(report.hours.iter().map(|hour| hour.records).sum::<u64>(), 2);
    write("late", &records[1..2]);
    let folder = hour_folder("offers", "stream", old + 2 * SECONDS_PER_HOUR);
    lake.put(&format!("{folder}late.jsonl"), 0, records[2].clone());
    assert_eq!(kinds(&lake.verify().await), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_a_text_or_the_event_itself() {
    let lake = Lake::new();
    let lost = [record("lost", START + 6, Some("1"))];
    lake.write_failure("aws/lambda/m/1", "offers", &lost);
    let content = lake.objects.content("lake", "aws/lambda/m/1").unwrap();
    let mut failure: serde_json::Value = serde_json::from_slice(&content).unwrap();
    let event = failure["payload"].as_str().unwrap().parse().unwrap();
    failure["payload"] = event;
    lake.put("aws/lambda/m/2", 0, failure.to_string());
    assert_eq!(kinds(&lake.verify().await), ["not_in_log"; 2]);
    failure["payload"] = serde_json::Value::Null;
    lake.put("aws/lambda/m/3", 0, failure.to_string());
    assert_eq!(
        kinds(&lake.verify().await),
        ["not_in_log", "not_in_log", "failure_unread"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_of_the_destination_that_tells_nothing_is_found() {
    let lake = Lake::new();
    lake.write_failure("aws/lambda/m/1", "offers", &[]);
    let content = lake.objects.content("lake", "aws/lambda/m/1").unwrap();
    let content = String::from_utf8(content.to_vec()).unwrap();
    lake.put("aws/lambda/m/1", 0, content.replace("payload", "load"));
    lake.put("aws/lambda/m/2", 0, content.replace("Records", "Rows"));
    lake.put("aws/lambda/m/3", 0, "{");
    // Nothing before the range can have to do with it.
    let clock = TestClock::at(Timestamp((START - 7_200) * 1_000));
    let before = lake.objects.clone().with_clock(clock);
    before.seed("lake", "aws/lambda/m/4", "{", &[]);
    let report = lake.verify().await;
    assert_eq!(kinds(&report), ["failure_unread"; 3]);
    let messages: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.message(place()))
        .collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    s3://lake/aws/lambda/m/1: it has no payload: expected the event, as a destination in S3 has it. Its records may not be in the log.
    s3://lake/aws/lambda/m/2: its payload cannot be read (missing field `Records` at line 1 column 11): expected an object with Records. Its records may not be in the log.
    s3://lake/aws/lambda/m/3: it cannot be read (EOF while parsing an object at line 1 column 1): expected the JSON object of an on-failure destination. Its records may not be in the log.
    ");
}

#[tokio::test(start_paused = true)]
async fn what_had_been_given_up_is_not_late_when_it_is_put_in_by_hand() {
    let lake = Lake::new();
    let records = [
        record("given-up", START + 7_200, Some("1")),
        record("late", START + 7_200, Some("1")),
    ];
    lake.write_failure_at(22 * 3_600, "aws/lambda/m/1", "offers", &records[..1]);
    lake.write(2, "by-hand", 21 * 3_600, &records[..1]);
    let report = lake.verify().await;
    assert_eq!(kinds(&report), Vec::<&str>::new());
    lake.write(2, "by-hand", 21 * 3_600, &records);
    assert_eq!(kinds(&lake.verify().await), ["late"]);
}
