//! An export in the lake, to be read, and what becomes of it under `tables/`: objects that are kept, so that their rows can be
//! looked at when the run is over.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::header::IF_NONE_MATCH;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::s3::{
    StoredObject, no_such_upload, parameter, refusal_of_frames, text_header, upload_of,
};
use super::{LAKE_BUCKET, Shared};

/// Where objects are kept.
pub(super) const PREFIX: &str = "tables/";

/// A function's work with an export, as a file of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportWork {
    /// The folder with the objects of the lake by their keys.
    pub objects: PathBuf,
    /// The folder for the objects under `tables/`, by their keys.
    pub output: PathBuf,
    /// Rows that are in the ledger already, as DynamoDB JSON.
    pub ledger: Vec<Map<String, Value>>,
    /// The events, one after the other.
    pub events: Vec<Value>,
}

impl ExportWork {
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// The object under a key, if there is one.
    pub(super) fn object(&self, key: &str) -> Option<StoredObject> {
        let folders = [&self.objects, &self.output];
        folders
            .into_iter()
            .find_map(|folder| StoredObject::of_file(&path_of(folder, key)?).ok())
    }
}

/// What came under `tables/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tables {
    /// Objects that can be read.
    pub objects: u64,
    /// Uploads that were begun and neither completed nor aborted.
    pub unfinished: u64,
}

/// Uploads that are under way, by number.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    begun: u64,
    parts: HashMap<u64, BTreeMap<u16, Bytes>>,
}

/// Answers a request that is not one for reading.
pub(super) async fn answer<B>(
    key: &str,
    head: &Parts,
    body: B,
    work: &ExportWork,
    shared: &Shared,
) -> Result<Answer, hyper::Error>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    let body = body.collect().await?.to_bytes();
    let Some(path) = path_of(&work.output, key) else {
        return Ok(refused("a key names no folder above the bucket"));
    };
    if let Some(refusal) = refusal_of_frames(&head.headers) {
        return Ok(refusal);
    }
    let mut state = shared.state();
    let state = &mut *state;
    let (uploads, counts) = (&mut state.tables, &mut state.counts);
    let answer = match (&head.method, upload_of(&head.uri)) {
        (&Method::POST, None) => uploads.begin(key),
        (&Method::PUT, Some(upload)) => {
            let number = parameter(&head.uri, "partNumber").and_then(|number| number.parse().ok());
            uploads.add(upload, number, body)
        }
        (&Method::POST, Some(upload)) => match uploads.finish(upload, &body) {
            Err(refusal) => *refusal,
            Ok(parts) => keep(&path, &parts, counts).unwrap_or_else(|| {
                Answer::xml(format!(
                    "<CompleteMultipartUploadResult><Bucket>{LAKE_BUCKET}</Bucket><Key>{key}</Key><ETag>\"{}\"</ETag></CompleteMultipartUploadResult>",
                    StoredObject::ETAG
                ))
            }),
        },
        (&Method::PUT, None) => {
            if path.exists() && text_header(&head.headers, IF_NONE_MATCH.as_str()) == Some("*") {
                Answer::xml_error(
                    StatusCode::PRECONDITION_FAILED,
                    "PreconditionFailed",
                    "there is such an object",
                )
            } else {
                keep(&path, &[body], counts).unwrap_or_else(|| etag(Answer::empty()))
            }
        }
        (&Method::DELETE, Some(upload)) => {
            uploads.parts.remove(&upload);
            Answer::new(StatusCode::NO_CONTENT, "application/xml", "")
        }
        _ => refused("this endpoint deletes no objects"),
    };
    counts.tables.unfinished = uploads.parts.len() as u64;
    Ok(answer)
}

impl Uploads {
    fn begin(&mut self, key: &str) -> Answer {
        self.begun += 1;
        self.parts.insert(self.begun, BTreeMap::new());
        Answer::xml(format!(
            "<InitiateMultipartUploadResult><Bucket>{LAKE_BUCKET}</Bucket><Key>{key}</Key><UploadId>{}</UploadId></InitiateMultipartUploadResult>",
            self.begun
        ))
    }

    fn add(&mut self, upload: u64, number: Option<u16>, body: Bytes) -> Answer {
        match (self.parts.get_mut(&upload), number) {
            (Some(parts), Some(number @ 1..=10_000)) => {
                parts.insert(number, body);
                etag(Answer::empty())
            }
            (Some(_), _) => refused("a part has a number from 1 to 10000"),
            (None, _) => no_such_upload(),
        }
    }

    /// The parts in their order, if these are the ones that the body lists.
    fn finish(&mut self, upload: u64, body: &[u8]) -> Result<Vec<Bytes>, Box<Answer>> {
        let parts = self.parts.get(&upload);
        let parts = parts.ok_or_else(|| Box::new(no_such_upload()))?;
        let body = String::from_utf8_lossy(body);
        let listed = body.split("<PartNumber>").skip(1);
        let listed = listed.map(|rest| rest.split('<').next()?.parse().ok());
        if !listed.eq(parts.keys().map(|number| Some(*number))) {
            let refusal = refused("the parts are not the ones that were uploaded");
            return Err(Box::new(refusal));
        }
        let parts = self.parts.remove(&upload).unwrap_or_default();
        Ok(parts.into_values().collect())
    }
}

/// Makes an object; the answer where that fails.
fn keep(path: &Path, parts: &[Bytes], counts: &mut super::Counts) -> Option<Answer> {
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = File::create(path)?;
        parts.iter().try_for_each(|part| file.write_all(part))
    };
    if let Err(error) = write() {
        let message = format!("{} cannot be written: {error}", path.display());
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Some(Answer::xml_error(status, "InternalError", &message));
    }
    counts.tables.objects += 1;
    counts.uploaded_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
    None
}

fn etag(answer: Answer) -> Answer {
    answer.header("etag", &format!("\"{}\"", StoredObject::ETAG))
}

fn refused(message: &str) -> Answer {
    Answer::xml_error(StatusCode::BAD_REQUEST, "InvalidRequest", message)
}

/// Where the object of a key is in a folder; nothing if it would be outside.
fn path_of(folder: &Path, key: &str) -> Option<PathBuf> {
    let mut components = Path::new(key).components();
    let is_inside = components.all(|component| matches!(component, Component::Normal(_)));
    is_inside.then(|| folder.join(key))
}
