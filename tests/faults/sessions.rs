//! Sessions under faults: clients that log in, renew their tokens, race with them, and log out.
//!
//! Owns what these clients do and what they know of each session. A refresh token that got no answer may have been used or not, as any
//! client lives it: whoever tries again may find the session ended, and logs in anew. What must never be: two who go on with one token, a
//! session that ends without a reason, a token that is taken after its session's end was acknowledged.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result};
use docket_events::identity::{IdentityEvent, SessionEnd};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{client::Client, people::People, report::Findings, topology::APIS};

/// Clients that do this at once.
pub const RENEWERS: usize = 2;
/// How long the processes may take to refuse what has ended, started again or not.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(60);

/// What a client knows of a session.
#[derive(Debug, Clone)]
pub struct Told {
    /// Whose it is.
    user: Uuid,
    /// Whether anything was done that ends it, answered or not.
    may_end: bool,
    /// Whether its end was answered.
    ended: bool,
    /// The last access token of it.
    access: String,
    /// Whether it was seen that the token is refused.
    refused: bool,
}

/// All sessions that clients know of.
pub type Sessions = HashMap<Uuid, Told>;

/// A session in a client's hands.
struct Chain {
    session: Uuid,
    access: String,
    refresh: String,
    /// The token before, if there was one.
    used: Option<String>,
    /// Whether some renewal got no answer.
    unsure: bool,
}

enum Renewed {
    Next(Chain),
    Ended,
    Nothing,
}

/// Logs in, renews and ends sessions until `stop`.
pub async fn work(client: Client, mut rng: StdRng, person: usize, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // Every other login is from a program that was not seen before.
        let agent =
            if rng.random_bool(0.5) { format!("program {:x}", rng.random::<u64>()) } else { "a client".to_owned() };
        let Some(mut chain) = begin(&client, person, &agent).await else {
            sleep(PAUSE * 5).await;
            continue;
        };
        for _ in 0..rng.random_range(3..20) {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(PAUSE) => {}
            }
            let goes_on = match rng.random_range(0..100) {
                0..80 => renew(&client, chain).await,
                80..88 => race(&client, &chain).await,
                88..95 => log_out(&client, &chain).await,
                _ => replay(&client, &chain).await,
            };
            match goes_on {
                Some(next) => chain = next,
                None => break,
            }
        }
    }
}

async fn begin(client: &Client, person: usize, agent: &str) -> Option<Chain> {
    let body = client.people().credentials(person);
    let (status, answer) = client.auth_as(agent, "login", None, &body).await?;
    if status == 503 {
        return None;
    }
    if status != 200 {
        odd(client, format!("a login was answered {status}: {answer}"));
        return None;
    }
    let chain = read(&answer, None, false)?;
    let user = client.people().person(person).id;
    let told = Told { user, may_end: false, ended: false, access: chain.access.clone(), refused: false };
    client.ledger().open().sessions.insert(chain.session, told);
    Some(chain)
}

fn read(answer: &Value, used: Option<String>, unsure: bool) -> Option<Chain> {
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let session = text("session_id")?.parse().ok()?;
    Some(Chain { session, access: text("access_token")?, refresh: text("refresh_token")?, used, unsure })
}

fn odd(client: &Client, text: String) {
    client.ledger().open().odd.push(text);
}

fn note(client: &Client, session: Uuid, change: impl FnOnce(&mut Told)) {
    if let Some(told) = client.ledger().open().sessions.get_mut(&session) {
        change(told);
    }
}

async fn attempt(client: &Client, chain: &Chain, token: &str) -> Renewed {
    match client.auth("refresh", None, &json!({ "refresh_token": token })).await {
        Some((200, answer)) => match read(&answer, Some(token.to_owned()), chain.unsure) {
            Some(next) => Renewed::Next(next),
            None => Renewed::Nothing,
        },
        Some((401, _)) => Renewed::Ended,
        Some((503, _)) | None => Renewed::Nothing,
        Some((status, answer)) => {
            odd(client, format!("a renewal was answered {status}: {answer}"));
            Renewed::Nothing
        }
    }
}

