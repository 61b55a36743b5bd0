//! The least that a program over the SDK has to do: parse, build items, write them in batches. No mapping, no backup, no
//! ledger, no order among the rows of a key.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::rows::Rows;

const BATCH_ITEMS: usize = 25;
const BATCHES_IN_FLIGHT: usize = 32;

/// Writes every row of `file` into `table` at `endpoint`, 32 batches of 25 at a time.
///
/// # Errors
/// The first thing that goes wrong: reading, or a request that the SDK's own retries did not save.
pub async fn load(endpoint: &str, table: &str, file: &Path) -> Result<(), Box<dyn Error>> {
    let client = client(endpoint).await;
    let mut rows = Rows::new(File::open(file)?);
    let names = rows.header()?;
    let mut in_flight = FuturesUnordered::new();
    loop {
        let batch = next_batch(&mut rows, &names)?;
        if batch.is_empty() {
            break;
        }
        if in_flight.len() == BATCHES_IN_FLIGHT
            && let Some(written) = in_flight.next().await
        {
            written?;
        }
        in_flight.push(write(&client, table, batch));
    }
    while let Some(written) = in_flight.next().await {
        written?;
    }
    Ok(())
}

async fn client(endpoint: &str) -> Client {
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    // Against an endpoint that throttles; one that does not never makes it retry.
    let retries = RetryConfig::standard()
        .with_max_attempts(10)
        .with_initial_backoff(Duration::from_millis(50));
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .endpoint_url(endpoint)
        .retry_config(retries)
        .http_client(http_client)
        .load()
        .await;
    Client::new(&config)
}

fn next_batch(
    rows: &mut Rows<File>,
    names: &[String],
) -> Result<Vec<WriteRequest>, Box<dyn Error>> {
    let mut batch = Vec::with_capacity(BATCH_ITEMS);
    while batch.len() < BATCH_ITEMS && rows.advance()? {
        let item = item(names, rows)?;
        let put = PutRequest::builder().set_item(Some(item)).build()?;
        batch.push(WriteRequest::builder().put_request(put).build());
    }
    Ok(batch)
}

fn item(names: &[String], rows: &Rows<File>) -> io::Result<HashMap<String, AttributeValue>> {
    let mut item = HashMap::with_capacity(names.len());
    for (name, field) in names.iter().zip(rows.fields()) {
        let field = field?;
        if !field.is_empty() {
            item.insert(name.clone(), AttributeValue::S(field.to_owned()));
        }
    }
    Ok(item)
}

/// Writes a batch, and again what is handed back of it.
async fn write(
    client: &Client,
    table: &str,
    mut batch: Vec<WriteRequest>,
) -> Result<(), Box<dyn Error>> {
    while !batch.is_empty() {
        let answer = client
            .batch_write_item()
            .request_items(table, batch)
            .send()
            .await?;
        batch = answer
            .unprocessed_items
            .and_then(|mut tables| tables.remove(table))
            .unwrap_or_default();
    }
    Ok(())
}
