//! S3 in path style: one object to read, or those of an export, and a place that takes uploads and counts them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::header::{HeaderMap, IF_MATCH, RANGE};
use hyper::{Method, Request, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::answer::Answer;
use super::{Counts, INBOX_BUCKET, LAKE_BUCKET, OBJECT_KEY, Shared, log, outputs, tables};
use crate::reprocess::items::PREFIX;

const BACKUP_PREFIX: &str = "json-copy/";

/// An object that can be read.
#[derive(Debug, Clone)]
pub(super) struct StoredObject {
    path: PathBuf,
    pub(super) size: u64,
}

impl StoredObject {
    pub(super) const ETAG: &str = "0ff2316cb07cefd6e7acb0d1ea9c167d";
    pub(super) const VERSION: &str = "tX4bVqYk1sM9Zc7Rw2Jp5Gh8Dn3Lf6Ae";

    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            size: path.metadata()?.len(),
        })
    }
}

/// Multipart uploads that are under way, by number.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    begun: u64,
    parts: HashMap<u64, Uploaded>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Uploaded {
    bytes: u64,
    lines: u64,
}

impl Uploaded {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.lines += other.lines;
    }

    fn count(self, key: &str, counts: &mut Counts) {
        counts.uploaded_bytes += self.bytes;
        if key.starts_with(BACKUP_PREFIX) {
            counts.backup_lines += self.lines;
        }
    }
}

pub(super) async fn answer<B>(request: Request<B>, shared: &Shared) -> Result<Answer, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let (head, body) = request.into_parts();
    // The SDK writes `=` as %3D.
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    match (head.method.clone(), bucket) {
        (Method::GET, INBOX_BUCKET | LAKE_BUCKET) if key.is_empty() => Ok(empty_list(bucket)),
        (Method::GET, LAKE_BUCKET) if key.starts_with(PREFIX) => Ok(outputs::get(key, shared)),
        (Method::PUT | Method::POST | Method::DELETE, LAKE_BUCKET)
            if key.starts_with(tables::PREFIX)
                && let Some(work) = &shared.export =>
        {
            tables::answer(key, &head, body, work, shared).await
        }
        (method @ (Method::GET | Method::HEAD), INBOX_BUCKET | LAKE_BUCKET) => {
            Ok(read(&method, bucket, key, &head.uri, &head.headers, shared))
        }
        (Method::PUT, LAKE_BUCKET) if key.starts_with(log::PREFIX) => {
            log::put(key, &head.headers, body, shared).await
        }
        (Method::PUT, LAKE_BUCKET) if key.starts_with(PREFIX) => {
            outputs::put(key, &head.headers, body, shared).await
        }
        (Method::PUT, LAKE_BUCKET) => put(key, &head.uri, &head.headers, body, shared).await,
        (Method::POST, LAKE_BUCKET) => {
            body.collect().await?;
            Ok(begin_or_complete(key, &head.uri, shared))
        }
        (Method::DELETE, LAKE_BUCKET) => {
            if let Some(upload) = upload_of(&head.uri) {
                shared.state().uploads.parts.remove(&upload);
            }
            Ok(Answer::new(StatusCode::NO_CONTENT, "application/xml", ""))
        }
        _ => Ok(Answer::xml_error(
            StatusCode::NOT_FOUND,
            "NoSuchBucket",
            "this endpoint has the buckets inbox, to read, and lake, to write",
        )),
    }
}

fn empty_list(bucket: &str) -> Answer {
    Answer::xml(format!(
        "<ListBucketResult><Name>{bucket}</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
    ))
}

fn read(
    method: &Method,
    bucket: &str,
    key: &str,
    uri: &Uri,
    headers: &HeaderMap,
    shared: &Shared,
) -> Answer {
    let object = match (bucket, key) {
        (INBOX_BUCKET, OBJECT_KEY) => shared.object.clone(),
        (LAKE_BUCKET, key) => shared.export.as_ref().and_then(|work| work.object(key)),
        _ => None,
    };
    let Some(object) = object else {
        return Answer::xml_error(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "there is no such object",
        );
    };
    if parameter(uri, "versionId").is_some_and(|version| version != StoredObject::VERSION) {
        return Answer::xml_error(
            StatusCode::NOT_FOUND,
            "NoSuchVersion",
            "there is no such version",
        );
    }
    let wanted_etag = text_header(headers, IF_MATCH.as_str());
    if wanted_etag.is_some_and(|etag| etag.trim_matches('"') != StoredObject::ETAG) {
        return Answer::xml_error(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "the object has another ETag",
        );
    }
    let range = match text_header(headers, RANGE.as_str()) {
        None => None,
        Some(text) => match range(text, object.size) {
            Some(range) => Some(range),
            None => {
                return Answer::xml_error(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "InvalidRange",
                    "the object has no such range",
                );
            }
        },
    };
    let answer = match *method == Method::HEAD {
        true => Answer::head_only(object.size),
        false => contents(&object, range, shared),
    };
    answer
        .header("etag", &format!("\"{}\"", StoredObject::ETAG))
        .header("x-amz-version-id", StoredObject::VERSION)
        .header("accept-ranges", "bytes")
}

