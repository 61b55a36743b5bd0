use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, EncodingType, Object};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::checksum_config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use percent_encoding::percent_decode_str;

use super::errors::storage_error;
use crate::{
    ErrorKind, ListedObject, ObjectBody, ObjectId, ObjectMeta, ObjectStore, StorageError,
    Timestamp, Upload, UploadedPart,
};

/// The slowest upload that is waited for, in bytes a second.
const SLOWEST_UPLOAD: u64 = 512 * 1024;
/// S3 may take minutes to join the parts of a large object.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(120);

/// S3's buckets. The SDK retries (standard mode, 3 attempts) until an object's first byte has come; what goes wrong later in
/// a body is the business of [`crate::open_resuming`].
#[derive(Debug, Clone)]
pub struct AwsObjects {
    client: Client,
}

impl AwsObjects {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        // A body is read as slowly as the table takes its rows; only uploads are watched for a stall.
        let protection = StalledStreamProtectionConfig::enabled()
            .upload_enabled(true)
            .download_enabled(false)
            .build();
        let mut builder = aws_sdk_s3::config::Builder::from(config)
            .retry_config(super::standard_retries())
            .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
            .stalled_stream_protection(protection)
            // The signature covers the SHA-256 of every body already, so another checksum would protect nothing more.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(endpoint.is_some());
        builder.set_endpoint_url(endpoint);
        Self {
            client: Client::from_conf(builder.build()),
        }
    }

    /// A PutObject, which S3 refuses if the object there has the ETag `unwanted` (`*`: any at all).
    async fn put_unless(
        &self,
        unwanted: Option<&str>,
        bucket: &str,
        key: &str,
        body: Bytes,
    ) -> Result<(), StorageError> {
        let allowed = within(upload_timeout(&body));
        self.client
            .put_object()
            .bucket(bucket)
            .key(key)
            .set_if_none_match(unwanted.map(str::to_owned))
            .body(ByteStream::from(body))
            .customize()
            .config_override(allowed)
            .send()
            .await
            .map(drop)
            .map_err(|error| object_error("PutObject", address(bucket, key), error))
    }

    /// An empty stream of an object whose size is at or below the offset: S3 refuses such a range.
    async fn open_past_end(&self, object: &ObjectId) -> Result<ObjectBody, StorageError> {
        let head = self
            .client
            .head_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version.clone())
            .set_if_match(object.etag.clone().map(quoted))
            .send()
            .await
            .map_err(|error| object_error("HeadObject", object.to_string(), error))?;
        let meta = ObjectMeta {
            size: length_of(head.content_length, object)?,
            etag: unquoted(head.e_tag.as_deref().unwrap_or_default()),
            metadata: head.metadata.unwrap_or_default().into_iter().collect(),
        };
        Ok(ObjectBody {
            meta,
            content: stream::empty().boxed_local(),
        })
    }
}

impl ObjectStore for AwsObjects {
    async fn open(&self, object: &ObjectId, from: u64) -> Result<ObjectBody, StorageError> {
        let answer = self
            .client
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version.clone())
            .set_if_match(object.etag.clone().map(quoted))
            .set_range((from > 0).then(|| format!("bytes={from}-")))
            .send()
            .await;
        match answer {
            Ok(answer) => body_of(answer, object, from),
            Err(error) if is_past_end(&error) => self.open_past_end(object).await,
            Err(error) => Err(object_error("GetObject", object.to_string(), error)),
        }
    }

    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        self.put_unless(None, bucket, key, body).await
    }

    async fn put_new(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        self.put_unless(Some("*"), bucket, key, body).await
    }

    async fn begin_upload(&self, bucket: &str, key: &str) -> Result<Upload, StorageError> {
        let answer = self
            .client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| object_error("CreateMultipartUpload", address(bucket, key), error))?;
        let id = answer.upload_id.ok_or_else(|| {
            unreadable(
                "CreateMultipartUpload",
                address(bucket, key),
                "it names no upload",
            )
        })?;
        Ok(Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id,
        })
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        body: Bytes,
    ) -> Result<UploadedPart, StorageError> {
        let allowed = within(upload_timeout(&body));
        let answer = self
            .client
            .upload_part()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(i32::from(number))
            .body(ByteStream::from(body))
            .customize()
            .config_override(allowed)
            .send()
            .await
            .map_err(|error| object_error("UploadPart", address_of(upload), error))?;
        let etag = answer
            .e_tag
            .ok_or_else(|| unreadable("UploadPart", address_of(upload), "it has no ETag"))?;
        Ok(UploadedPart {
            number,
            etag: unquoted(&etag),
        })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
    ) -> Result<(), StorageError> {
        let parts = parts
            .into_iter()
            .map(|part| {
                CompletedPart::builder()
                    .part_number(i32::from(part.number))
                    .e_tag(quoted(part.etag))
                    .build()
            })
            .collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
        self.client
            .complete_multipart_upload()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .multipart_upload(parts.build())
            .customize()
            .config_override(within(COMPLETION_TIMEOUT))
            .send()
            .await
            .map(drop)
            .map_err(|error| object_error("CompleteMultipartUpload", address_of(upload), error))
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StorageError> {
        let answer = self
            .client
            .abort_multipart_upload()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(object_error(
                "AbortMultipartUpload",
                address_of(upload),
                error,
            )),
        }
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ListedObject>, StorageError> {
        let target = || address(bucket, prefix);
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            // XML cannot carry every key as it is.
            .encoding_type(EncodingType::Url)
            .into_paginator()
            .send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| object_error("ListObjectsV2", target(), error))?;
            let encoded = page.encoding_type == Some(EncodingType::Url);
            for object in page.contents.into_iter().flatten() {
                let listed = listed(object, encoded)
                    .map_err(|fault| unreadable("ListObjectsV2", target(), fault))?;
                objects.push(listed);
            }
        }
        Ok(objects)
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), StorageError> {
        self.client
            .delete_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .map(drop)
            .map_err(|error| object_error("DeleteObject", address(bucket, key), error))
    }
}

