//! Answers on their way out.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

const CHUNK_BYTES: u64 = 128 * 1024;

pub(super) type AnswerBody = Either<Full<Bytes>, FileBody>;

#[derive(Debug)]
pub(super) struct Answer {
    response: Response<AnswerBody>,
    refusal: Option<String>,
}

impl Answer {
    pub(super) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut response = Response::new(Either::Left(Full::new(body.into())));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static(content_type));
        Self {
            response,
            refusal: None,
        }
    }

    pub(super) fn empty() -> Self {
        Self::new(StatusCode::OK, "application/xml", Bytes::new())
    }

    pub(super) fn xml(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "application/xml", body)
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::new(
            StatusCode::OK,
            "application/x-amz-json-1.0",
            body.to_string(),
        )
    }

    /// An error in the JSON protocols, with further members.
    pub(super) fn json_error(code: &str, message: &str, mut body: Value) -> Self {
        body["__type"] = format!("com.amazonaws.dynamodb.v20120810#{code}").into();
        body["message"] = message.into();
        Self {
            refusal: Some(format!("{code}: {message}")),
            ..Self::new(
                StatusCode::BAD_REQUEST,
                "application/x-amz-json-1.0",
                body.to_string(),
            )
        }
    }

    /// An error of S3.
    pub(super) fn xml_error(status: StatusCode, code: &str, message: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self {
            refusal: Some(format!("{code}: {message}")),
            ..Self::new(status, "application/xml", body)
        }
    }

    /// `length` bytes of an open file from where it stands.
    pub(super) fn file(status: StatusCode, file: File, length: u64) -> Self {
        let mut response = Response::new(Either::Right(FileBody { file, left: length }));
        *response.status_mut() = status;
        Self {
            response,
            refusal: None,
        }
    }

    /// The head of an answer whose body would have `length` bytes.
    pub(super) fn head_only(length: u64) -> Self {
        let mut answer = Self::empty();
        answer
            .response
            .headers_mut()
            .insert(CONTENT_LENGTH, length.into());
        answer
    }

    /// Adds a header, whose value this endpoint made up itself.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("our own values are visible ASCII");
        self.response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
        self
    }

    /// The error that this answer is, if it is one.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    pub(super) fn into_response(self) -> Response<AnswerBody> {
        self.response
    }
}

/// A part of a file, read as fast as it is taken. Reading blocks the server's only thread for a chunk at a time, which costs
/// less than another thread would.
#[derive(Debug)]
pub(super) struct FileBody {
    file: File,
    left: u64,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left.min(CHUNK_BYTES)).expect("a chunk is small");
        let mut chunk = BytesMut::zeroed(length);
        Poll::Ready(Some(self.file.read_exact(&mut chunk).map(|()| {
            self.left -= length as u64;
            Frame::data(chunk.freeze())
        })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
