//! Schedulers that are killed, or freeze with deadlines in their hands, while consultations fall due.
//!
//! That everything due is timed out once, at or after its deadline and not by a vote, is for `check` to see, as after every fault. Here is
//! seen that there was something to end, that it was ended in time, and that whoever votes late is told so.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use docket_platform::clock;
use futures_util::{StreamExt, stream};
use rand::RngExt;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Injection, kill_all};
use crate::{
    ledger::{Command, Fate, Kind},
    people::{ASKERS, REVIEWERS},
    process::Process,
};

/// How many ask, or vote, at once.
const AT_ONCE: usize = 64;
/// The least time over which they fall due.
const SPREAD_MILLIS: u32 = 1500;
/// What one of many adds to it: 10,000 fall due in a minute.
const SPREAD_MICROS_EACH: u32 = 6000;
/// How long it takes to ask, at least, and what one of many adds to it.
const ASKED_WITHIN: Duration = Duration::from_secs(4);
const ASKED_EACH: Duration = Duration::from_millis(6);
/// One of so many is voted on when it is too late.
const LATE_VOTES: usize = 5;
/// How long after the last deadline all must be ended: a claim of a scheduler that was killed holds for ten seconds.
const ENDED_WITHIN: Duration = Duration::from_secs(25);

impl Injection<'_> {
    /// Kills `victims` at once while `burst` consultations fall due, and votes on some of these when all are due.
    pub(super) async fn kill_schedulers(&mut self, victims: &[Arc<Process>], burst: u32) -> Result<()> {
        let first = clock::now() + TimeDelta::from_std(ASKED_WITHIN + ASKED_EACH * burst).context("a time")?;
        let spread = SPREAD_MILLIS.max(burst.saturating_mul(SPREAD_MICROS_EACH) / 1000);
        let last = first + TimeDelta::milliseconds(spread.into());
        let asked = self.ask_burst(first, spread, burst).await;
        // Somewhere within, with something behind and something ahead.
        until(first + TimeDelta::milliseconds((spread / 10 + self.rng.random_range(0..spread * 7 / 10)).into())).await;
        kill_all(victims).await?;
        let open: i64 = sqlx::query_scalar("select count(*) from write.deadline where stream_id = any($1)")
            .bind(&asked)
            .fetch_one(&self.topology.owner)
            .await
            .context("counting what is due")?;
        if open == 0 {
            self.findings
                .add("fault", format!("none of {} deadlines was left when the schedulers were killed", asked.len()));
        }
        until(last).await;
        self.vote_late(&asked).await;
        self.until_ended(&asked, last).await
    }

    /// Asks `burst` consultations that fall due in the `spread` milliseconds from `first` on; those that were acknowledged.
    async fn ask_burst(&mut self, first: DateTime<Utc>, spread: u32, burst: u32) -> Vec<Uuid> {
        let mut commands = Vec::new();
        for _ in 0..burst {
            let deadline = first + TimeDelta::milliseconds(self.rng.random_range(0..spread).into());
            commands.push(self.author.ask_until(deadline));
        }
        let fates = self.send_all(commands).await;
        let asked = fates.into_iter().filter_map(|(_, fate)| match fate {
            Fate::Acknowledged(answer) => Some(answer.stream),
            _ => None,
        });
        asked.collect()
    }

    async fn send_all(&self, commands: Vec<Command>) -> Vec<(Command, Fate)> {
        let client = self.client;
        let sent = stream::iter(commands).map(|command| async move {
            let fate = client.send(command.clone()).await;
            (command, fate)
        });
        sent.buffer_unordered(AT_ONCE).collect().await
    }

    /// Whoever votes on what is due is told that it has timed out, whether a scheduler has come to it or not.
    async fn vote_late(&mut self, asked: &[Uuid]) {
        let mut commands = Vec::new();
        for stream in asked.iter().step_by(LATE_VOTES) {
            let reviewer = ASKERS + self.rng.random_range(0..REVIEWERS);
            commands.push(self.author.respond(*stream, reviewer));
        }
        for (Command { key, kind, .. }, fate) in self.send_all(commands).await {
            let Fate::Acknowledged(answer) = fate else { continue };
            let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if matches!(kind, Kind::Respond(_)) && body["state"] != "timed_out" {
                let text = format!("{key} came after the deadline, and was told the state {}", body["state"]);
                self.findings.add("answers", text);
            }
        }
    }

    /// Waits until all of `asked` are timed out, each once, and says how late the clock was.
    async fn until_ended(&mut self, asked: &[Uuid], last: DateTime<Utc>) -> Result<()> {
        let (due, give_up) = (clock::now().max(last), Instant::now() + ENDED_WITHIN);
        let open = loop {
            let open = self.due_by(due, Some(asked)).await?;
            if open == 0 || Instant::now() >= give_up {
                break open;
            }
            sleep(Duration::from_millis(50)).await;
        };
        if open > 0 {
            let seconds = ENDED_WITHIN.as_secs();
            self.findings.add("quiet", format!("{seconds} s after they were due {open} deadlines were not ended"));
        }
        let (timed_out, consultations, latest): (i64, i64, Option<f64>) = sqlx::query_as(
            "select count(*), count(distinct stream_id),
                 max(extract(epoch from time - (data::json ->> 'deadline')::timestamptz))::float8
             from write.journal where event_type = 'docket.consultation.timed_out.v1' and stream_id = any($1)",
        )
        .bind(asked)
        .fetch_one(&self.topology.owner)
        .await
        .context("looking at what was timed out")?;
        let (count, latest) = (asked.len(), latest.unwrap_or(0.0));
        println!("      {count} asked, {consultations} of them timed out, the last {latest:.1} s late");
        if [timed_out, consultations] != [count as i64; 2] {
            let text = format!("of {count} that nobody answered {consultations} timed out, by {timed_out} events");
            self.findings.add("folds", text);
        }
        Ok(())
    }

    /// How many deadlines of `streams`, or of all, are due at `at` and not ended.
    async fn due_by(&self, at: DateTime<Utc>, streams: Option<&[Uuid]>) -> Result<i64> {
        sqlx::query_scalar(
            "select count(*) from write.deadline where due_at <= $1 and ($2::uuid[] is null or stream_id = any($2))",
        )
        .bind(at)
        .bind(streams)
        .fetch_one(&self.topology.owner)
        .await
        .context("counting what is due")
    }

    /// Leaves a scheduler frozen with deadlines that it has claimed, until the others have ended all that was due when it froze: they may
    /// when its claims have run out. Then it goes on with what it takes for its own.
    pub(super) async fn freeze_scheduler(&mut self, process: &Process, passing: u32) -> Result<()> {
        if !self.is_frozen_at(process, "scheduler.after_claim", passing).await? {
            return Ok(());
        }
        let (due, give_up) = (clock::now(), Instant::now() + ENDED_WITHIN);
        let mut open = self.due_by(due, None).await;
        while !matches!(open, Ok(0)) && Instant::now() < give_up {
            sleep(Duration::from_millis(50)).await;
            open = self.due_by(due, None).await;
        }
        process.thaw()?;
        let open = open?;
        if open > 0 {
            let (name, seconds) = (process.name(), ENDED_WITHIN.as_secs());
            self.findings
                .add("fault", format!("{name} was frozen, and after {seconds} s {open} deadlines were not ended"));
        }
        Ok(())
    }
}

/// Sleeps until `instant`.
async fn until(instant: DateTime<Utc>) {
    sleep((instant - clock::now()).to_std().unwrap_or_default()).await;
}
