//! The Lambda Runtime API: the events of the work and their answers, and then no other event ever comes.

use std::io;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::s3::StoredObject;
use super::{INBOX_BUCKET, OBJECT_KEY, Shared, State};
use crate::stream::batches::{self, read_batch};

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
    shared.state().counts.function_answers.push(said);
    Ok(Answer::new(
        StatusCode::ACCEPTED,
        JSON,
        r#"{"status":"OK"}"#,
    ))
}

async fn next_event(shared: &Shared) -> Answer {
    let (event, number) = {
        let mut state = shared.state();
        (event(shared, &mut state), state.events_given)
    };
    let event = match event {
        Ok(Some(event)) => event,
        Ok(None) => {
            shared.function_is_idle.notify_one();
            std::future::pending().await
        }
        Err(error) => {
            return Answer::xml_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                &format!("the file of batches cannot be read: {error}"),
            );
        }
    };
    Answer::new(StatusCode::OK, JSON, event)
        .header(
            "lambda-runtime-aws-request-id",
            &format!("00000000-0000-0000-0000-{number:012}"),
        )
        .header(
            "lambda-runtime-deadline-ms",
            &shared.settings.deadline_ms.to_string(),
        )
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench",
        )
}

/// The next event, if there is one.
fn event(shared: &Shared, state: &mut State) -> io::Result<Option<Vec<u8>>> {
    let is_first = state.events_given == 0;
    if let Some(work) = &shared.export {
        let given = usize::try_from(state.events_given).map_err(io::Error::other)?;
        let event = work.events.get(given);
        state.events_given += u64::from(event.is_some());
        return Ok(event.map(|event| event.to_string().into_bytes()));
    }
    let event = match (&shared.object, &mut state.batches) {
        (Some(object), _) if is_first => Some(notification(object).to_string().into_bytes()),
        (None, None) if is_first => Some(scheduled().to_string().into_bytes()),
        (None, Some(file)) => {
            let mut lines = Vec::new();
            read_batch(file, &mut lines)?.then(|| batches::event(&lines))
        }
        _ => None,
    };
    state.events_given += u64::from(event.is_some());
    Ok(event)
}

/// What a schedule sends.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
fn scheduled() -> Value {
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "000000000000",
        "time": "2026-01-09T12:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:scheduler:us-east-1:000000000000:schedule/default/reprocess"],
        "detail": "{}",
    })
}

/// The notification that S3 sends for the object.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>
fn notification(object: &StoredObject) -> Value {
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
