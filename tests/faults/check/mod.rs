//! The check: what must hold after every fault, whatever the fault was.
//!
//! | check | promise |
//! |---|---|
//! | `ends` | no process ends that nobody ended, and SIGTERM ends one in order |
//! | `quiet` | the projections reach the end of the log, what is due is ended |
//! | `answers` | no answer and no refusal that should not be; a repeated command gets its first answer |
//! | `acknowledged` | what was acknowledged is in the journal once, at the version that was told, and as it was sent; or it changed nothing |
//! | `nothing else` | nothing is in the journal that no client and no clock wrote |
//! | `gap-free` | sequences of a shard, versions of a stream, and times in it |
//! | `folds` | every event was allowed where it stands; one outcome at most, by the vote that completes the rule or by the clock; snapshots are what a fold gives |
//! | `deadlines` | the clock knows of each consultation what is due next, and nothing overdue is left |
//! | `sessions` | a session ends for a reason, once, and whatever has ended is refused by all processes |
//! | `mails` | each login from somewhere new is told to its user, and nothing else is |
//! | `counters` | what readers did adds up to the counters by item, reader and day, each thing once |
//! | `webhooks` | each event, and each outcome where it was asked for, is taken under one id, in order of its stream, or is a dead letter |
//! | `idempotency` | the memory of answers holds what was acknowledged |
//! | `read model` | the rows equal a projection from zero, and nothing is parked |
//! | `topic` | Kafka holds what the journal holds, event by event, in order, and nothing else |
//! | `read model from the log` | the rows equal a projection of what Kafka holds |
//!
//! Owns the order of the checks. The journal only grows, so each check reads what is new since the last; a full one reads all.

mod asked;
mod engagement;
mod journal;
mod life;
mod mails;
mod quiet;
mod rules;
mod streams;
#[cfg(test)]
mod tests;
mod told;
mod topic;
mod verdicts;
mod webhooks;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use docket_log::{LogReader, MacKey};
use sqlx::{Connection, PgConnection};

use crate::{
    client::Client,
    ledger::{Answer, Command, Fate},
    report::Findings,
    sessions,
    topology::Topology,
};
use journal::Journal;

/// Acknowledged commands that are repeated once more when all is quiet.
const REPEATED: usize = 15;
/// How long Kafka may give nothing while it is projected from zero.
const LOG_PATIENCE: Duration = Duration::from_secs(15);

/// Checks one database, time after time.
#[derive(Debug, Default)]
pub struct Checker {
    journal: Journal,
}

impl Checker {
    /// Waits until all is quiet, then checks what is new.
    pub async fn check(&mut self, topology: &Topology, client: &Client, findings: &mut Findings) -> Result<()> {
        for process in topology.processes() {
            findings.add_all("ends", process.take_findings());
        }
        let asked_until = quiet::wait(topology, findings).await?;
        repeat_some(client).await;
        let mut connection = snapshot(topology).await?;
        self.journal.read(&mut connection, topology, findings).await?;
        streams::check_ends(&self.journal, findings);
        streams::check_shards(&self.journal, &mut connection, findings).await?;
        streams::check_deadlines(&self.journal, &mut connection, asked_until, findings).await?;
        self.journal.engagement.check_counters(&mut connection, findings).await?;
        {
            let rows = told::Rows::read(&mut connection).await?;
            let mut books = client.ledger().open();
            findings.add_all("answers", std::mem::take(&mut books.odd));
            told::check(&mut self.journal, &books, &rows, findings);
            self.journal.sessions.check(&books.sessions, &topology.people, findings);
            self.journal.engagement.check(&books.told, findings);
            books.fresh.clear();
        }
        sessions::check_refusals(client, findings).await?;
        mails::check(topology, findings).await?;
        webhooks::check(topology, findings).await?;
        connection.close().await.context("ending the check's transaction")?;
        check_read_model(topology, findings).await?;
        if topology.is_on_kafka().await? {
            topic::check(topology, findings).await?;
            check_read_model_from_the_log(topology, findings).await?;
        }
        Ok(())
    }

    /// How many events of each kind consultations have.
    pub fn kinds(&self) -> &BTreeMap<String, u64> {
        &self.journal.kinds
    }

    /// [`Checker::check`] from the first event on, as if nothing had been read before.
    pub async fn check_all(&mut self, topology: &Topology, client: &Client, findings: &mut Findings) -> Result<()> {
        self.journal = Journal::default();
        {
            let mut books = client.ledger().open();
            books.fresh = books.entries.keys().cloned().collect();
        }
        self.check(topology, client, findings).await
    }
}

/// A connection whose statements all see the same moment.
async fn snapshot(topology: &Topology) -> Result<PgConnection> {
    let options = topology.owner.connect_options();
    let mut connection = PgConnection::connect_with(&options).await.context("connecting for the check")?;
    sqlx::query("begin isolation level repeatable read read only").execute(&mut connection).await?;
    Ok(connection)
}

/// The database's time.
async fn now(connection: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(connection).await
}

/// Repeats some of the acknowledged commands: their answers must have survived whatever happened.
async fn repeat_some(client: &Client) {
    let some: Vec<(Command, Answer)> = {
        let books = client.ledger().open();
        let acknowledged = books.fresh.iter().filter_map(|key| {
            let entry = &books.entries[key];
            match &entry.fate {
                Fate::Acknowledged(answer) if !entry.is_forgotten => Some((entry.command.clone(), answer.clone())),
                _ => None,
            }
        });
        let all: Vec<_> = acknowledged.collect();
        let step = (all.len() / REPEATED).max(1);
        all.into_iter().step_by(step).collect()
    };
    for (command, answer) in some {
        client.repeat(&command, &answer).await;
    }
}

async fn check_read_model_from_the_log(topology: &Topology, findings: &mut Findings) -> Result<()> {
    let key = MacKey::load(&topology.owner).await.context("reading the key of the log")?;
    let reader = LogReader::kafka_alone(topology.owner.clone(), &topology.kafka()?.kafka()?, key)?;
    let check = "read model from the log";
    match docket_projector::verify::verify_from(&topology.owner, reader, LOG_PATIENCE).await {
        Ok(differences) => findings.add_all(check, differences.iter().map(ToString::to_string)),
        Err(error) => findings.add(check, format!("it cannot be compared: {error}")),
    }
    Ok(())
}

async fn check_read_model(topology: &Topology, findings: &mut Findings) -> Result<()> {
    match docket_projector::verify_read_model(&topology.owner).await {
        Ok(differences) => findings.add_all("read model", differences.iter().map(ToString::to_string)),
        Err(error) => findings.add("read model", format!("it cannot be compared: {error}")),
    }
    let parked: Vec<(String, i16, i64, String, Option<String>)> = sqlx::query_as(
        "select projection, shard, sequence, event_type, error from read.dead_letter order by parked_at, sequence",
    )
    .fetch_all(&topology.owner)
    .await
    .context("reading dead letters")?;
    findings.add_all(
        "read model",
        parked.into_iter().map(|(projection, shard, sequence, event_type, error)| {
            let error = error.unwrap_or_else(|| "behind another of its stream".to_owned());
            format!("{projection} parked {event_type}, sequence {sequence} of shard {shard}: {error}")
        }),
    );
    Ok(())
}