fn listed(object: Object, encoded: bool) -> Result<ListedObject, &'static str> {
    let key = object.key.ok_or("an object has no key")?;
    let key = match encoded {
        true => decoded(&key).ok_or("a key is not URL-encoded UTF-8")?,
        false => key,
    };
    let modified = object
        .last_modified
        .and_then(|time| u64::try_from(time.to_millis().ok()?).ok())
        .ok_or("an object has no time")?;
    Ok(ListedObject {
        key,
        bytes: object
            .size
            .and_then(|size| u64::try_from(size).ok())
            .ok_or("an object has no size")?,
        modified: Timestamp(modified),
    })
}

fn body_of(
    answer: GetObjectOutput,
    object: &ObjectId,
    from: u64,
) -> Result<ObjectBody, StorageError> {
    let size = match from {
        0 => length_of(answer.content_length, object)?,
        _ => size_of_range(answer.content_range.as_deref(), from).ok_or_else(|| {
            unreadable(
                "GetObject",
                object.to_string(),
                &format!("it does not begin at byte {from}"),
            )
        })?,
    };
    let metadata: BTreeMap<_, _> = answer.metadata.unwrap_or_default().into_iter().collect();
    Ok(ObjectBody {
        meta: ObjectMeta {
            size,
            etag: unquoted(answer.e_tag.as_deref().unwrap_or_default()),
            metadata,
        },
        content: chunks(answer.body, object.to_string()),
    })
}

fn chunks(
    body: ByteStream,
    target: String,
) -> LocalBoxStream<'static, Result<Bytes, StorageError>> {
    stream::try_unfold((body, target), |(mut body, target)| async move {
        match body.try_next().await {
            Ok(Some(chunk)) => Ok(Some((chunk, (body, target)))),
            Ok(None) => Ok(None),
            Err(error) => Err(StorageError::new(
                ErrorKind::Unanswered,
                "GetObject",
                target,
                "the body broke off",
            )
            .with_source(error)),
        }
    })
    .boxed_local()
}

/// The object's size out of `bytes 100-199/1234`, if the range begins where it should.
fn size_of_range(content_range: Option<&str>, from: u64) -> Option<u64> {
    let (range, size) = content_range?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    (first.parse() == Ok(from)).then(|| size.parse().ok())?
}

fn length_of(content_length: Option<i64>, object: &ObjectId) -> Result<u64, StorageError> {
    content_length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| unreadable("GetObject", object.to_string(), "it has no length"))
}

fn is_past_end<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("InvalidRange")
        || error
            .raw_response()
            .is_some_and(|response| response.status().as_u16() == 416)
}

fn object_error<E>(
    operation: &'static str,
    target: String,
    error: SdkError<E, HttpResponse>,
) -> StorageError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let error = storage_error(operation, target.clone(), error);
    let reads = matches!(operation, "GetObject" | "HeadObject");
    if reads && error.kind() == ErrorKind::Denied {
        // Without s3:ListBucket, S3 does not tell a caller that an object is missing.
        let message = format!(
            "{} (or there is no such object, and the caller may not list the bucket)",
            error.message()
        );
        return StorageError::new(ErrorKind::Denied, operation, target, message);
    }
    error
}

