//! How late deadlines are kept, with schedulers that live and one that is killed; and what open deadlines cost while none is due.

use std::{collections::HashMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use docket_log::Store;
use docket_platform::clock;
use docket_tests::{accept, context, eventually_within, new_stream, request};
use futures_util::future::try_join_all;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Size,
    process::{Place, Process, postgres_cpu},
    report::{Latencies, Report, Target},
};

/// Processes that watch deadlines.
const SCHEDULERS: usize = 3;
/// Consultations that are asked at once.
const AT_ONCE: usize = 500;
/// How long the journal is closed before a scheduler is killed; less than a writer waits for a lock.
const CLOSED: Duration = Duration::from_millis(200);
/// Whatever is this late waited for a claim to run out.
const WAITED: Duration = Duration::from_secs(5);
/// How much later than the last deadline the last claim of a dead scheduler runs out, with room.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process and PostgreSQL are left alone before what they take is counted.
const SETTLE: Duration = Duration::from_secs(5);

/// Deadlines that are evenly spread over some time.
struct Spread {
    count: usize,
    from: DateTime<Utc>,
    over: Duration,
}

impl Spread {
    /// The deadline at place `n`, in whole microseconds as PostgreSQL keeps it.
    fn at(&self, n: usize) -> DateTime<Utc> {
        let offset = self.over.as_secs_f64() * 1e6 * n as f64 / self.count as f64;
        self.from.trunc_subsecs(6) + TimeDelta::microseconds(offset as i64)
    }

    /// Asks for decisions by these deadlines.
    async fn ask(&self, store: &Store) -> Result<HashMap<Uuid, DateTime<Utc>>> {
        let mut asked = HashMap::with_capacity(self.count);
        let places: Vec<usize> = (0..self.count).collect();
        for places in places.chunks(AT_ONCE) {
            let asking = places.iter().map(|n| async {
                let (stream, deadline) = (new_stream(), self.at(*n));
                accept(store, &context(), stream, request("Deploy release 42?", Some(deadline))).await?;
                anyhow::Ok((stream.id, deadline))
            });
            asked.extend(try_join_all(asking).await?);
        }
        Ok(asked)
    }
}

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let calm = lateness(docket, size, false).await.context("with all schedulers alive")?;
    let killed = lateness(docket, size, true).await.context("with a scheduler killed")?;
    let figure = format!("lateness of {} deadlines, 1 of {SCHEDULERS} schedulers killed", size.pick("1,000", "10,000"));
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let waited = if quantile < 1.0 { String::new() } else { format!(" ({} waited for its claims)", killed.waited) };
        let (killed, calm) = (killed.all.ms(quantile), calm.all.ms(quantile));
        report.row(
            &format!("{figure}, {name}"),
            format!("{killed:.1} ms{waited}"),
            format!("nobody killed {calm:.1} ms"),
            killed / calm,
            Target::None,
        );
    }
    at_rest(docket, size, report).await
}

/// How late deadlines were recorded.
struct Lateness {
    all: Latencies,
    /// How many waited for a claim to run out.
    waited: usize,
}

/// Lets consultations fall due while schedulers watch, of which one may be killed in the middle.
async fn lateness(docket: &Path, size: Size, kill: bool) -> Result<Lateness> {
    let place = Place::new().await?;
    let mut schedulers = try_join_all((0..SCHEDULERS).map(|_| place.role(docket, "command-api")))
        .await
        .context("starting schedulers")?;
    let lead = size.pick(3, 10);
    let spread = Spread {
        count: size.pick(1_000, 10_000),
        from: clock::now() + TimeDelta::seconds(lead),
        over: Duration::from_secs(size.pick(10, 60)),
    };
    let asked = spread.ask(&place.store).await?;
    ensure!(clock::now() < spread.from, "asking took longer than the {lead} s until the first deadline");
    if kill {
        sleep_until(spread.at(spread.count / 2)).await;
        kill_with_claims(&place.owner, schedulers.remove(0)).await?;
    }
    sleep_until(spread.at(spread.count)).await;
    eventually_within(PATIENCE, "every deadline is kept", async || {
        let open: bool =
            sqlx::query_scalar("select exists (select from write.deadline)").fetch_one(&place.owner).await?;
        Ok((!open).then_some(()))
    })
    .await?;
    try_join_all(schedulers.into_iter().map(Process::stop)).await?;
    judge(&place.owner, asked).await
}

