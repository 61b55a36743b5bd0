//! The least that pending items cost: the calls that nobody can leave out, over bare HTTP without signatures, with so many of
//! them under way at all times. No leases, no tries, no failures.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::try_join_all;
use futures_util::stream::{self, TryStreamExt};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::items::{
    Attributes, DONE, INDEX, Key, MARKER, PENDING, PREFIX, key_attributes, key_of, plain,
};
use super::{CONCURRENCY, DELAY_MS, Output};
use crate::endpoint::{LAKE_BUCKET, TABLE};

/// Entries of a page of the index, and lines of a bundle.
const PAGE_ITEMS: u64 = 1_000;

/// The calls of some items, by the endpoint's names for them.
pub(super) fn calls(output: Output, items: u64) -> BTreeMap<String, u64> {
    let pages = items.div_ceil(PAGE_ITEMS);
    let puts = match output {
        Output::Objects => items,
        Output::Bundles => pages,
    };
    let calls = [
        ("Query", pages),
        ("GetItem", items),
        ("S3 PUT", puts),
        ("UpdateItem", items),
    ];
    calls.map(|(name, count)| (name.to_owned(), count)).into()
}

/// How long these calls take if there are always [`CONCURRENCY`] of them under way and nothing else takes any time, in seconds.
pub(super) fn calculated_seconds(output: Output, items: u64) -> f64 {
    let calls: u64 = calls(output, items).values().sum();
    calls as f64 / f64::from(CONCURRENCY) * DELAY_MS as f64 / 1e3
}

/// Makes the outputs of some pending items and marks them, against the endpoint at an address.
///
/// # Errors
/// Whatever a call fails with.
pub async fn run(address: &str, output: Output, items: u64) -> io::Result<()> {
    let connections = Connections::new(address);
    let pages = stream::try_unfold((items, None), |(left, start)| {
        next_page(&connections, left, start)
    });
    match output {
        Output::Objects => {
            pages
                .map_ok(|keys| stream::iter(keys.into_iter().map(Ok)))
                .try_flatten()
                .try_for_each_concurrent(CONCURRENCY as usize, |key| one_object(&connections, key))
                .await
        }
        Output::Bundles => {
            pages
                .try_for_each_concurrent(None, |keys| one_bundle(&connections, keys))
                .await
        }
    }
}

type Place = (u64, Option<Value>);

/// The next keys, while some are left and the index goes on.
async fn next_page(
    connections: &Connections<'_>,
    left: u64,
    start: Option<Value>,
) -> io::Result<Option<(Vec<Key>, Place)>> {
    if left == 0 {
        return Ok(None);
    }
    let mut query = json!({
        "TableName": TABLE,
        "IndexName": INDEX,
        "KeyConditionExpression": "#marker = :pending",
        "ExpressionAttributeNames": {"#marker": MARKER},
        "ExpressionAttributeValues": {":pending": {"S": PENDING}},
        "Limit": left.min(PAGE_ITEMS),
    });
    if let Some(start) = start {
        query["ExclusiveStartKey"] = start;
    }
    let mut page = connections.dynamodb("Query", &query).await?;
    let entries = page["Items"].as_array().map_or(&[][..], Vec::as_slice);
    let keys: Option<Vec<Key>> = entries
        .iter()
        .map(|entry| key_of(entry.as_object()?))
        .collect();
    let keys = keys.ok_or_else(|| io::Error::other("an entry of the index has no key"))?;
    let next = Some(page["LastEvaluatedKey"].take()).filter(Value::is_object);
    let left = match next {
        Some(_) => left.saturating_sub(keys.len() as u64),
        None => 0,
    };
    Ok(Some((keys, (left, next))))
}

async fn one_object(connections: &Connections<'_>, key: Key) -> io::Result<()> {
    let output = Value::Object(output_of(connections, &key).await?);
    let name = format!("{}.json", key.join("/"));
    connections.put(&name, output.to_string().into()).await?;
    mark(connections, &key).await
}

