//! What was made of pending items, under `reprocessed/table=offers/` in the lake: `<account>/<offer_id>.json`, plain JSON of one item, or a
//! bundle `….jsonl.gz` of gzipped lines `{"run":1,"key":…,"output":…}`. Everything that comes is read and counted.

use std::collections::HashMap;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use hyper::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::answer::Answer;
use super::log::inflated;
use super::s3::{refusal_of_frames, text_header};
use super::{LAKE_BUCKET, Shared, State};
use crate::reprocess::items::{Attributes, KEYS, Key, PREFIX, add_output, key_of};

/// The end of a bundle's name.
const BUNDLE: &str = ".jsonl.gz";

/// Objects by key.
pub(super) type Outputs = HashMap<String, Object>;

#[derive(Debug)]
pub(super) struct Object {
    body: Bytes,
    etag: String,
    /// Positions of the items that it has something of.
    items: Vec<usize>,
}

/// What an object says of one item.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "run")]
    _run: u64,
    key: Attributes,
    output: Attributes,
}

pub(super) async fn put<B>(
    key: &str,
    headers: &HeaderMap,
    body: B,
    shared: &Shared,
) -> Result<Answer, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let body = body.collect().await?.to_bytes();
    if let Some(refusal) = refusal_of_frames(headers) {
        return Ok(refusal);
    }
    let read = match key.ends_with(BUNDLE) {
        false => read(key, &body),
        // It takes many milliseconds, in which this thread has others to answer.
        true => {
            let (key, body) = (key.to_owned(), body.clone());
            let reading = tokio::task::spawn_blocking(move || read(&key, &body));
            reading.await.expect("reading an object does not panic")
        }
    };
    let mut state = shared.state();
    let state = &mut *state;
    let outputs = match read.and_then(|outputs| positions(outputs, state)) {
        Ok(outputs) => outputs,
        Err(fault) => {
            return Ok(Answer::xml_error(
                StatusCode::BAD_REQUEST,
                "InvalidRequest",
                &format!("{key}: {fault}"),
            ));
        }
    };
    if let Some(refusal) = refusal_of_condition(headers, state.outputs.get(key)) {
        return Ok(refusal);
    }
    let counts = &mut state.counts;
    for (_, item, output) in &outputs {
        add_output(&mut counts.reprocessed.outputs, item, output);
    }
    counts.reprocessed.objects += 1;
    counts.uploaded_bytes += body.len() as u64;
    let object = Object {
        etag: format!("{:032x}", counts.reprocessed.objects),
        items: outputs.iter().map(|(at, ..)| *at).collect(),
        body,
    };
    let etag = quoted(&object);
    state.outputs.insert(key.to_owned(), object);
    Ok(Answer::empty().header("etag", &etag))
}

pub(super) fn get(key: &str, shared: &Shared) -> Answer {
    match shared.state().outputs.get(key) {
        Some(object) => Answer::new(
            StatusCode::OK,
            "application/octet-stream",
            object.body.clone(),
        )
        .header("etag", &quoted(object)),
        None => Answer::xml_error(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "there is no such object",
        ),
    }
}

/// The answer that there is an object, at that path, is on its way: its items may be marked.
pub(super) fn answered(path: &str, shared: &Shared) {
    let mut state = shared.state();
    let state = &mut *state;
    let path = percent_decode_str(path).decode_utf8_lossy();
    let key = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(LAKE_BUCKET)?.strip_prefix('/'));
    let object = key.and_then(|key| state.outputs.get(key));
    if let (Some(object), Some(pending)) = (object, &mut state.pending) {
        pending.have_outputs(&object.items);
    }
}

fn refusal_of_condition(headers: &HeaderMap, there: Option<&Object>) -> Option<Answer> {
    let failed = || {
        Answer::xml_error(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "the object there is not as the condition wants it",
        )
    };
    if there.is_some() && text_header(headers, IF_NONE_MATCH.as_str()) == Some("*") {
        return Some(failed());
    }
    let wanted = text_header(headers, IF_MATCH.as_str())?;
    match there {
        Some(object) => (wanted != quoted(object)).then(failed),
        None => Some(Answer::xml_error(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "there is no such object",
        )),
    }
}

fn quoted(object: &Object) -> String {
    format!("\"{}\"", object.etag)
}

/// What an object has of which items.
fn read(key: &str, body: &[u8]) -> Result<Vec<(Key, Attributes)>, String> {
    let name = key.strip_prefix(PREFIX).unwrap_or(key);
    if name.ends_with(BUNDLE) {
        let lines = inflated(body).map_err(|_| "expected gzipped lines")?;
        return lines.split_terminator('\n').map(read_line).collect();
    }
    let [partition, sort] = KEYS;
    let parts = name
        .strip_suffix(".json")
        .and_then(|name| name.split_once('/'));
    let (account, offer) = parts.ok_or_else(|| {
        format!("expected {PREFIX}<{partition}>/<{sort}>.json or {PREFIX}…{BUNDLE}")
    })?;
    let output = serde_json::from_slice(body);
    let output = output.map_err(|error| format!("expected an item in plain JSON: {error}"))?;
    Ok(vec![([account.to_owned(), offer.to_owned()], output)])
}

fn read_line(line: &str) -> Result<(Key, Attributes), String> {
    let line: Line = serde_json::from_str(line)
        .map_err(|error| format!("expected a run, a key and an output in each line: {error}"))?;
    let key = key_of(&line.key).filter(|_| line.key.len() == KEYS.len());
    Ok((key.ok_or("the key is that of another table")?, line.output))
}

/// Adds where the items are.
fn positions(
    outputs: Vec<(Key, Attributes)>,
    state: &State,
) -> Result<Vec<(usize, Key, Attributes)>, String> {
    outputs
        .into_iter()
        .map(|(key, output)| {
            let pending = state.pending.as_ref();
            let position = pending.and_then(|pending| pending.position(&key));
            let position = position.ok_or_else(|| format!("there is no item {}", key.join("/")))?;
            Ok((position, key, output))
        })
        .collect()
}
