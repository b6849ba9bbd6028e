//! Lanes: a few connections, each owning a fixed set of shards, that send what queued during the last commit.
//!
//! Batching is natural: no timer, whatever waits is taken, at most [`MAX_BATCH`]. A batch of one takes the single-command
//! statement. A stream, a key and a claim go at most once into a batch; what is left over goes first into the next.
//!
//! A shard whose row somebody else holds must not stop its neighbours: when a batch runs into the lock time-out, its commands are
//! sorted by shard and sent apart, each shard on a detour with a connection of its own, until the shard answers again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use docket_events::ShardId;
use docket_platform::db;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::mpsc;

use crate::{
    append::{Append, AppendError, Job, Verdict},
    bell::Bell,
    faults::{self, Bug},
    metrics, statement,
};

/// The most commands that travel in one statement.
pub const MAX_BATCH: usize = 512;

/// How long a batch waits for a lock before its shards are sent apart.
const LANE_LOCK_TIMEOUT: &str = "200ms";
/// How long a detour waits for a lock; with a second attempt it stays within the two seconds that a held shard may cost.
const DETOUR_LOCK_TIMEOUT: &str = "1500ms";
/// How long a lane waits for a connection; meanwhile its commands wait too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a detour tries before it answers that the shard is busy.
const DETOUR_ATTEMPTS: usize = 2;

/// The queues of all lanes.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    queues: Vec<mpsc::Sender<Job>>,
}

impl Lanes {
    /// Starts `count` lanes; they end when the last clone of the returned value is dropped and their queues are empty.
    pub(crate) fn start(options: &PgConnectOptions, count: usize, queue: usize, bell: &Bell) -> Self {
        let queues = (0..count.max(1))
            .map(|_| {
                let (sender, receiver) = mpsc::channel(queue);
                let lane = Lane {
                    link: Link::new(options, LANE_LOCK_TIMEOUT),
                    detour_options: options.clone(),
                    bell: bell.clone(),
                    detours: HashMap::new(),
                };
                tokio::spawn(lane.run(receiver));
                sender
            })
            .collect();
        Self { queues }
    }

    /// Queues an append and waits for its verdict.
    pub(crate) async fn append(&self, shard: ShardId, append: Append) -> Result<Verdict, AppendError> {
        let lane = usize::from(shard.shard) % self.queues.len();
        let (reply, verdict) = tokio::sync::oneshot::channel();
        metrics::get().queued.inc();
        let sent = self.queues[lane].send(Job { append, shard, reply }).await;
        let outcome = match sent {
            Ok(()) => verdict.await.unwrap_or(Err(AppendError::Closed)),
            Err(_) => Err(AppendError::Closed),
        };
        metrics::get().queued.dec();
        outcome
    }
}

/// A connection that is made when it is needed and dropped when it failed.
#[derive(Debug)]
struct Link {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Link {
    fn new(options: &PgConnectOptions, lock_timeout: &str) -> Self {
        // Short statements: compiling them costs more than it saves.
        let options = options.clone().options([("lock_timeout", lock_timeout), ("jit", "off")]);
        Self { options, connection: None }
    }

    async fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options))
                .await
                .map_err(|late| sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, late)))??,
        };
        Ok(self.connection.insert(connection))
    }

    /// Journals `jobs` with the statement that suits their number.
    async fn send(&mut self, jobs: &[Job]) -> Result<Vec<Verdict>, sqlx::Error> {
        faults::step("append.before");
        let started = Instant::now();
        let connection = self.get().await?;
        let outcome = match jobs {
            [job] => statement::append_one(connection, job).await.map(|verdict| vec![verdict]),
            jobs => statement::append_batch(connection, jobs).await,
        };
        match &outcome {
            Ok(_) => {
                metrics::get().batch_size.observe(jobs.len() as f64);
                metrics::get().batch_seconds.observe(started.elapsed().as_secs_f64());
                faults::step("append.after_commit");
            }
            Err(error) if db::is_connection_failure(error) => self.connection = None,
            Err(_) => {}
        }
        outcome
    }
}

/// What to do about a statement that failed as a whole.
enum Failure {
    /// The connection is gone; whether the statement committed is unknown.
    Unreachable,
    /// A lock was not to be had in time.
    Blocked,
    /// One of the commands, or a race, is to blame: each is sent alone.
    Apart(String),
}

fn classify(error: &sqlx::Error) -> Failure {
    if db::is_connection_failure(error) {
        return Failure::Unreachable;
    }
    match error.as_database_error().and_then(|e| e.code()).as_deref() {
        // lock_not_available, query_canceled
        Some("55P03" | "57014") => Failure::Blocked,
        _ => Failure::Apart(error.to_string()),
    }
}

fn answer(job: Job, verdict: Result<Verdict, AppendError>) {
    // The asker may have gone away; its command stands all the same.
    let _ = job.reply.send(verdict);
}

fn answer_all(jobs: Vec<Job>, verdicts: Vec<Verdict>, bell: &Bell) {
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Appended { .. })) {
        bell.ring();
    }
    for (job, verdict) in jobs.into_iter().zip(verdicts) {
        answer(job, Ok(verdict));
    }
}

/// What may stand only once in a batch: the stream, the key, the beginnings of claimed values.
fn marks(append: &Append) -> impl Iterator<Item = (u8, [u8; 16])> + '_ {
    let claims = append.claims.iter().map(|claim| {
        let mut head = [0; 16];
        let length = claim.value.len().min(16);
        head[..length].copy_from_slice(&claim.value[..length]);
        (2, head)
    });
    std::iter::once((0, append.stream.id.into_bytes()))
        .chain(append.idempotency.iter().map(|row| (1, row.id.into_bytes())))
        .chain(claims)
}