async fn sleep_until(instant: DateTime<Utc>) {
    // What has passed needs no sleep.
    tokio::time::sleep((instant - clock::now()).to_std().unwrap_or_default()).await;
}

/// Kills a scheduler while it holds claims: most of the time it sleeps, and its death would be without consequence. While nobody can read
/// the journal, each scheduler claims what falls due and ends none of it.
async fn kill_with_claims(owner: &PgPool, scheduler: Process) -> Result<()> {
    let mut closed = owner.begin().await?;
    sqlx::query("lock table write.journal in access exclusive mode").execute(&mut *closed).await?;
    tokio::time::sleep(CLOSED).await;
    scheduler.kill().await?;
    Ok(closed.commit().await?)
}

/// How late each was recorded; an error unless each was, once, and none before its deadline.
async fn judge(owner: &PgPool, mut asked: HashMap<Uuid, DateTime<Utc>>) -> Result<Lateness> {
    let recorded: Vec<(Uuid, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "select stream_id, time, recorded_at from write.journal where event_type = 'docket.consultation.timed_out.v1'",
    )
    .fetch_all(owner)
    .await?;
    let mut all = Vec::with_capacity(recorded.len());
    for (id, time, recorded_at) in recorded {
        let deadline = asked.remove(&id).with_context(|| format!("{id} was timed out twice"))?;
        ensure!(time >= deadline, "{id} was due at {deadline} and timed out at {time}");
        all.push((recorded_at - deadline).to_std().with_context(|| format!("{id} was recorded too early"))?);
    }
    ensure!(asked.is_empty(), "{} were never timed out", asked.len());
    let waited = all.iter().filter(|late| **late > WAITED).count();
    Ok(Lateness { all: Latencies::new(all), waited })
}

/// What a command API that nobody asks and PostgreSQL take, in milliseconds on a core for each second.
struct Rest {
    docket: f64,
    postgres: f64,
}

impl Rest {
    async fn of(place: &Place, process: &Process, window: Duration) -> Result<Self> {
        // What went before may still write.
        place.tidy().await?;
        tokio::time::sleep(SETTLE).await;
        let before = (process.cpu()?, postgres_cpu(&place.owner).await?);
        tokio::time::sleep(window).await;
        let after = (process.cpu()?, postgres_cpu(&place.owner).await?);
        let each_second =
            |before, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e3 / window.as_secs_f64();
        Ok(Self { docket: each_second(before.0, after.0), postgres: each_second(before.1, after.1) })
    }
}

/// What open deadlines cost while none is due.
async fn at_rest(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let window = Duration::from_secs(size.pick(10, 60));
    let place = Place::new().await?;
    let process = place.role(docket, "command-api").await?;
    let before = Rest::of(&place, &process, window).await?;
    let count = size.pick(10_000, 100_000);
    let day = Duration::from_secs(24 * 60 * 60);
    Spread { count, from: clock::now() + day, over: day * 30 }.ask(&place.store).await?;
    let open = Rest::of(&place, &process, window).await?;
    // Before and after, since machines drift. To the scheduler it is as if all had been answered.
    sqlx::query("delete from write.deadline").execute(&place.owner).await?;
    let after = Rest::of(&place, &process, window).await?;
    process.stop().await?;
    let count = size.pick("10,000", "100,000");
    for (name, open, before, after) in [
        ("command-api", open.docket, before.docket, after.docket),
        ("PostgreSQL", open.postgres, before.postgres, after.postgres),
    ] {
        let none = f64::midpoint(before, after);
        report.row(
            &format!("{name} at rest, {count} open deadlines"),
            format!("{open:.2} ms/s"),
            format!("none open {none:.2} ms/s"),
            open / none,
            Target::AtMost(1.2),
        );
    }
    Ok(())
}
