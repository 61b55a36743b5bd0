//! A running endpoint, spoken to in bytes so that also what no client would send can be sent.

use std::time::{Duration, Instant};

use bench::endpoint::{Endpoint, Observer, Settings, Work};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Server {
    address: String,
    pub observer: Observer,
}

pub struct Answered {
    pub head: String,
    pub body: String,
}

impl Answered {
    pub fn status(&self) -> &str {
        &self.head[9..12]
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    pub async fn start_with(work: Work, handed_back_percent: u8, delay: Duration) -> Self {
        let settings = Settings {
            work,
            delay,
            handed_back_percent,
            deadline_ms: 1_234,
            now,
        };
        let endpoint = Endpoint::bind(settings).await.unwrap();
        let server = Self {
            address: endpoint.address().unwrap().to_string(),
            observer: endpoint.observer(),
        };
        tokio::spawn(endpoint.serve());
        server
    }

    /// Sends one request whose content-length is `length`, which may lie.
    pub async fn send_with_length(
        &self,
        line: &str,
        headers: &str,
        body: &[u8],
        length: usize,
    ) -> Answered {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        let request = [request.as_bytes(), body].concat();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        // With a length that lies, the connection may be reset after its answer.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answered {
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub async fn send(&self, line: &str, headers: &str, body: &str) -> Answered {
        self.send_with_length(line, headers, body.as_bytes(), body.len())
            .await
    }

    pub async fn dynamodb(&self, operation: &str, body: &Value) -> Answered {
        let target = format!("x-amz-target: DynamoDB_20120810.{operation}\r\n");
        self.send("POST /", &target, &body.to_string()).await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the endpoint waits, and no test looks at the time"
)]
fn now() -> Instant {
    Instant::now()
}
