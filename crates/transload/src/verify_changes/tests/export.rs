use md5::{Digest, Md5};
use records::base64_text;

use super::*;
use crate::describe;

impl Lake {
    async fn export(&self) -> Result<Export<MemoryObjects>, ExportError> {
        let objects = Rc::new(self.objects.clone());
        Export::open(objects, "s3://lake/x/AWSDynamoDB/01-a/", "offers").await
    }

    /// An incremental export of the first hour.
    fn write_export(&self, lines: &[&str]) {
        let content = gzip(&lines.concat());
        let md5 = base64_text(&Md5::digest(&content));
        self.put("x/AWSDynamoDB/data/d.json.gz", 0, content);
        let count = lines.len();
        let files = "x/AWSDynamoDB/01-a/manifest-files.json";
        let file = format!(
            r#"{{"itemCount":{count},"md5Checksum":"{md5}","etag":"e-1","dataFileS3Key":"x/AWSDynamoDB/data/d.json.gz"}}"#
        );
        // As an export has them where a part of the table has not changed.
        let nothing = gzip("");
        let md5 = base64_text(&Md5::digest(&nothing));
        self.put("x/AWSDynamoDB/data/e.json.gz", 0, nothing);
        let empty = format!(
            r#"{{"itemCount":0,"md5Checksum":"{md5}","etag":"e-1","dataFileS3Key":"x/AWSDynamoDB/data/e.json.gz"}}"#
        );
        self.put(files, 0, format!("{file}\n{empty}\n"));
        let summary = format!(
            r#"{{"exportArn":"arn:aws:dynamodb:us-east-1:111122223333:table/offers/export/01790000000000-0a1c3e57","tableArn":"arn:aws:dynamodb:us-east-1:111122223333:table/offers","s3Bucket":"lake","manifestFilesS3Key":"{files}","itemCount":{count},"outputFormat":"DYNAMODB_JSON","exportFromTime":"2026-11-20T00:00:00.000Z","exportToTime":"2026-11-20T01:00:00.000Z"}}"#
        );
        self.put("x/AWSDynamoDB/01-a/manifest-summary.json", 0, summary);
    }
}

const CHANGED: &str = concat!(
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795132805000000"}},"Keys":{"id":{"S":"a"}},"OldImage":{"id":{"S":"a"},"v":{"N":"0"}},"NewImage":{"id":{"S":"a"},"v":{"N":"1.0"}}}"#,
    "\n"
);
const REMOVED: &str = concat!(
    r#"{"Metadata":{"WriteTimestampMicros":"1795132806000000"},"Keys":{"id":{"S":"r"}},"OldImage":{"id":{"S":"r"}}}"#,
    "\n"
);
const UNCHANGED: &str = concat!(
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795132807000000"}},"Keys":{"id":{"S":"u"}},"OldImage":{"id":{"S":"u"},"v":{"N":"1"}},"NewImage":{"v":{"N":"1e0"},"id":{"S":"u"}}}"#,
    "\n"
);

