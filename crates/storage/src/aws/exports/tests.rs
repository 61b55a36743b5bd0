use serde_json::{Value, json};

use super::super::canned::{Answer, Canned};
use super::*;

const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/offers";
const EXPORT: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/offers/export/01790000000000-0b2d4f68";

async fn exports(answers: Vec<Answer>) -> (Canned, AwsExports) {
    let server = Canned::start(answers).await;
    let exports = server.clients().await.exports();
    (server, exports)
}

fn described(members: &str) -> Answer {
    let common = format!(
        r#""ExportArn":"{EXPORT}","S3Bucket":"lake","ExportStatus":"IN_PROGRESS","TableId":"id""#
    );
    Answer::new(
        200,
        format!(r#"{{"ExportDescription":{{{common}{members}}}}}"#),
    )
}

fn refusal(code: &str) -> Answer {
    Answer::new(
        400,
        format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"m"}}"#),
    )
}

fn request(span: ExportSpan) -> ExportRequest {
    ExportRequest {
        table_arn: TABLE.to_owned(),
        bucket: "lake".to_owned(),
        prefix: "exports".to_owned(),
        span,
        client_token: "token".to_owned(),
    }
}

fn begun(span: ExportSpan) -> ExportDescription {
    ExportDescription {
        arn: EXPORT.to_owned(),
        status: ExportStatus::InProgress,
        span: Some(span),
        bucket: "lake".to_owned(),
        prefix: None,
        client_token: None,
        table_id: Some("id".to_owned()),
        manifest_key: None,
        item_count: None,
        failure: None,
    }
}

