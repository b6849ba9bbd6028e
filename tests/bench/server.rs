//! A real `docket up` process of the release build, and a lean HTTP client that leaves the cores to the server.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use docket_platform::{
    db::{Database, DbRole},
    embedded::{Attached, Cluster, DATABASE, OWNER},
    scratch_kafka::ScratchKafka,
};
use serde_json::Value;
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::process::Process;

/// A running server with its two first people.
pub struct Server {
    process: Process,
    data_dir: PathBuf,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// From the start of the process to its readiness line.
    pub ready_after: Duration,
    people: Vec<(String, String)>,
}

impl Server {
    /// Starts `docket up` on a data folder and a free port, and waits for its readiness line. Its log is in Kafka when there is a
    /// broker.
    pub async fn start(docket: &Path, data_dir: &Path, broker: Option<&ScratchKafka>) -> Result<Self> {
        let brokers = broker.map(ScratchKafka::bootstrap).unwrap_or_default();
        let process = Process::start(docket, "up", data_dir, &brokers).await?;
        let people = process.said.iter().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["admin" | "reviewer", email, password] => Some((email.to_owned(), password.to_owned())),
            _ => None,
        });
        let people = people.collect();
        let (address, ready_after) = (process.address.clone(), process.ready_after);
        Ok(Self { process, data_dir: data_dir.to_owned(), address, ready_after, people })
    }

    /// The server's cluster.
    pub async fn cluster(&self) -> Result<Attached> {
        Ok(Cluster::attach(&self.data_dir).await?)
    }

    /// The owner's connections to its database.
    pub async fn owner(&self) -> Result<PgPool> {
        let database = Database::embedded(self.cluster().await?.connect_options(OWNER, DATABASE));
        Ok(database.pool(DbRole::Owner, 2, Duration::from_secs(5)))
    }

    /// Resident memory of the docket process in MiB, without PostgreSQL.
    pub fn resident(&self) -> Result<f64> {
        self.process.resident()
    }

    /// Address and password of the person who was printed at place `n`: 0 the admin, 1 the reviewer.
    pub fn person(&self, n: usize) -> Result<&(String, String)> {
        self.people.get(n).context("only a first start knows the passwords")
    }

    async fn login(&self, n: usize) -> Result<Value> {
        let (email, password) = self.person(n)?;
        let mut client = Client::connect(&self.address).await?;
        let body = serde_json::json!({ "email": email, "password": password }).to_string();
        let (status, answer) = client.send(&request("POST", "/api/v1/auth/login", "", &body)).await?;
        ensure!(status == 200, "login answered {status}");
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Logs that person in.
    pub async fn token(&self, n: usize) -> Result<String> {
        Ok(self.login(n).await?["access_token"].as_str().context("no token")?.to_owned())
    }

    /// The refresh token of a new session of that person.
    pub async fn refresh_token(&self, n: usize) -> Result<String> {
        Ok(self.login(n).await?["refresh_token"].as_str().context("no token")?.to_owned())
    }

    /// Ends it as an operator would.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }
}

/// One request's bytes.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One kept-alive connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads the answer: status and body.
    pub async fn send(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
            let Some(end) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            let status: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .context("no content-length")?
                .trim()
                .parse()?;
            let body = end + 4;
            while self.buffer.len() < body + length {
                ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
            }
            return Ok((status, self.buffer[body..body + length].to_vec()));
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