/// The next tokens, however many attempts it takes.
async fn renew(client: &Client, mut chain: Chain) -> Option<Chain> {
    for _ in 0..100 {
        match attempt(client, &chain, &chain.refresh).await {
            Renewed::Next(next) => {
                let access = next.access.clone();
                note(client, next.session, |told| told.access = access);
                return Some(Chain { unsure: chain.unsure, ..next });
            }
            Renewed::Ended => {
                if !chain.unsure {
                    odd(client, format!("session {} ended without a reason", chain.session));
                }
                note(client, chain.session, |told| told.ended = true);
                return None;
            }
            Renewed::Nothing => {
                chain.unsure = true;
                note(client, chain.session, |told| told.may_end = true);
                sleep(PAUSE).await;
            }
        }
    }
    None
}

/// One token twice at once, at two processes.
async fn race(client: &Client, chain: &Chain) -> Option<Chain> {
    note(client, chain.session, |told| told.may_end = true);
    let (one, other) = tokio::join!(attempt(client, chain, &chain.refresh), attempt(client, chain, &chain.refresh));
    let ended = matches!(one, Renewed::Ended) || matches!(other, Renewed::Ended);
    if let (Renewed::Next(_), Renewed::Next(_)) = (&one, &other) {
        odd(client, format!("two went on with one refresh token of session {}", chain.session));
    }
    if ended {
        note(client, chain.session, |told| told.ended = true);
    }
    None
}

async fn log_out(client: &Client, chain: &Chain) -> Option<Chain> {
    note(client, chain.session, |told| told.may_end = true);
    match client.auth("logout", Some(&chain.access), &json!({})).await {
        Some((200, _)) => note(client, chain.session, |told| told.ended = true),
        Some((401, _)) if chain.unsure => {}
        Some((503, _)) | None => {}
        Some((status, answer)) => odd(client, format!("logging out was answered {status}: {answer}")),
    }
    None
}

/// The token before the present one, as a thief would bring it.
async fn replay(client: &Client, chain: &Chain) -> Option<Chain> {
    let used = chain.used.as_ref()?;
    note(client, chain.session, |told| told.may_end = true);
    match attempt(client, chain, used).await {
        Renewed::Next(_) => odd(client, format!("a used refresh token of session {} was taken", chain.session)),
        Renewed::Ended => note(client, chain.session, |told| told.ended = true),
        Renewed::Nothing => {}
    }
    None
}

/// What the journal says of sessions.
#[derive(Debug, Default)]
pub struct Journalled {
    started: HashMap<Uuid, Uuid>,
    ended: HashMap<Uuid, Vec<SessionEnd>>,
}

impl Journalled {
    /// Takes in an event of the stream `id`; false: it is not of a session.
    pub fn take(&mut self, id: Uuid, event: &IdentityEvent) -> bool {
        match event {
            IdentityEvent::SessionStarted(event) => drop(self.started.insert(id, event.user_id)),
            IdentityEvent::SessionRevoked(event) => self.ended.entry(id).or_default().push(event.reason),
            _ => return false,
        }
        true
    }

    /// Holds what clients know against it.
    pub fn check(&self, told: &Sessions, people: &People, findings: &mut Findings) {
        for (session, user) in &self.started {
            if !people.is_one(*user) {
                findings.add("nothing else", format!("session {session} is of {user}, whom nobody knows"));
            }
        }
        for (session, ends) in &self.ended {
            let may_end = told.get(session).is_none_or(|told| told.may_end);
            if ends.len() > 1 || !may_end {
                findings.add("sessions", format!("session {session} ended by {ends:?}"));
            }
        }
        for (session, told) in told {
            if self.started.get(session) != Some(&told.user) {
                findings.add("acknowledged", format!("session {session} was answered and has not begun"));
            }
            if told.ended && !self.ended.contains_key(session) {
                findings.add("sessions", format!("the end of session {session} was answered and is not journalled"));
            }
        }
    }
}

/// Whatever has ended must be refused by all processes.
pub async fn check_refusals(client: &Client, findings: &mut Findings) -> Result<()> {
    let ended: Vec<(Uuid, String)> = {
        let books = client.ledger().open();
        let open = books.sessions.iter().filter(|(_, told)| told.ended && !told.refused);
        open.map(|(session, told)| (*session, told.access.clone())).collect()
    };
    let deadline = Instant::now() + REFUSED_WITHIN;
    for (session, access) in ended {
        for process in 0..APIS {
            while client.me(process, &access).await.context("asking who one is")? != 401 {
                if Instant::now() >= deadline {
                    let text = format!("process {} still takes a token of the ended session {session}", process + 1);
                    findings.add("sessions", text);
                    break;
                }
                sleep(PAUSE).await;
            }
        }
        note(client, session, |told| told.refused = true);
    }
    Ok(())
}