#[tokio::test]
async fn an_export_is_begun_with_its_token_and_its_span() {
    let window = ExportSpan::Incremental {
        from: 1_790_000_000,
        to: 1_790_000_900,
        view: ExportView::NewImage,
    };
    let full = ExportSpan::Full {
        time: 1_790_000_000,
    };
    let (server, exports) = exports(vec![
        Answer::none(),
        described(r#","ExportType":"FULL_EXPORT","ExportTime":1790000000.0"#),
        described(
            r#","ExportType":"INCREMENTAL_EXPORT","IncrementalExportSpecification":
                {"ExportFromTime":1790000000,"ExportToTime":1790000900,"ExportViewType":"NEW_IMAGE"}"#,
        ),
    ])
    .await;
    for span in [full, window] {
        let description = exports.begin_export(&request(span)).await.unwrap();
        assert_eq!(description, begun(span));
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "a lost answer is asked for again");
    let target = asked[1].header("x-amz-target");
    assert_eq!(target, Some("DynamoDB_20120810.ExportTableToPointInTime"));
    assert_eq!(asked[0].body, asked[1].body, "with the same token");
    let bodies: Vec<Value> = asked[1..]
        .iter()
        .map(|asked| serde_json::from_str(&asked.body).unwrap())
        .collect();
    let common = |members: Value| {
        let mut body = json!({
            "TableArn": TABLE, "S3Bucket": "lake", "S3Prefix": "exports", "ClientToken": "token",
            "ExportFormat": "DYNAMODB_JSON",
        });
        let object = body.as_object_mut().unwrap();
        object.extend(members.as_object().unwrap().clone());
        body
    };
    let window = json!({
        "ExportFromTime": 1_790_000_000, "ExportToTime": 1_790_000_900, "ExportViewType": "NEW_IMAGE",
    });
    let expected = [
        common(json!({"ExportType": "FULL_EXPORT", "ExportTime": 1_790_000_000})),
        common(
            json!({"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": window}),
        ),
    ];
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn no_prefix_is_sent_as_none() {
    let (server, exports) = exports(vec![described("")]).await;
    let bare = ExportRequest {
        prefix: String::new(),
        ..request(ExportSpan::Full { time: 1 })
    };
    let description = exports.begin_export(&bare).await.unwrap();
    assert_eq!(description.span, None, "what is not said is not known");
    let body: Value = serde_json::from_str(&server.asked()[0].body).unwrap();
    assert_eq!(body.get("S3Prefix"), None);
}

#[tokio::test]
async fn refusals_have_their_kinds() {
    let full = request(ExportSpan::Full { time: 1 });
    let cases = [
        ("ExportConflictException", ErrorKind::Conflict),
        ("InvalidExportTimeException", ErrorKind::Refused),
        (
            "PointInTimeRecoveryUnavailableException",
            ErrorKind::Refused,
        ),
        ("ValidationException", ErrorKind::Refused),
        ("TableNotFoundException", ErrorKind::NotFound),
        ("AccessDeniedException", ErrorKind::Denied),
    ];
    for (code, expected) in cases {
        let (_server, exports) = exports(vec![refusal(code)]).await;
        let error = exports.begin_export(&full).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
    }
    let limited = || refusal("LimitExceededException");
    let (server, exports) = exports(vec![limited(), limited(), limited()]).await;
    let error = exports.begin_export(&full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn an_export_says_how_it_is() {
    let (server, exports) = exports(vec![
        described(
            r#","ExportTime":1790000000.75,"S3Prefix":"exports","ClientToken":"token","ItemCount":3,
                "BilledSizeBytes":1000,"ExportManifest":"m.json","FailureCode":"UNKNOWN","FailureMessage":"why""#,
        ),
        described(r#","FailureCode":"S3AccessDenied""#),
        Answer::new(200, r#"{"ExportDescription":{"ExportArn":"a","S3Bucket":"b","ExportStatus":"LOST"}}"#),
        Answer::new(200, "{}"),
        refusal("ExportNotFoundException"),
    ])
    .await;
    let span = ExportSpan::Full {
        time: 1_790_000_000,
    };
    let expected = ExportDescription {
        prefix: Some("exports".to_owned()),
        client_token: Some("token".to_owned()),
        manifest_key: Some("m.json".to_owned()),
        item_count: Some(3),
        failure: Some(("UNKNOWN".to_owned(), "why".to_owned())),
        ..begun(span)
    };
    assert_eq!(exports.export(EXPORT).await.unwrap(), expected);
    let asked = &server.asked()[0];
    let target = asked.header("x-amz-target");
    assert_eq!(target, Some("DynamoDB_20120810.DescribeExport"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body, json!({"ExportArn": EXPORT}));

    let failed = exports.export(EXPORT).await.unwrap();
    let failure = ("S3AccessDenied".to_owned(), String::new());
    assert_eq!(failed.failure, Some(failure));
    let kinds = [
        ErrorKind::Internal,
        ErrorKind::Internal,
        ErrorKind::NotFound,
    ];
    for kind in kinds {
        let error = exports.export(EXPORT).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn every_page_of_exports_is_listed() {
    let page = |members: &str, more: &str| {
        Answer::new(200, format!(r#"{{"ExportSummaries":[{members}]{more}}}"#))
    };
    let (server, exports) = exports(vec![
        page(
            r#"{"ExportArn":"1","ExportStatus":"COMPLETED","ExportType":"FULL_EXPORT"}"#,
            r#","NextToken":"t""#,
        ),
        Answer::new(500, "{}"),
        page("", r#","NextToken":"u""#),
        page(
            r#"{"ExportArn":"2","ExportStatus":"IN_PROGRESS","ExportType":"INCREMENTAL_EXPORT"},
                {"ExportArn":"3","ExportStatus":"FAILED"}"#,
            "",
        ),
    ])
    .await;
    let listed = |arn: &str, status, incremental| ListedExport {
        arn: arn.to_owned(),
        status,
        incremental,
    };
    assert_eq!(
        exports.exports(TABLE).await.unwrap(),
        [
            listed("1", ExportStatus::Completed, false),
            listed("2", ExportStatus::InProgress, true),
            listed("3", ExportStatus::Failed, false),
        ]
    );
    let asked = server.asked();
    let bodies =
        [0, 1, 2, 3].map(|at: usize| -> Value { serde_json::from_str(&asked[at].body).unwrap() });
    let with_token = |token: &str| json!({"TableArn": TABLE, "NextToken": token});
    let expected = [
        json!({"TableArn": TABLE}),
        with_token("t"),
        with_token("t"),
        with_token("u"),
    ];
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn the_recovery_window_is_there_while_recovery_is_on() {
    let backups = |recovery: &str| {
        Answer::new(
            200,
            format!(
                r#"{{"ContinuousBackupsDescription":{{"ContinuousBackupsStatus":"ENABLED"{recovery}}}}}"#
            ),
        )
    };
    let recovery = |members: &str| {
        backups(&format!(
            r#","PointInTimeRecoveryDescription":{{{members}}}"#
        ))
    };
    let times =
        r#""EarliestRestorableDateTime":1790000000.25,"LatestRestorableDateTime":1790009999.75"#;
    let (server, exports) = exports(vec![
        recovery(&format!(r#""PointInTimeRecoveryStatus":"ENABLED",{times}"#)),
        recovery(r#""PointInTimeRecoveryStatus":"ENABLED""#),
        recovery(&format!(
            r#""PointInTimeRecoveryStatus":"DISABLED",{times}"#
        )),
        backups(""),
        Answer::new(200, "{}"),
        refusal("TableNotFoundException"),
    ])
    .await;
    let window = RecoveryWindow {
        earliest: 1_790_000_001,
        latest: 1_790_009_999,
    };
    assert_eq!(exports.recovery("offers").await.unwrap(), Some(window));
    let body: Value = serde_json::from_str(&server.asked()[0].body).unwrap();
    assert_eq!(body, json!({"TableName": "offers"}));
    for _ in 0..3 {
        assert_eq!(exports.recovery("offers").await.unwrap(), None);
    }
    for kind in [ErrorKind::Internal, ErrorKind::NotFound] {
        let error = exports.recovery("offers").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}