#[tokio::test(start_paused = true)]
async fn an_export_shows_changes_that_the_log_does_not_have() {
    let lake = Lake::new();
    lake.write_export(&[CHANGED, REMOVED, UNCHANGED]);
    let export = lake.export().await.unwrap();
    assert_eq!(export.hours(), DAY - 1..DAY + 2);
    let report = lake.verify_with(Some(&export)).await;
    assert_eq!(report.compared, Some(2));
    let [
        Finding::NotAsExported {
            items: 2,
            missing: 1,
            keys,
            ..
        },
    ] = &report.findings[..]
    else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(keys, &[r#"{"id":"r"}"#]);

    // A change whose image the stream does not have is no removal.
    let without_image = record("r", START + 60, None).replace("REMOVE", "MODIFY");
    lake.write(0, "without", 100, &[without_image]);
    assert_eq!(
        kinds(&lake.verify_with(Some(&export)).await),
        ["not_as_exported"]
    );

    // A minute and a second after the window is too late, a minute is not.
    lake.write(1, "late", 100, &[record("r", START + 3_661, None)]);
    assert_eq!(
        kinds(&lake.verify_with(Some(&export)).await),
        ["not_as_exported"]
    );
    lake.write(1, "later", 100, &[record("r", START + 3_659, None)]);
    assert_eq!(
        kinds(&lake.verify_with(Some(&export)).await),
        Vec::<&str>::new()
    );
}

#[tokio::test(start_paused = true)]
async fn another_state_than_the_export_s_is_not_it_unless_the_export_is_in_the_log() {
    let lake = Lake::new();
    lake.write_export(&[&CHANGED.replace("1.0", "2.0")]);
    let export = lake.export().await.unwrap();
    let report = lake.verify_with(Some(&export)).await;
    assert_eq!(kinds(&report), ["not_as_exported"]);
    lake.complete(START - 60, START + 3_660);
    assert_eq!(
        kinds(&lake.verify_with(Some(&export)).await),
        ["not_as_exported"]
    );
    lake.complete(START, START + 3_600);
    assert_eq!(
        kinds(&lake.verify_with(Some(&export)).await),
        Vec::<&str>::new()
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_of_an_export_may_be_as_long_as_one_of_the_log() {
    let lake = Lake::new();
    let padding = format!(
        r#""v":{{"N":"1.0"}},"x":{{"S":"{}"}}"#,
        "x".repeat(5_000_000)
    );
    lake.write_export(&[&CHANGED.replace(r#""v":{"N":"1.0"}"#, &padding)]);
    let export = lake.export().await.unwrap();
    let report = lake.verify_with(Some(&export)).await;
    assert_eq!(kinds(&report), ["not_as_exported"]);
}

#[tokio::test(start_paused = true)]
async fn an_export_that_is_not_whole_or_another_one_is_an_error() {
    let rewritten = |key: &str, old: &str, new: &str| {
        let lake = Lake::new();
        lake.write_export(&[CHANGED, REMOVED]);
        let content = lake.objects.content("lake", key).unwrap();
        let content = String::from_utf8(content.to_vec()).unwrap();
        assert!(content.contains(old), "{content}");
        lake.put(key, 0, content.replace(old, new));
        lake
    };
    let message = async |lake: Lake| {
        let log = Log::new(Rc::new(lake.objects.clone()), "lake", "offers");
        let export = match lake.export().await {
            Ok(export) => export,
            Err(error) => return describe(&error),
        };
        let task = Task {
            log: &log,
            items: &lake.tables,
            hours: export.hours(),
            failures_prefix: "aws/lambda/",
            export: Some(&export),
            now: Timestamp(0),
        };
        describe(&verify(&task, |_| {}).await.unwrap_err())
    };
    let summary = "x/AWSDynamoDB/01-a/manifest-summary.json";
    let files = "x/AWSDynamoDB/01-a/manifest-files.json";
    let wrong = message(rewritten(summary, "table/offers", "table/orders")).await;
    insta::assert_snapshot!(wrong, @"s3://lake/x/AWSDynamoDB/01-a/ is an export of the table orders: expected one of offers");
    let wrong = message(rewritten(summary, "exportToTime", "to")).await;
    insta::assert_snapshot!(wrong, @r#"s3://lake/x/AWSDynamoDB/01-a/manifest-summary.json: exportTime is "": expected a time such as 2026-09-21T13:33:20.000Z"#);
    let wrong = message(rewritten(summary, "exportToTime", "exportTime")).await;
    insta::assert_snapshot!(wrong, @"s3://lake/x/AWSDynamoDB/01-a/ is a full export: expected an incremental one, which says what changed in a window");
    let wrong = message(rewritten(summary, "\"itemCount\":2", "\"itemCount\":3")).await;
    insta::assert_snapshot!(wrong, @"s3://lake/x/AWSDynamoDB/01-a/manifest-files.json has the item count 2: expected 3, as s3://lake/x/AWSDynamoDB/01-a/manifest-summary.json says");
    let lake = rewritten(files, "\"itemCount\":2", "\"itemCount\":3");
    let content = lake.objects.content("lake", summary).unwrap();
    let content = String::from_utf8(content.to_vec()).unwrap();
    lake.put(
        summary,
        0,
        content.replace("\"itemCount\":2", "\"itemCount\":3"),
    );
    insta::assert_snapshot!(message(lake).await, @"s3://lake/x/AWSDynamoDB/data/d.json.gz has the item count 2: expected 3, as the manifest says");
    let wrong = message(rewritten(files, "md5Checksum\":\"", "md5Checksum\":\"A")).await;
    assert!(
        wrong.starts_with("s3://lake/x/AWSDynamoDB/data/d.json.gz has the MD5 "),
        "{wrong}"
    );
    let lake = Lake::new();
    lake.write_export(&[CHANGED, "{}\n"]);
    insta::assert_snapshot!(message(lake).await, @"s3://lake/x/AWSDynamoDB/data/d.json.gz, line 2: the line cannot be read (missing field `Metadata` at line 1 column 2): expected a line of an incremental export with Metadata and Keys");
    let objects = Rc::new(MemoryObjects::new());
    let nowhere = Export::open(objects, "lake/x", "offers").await;
    insta::assert_snapshot!(nowhere.err().unwrap(), @r#""lake/x" names no export: expected s3://bucket/prefix/AWSDynamoDB/<export id>/, the folder of its manifest-summary.json"#);
}