async fn one_bundle(connections: &Connections<'_>, keys: Vec<Key>) -> io::Result<()> {
    let outputs = try_join_all(keys.iter().map(|key| output_of(connections, key))).await?;
    let mut bundle = GzEncoder::new(Vec::new(), Compression::default());
    for (key, output) in keys.iter().zip(outputs) {
        writeln!(
            bundle,
            "{}",
            json!({"run": 1, "key": key_attributes(key), "output": output})
        )?;
    }
    let [first, last] = [keys.first(), keys.last()].map(|key| key.map(|key| key.join("-")));
    let name = first
        .zip(last)
        .map(|(first, last)| format!("{first}..{last}.jsonl.gz"));
    if let Some(name) = name {
        connections.put(&name, bundle.finish()?.into()).await?;
    }
    try_join_all(keys.iter().map(|key| mark(connections, key))).await?;
    Ok(())
}

async fn output_of(connections: &Connections<'_>, key: &Key) -> io::Result<Attributes> {
    let get = json!({"TableName": TABLE, "Key": key_attributes(key), "ConsistentRead": true});
    let answer = connections.dynamodb("GetItem", &get).await?;
    let output = answer["Item"].as_object().and_then(plain);
    output.ok_or_else(|| io::Error::other(format!("there is no good item {}", key.join("/"))))
}

async fn mark(connections: &Connections<'_>, key: &Key) -> io::Result<()> {
    let update = json!({
        "TableName": TABLE,
        "Key": key_attributes(key),
        "UpdateExpression": "SET #marker = :done",
        "ConditionExpression": "#marker = :pending",
        "ExpressionAttributeNames": {"#marker": MARKER},
        "ExpressionAttributeValues": {":done": {"S": DONE}, ":pending": {"S": PENDING}},
    });
    connections.dynamodb("UpdateItem", &update).await.map(drop)
}

/// Connections that are kept, as many as are needed at once.
struct Connections<'a> {
    address: &'a str,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    calls: Semaphore,
}

impl<'a> Connections<'a> {
    fn new(address: &'a str) -> Self {
        Self {
            address,
            idle: RefCell::default(),
            calls: Semaphore::new(CONCURRENCY as usize),
        }
    }

    async fn dynamodb(&self, operation: &str, call: &Value) -> io::Result<Value> {
        let request = Request::post("/")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("content-type", "application/x-amz-json-1.0");
        let answer = self.send(request, call.to_string().into()).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn put(&self, name: &str, body: Bytes) -> io::Result<()> {
        let request = Request::put(format!("/{LAKE_BUCKET}/{PREFIX}{name}"));
        let request = request.header("if-none-match", "*");
        self.send(request, body).await.map(drop)
    }

    async fn send(&self, request: hyper::http::request::Builder, body: Bytes) -> io::Result<Bytes> {
        let _permit = self.calls.acquire().await.map_err(io::Error::other)?;
        let request = request.header("host", self.address).body(Full::new(body));
        let request = request.map_err(io::Error::other)?;
        // Taken out before anything is awaited: the list is borrowed no longer than that.
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await.map_err(io::Error::other)?;
        let answer = connection.send_request(request).await;
        let answer = answer.map_err(io::Error::other)?;
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes();
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body);
            return Err(io::Error::other(format!("{status}: {said}")));
        }
        self.idle.borrow_mut().push(connection);
        Ok(body)
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // A connection that breaks fails the call that it carries.
        tokio::spawn(driver);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_calls_by_concurrency_by_time() {
        // 5,000 items read, put and marked, and five pages of the index.
        assert_eq!(calls(Output::Objects, 5_000).values().sum::<u64>(), 15_005);
        assert_eq!(
            calculated_seconds(Output::Objects, 5_000),
            15_005.0 / 32.0 * 0.005
        );
        // A bundle for each page in place of the objects.
        assert_eq!(calls(Output::Bundles, 4_001).values().sum::<u64>(), 8_012);
        assert_eq!(calculated_seconds(Output::Bundles, 0), 0.0);
    }
}