fn contents(object: &StoredObject, range: Option<(u64, u64)>, shared: &Shared) -> Answer {
    let (start, end) = range.unwrap_or((0, object.size));
    let opened = File::open(&object.path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    });
    let Ok(file) = opened else {
        return Answer::xml_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "the object's file cannot be read",
        );
    };
    shared.state().counts.object_bytes += end - start;
    match range {
        None => Answer::file(StatusCode::OK, file, end - start),
        Some(_) => Answer::file(StatusCode::PARTIAL_CONTENT, file, end - start).header(
            "content-range",
            &format!("bytes {start}-{}/{}", end - 1, object.size),
        ),
    }
}

/// The half-open range that `bytes=5-` or `bytes=5-9` asks for of an object with `size` bytes.
fn range(text: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = first.parse().ok()?;
    let end = match last {
        "" => size,
        last => last.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    (start < end).then_some((start, end))
}

async fn put<B>(
    key: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: B,
    shared: &Shared,
) -> Result<Answer, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let uploaded = drain(body).await?;
    if let Some(refusal) = refusal_of_frames(headers) {
        return Ok(refusal);
    }
    let mut state = shared.state();
    let state = &mut *state;
    match upload_of(uri) {
        None => uploaded.count(key, &mut state.counts),
        Some(upload) => match state.uploads.parts.get_mut(&upload) {
            Some(parts) => parts.add(uploaded),
            None => return Ok(no_such_upload()),
        },
    }
    Ok(Answer::empty().header("etag", "\"0\""))
}

/// The refusal of a body in frames, if this is one.
pub(super) fn refusal_of_frames(headers: &HeaderMap) -> Option<Answer> {
    let digest = text_header(headers, "x-amz-content-sha256")?;
    digest.starts_with("STREAMING-").then(|| {
        Answer::xml_error(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "this endpoint would count the frames of aws-chunked bodies as contents",
        )
    })
}

async fn drain<B>(mut body: B) -> Result<Uploaded, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut uploaded = Uploaded::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            uploaded.bytes += data.len() as u64;
            uploaded.lines += memchr::memchr_iter(b'\n', &data).count() as u64;
        }
    }
    Ok(uploaded)
}

fn begin_or_complete(key: &str, uri: &Uri, shared: &Shared) -> Answer {
    let mut state = shared.state();
    let state = &mut *state;
    match upload_of(uri) {
        None => {
            let uploads = &mut state.uploads;
            uploads.begun += 1;
            uploads.parts.insert(uploads.begun, Uploaded::default());
            Answer::xml(format!(
                "<InitiateMultipartUploadResult><Bucket>{LAKE_BUCKET}</Bucket><Key>{key}</Key><UploadId>{}</UploadId></InitiateMultipartUploadResult>",
                uploads.begun
            ))
        }
        Some(upload) => match state.uploads.parts.remove(&upload) {
            Some(uploaded) => {
                uploaded.count(key, &mut state.counts);
                Answer::xml(format!(
                    "<CompleteMultipartUploadResult><Bucket>{LAKE_BUCKET}</Bucket><Key>{key}</Key><ETag>\"0\"</ETag></CompleteMultipartUploadResult>"
                ))
            }
            None => no_such_upload(),
        },
    }
}

pub(super) fn no_such_upload() -> Answer {
    Answer::xml_error(
        StatusCode::NOT_FOUND,
        "NoSuchUpload",
        "there is no such upload",
    )
}

pub(super) fn upload_of(uri: &Uri) -> Option<u64> {
    parameter(uri, "uploadId")?.parse().ok()
}

/// A parameter of the query, as it stands there; those that matter here have nothing to decode.
pub(super) fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_and_refused_behind_it() {
        for (text, expected) in [
            ("bytes=0-", Some((0, 10))),
            ("bytes=4-", Some((4, 10))),
            ("bytes=4-6", Some((4, 7))),
            ("bytes=4-99", Some((4, 10))),
            ("bytes=10-", None),
            ("bytes=-4", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
    }
}
