//! A server that gives prepared answers, in order, and keeps what it was asked: tests of what goes over the wire.

use std::sync::{Arc, Mutex};

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{Credentials, Region};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{AwsClients, https_client};

/// One prepared answer.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// How many bytes of the body are sent before the connection is closed.
    cut_at: Option<usize>,
    /// Whether the connection is closed instead of answering.
    silent: bool,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut_at: None,
            silent: false,
        }
    }

    /// The connection is closed after the request was read.
    pub(super) fn none() -> Self {
        Self {
            silent: true,
            ..Self::new(0, "")
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn cut_at(mut self, bytes: usize) -> Self {
        self.cut_at = Some(bytes);
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Canned\r\n", self.status);
        let length_is_given = self
            .headers
            .iter()
            .any(|(name, _)| *name == "content-length");
        if !length_is_given {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Request line and headers.
    pub(super) head: String,
    pub(super) body: String,
}

impl Asked {
    /// `PUT /bucket/key?x=y`
    pub(super) fn line(&self) -> &str {
        let line = self.head.lines().next().unwrap();
        line.strip_suffix(" HTTP/1.1").unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub(super) struct Canned {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Canned {
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        tokio::spawn(serve(listener, answers, Arc::clone(&asked)));
        Self { address, asked }
    }

    /// Clients whose endpoint is this server.
    pub(super) async fn clients(&self) -> AwsClients {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(https_client())
            .load()
            .await;
        AwsClients::new(config, Some(&self.address))
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Serves one connection after the other: no test has two requests under way.
async fn serve(listener: TcpListener, answers: Vec<Answer>, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut answers = answers.into_iter();
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        while let Some(request) = read_request(&mut connection).await {
            let is_head = request.head.starts_with("HEAD ");
            asked.lock().unwrap().push(request);
            let answer = answers
                .next()
                .unwrap_or_else(|| Answer::new(418, "no answer is left"));
            if answer.silent {
                break;
            }
            connection
                .write_all(answer.head().as_bytes())
                .await
                .unwrap();
            let body = answer.body.as_bytes();
            let sent = answer
                .cut_at
                .unwrap_or(if is_head { 0 } else { body.len() });
            connection.write_all(&body[..sent]).await.unwrap();
            if answer.cut_at.is_some() {
                break;
            }
        }
    }
}

async fn read_request(connection: &mut TcpStream) -> Option<Asked> {
    let mut read = Vec::new();
    let end_of_head = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if connection.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end_of_head].to_vec()).unwrap();
    let mut asked = Asked {
        head,
        body: String::new(),
    };
    let length: usize = asked
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = read.split_off(end_of_head + 4);
    while body.len() < length {
        if connection.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}
