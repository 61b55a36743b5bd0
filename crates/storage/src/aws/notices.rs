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
