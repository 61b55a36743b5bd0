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

    /// A PutObject that S3 refuses if the object there has the ETag `none_match` (`*`: any at all) or another than `matched`.
    async fn put_on_condition(
        &self,
        (bucket, key): (&str, &str),
        body: Bytes,
        none_match: Option<&str>,
        matched: Option<&str>,
    ) -> Result<(), StorageError> {
        let time = longer_upload(&body);
        let request = self
            .client
            .put_object()
            .bucket(bucket)
            .key(key)
            .set_if_none_match(none_match.map(str::to_owned))
            .set_if_match(matched.map(|etag| quoted(etag.to_owned())))
            .body(ByteStream::from(body))
            .customize();
        // Overriding a setting costs a good part of a small request's CPU time.
        let request = match time {
            Some(time) => request.config_override(within(time)),
            None => request,
        };
        request
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
        self.put_on_condition((bucket, key), body, None, None).await
    }

    async fn put_new(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), StorageError> {
        self.put_on_condition((bucket, key), body, Some("*"), None)
            .await
    }

    async fn put_replacing(
        &self,
        bucket: &str,
        key: &str,
        etag: &str,
        body: Bytes,
    ) -> Result<(), StorageError> {
        self.put_on_condition((bucket, key), body, None, Some(etag))
            .await
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

/// The time of an upload that takes longer than other requests.
fn longer_upload(body: &Bytes) -> Option<Duration> {
    Some(upload_timeout(body)).filter(|time| *time > super::ATTEMPT_TIMEOUT)
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
mod tests;
