//! `docket recover`: after PostgreSQL was restored to an older state, what the log in Kafka has more comes back into the journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use docket_command_api::recover::Rules;
use docket_events::Recorded;
use docket_log::kafka::Probe;
use docket_log::recover::{self, Price, RecoverError, Recovered, SetAside};
use docket_log::{KafkaArgs, MacKey};
use docket_platform::db::DbRole;

use crate::exit::Ending;
use crate::place::{self, Place};

/// Which installation, and what may leave its journal.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket status --check                                            what is wrong, and whether this mends it
  KAFKA_BROKERS=kafka:9092 DATABASE_URL=... docket recover
  KAFKA_BROKERS=kafka:9092 DATABASE_URL=... docket recover --set-aside conflicts.jsonl

Stop the command API first, if you can: each consultation that the restored database answers or times out anew contradicts the log.
Brings back events, deadlines and claims, shard by shard; cut off, run it again. What was journalled since the restore goes behind the
tail, unless the log goes on with the same stream: then what nobody commanded (time-outs) is void, and what people did is only taken out of the journal
with --set-aside, which writes it to a file as CloudEvents first. Secrets (passwords) and idempotent answers are in no event: they
stay as they were restored. Restore the newest backup of the schema `vault` before it. Needs the owner of the schema.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kafka: KafkaArgs,
    /// Write events that contradict the log to this file, and take them out of the journal
    #[arg(long, value_name = "FILE")]
    set_aside: Option<PathBuf>,
    /// Go on though data keys are missing: names sealed under them stay unreadable, and their addresses free
    #[arg(long)]
    without_keys: bool,
}

/// Events that leave the journal, a CloudEvent a line.
struct Lines {
    path: PathBuf,
    file: Option<File>,
}

impl SetAside for Lines {
    fn keep(&mut self, events: &[Recorded]) -> io::Result<()> {
        // Only made when something is set aside, and never overwritten.
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(&self.path)?),
        };
        for event in events {
            let line = event.cloud_event().map_err(io::Error::other)?;
            writeln!(file, "{line}")?;
        }
        file.sync_all()
    }
}

/// Does it, shard by shard, and says what came back.
///
/// # Errors
/// See [`RecoverError`].
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Some(kafka) = place::kafka(&args.kafka)? else {
        return Err(Ending::usage("the log to recover from is in Kafka: set KAFKA_BROKERS").into());
    };
    let database = args.place.find().await?;
    let owner = database.pool(DbRole::Owner, 4, args.place.database.acquire_timeout);
    let installation = place::installation(&owner).await?;
    let key = MacKey::load(&owner).await.context("the key of the log cannot be read")?;
    let probe = Probe::new(&kafka, key)?;
    let rules = Rules::new(&owner);
    let mut lines = args.set_aside.map(|path| Lines { path, file: None });
    let price = Price { aside: lines.as_mut(), without_keys: args.without_keys };
    let recovered = recover::recover(&owner, &probe, installation, &rules, price, say).await;
    let recovered = recovered.map_err(|error| match error {
        RecoverError::Conflict { .. } | RecoverError::KeysMissing { .. } | RecoverError::ClaimTaken { .. } => {
            Ending::refused(error.to_string()).into()
        }
        other => anyhow::Error::new(other),
    })?;
    summarise(&recovered);
    Ok(())
}

fn say(done: &Recovered) {
    let mut parts = vec![format!("{} events are back", done.restored)];
    let more = [
        (done.moved, "moved behind them"),
        (done.void, "that nobody commanded are void"),
        (done.set_aside, "set aside"),
    ];
    parts.extend(more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    println!("{:20} {} behind sequence {}", done.shard.to_string(), parts.join(", "), done.common);
}

fn summarise(recovered: &[Recovered]) {
    if recovered.is_empty() {
        println!("nothing to recover: the journal has everything that the topics have");
        return;
    }
    let events: usize = recovered.iter().map(|done| done.restored).sum();
    println!("recovered  {events} events in {} shards", recovered.len());
    let unreadable: usize = recovered.iter().map(|done| done.unreadable).sum();
    if unreadable > 0 {
        println!("note  {unreadable} personal fields cannot be read: their keys are not in the vault");
    }
    if recovered.iter().any(|done| done.projected) {
        println!(
            "note  read models may show what was journalled since the restore: restart the projectors, then `docket rebuild` each"
        );
    }
}
