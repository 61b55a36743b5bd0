//! What the SDK's errors mean to a caller.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{ErrorKind, StorageError};

/// The error of one operation, after whatever retries its client makes.
pub(super) fn storage_error<E>(
    operation: &'static str,
    target: impl Into<String>,
    error: SdkError<E, HttpResponse>,
) -> StorageError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let (kind, message) = match &error {
        SdkError::ServiceError(refusal) => {
            let status = refusal.raw().status().as_u16();
            let kind = kind_of_answer(error.code(), status);
            // The service's own words say everything; its error types only repeat them.
            let refused = StorageError::new(kind, operation, target, words(&error, status));
            return match error.meta().extra("aws_request_id") {
                Some(request) => refused.with_request(request),
                None => refused,
            };
        }
        SdkError::ConstructionFailure(_) => (ErrorKind::Internal, "the request could not be built"),
        SdkError::TimeoutError(_) => (ErrorKind::Unanswered, "no answer came in time"),
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            (ErrorKind::Internal, "the request could not be sent")
        }
        SdkError::DispatchFailure(_) => (ErrorKind::Unanswered, "the connection failed"),
        SdkError::ResponseError(_) => (ErrorKind::Unanswered, "the answer could not be read"),
        _ => (ErrorKind::Internal, "the SDK failed in an unknown way"),
    };
    StorageError::new(kind, operation, target, message).with_source(error)
}

/// The kind of an answer that is an error, from the service's code, which says most, and else from its HTTP status.
/// Codes: the API references' "Common Errors" and each operation's "Errors"; S3: "Error responses".
fn kind_of_answer(code: Option<&str>, status: u16) -> ErrorKind {
    code.and_then(kind_of_code)
        .unwrap_or_else(|| kind_of_status(status))
}

fn kind_of_code(code: &str) -> Option<ErrorKind> {
    let kind = match code {
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        // DynamoDB: too many control plane operations at a time. Step Functions: too many executions.
        | "LimitExceededException"
        | "ExecutionLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        // Another region, or another request, was writing the same thing: this one was not carried out.
        | "ReplicatedWriteConflictException"
        | "TransactionConflictException"
        | "ConditionalRequestConflict"
        | "OperationAborted" => ErrorKind::Throttled,
        code if code.contains("Throttl") => ErrorKind::Throttled,
        "ValidationException"
        | "InvalidExportTimeException"
        | "PointInTimeRecoveryUnavailableException"
        // S3: what is asked for does not go together; it would not another time.
        | "EntityTooSmall"
        | "InvalidArgument"
        | "InvalidObjectState"
        | "InvalidRequest"
        | "InvalidArn"
        | "InvalidExecutionInput"
        | "InvalidName"
        | "ItemCollectionSizeLimitExceededException"
        | "SerializationException" => ErrorKind::Refused,
        "ConditionalCheckFailedException"
        | "ExecutionAlreadyExists"
        | "ExportConflictException"
        | "PreconditionFailed" => ErrorKind::Conflict,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "NotAuthorized"
        | "KmsAccessDeniedException"
        | "RequestExpired"
        | "OptInRequired" => ErrorKind::Denied,
        "ResourceNotFoundException"
        | "TableNotFoundException"
        | "NoSuchKey"
        | "NoSuchVersion"
        | "NoSuchBucket"
        | "NoSuchUpload"
        | "NotFound"
        | "ExportNotFoundException"
        | "ImportNotFoundException"
        | "ExecutionDoesNotExist"
        | "StateMachineDeleting"
        | "StateMachineDoesNotExist"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => ErrorKind::NotFound,
        // S3 says 400 to a body that came too slowly.
        "RequestTimeout" => ErrorKind::Unanswered,
        _ => return None,
    };
    Some(kind)
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Denied,
        // 405 answers a GET of a version that is a delete marker.
        404 | 405 => ErrorKind::NotFound,
        408 => ErrorKind::Unanswered,
        412 => ErrorKind::Conflict,
        429 => ErrorKind::Throttled,
        // Only what names a bad request by its code is one: of anything else we do not know what it says of the items.
        300..=499 => ErrorKind::Internal,
        _ => ErrorKind::Unanswered,
    }
}

/// `AccessDenied: Access Denied`: the same for the same refusal, so that it can stand in an unprocessed part.
fn words<E>(error: &SdkError<E, HttpResponse>, status: u16) -> String
where
    E: ProvideErrorMetadata,
{
    let mut words = error
        .code()
        .map_or_else(|| format!("HTTP {status}"), str::to_owned);
    if let Some(message) = error.message() {
        words.push_str(": ");
        words.push_str(message);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        let cases = [
            (Some("ThrottlingException"), 400, ErrorKind::Throttled),
            (
                Some("ProvisionedThroughputExceededException"),
                400,
                ErrorKind::Throttled,
            ),
            (Some("RequestLimitExceeded"), 400, ErrorKind::Throttled),
            (
                Some("ConditionalRequestConflict"),
                409,
                ErrorKind::Throttled,
            ),
            (Some("LimitExceededException"), 400, ErrorKind::Throttled),
            (Some("ExecutionLimitExceeded"), 400, ErrorKind::Throttled),
            (Some("KmsThrottlingException"), 400, ErrorKind::Throttled),
            (Some("InvalidExecutionInput"), 400, ErrorKind::Refused),
            (Some("InvalidArn"), 400, ErrorKind::Refused),
            (Some("InvalidName"), 400, ErrorKind::Refused),
            (Some("StateMachineDoesNotExist"), 400, ErrorKind::NotFound),
            (Some("SlowDown"), 503, ErrorKind::Throttled),
            (None, 503, ErrorKind::Unanswered),
            (Some("InternalServerError"), 500, ErrorKind::Unanswered),
            (Some("RequestTimeout"), 400, ErrorKind::Unanswered),
            (Some("ValidationException"), 400, ErrorKind::Refused),
            (Some("EntityTooSmall"), 400, ErrorKind::Refused),
            (Some("PermanentRedirect"), 301, ErrorKind::Internal),
            (Some("ExpiredTokenException"), 400, ErrorKind::Denied),
            (Some("RequestTimeTooSkewed"), 403, ErrorKind::Denied),
            (Some("NoSuchVersion"), 404, ErrorKind::NotFound),
            (Some("MethodNotAllowed"), 405, ErrorKind::NotFound),
            (None, 412, ErrorKind::Conflict),
        ];
        for (code, status, expected) in cases {
            assert_eq!(kind_of_answer(code, status), expected, "{code:?} {status}");
        }
    }
}
