//! How each fault is done.
//!
//! Owns the doing. What came of it is judged by `check`, but for what only the doer sees: a step that is never reached, racers that
//! were told different things.

mod engagement;
mod import;
mod kafka;
mod restore;
mod schedulers;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use docket_platform::db::DbRole;
use futures_util::{StreamExt, future::join_all, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    author::Author,
    client::Client,
    faults::Fault,
    ledger::{Answer, Command, Fate},
    people::{ASKERS, REVIEWERS},
    process::{CRASH, FORGET, PAUSE, Process},
    report::Findings,
    topology::{LEASE, Topology},
};

/// How long the load may take to bring a process to a step: mails and logins come once in some seconds.
const REACHED_WITHIN: Duration = Duration::from_secs(30);
/// A process has thirty seconds to end in order.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Longer than a lease, with what it takes to notice.
const PAST_LEASE: Duration = LEASE.saturating_add(Duration::from_millis(500));
/// How long the others may take to do what a frozen process left, its open transaction included.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(15);
/// How long the other may take to deliver what a frozen process has in hand: claims run out first, and the load goes on meanwhile.
const DELIVERED_WITHIN: Duration = Duration::from_secs(45);
/// What a projector of an older release does not know.
const NEWEST_TYPE: &str = "docket.consultation.commented.v1";
/// Racers on one key.
const RACERS: usize = 20;

/// What a fault is done with.
pub struct Injection<'a> {
    /// The system.
    pub topology: &'a Topology,
    /// A client of it.
    pub client: &'a Client,
    /// Makes commands besides those of the load.
    pub author: Author,
    /// The fault's own dice.
    pub rng: StdRng,
    /// What the doer sees.
    pub findings: &'a mut Findings,
}

impl<'a> Injection<'a> {
    /// The fault number `number` of the run `seed`.
    pub fn new(topology: &'a Topology, client: &'a Client, seed: u64, number: u32, findings: &'a mut Findings) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(u64::from(number) << 32));
        Self { topology, client, author: Author::new(client.people(), seed, number, "fault"), rng, findings }
    }

    /// Does it; returns when the system may mend.
    pub async fn inject(&mut self, fault: Fault) -> Result<()> {
        let topology = self.topology;
        let (apis, projectors, relays) = (&topology.apis, &topology.projectors, &topology.relays);
        match fault {
            Fault::KillApi(n) => self.kill_repeatedly(&apis[n]).await,
            Fault::KillProjector(n) => self.kill_repeatedly(&projectors[n]).await,
            Fault::KillRelay(n) => self.kill_repeatedly(&relays[n]).await,
            Fault::KillProjectors => kill_all(projectors).await,
            Fault::KillRelays => kill_all(relays).await,
            Fault::KillPostgres => self.kill_postgres_repeatedly().await,
            Fault::KillPostgresBusy => self.kill_postgres_busy().await,
            Fault::Crash(n, step, passing) => self.crash(self.passes(n, step), step, passing).await,
            Fault::FreezeProjector(n) => self.freeze(&projectors[n]).await,
            Fault::FreezeRelay(n) => self.freeze(&relays[n]).await,
            Fault::KillSchedulers(burst) => self.kill_schedulers(apis, burst).await,
            Fault::KillScheduler(n, burst) => self.kill_schedulers(&apis[n..=n], burst).await,
            Fault::FreezeScheduler(n, passing) => self.freeze_scheduler(&apis[n], passing).await,
            Fault::FreezeAt(n, step, passing) => self.freeze_at(self.passes(n, step), step, passing).await,
            Fault::FreezeApi(n, millis) => {
                apis[n].freeze()?;
                sleep(Duration::from_millis(millis.into())).await;
                apis[n].thaw()
            }
            Fault::OldProjector(n) => self.work_beside_an_old_one(&projectors[n]).await,
            Fault::HoldShard(shard) => self.hold(shard).await,
            Fault::Racers(n) => self.race(n).await,
            Fault::HotStreams => self.hot_streams().await,
            Fault::EndApi(n) => apis[n].terminate(END_WITHIN).await.map(drop),
            Fault::EndProjector(n) => projectors[n].terminate(END_WITHIN).await.map(drop),
            Fault::EndRelay(n) => relays[n].terminate(END_WITHIN).await.map(drop),
            Fault::KillBroker(n) => self.kill_broker(n).await,
            Fault::KillBrokerAndRelays(n) => self.kill_broker_and_relays(n).await,
            Fault::FreezeBroker(n, seconds) => self.freeze_broker(n, Duration::from_secs(seconds)).await,
            Fault::WipeBroker(n) => self.wipe_broker(n).await,
            Fault::RestorePostgres => self.keep_a_copy().await,
            Fault::Switch => self.switch_log().await,
            Fault::ImportGraph(n) => self.import_graph(&projectors[n]).await,
            Fault::Engagement(n) => self.tell_twice(n).await,
            Fault::Rebuild(projection) => self.run_killed(&["rebuild", projection], "rebuild.").await,
        }
    }

