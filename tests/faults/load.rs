//! Load: clients that ask, comment and answer, on fresh and on shared consultations, some with deadlines that are near.
//!
//! Owns what clients choose to do; the choice is a function of the seed. It must not judge what comes of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use docket_platform::clock;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    client::Client,
    ledger::{Command, Fate, Kind},
    people::{ASKERS, REVIEWERS},
    sessions::{self, RENEWERS},
};

/// Clients that work at once.
const CLIENTS: u32 = 24;
/// Consultations that clients remember.
const REMEMBERED: usize = 150;
/// Consultations that most commands go to: these streams are contended.
const SHARED: usize = 6;

/// A consultation that clients know of.
#[derive(Debug, Clone, Copy)]
struct Open {
    id: Uuid,
    /// Who has answered it, a bit each: nobody answers twice, so that an answer is known by its reviewer.
    answered: u8,
}

/// What clients know of each other's consultations.
#[derive(Debug, Default)]
pub struct Board(Mutex<VecDeque<Open>>);

impl Board {
    fn open(&self) -> std::sync::MutexGuard<'_, VecDeque<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: Uuid) {
        let mut board = self.open();
        board.push_front(Open { id, answered: 0 });
        board.truncate(REMEMBERED);
    }

    /// A consultation, mostly one of the newest.
    fn pick(&self, rng: &mut StdRng) -> Option<Uuid> {
        let board = self.open();
        let among = if rng.random_bool(0.5) { SHARED.min(board.len()) } else { board.len() };
        (among > 0).then(|| board[rng.random_range(0..among)].id)
    }

    /// A consultation with a reviewer who has not answered it, and does now.
    fn pick_to_answer(&self, rng: &mut StdRng) -> Option<(Uuid, usize)> {
        let mut board = self.open();
        let among = board.len().min(40);
        let place = (among > 0).then(|| rng.random_range(0..among))?;
        let reviewer = (0..REVIEWERS).find(|reviewer| board[place].answered & (1 << reviewer) == 0)?;
        board[place].answered |= 1 << reviewer;
        Some((board[place].id, ASKERS + reviewer))
    }
}

/// Makes commands. Each has a key of its own, which stands in its text.
#[derive(Debug)]
pub struct Author {
    rng: StdRng,
    prefix: String,
    count: u32,
}

impl Author {
    /// The author called `name` in the fault `fault` of a run.
    pub fn new(seed: u64, fault: u32, name: &str) -> Self {
        let salt =
            name.bytes().fold(u64::from(fault), |salt, byte| salt.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        Self { rng: StdRng::seed_from_u64(seed ^ salt.rotate_left(17)), prefix: format!("f{fault}-{name}"), count: 0 }
    }

    fn key(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.prefix, self.count)
    }

    /// Asks; one in three with a deadline that is near, one in three with one far away.
    pub fn ask(&mut self) -> Command {
        let key = self.key();
        let mut body = json!({"title": key, "body": "Broken on purpose?"});
        let near = match self.rng.random_range(0..100) {
            0..35 => {
                let wait = TimeDelta::milliseconds(self.rng.random_range(100..2000));
                body["deadline"] = json!(clock::now() + wait);
                true
            }
            35..65 => {
                body["timeout_minutes"] = json!(self.rng.random_range(10..600));
                false
            }
            _ => false,
        };
        if self.rng.random_bool(0.1) {
            body["external_id"] = json!(key);
        }
        let person = self.rng.random_range(0..ASKERS);
        let path = "/api/v1/consultations".to_owned();
        Command { key, kind: Kind::Ask { near }, person, stream: None, path, body: body.to_string() }
    }

    /// Asks without a deadline that is near.
    pub fn ask_calmly(&mut self) -> Command {
        loop {
            let command = self.ask();
            if command.kind == (Kind::Ask { near: false }) {
                return command;
            }
        }
    }

    /// Comments on `stream`.
    pub fn comment(&mut self, stream: Uuid) -> Command {
        let key = self.key();
        let person = self.rng.random_range(0..ASKERS + REVIEWERS);
        let (path, body) = (format!("/api/v1/consultations/{stream}/comments"), json!({"text": key}).to_string());
        Command { key, kind: Kind::Comment, person, stream: Some(stream), path, body }
    }

    /// Answers `stream` as `person`.
    pub fn respond(&mut self, stream: Uuid, person: usize) -> Command {
        let key = self.key();
        let decision = if self.rng.random_bool(0.5) { "approve" } else { "reject" };
        let body = json!({"decision": decision, "comment": key}).to_string();
        let path = format!("/api/v1/consultations/{stream}/responses");
        Command { key, kind: Kind::Respond, person, stream: Some(stream), path, body }
    }

    /// Whatever comes next.
    fn next(&mut self, board: &Board) -> Command {
        match self.rng.random_range(0..100) {
            0..45 => board.pick(&mut self.rng).map(|stream| self.comment(stream)),
            45..65 => board.pick_to_answer(&mut self.rng).map(|(stream, person)| self.respond(stream, person)),
            _ => None,
        }
        .unwrap_or_else(|| self.ask())
    }
}

/// Load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<()>,
    stop: CancellationToken,
    started: Instant,
}

impl Load {
    /// Starts clients that together try `rate` commands a second.
    pub fn start(client: &Client, board: &Arc<Board>, seed: u64, fault: u32, rate: u32) -> Self {
        let stop = CancellationToken::new();
        let period = Duration::from_secs(1) * CLIENTS / rate.max(1);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let author = Author::new(seed, fault, &format!("c{number}"));
            clients.spawn(work(client.clone(), Arc::clone(board), author, period, stop.clone()));
        }
        for number in 0..RENEWERS {
            let Author { rng, .. } = Author::new(seed, fault, &format!("s{number}"));
            clients.spawn(sessions::work(client.clone(), rng, number, stop.clone()));
        }
        Self { clients, stop, started: Instant::now() }
    }

    /// Waits until every client has its last answer; how long commands were sent.
    pub async fn stop(mut self) -> Duration {
        self.stop.cancel();
        let sent = self.started.elapsed();
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                eprintln!("a client ended badly: {error}");
            }
        }
        sent
    }
}

async fn work(client: Client, board: Arc<Board>, mut author: Author, period: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(period.mul_f64(author.rng.random_range(0.9..1.1)));
    // What could not be sent while something was down is sent when it is back: outages make waves.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let command = author.next(&board);
        let asked = matches!(command.kind, Kind::Ask { .. });
        let repeated = author.rng.random_bool(0.15).then(|| command.clone());
        if let Fate::Acknowledged(answer) = client.send(command).await {
            if asked {
                board.add(answer.stream);
            }
            if let Some(command) = repeated {
                client.repeat(&command, &answer).await;
            }
        }
    }
}
