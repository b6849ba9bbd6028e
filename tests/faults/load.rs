//! Load: clients that ask, work on what was asked and answer, on fresh and on shared consultations, some with deadlines that are near.
//!
//! Owns what clients choose to do; the choice is a function of the seed. It must not judge what comes of it.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    author::Author,
    board::{Board, Open},
    client::Client,
    ledger::{Command, Fate, Kind},
    sessions::{self, RENEWERS},
};

/// Clients that work at once.
const CLIENTS: u32 = 24;

/// Whatever comes next.
fn next(author: &mut Author, board: &Board) -> Command {
    let on_one = |author: &mut Author, make: fn(&mut Author, &Open) -> Command| {
        board.pick(&mut author.rng).map(|open| make(author, &open))
    };
    match author.rng.random_range(0..100) {
        0..32 => on_one(author, |author, open| author.comment(open.id)),
        32..50 => board.pick_to_answer(&mut author.rng).map(|(stream, person)| author.respond(stream, person)),
        50..54 => on_one(author, Author::claim),
        54..57 => board.pick_to_release(&mut author.rng).map(|open| author.release(&open)),
        57..59 => on_one(author, Author::assign),
        59..62 => on_one(author, Author::delegate),
        62..66 => on_one(author, Author::question),
        66..70 => {
            let asked = board.pick_to_provide(&mut author.rng);
            asked.map(|(stream, asker, question)| author.provide(stream, asker, question))
        }
        70..71 => on_one(author, Author::withdraw),
        _ => None,
    }
    .unwrap_or_else(|| author.ask())
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
            let author = Author::new(client.people(), seed, fault, &format!("c{number}"));
            clients.spawn(work(client.clone(), Arc::clone(board), author, period, stop.clone()));
        }
        for number in 0..RENEWERS {
            let Author { rng, .. } = Author::new(client.people(), seed, fault, &format!("s{number}"));
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
        let command = next(&mut author, &board);
        let (kind, person, stream) = (command.kind, command.person, command.stream);
        let repeated = author.rng.random_bool(0.15).then(|| command.clone());
        if let Fate::Acknowledged(answer) = client.send(command).await {
            match (kind, stream) {
                (Kind::Ask { reviewers, .. }, _) => board.add(answer.stream, person, reviewers),
                (Kind::Question { id }, Some(stream)) => board.ask_back(stream, id),
                (Kind::Claim | Kind::Assign { .. }, Some(stream)) => board.hand(stream, true),
                (Kind::Release, Some(stream)) => board.hand(stream, false),
                _ => {}
            }
            if let Some(command) = repeated {
                client.repeat(&command, &answer).await;
            }
        }
    }
}