    /// What is done once the load has ended.
    pub async fn finish(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::RestorePostgres => self.restore_the_copy().await,
            _ => Ok(()),
        }
    }

    /// The process with this number that passes a step.
    fn passes(&self, number: usize, step: &str) -> &'a Process {
        match step.split('.').next() {
            Some("projector" | "reactor" | "webhook") => &self.topology.projectors[number],
            Some("relay") => &self.topology.relays[number],
            _ => &self.topology.apis[number],
        }
    }

    /// Once, and once more at a moment of the dice's choice, which may be while it starts.
    async fn kill_repeatedly(&mut self, process: &Process) -> Result<()> {
        process.kill().await?;
        sleep(Duration::from_millis(self.rng.random_range(0..800))).await;
        process.kill().await
    }

    fn kill_postgres(&self) -> Result<i32> {
        let pid = self.topology.postmaster().context("PostgreSQL does not run")?;
        kill_process(Pid::from_raw(pid).context("no process id")?, Signal::KILL).context("killing PostgreSQL")?;
        Ok(pid)
    }

    /// Once; every other time once more right after its start, which is while it recovers or just after.
    async fn kill_postgres_repeatedly(&mut self) -> Result<()> {
        let first = self.kill_postgres()?;
        if self.rng.random_bool(0.5) {
            let give_up = Instant::now() + REACHED_WITHIN;
            while self.topology.postmaster().is_none_or(|pid| pid == first) && Instant::now() < give_up {
                sleep(Duration::from_millis(5)).await;
            }
            sleep(Duration::from_millis(self.rng.random_range(0..300))).await;
            self.kill_postgres()?;
        }
        Ok(())
    }

    /// Backends at work do not notice that their postmaster is gone.
    async fn kill_postgres_busy(&self) -> Result<()> {
        let mut backends = Vec::new();
        for _ in 0..3 {
            let mut connection = self.topology.database().connect(DbRole::Owner).await.context("connecting")?;
            backends.push(tokio::spawn(async move {
                // Ended by whoever starts the server again.
                let _ =
                    sqlx::query("select count(*) from generate_series(1, 2000000000)").execute(&mut connection).await;
            }));
        }
        sleep(Duration::from_millis(100)).await;
        let killed = self.kill_postgres();
        for backend in backends {
            let _ = backend.await;
        }
        killed.map(drop)
    }

    async fn crash(&mut self, process: &Process, step: &'static str, passing: u32) -> Result<()> {
        process.replace(vec![(CRASH, format!("{step}:{passing}"))]).await?;
        let since = process.starts();
        if !process.ended(since, REACHED_WITHIN).await {
            self.findings.add("fault", format!("{} never came to {step} for the {passing}th time", process.name()));
            process.kill().await?;
        }
        Ok(())
    }

    async fn freeze_at(&mut self, process: &Process, step: &'static str, passing: u32) -> Result<()> {
        match self.is_frozen_at(process, step, passing).await? {
            false => Ok(()),
            true if step.starts_with("webhook.") => self.until_delivered_elsewhere(process).await,
            true => self.until_taken_over(process).await,
        }
    }

    /// Leaves a process frozen until its claims have run out and the other has taken all that it had in hand; then thaws it.
    async fn until_delivered_elsewhere(&mut self, process: &Process) -> Result<()> {
        let owner = &self.topology.owner;
        let in_hand: Result<Vec<Uuid>, _> =
            sqlx::query_scalar("select claim from react.lane where claim is not null").fetch_all(owner).await;
        let give_up = Instant::now() + DELIVERED_WITHIN;
        let mut left = in_hand.as_ref().map_or(0, Vec::len) as i64;
        while let (Ok(claims), true) = (&in_hand, left > 0 && Instant::now() < give_up) {
            sleep(Duration::from_millis(50)).await;
            let left_of = sqlx::query_scalar("select count(*) from react.lane where claim = any ($1)").bind(claims);
            left = left_of.fetch_one(owner).await.unwrap_or(left);
        }
        process.thaw()?;
        in_hand.context("looking at webhooks in hand")?;
        if left > 0 {
            let name = process.name();
            self.findings.add("fault", format!("{name} was frozen, and {left} webhooks that it had in hand were left"));
        }
        Ok(())
    }

    /// Has a process stop itself at a step; whether it came to it.
    async fn is_frozen_at(&mut self, process: &Process, step: &'static str, passing: u32) -> Result<bool> {
        process.replace(vec![(PAUSE, format!("{step}:{passing}"))]).await?;
        let give_up = Instant::now() + REACHED_WITHIN;
        while !process.is_frozen() {
            if Instant::now() >= give_up {
                self.findings.add("fault", format!("{} never came to {step} for the {passing}th time", process.name()));
                return Ok(false);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(true)
    }

    async fn freeze(&mut self, process: &Process) -> Result<()> {
        process.freeze()?;
        self.until_taken_over(process).await
    }

    /// Leaves a process frozen until the other has done what there is to do, past the lease in any case; then thaws it.
    async fn until_taken_over(&mut self, process: &Process) -> Result<()> {
        sleep(PAST_LEASE).await;
        let taken_over = self.topology.wait_projected(TAKEN_OVER_WITHIN).await;
        process.thaw()?;
        if let Some(lagging) = taken_over? {
            let seconds = TAKEN_OVER_WITHIN.as_secs();
            let name = process.name();
            self.findings.add("fault", format!("{name} was frozen, and {seconds} s past its lease still {lagging}"));
        }
        Ok(())
    }

    /// Shards with events that only the other knows must pass on to it.
    async fn work_beside_an_old_one(&mut self, process: &Process) -> Result<()> {
        process.replace(vec![(FORGET, NEWEST_TYPE.to_owned())]).await?;
        sleep(PAST_LEASE).await;
        if let Some(lagging) = self.topology.wait_projected(TAKEN_OVER_WITHIN).await? {
            let (name, seconds) = (process.name(), TAKEN_OVER_WITHIN.as_secs());
            self.findings.add("quiet", format!("{name} was of an older release, and after {seconds} s {lagging}"));
        }
        process.terminate(END_WITHIN).await.map(drop)
    }

    /// First idle in its transaction, which the server ends; then at work in it.
    async fn hold(&mut self, shard: u16) -> Result<()> {
        let lock = "select 1 from write.shard where category = 2 and shard = $1 for no key update";
        for statement in [None, Some("select pg_sleep(2.5)")] {
            let mut holder =
                self.topology.database().connect(DbRole::Writer).await.context("connecting as the writer")?;
            let mut transaction = holder.begin().await.context("holding a shard")?;
            // Others may hold it for a moment too.
            if let Err(error) = sqlx::query(lock).bind(shard as i16).execute(&mut *transaction).await {
                eprintln!("     the shard was not held: {error}");
                continue;
            }
            match statement {
                None => sleep(Duration::from_millis(1500)).await,
                Some(work) => drop(sqlx::query(work).execute(&mut *transaction).await),
            }
        }
        Ok(())
    }

    /// Five rounds; in the third one of the processes is killed.
    async fn race(&mut self, victim: usize) -> Result<()> {
        for round in 0..5 {
            let command = match self.some_stream().await {
                Some(stream) if round % 2 == 1 => self.author.comment(stream),
                _ => self.author.ask_calmly(),
            };
            let started = Instant::now();
            let racers = (0..RACERS).map(|number| self.client.until_answered(&command, number));
            let kill = async {
                if round == 2 {
                    sleep(Duration::from_millis(self.rng.random_range(0..30))).await;
                    self.topology.apis[victim].kill().await?;
                }
                anyhow::Ok(())
            };
            let (fates, killed) = tokio::join!(join_all(racers), kill);
            killed?;
            let fate = self.agreed(&command, fates);
            self.client.book(command, fate, started.elapsed());
        }
        Ok(())
    }

    /// What all racers were told, when it is the same.
    fn agreed(&mut self, command: &Command, fates: Vec<Fate>) -> Fate {
        let answers: Vec<&Answer> = fates
            .iter()
            .filter_map(|fate| match fate {
                Fate::Acknowledged(answer) => Some(answer),
                _ => None,
            })
            .collect();
        if let Some(other) = answers.iter().find(|answer| **answer != answers[0]) {
            let (one, other) = (answers[0].beside(other), other.beside(answers[0]));
            self.findings.add("answers", format!("racers on {} were told {one}; and {other}", command.key));
        }
        if let Some(answer) = answers.first() {
            if let Some(Fate::Refused(status)) = fates.iter().find(|fate| matches!(fate, Fate::Refused(_))) {
                self.findings
                    .add("answers", format!("one racer on {} was acknowledged, another refused {status}", command.key));
            }
            return Fate::Acknowledged((*answer).clone());
        }
        Fate::Unknown
    }

    async fn some_stream(&mut self) -> Option<uuid::Uuid> {
        match self.client.send(self.author.ask_calmly()).await {
            Fate::Acknowledged(answer) => Some(answer.stream),
            _ => None,
        }
    }

    /// A burst of comments on one stream over all processes, and all reviewers at once on each of some consultations.
    async fn hot_streams(&mut self) -> Result<()> {
        let Some(hot) = self.some_stream().await else { return Ok(()) };
        let mut commands: Vec<Command> = (0..100).map(|_| self.author.comment(hot)).collect();
        for _ in 0..8 {
            if let Some(stream) = self.some_stream().await {
                commands.extend((0..REVIEWERS).map(|reviewer| self.author.respond(stream, ASKERS + reviewer)));
            }
        }
        let client = self.client;
        stream::iter(commands).for_each_concurrent(32, |command| async move { drop(client.send(command).await) }).await;
        Ok(())
    }
}

async fn kill_all(processes: &[Arc<Process>]) -> Result<()> {
    join_all(processes.iter().map(|process| process.kill())).await.into_iter().collect()
}