/// Takes the next batch from what waits: no stream, key or claim twice.
fn take_batch(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut seen = HashSet::new();
    let mut batch = Vec::new();
    let mut left = VecDeque::new();
    while let Some(job) = waiting.pop_front() {
        if batch.len() == MAX_BATCH {
            left.push_back(job);
            continue;
        }
        if marks(&job.append).any(|mark| seen.contains(&mark)) {
            left.push_back(job);
        } else {
            seen.extend(marks(&job.append));
            batch.push(job);
        }
    }
    *waiting = left;
    batch
}

struct Lane {
    link: Link,
    detour_options: PgConnectOptions,
    bell: Bell,
    detours: HashMap<ShardId, mpsc::UnboundedSender<Job>>,
}

impl Lane {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match queue.recv().await {
                    Some(job) => self.admit(job, &mut waiting),
                    None => return,
                }
            }
            while waiting.len() < MAX_BATCH {
                match queue.try_recv() {
                    Ok(job) => self.admit(job, &mut waiting),
                    Err(_) => break,
                }
            }
            let batch = take_batch(&mut waiting);
            if !batch.is_empty() {
                self.send(batch).await;
            }
        }
    }

    /// Lets a job wait here, or sends it after its shard's detour.
    fn admit(&mut self, job: Job, waiting: &mut VecDeque<Job>) {
        match self.detours.get(&job.shard) {
            None => waiting.push_back(job),
            Some(detour) => {
                if let Err(mpsc::error::SendError(job)) = detour.send(job) {
                    // The detour has ended: the shard answers again.
                    self.detours.remove(&job.shard);
                    waiting.push_back(job);
                }
            }
        }
    }

    async fn send(&mut self, batch: Vec<Job>) {
        if faults::has(Bug::AcknowledgeBeforeCommit) {
            return self.send_too_early(batch).await;
        }
        match self.link.send(&batch).await {
            Ok(verdicts) => answer_all(batch, verdicts, &self.bell),
            Err(error) => match classify(&error) {
                Failure::Unreachable => {
                    for job in batch {
                        answer(job, Err(AppendError::Unreachable));
                    }
                }
                Failure::Blocked => self.divert(batch),
                Failure::Apart(_) => {
                    for job in batch {
                        send_alone(&mut self.link, job, &self.bell).await;
                    }
                }
            },
        }
    }

    /// The seeded bug: a verdict is invented before the database was asked.
    async fn send_too_early(&mut self, batch: Vec<Job>) {
        let (mut kept, mut replies) = (Vec::new(), Vec::new());
        for job in batch {
            let (reply, _) = tokio::sync::oneshot::channel();
            replies.push((job.reply, job.append.expected_version + job.append.events.len() as u64));
            kept.push(Job { append: job.append, shard: job.shard, reply });
        }
        for (reply, version) in replies {
            let _ = reply.send(Ok(Verdict::Appended { version, sequence: 0 }));
        }
        let _ = self.link.send(&kept).await;
        self.bell.ring();
    }

    /// Sends each shard of a blocked batch on its own way.
    fn divert(&mut self, batch: Vec<Job>) {
        for mut job in batch {
            loop {
                let detour = self.detours.entry(job.shard).or_insert_with(|| {
                    let (sender, receiver) = mpsc::unbounded_channel();
                    let link = Link::new(&self.detour_options, DETOUR_LOCK_TIMEOUT);
                    tokio::spawn(detour(link, receiver, self.bell.clone()));
                    sender
                });
                match detour.send(job) {
                    Ok(()) => break,
                    Err(mpsc::error::SendError(back)) => {
                        self.detours.remove(&back.shard);
                        job = back;
                    }
                }
            }
        }
    }
}

async fn send_alone(link: &mut Link, job: Job, bell: &Bell) {
    let jobs = [job];
    let outcome = link.send(&jobs).await;
    let [job] = jobs;
    match outcome {
        Ok(verdicts) => answer_all(vec![job], verdicts, bell),
        Err(error) => {
            let error = match classify(&error) {
                Failure::Unreachable => AppendError::Unreachable,
                Failure::Blocked => AppendError::Busy,
                Failure::Apart(cause) => AppendError::Refused(cause),
            };
            answer(job, Err(error));
        }
    }
}

/// Works one blocked shard until nothing waits for it any more.
async fn detour(mut link: Link, mut queue: mpsc::UnboundedReceiver<Job>, bell: Bell) {
    let mut waiting = VecDeque::new();
    loop {
        while let Ok(job) = queue.try_recv() {
            waiting.push_back(job);
        }
        if waiting.is_empty() {
            // From here on the lane gets its jobs back; what slipped in before is still worked.
            queue.close();
            match queue.recv().await {
                Some(job) => waiting.push_back(job),
                None => return,
            }
        }
        let batch = take_batch(&mut waiting);
        let mut outcome = link.send(&batch).await;
        for _ in 1..DETOUR_ATTEMPTS {
            match &outcome {
                Err(error) if matches!(classify(error), Failure::Blocked) => outcome = link.send(&batch).await,
                _ => break,
            }
        }
        match outcome {
            Ok(verdicts) => answer_all(batch, verdicts, &bell),
            Err(error) if matches!(classify(&error), Failure::Apart(_)) => {
                for job in batch {
                    send_alone(&mut link, job, &bell).await;
                }
            }
            Err(error) => {
                let busy = matches!(classify(&error), Failure::Blocked);
                for job in batch {
                    answer(job, Err(if busy { AppendError::Busy } else { AppendError::Unreachable }));
                }
            }
        }
    }
}
