//! The change log in the lake: objects of gzipped lines, of which the records are counted.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use hyper::header::{HeaderMap, IF_NONE_MATCH};

use super::Shared;
use super::answer::Answer;
use crate::stream::batches::add_record;

/// Where it is.
pub(super) const PREFIX: &str = "changes/";

pub(super) async fn put<B>(
    key: &str,
    headers: &HeaderMap,
    body: B,
    shared: &Shared,
) -> Result<Answer, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let object = body.collect().await?.to_bytes();
    let Ok(lines) = inflated(&object) else {
        return Ok(Answer::xml_error(
            StatusCode::BAD_REQUEST,
            "InvalidRequest",
            "this endpoint wants gzipped lines under changes/",
        ));
    };
    let mut state = shared.state();
    let is_new = state.log_keys.insert(key.to_owned());
    if !is_new && headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == "*") {
        return Ok(Answer::xml_error(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "there is such an object",
        ));
    }
    state.counts.uploaded_bytes += object.len() as u64;
    for line in lines.split_terminator('\n') {
        add_record(&mut state.counts.log_records, line);
    }
    Ok(Answer::empty().header("etag", "\"0\""))
}

pub(super) fn inflated(object: &[u8]) -> io::Result<String> {
    let mut lines = String::new();
    MultiGzDecoder::new(object).read_to_string(&mut lines)?;
    Ok(lines)
}
