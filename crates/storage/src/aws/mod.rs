//! The stores on AWS. The only module that knows the SDK, which its public items do not show.

mod errors;
mod exports;
mod imports;
mod items;
mod ledger;
mod notices;
mod objects;
mod tables;
mod values;
mod workflows;

#[cfg(test)]
mod canned;

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::{ErrorKind, StorageError};

pub use exports::AwsExports;
pub use ledger::{AwsLedger, JOB_KEY, OPEN_INDEX, OPEN_KEY, PART_KEY};
pub use notices::AwsQueue;
pub use objects::AwsObjects;
pub use tables::AwsTables;
pub use workflows::AwsWorkflows;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From sending a request to the head of its answer (and its body, where that is not streamed).
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the SDK tries a request, where it retries: its standard mode, exponential back-off with full jitter from 1 s.
const ATTEMPTS: u32 = 3;
/// A connection that was idle for longer is not used again: the other side, or a frozen function, may have lost it, and a
/// write on a lost connection counts as unanswered.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes the stores of one account and region. They share one HTTPS client with its connections and cached credentials.
#[derive(Debug, Clone)]
pub struct AwsClients {
    config: SdkConfig,
    endpoint: Option<String>,
}

/// Finds region and credentials in the SDK's default places (environment, profile, container, instance).
///
/// `endpoint` is the address of a local cloud; absent or empty means AWS. The SDK's own endpoint variables are not read:
/// it panics on an empty `AWS_ENDPOINT_URL`.
///
/// # Errors
/// `Refused` if no region is set, `Denied` if there are no credentials; both say what to do.
pub async fn connect(endpoint: Option<&str>) -> Result<AwsClients, StorageError> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https_client())
        .load()
        .await;
    let clients = AwsClients::new(config, endpoint);
    clients.check().await?;
    Ok(clients)
}

impl AwsClients {
    fn new(config: SdkConfig, endpoint: Option<&str>) -> Self {
        Self {
            config,
            endpoint: endpoint
                .filter(|endpoint| !endpoint.is_empty())
                .map(str::to_owned),
        }
    }

    /// The region, such as `us-east-1`.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", |region| region.as_ref())
    }

    /// All buckets.
    pub fn objects(&self) -> AwsObjects {
        AwsObjects::new(&self.config, self.endpoint.clone())
    }

    /// All tables.
    pub fn tables(&self) -> AwsTables {
        AwsTables::new(&self.config, self.endpoint.clone())
    }

    /// The ledger in the table of this name.
    pub fn ledger(&self, table: &str) -> AwsLedger {
        AwsLedger::new(&self.config, self.endpoint.clone(), table)
    }

    /// The queue with this URL.
    pub fn queue(&self, url: &str) -> AwsQueue {
        AwsQueue::new(&self.config, self.endpoint.clone(), url)
    }

    /// The exports of all tables.
    pub fn exports(&self) -> AwsExports {
        AwsExports::new(&self.config, self.endpoint.clone())
    }

    /// All state machines.
    pub fn workflows(&self) -> AwsWorkflows {
        AwsWorkflows::new(&self.config, self.endpoint.clone())
    }

    async fn check(&self) -> Result<(), StorageError> {
        use aws_sdk_s3::config::ProvideCredentials;

        if self.region().is_empty() {
            return Err(StorageError::new(
                ErrorKind::Refused,
                "connect",
                "AWS",
                "no region is set: set AWS_REGION",
            ));
        }
        let denied =
            |message: &str| StorageError::new(ErrorKind::Denied, "connect", "AWS", message);
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| denied("no source of credentials is configured"))?;
        provider.provide_credentials().await.map_err(|error| {
            denied("no credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
                .with_source(error)
        })?;
        Ok(())
    }
}

fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// An attempt of at most `attempt`.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .build()
}

fn standard_retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// Requests and answers are small and have the attempt's time-out, so nothing needs to watch their throughput.
fn no_stream_protection() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::disabled()
}
