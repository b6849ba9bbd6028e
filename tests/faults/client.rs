//! A client of the command API as the documentation asks for: every command with a key, repeated under it until it is answered.
//!
//! Owns how an attempt is judged. It goes from process to process, so that a repetition meets its own first attempt on another side.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    ledger::{Answer, Command, Entry, Fate, Kind, Ledger},
    people::People,
};

/// How long an attempt waits. Shorter than a held shard or a frozen process may take, so that attempts overlap.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// How long a login waits. It hashes, which is slow by design, and whoever goes away meanwhile has not logged in.
const LOGIN: Duration = Duration::from_secs(10);
/// How long a command is repeated.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(40);

/// What one attempt came to.
#[derive(Debug)]
enum Attempt {
    /// 2xx.
    Done(Answer),
    /// Any other status that is an answer.
    Refused(u16, String),
    /// No answer, or 503: to be repeated.
    Nothing,
}

/// Sends commands to all processes.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    addresses: Arc<[String]>,
    people: Arc<People>,
    ledger: Arc<Ledger>,
    turn: Arc<AtomicUsize>,
}

impl Client {
    /// A client of the processes at these addresses, which books into `ledger`.
    pub fn new(addresses: &[String], people: Arc<People>, ledger: Arc<Ledger>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ATTEMPT)
            .connect_timeout(Duration::from_secs(1))
            .build()
            .context("making a client")?;
        Ok(Self { http, addresses: addresses.into(), people, ledger, turn: Arc::default() })
    }

    /// Everybody.
    pub fn people(&self) -> &Arc<People> {
        &self.people
    }

    /// One request about an account, at the process whose turn it is; none: no answer.
    pub async fn auth(&self, what: &str, access: Option<&str>, body: &Value) -> Option<(u16, Value)> {
        self.auth_as("a client", what, access, body).await
    }

    /// The same by a program that calls itself `agent`.
    pub async fn auth_as(&self, agent: &str, what: &str, access: Option<&str>, body: &Value) -> Option<(u16, Value)> {
        let process = self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        let mut request = self.http.post(format!("{}/api/v1/auth/{what}", self.addresses[process])).json(body);
        request = request.header("user-agent", agent).timeout(if what == "login" { LOGIN } else { ATTEMPT });
        if let Some(access) = access {
            request = request.bearer_auth(access);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }

    /// Sends a person's request to one process after the other until one answers; none: nobody did. Nothing but what is sent tells that two
    /// attempts are one.
    pub async fn insist(&self, person: usize, path: &str, body: &Value) -> Option<(u16, String)> {
        let (first, give_up) = (self.turn.fetch_add(1, Ordering::Relaxed), Instant::now() + PATIENCE);
        let mut attempts = 0;
        while Instant::now() < give_up {
            let address = &self.addresses[(first + attempts) % self.addresses.len()];
            let request = self.http.post(format!("{address}{path}")).bearer_auth(self.people.token(person)).json(body);
            if let Ok(response) = request.send().await {
                let status = response.status().as_u16();
                if let (Ok(text), true) = (response.text().await, status != 503) {
                    return Some((status, text));
                }
            }
            attempts += 1;
            self.ledger.open().lost += 1;
            tokio::time::sleep(PAUSE * attempts.min(5) as u32).await;
        }
        None
    }

    /// What a process answers to who asks with this token who they are.
    pub async fn me(&self, process: usize, access: &str) -> Result<u16> {
        let request = self.http.get(format!("{}/api/v1/auth/me", self.addresses[process]));
        Ok(request.bearer_auth(access).send().await?.status().as_u16())
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Logs everybody in.
    pub async fn log_in(&self) -> Result<()> {
        let patient = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .context("making a client")?;
        self.people.log_in(&patient, &self.addresses[0]).await
    }

    /// Sends a command until it is answered, and books what came of it.
    pub async fn send(&self, command: Command) -> Fate {
        let started = Instant::now();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let fate = self.until_answered(&command, first).await;
        self.book(command, fate.clone(), started.elapsed());
        fate
    }

    /// Books a command that was sent by other means.
    pub fn book(&self, command: Command, fate: Fate, took: Duration) {
        let principal = self.people.person(command.person).id;
        self.ledger.open().enter(Entry::new(command, self.people.tenant, principal, fate), took);
    }

    /// Sends a command until it is answered, beginning with the process `first`; books nothing.
    pub async fn until_answered(&self, command: &Command, first: usize) -> Fate {
        let give_up = Instant::now() + PATIENCE;
        let mut attempts = 0;
        while Instant::now() < give_up {
            match self.attempt(command, first + attempts).await {
                Attempt::Done(answer) => return Fate::Acknowledged(answer),
                Attempt::Refused(status, body) => {
                    if !command.kind.may_refuse(status) {
                        let text = format!("{} was answered {status}: {body}", command.key);
                        self.ledger.open().odd.push(text);
                    }
                    // An earlier attempt may yet be on its way.
                    return if attempts == 0 && status < 500 { Fate::Refused(status) } else { Fate::Unknown };
                }
                Attempt::Nothing => {
                    attempts += 1;
                    self.ledger.open().lost += 1;
                    tokio::time::sleep(PAUSE * attempts.min(5) as u32).await;
                }
            }
        }
        Fate::Unknown
    }

    /// Repeats an acknowledged command once and compares the answers; silent when there is none.
    pub async fn repeat(&self, command: &Command, first: &Answer) {
        let Attempt::Done(again) = self.judged(command).await else { return };
        let mut books = self.ledger.open();
        books.repeated += 1;
        if again != *first {
            let (told, again) = (first.beside(&again), again.beside(first));
            books.odd.push(format!("{} was answered {told}; and when it was repeated, {again}", command.key));
        }
    }

    /// One attempt whose refusal is a finding: the command was acknowledged before.
    async fn judged(&self, command: &Command) -> Attempt {
        let attempt = self.attempt(command, self.turn.fetch_add(1, Ordering::Relaxed)).await;
        if let Attempt::Refused(status, body) = &attempt {
            let text = format!(
                "{} had been acknowledged, and was answered {status} when it was repeated: {body}",
                command.key
            );
            self.ledger.open().odd.push(text);
        }
        attempt
    }

    async fn attempt(&self, command: &Command, process: usize) -> Attempt {
        let sent = self
            .http
            .post(format!("{}{}", self.addresses[process % self.addresses.len()], command.path))
            .bearer_auth(self.people.token(command.person))
            .header("idempotency-key", &command.key)
            .header("x-correlation-id", &command.key)
            .header("content-type", "application/json")
            .body(command.body.clone())
            .send()
            .await;
        let Ok(response) = sent else { return Attempt::Nothing };
        let status = response.status().as_u16();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (etag, position) = (header("etag"), header("docket-position"));
        let Ok(body) = response.text().await else { return Attempt::Nothing };
        match status {
            200..300 => read(status, &etag, position, body, command.kind).map_or_else(
                |error| Attempt::Refused(status, format!("an answer that cannot be read: {error:#}")),
                Attempt::Done,
            ),
            503 => Attempt::Nothing,
            _ => Attempt::Refused(status, body),
        }
    }
}

fn read(status: u16, etag: &str, position: String, body: String, kind: Kind) -> Result<Answer> {
    let version = etag.trim_matches('"').parse().with_context(|| format!("the ETag {etag}"))?;
    let json: serde_json::Value = serde_json::from_str(&body).context("the body")?;
    let id = json["id"].as_str().context("no id")?;
    let wanted = if matches!(kind, Kind::Ask { .. }) { 201 } else { 200 };
    anyhow::ensure!(status == wanted, "the status is not {wanted}");
    anyhow::ensure!(!position.is_empty(), "no Docket-Position");
    anyhow::ensure!(json["version"] == version, "another version in the body than in the ETag");
    Ok(Answer { status, version, stream: id.parse().context("the id")?, position, body })
}
