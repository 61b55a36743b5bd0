use aws_config::SdkConfig;
use aws_sdk_sqs::Client;

use super::errors::storage_error;
use crate::{Notices, StorageError};

/// An SQS queue. The SDK retries (standard mode, 3 attempts), so a message may arrive twice.
#[derive(Debug, Clone)]
pub struct AwsQueue {
    client: Client,
    url: String,
}

impl AwsQueue {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>, url: &str) -> Self {
        let mut builder = aws_sdk_sqs::config::Builder::from(config)
            .retry_config(super::standard_retries())
            .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
            .stalled_stream_protection(super::no_stream_protection());
        builder.set_endpoint_url(endpoint);
        Self {
            client: Client::from_conf(builder.build()),
            url: url.to_owned(),
        }
    }
}

impl Notices for AwsQueue {
    async fn send(&self, message: &str) -> Result<(), StorageError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(message)
            .send()
            .await
            .map(drop)
            .map_err(|error| storage_error("SendMessage", &self.url, error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::canned::{Answer, Canned};
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn a_message_is_sent_to_the_queue_and_a_missing_queue_is_not_found() {
        let server = Canned::start(vec![
            Answer::new(200, r#"{"MD5OfMessageBody":"x","MessageId":"m"}"#),
            Answer::new(
                400,
                r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#,
            ),
        ])
        .await;
        let queue = server
            .clients()
            .await
            .queue("http://127.0.0.1:1/123456789012/failures");
        queue.send(r#"{"job":"j"}"#).await.unwrap();
        let error = queue.send("again").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let sent: serde_json::Value = serde_json::from_str(&server.asked()[0].body).unwrap();
        assert_eq!(sent["QueueUrl"], "http://127.0.0.1:1/123456789012/failures");
        assert_eq!(sent["MessageBody"], r#"{"job":"j"}"#);
    }
}