fn unreadable(operation: &'static str, target: String, fault: &str) -> StorageError {
    StorageError::new(
        ErrorKind::Internal,
        operation,
        target,
        format!("the answer makes no sense: {fault}"),
    )
}

fn within(attempt: Duration) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder().timeout_config(super::timeouts(attempt))
}

fn upload_timeout(body: &Bytes) -> Duration {
    super::ATTEMPT_TIMEOUT + Duration::from_secs(body.len() as u64 / SLOWEST_UPLOAD)
}

fn address(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

fn address_of(upload: &Upload) -> String {
    address(&upload.bucket, &upload.key)
}

fn quoted(etag: String) -> String {
    format!("\"{etag}\"")
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// Undoes form encoding, which is what S3 applies to the keys of a list.
fn decoded(key: &str) -> Option<String> {
    percent_decode_str(&key.replace('+', " "))
        .decode_utf8()
        .ok()
        .map(|key| key.into_owned())
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::super::canned::{Answer, Canned};
    use super::*;

    fn object(version: Option<&str>, etag: Option<&str>) -> ObjectId {
        ObjectId {
            bucket: "inbox".to_owned(),
            key: "a b/ä+%.csv".to_owned(),
            version: version.map(str::to_owned),
            etag: etag.map(str::to_owned),
        }
    }

    async fn store(answers: Vec<Answer>) -> (Canned, AwsObjects) {
        let server = Canned::start(answers).await;
        let objects = server.clients().await.objects();
        (server, objects)
    }

    async fn open_against(answer: Answer, from: u64) -> Result<ObjectBody, StorageError> {
        let (_server, objects) = store(vec![answer]).await;
        objects.open(&object(None, None), from).await
    }

    async fn kind_of_open(answer: Answer, from: u64) -> Option<ErrorKind> {
        open_against(answer, from)
            .await
            .err()
            .map(|error| error.kind())
    }

    #[tokio::test]
    async fn an_object_is_asked_for_by_version_etag_and_offset() {
        let (server, objects) = store(vec![
            Answer::new(206, "6789")
                .header("content-range", "bytes 6-9/10")
                .header("etag", "\"e1\"")
                .header("x-amz-meta-transload-mapping", "m.json"),
        ])
        .await;
        let opened = objects
            .open(&object(Some("v1"), Some("e1")), 6)
            .await
            .unwrap();
        assert_eq!((opened.meta.size, opened.meta.etag.as_str()), (10, "e1"));
        assert_eq!(opened.meta.metadata["transload-mapping"], "m.json");
        let content: Vec<Bytes> = opened.content.try_collect().await.unwrap();
        assert_eq!(content.concat(), b"6789");

        let asked = &server.asked()[0];
        let line = "GET /inbox/a%20b/%C3%A4%2B%25.csv?x-id=GetObject&versionId=v1";
        assert_eq!(asked.line(), line);
        assert_eq!(asked.header("if-match"), Some("\"e1\""));
        assert_eq!(asked.header("range"), Some("bytes=6-"));
    }

    #[tokio::test]
    async fn a_whole_object_is_asked_for_without_a_range() {
        let (server, objects) = store(vec![Answer::new(200, "abc").header("etag", "\"e1\"")]).await;
        let opened = objects.open(&object(None, None), 0).await.unwrap();
        assert_eq!(opened.meta.size, 3);
        let asked = &server.asked()[0];
        assert_eq!(
            (asked.header("range"), asked.header("if-match")),
            (None, None)
        );
        assert_eq!(asked.header("x-amz-checksum-mode"), None);
    }

    #[tokio::test]
    async fn an_offset_past_the_end_gives_an_empty_stream() {
        let (server, objects) = store(vec![
            Answer::new(416, "<Error><Code>InvalidRange</Code></Error>"),
            Answer::new(200, "")
                .header("content-length", "10")
                .header("etag", "\"e1\""),
        ])
        .await;
        let opened = objects.open(&object(None, None), 10).await.unwrap();
        assert_eq!((opened.meta.size, opened.meta.etag.as_str()), (10, "e1"));
        let content: Vec<Bytes> = opened.content.try_collect().await.unwrap();
        assert!(content.is_empty());
        assert!(server.asked()[1].line().starts_with("HEAD "));
    }

    #[tokio::test]
    async fn errors_of_a_read_have_their_kind() {
        let error =
            |status, code| Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
        assert_eq!(
            kind_of_open(error(404, "NoSuchKey"), 0).await,
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind_of_open(error(404, "NoSuchVersion"), 0).await,
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind_of_open(error(405, "MethodNotAllowed"), 0).await,
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind_of_open(error(412, "PreconditionFailed"), 0).await,
            Some(ErrorKind::Conflict)
        );
        // A store that ignores the range would give the wrong bytes.
        assert_eq!(
            kind_of_open(Answer::new(200, "0123"), 2).await,
            Some(ErrorKind::Internal)
        );

        let denied = open_against(error(403, "AccessDenied"), 0)
            .await
            .err()
            .unwrap();
        assert_eq!(denied.kind(), ErrorKind::Denied);
        assert!(
            denied.message().contains("there is no such object"),
            "{denied}"
        );
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_not_an_end() {
        let opened = open_against(Answer::new(200, "0123456789").cut_at(4), 0)
            .await
            .unwrap();
        let ends = opened.content.collect::<Vec<_>>().await;
        let Some(Err(error)) = ends.last() else {
            panic!("the stream ended well: {ends:?}");
        };
        assert_eq!(error.kind(), ErrorKind::Unanswered);
    }

    #[tokio::test]
    async fn opening_is_retried() {
        let (server, objects) = store(vec![Answer::none(), Answer::new(200, "abc")]).await;
        objects.open(&object(None, None), 0).await.unwrap();
        assert_eq!(server.asked().len(), 2);
    }

    #[tokio::test]
    async fn the_signature_of_a_put_covers_its_content() {
        let (server, objects) = store(vec![Answer::new(200, "")]).await;
        objects
            .put("lake", "json-copy/k", Bytes::from_static(b"abc"))
            .await
            .unwrap();
        let asked = &server.asked()[0];
        assert_eq!(asked.body, "abc");
        // SHA-256 of `abc`, from FIPS 180-4's examples.
        assert_eq!(
            asked.header("x-amz-content-sha256"),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert_eq!(asked.header("x-amz-trailer"), None);
        assert_eq!(asked.header("if-none-match"), None);
    }

    #[tokio::test]
    async fn a_new_object_is_put_on_the_condition_that_there_is_none() {
        let refusal =
            |status, code| Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
        let (server, objects) = store(vec![
            Answer::new(200, ""),
            Answer::none(),
            refusal(412, "PreconditionFailed"),
            refusal(409, "ConditionalRequestConflict"),
        ])
        .await;
        let put = || objects.put_new("lake", "changes/k", Bytes::from_static(b"abc"));
        put().await.unwrap();
        let asked = &server.asked()[0];
        assert_eq!(asked.line(), "PUT /lake/changes/k?x-id=PutObject");
        assert_eq!(asked.header("if-none-match"), Some("*"));
        assert_eq!(asked.body, "abc");

        // The first try may have landed: then the conflict is with the caller's own object.
        assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(server.asked().len(), 3);
        assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Throttled);
        assert_eq!(server.asked().len(), 4);
    }

    #[tokio::test]
    async fn all_pages_of_a_list_are_read_and_decoded() {
        let page = |more: &str, key: &str, size: &str| {
            Answer::new(
                200,
                format!(
                    "<ListBucketResult><EncodingType>url</EncodingType>{more}<Contents><Key>{key}</Key>\
                        <LastModified>2026-01-31T12:00:00.000Z</LastModified>{size}</Contents></ListBucketResult>"
                ),
            )
        };
        let more =
            "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
        let (server, objects) = store(vec![
            page(more, "a+b/%C3%A4%2B%25.csv", "<Size>5368709120</Size>"),
            page("", "b", "<Size>0</Size>"),
            page("", "b", ""),
        ])
        .await;
        let listed = |key: &str, bytes| ListedObject {
            key: key.to_owned(),
            bytes,
            modified: Timestamp(1_769_860_800_000),
        };
        assert_eq!(
            objects.list("inbox", "").await.unwrap(),
            [listed("a b/ä+%.csv", 5_368_709_120), listed("b", 0)]
        );
        assert!(server.asked()[1].line().contains("continuation-token=t"));
        let error = objects.list("inbox", "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    }

    #[tokio::test]
    async fn an_upload_that_is_gone_is_aborted_already() {
        let (_server, objects) = store(vec![Answer::new(
            404,
            "<Error><Code>NoSuchUpload</Code></Error>",
        )])
        .await;
        let upload = Upload {
            bucket: "lake".to_owned(),
            key: "k".to_owned(),
            id: "u".to_owned(),
        };
        objects.abort_upload(&upload).await.unwrap();
    }
}
