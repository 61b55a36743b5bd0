//! The Lambda Runtime API: one event, its answer, and then no other event ever comes.

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::s3::StoredObject;
use super::{INBOX_BUCKET, OBJECT_KEY, Shared};

pub(super) const PREFIX: &str = "/2018-06-01/runtime/";
const JSON: &str = "application/json";

pub(super) async fn answer<B>(request: Request<B>, shared: &Shared) -> Result<Answer, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    if request.uri().path().ends_with("/invocation/next") {
        return Ok(next_event(shared).await);
    }
    // `/invocation/<id>/response`, `/invocation/<id>/error` and `/init/error`.
    let body = request.into_body().collect().await?.to_bytes();
    let said = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body).into_owned()));
    shared.state().counts.function_answer = Some(said);
    Ok(Answer::new(
        StatusCode::ACCEPTED,
        JSON,
        r#"{"status":"OK"}"#,
    ))
}

async fn next_event(shared: &Shared) -> Answer {
    let is_given = std::mem::replace(&mut shared.state().event_is_given, true);
    if is_given {
        shared.function_is_idle.notify_one();
        std::future::pending::<()>().await;
    }
    Answer::new(StatusCode::OK, JSON, event(&shared.object).to_string())
        .header(
            "lambda-runtime-aws-request-id",
            "00000000-0000-0000-0000-000000000001",
        )
        .header(
            "lambda-runtime-deadline-ms",
            &shared.settings.deadline_ms.to_string(),
        )
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:csv-ingester",
        )
}

/// The notification that S3 sends for the object.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>
fn event(object: &StoredObject) -> Value {
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-09T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AROAEXAMPLEROLEID:uploader"},
        "requestParameters": {"sourceIPAddress": "192.0.2.10"},
        "responseElements": {"x-amz-request-id": "7QZ0EXAMPLE8R2T4", "x-amz-id-2": "r5m1EXAMPLE0Zk3b"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "bench",
            "bucket": {
                "name": INBOX_BUCKET,
                "ownerIdentity": {"principalId": "A1B2C3EXAMPLE"},
                "arn": format!("arn:aws:s3:::{INBOX_BUCKET}"),
            },
            "object": {
                "key": OBJECT_KEY,
                "size": object.size,
                "eTag": StoredObject::ETAG,
                "versionId": StoredObject::VERSION,
                "sequencer": "006961F2C0A1B2C3D4",
            },
        },
    }]})
}
