//! `docket log`: where the log is, and moving it.
//!
//! Owns the order of a move: everything is published before anybody is told, so that a move that was cut off has changed nothing.

use std::time::Duration;

use anyhow::Context;
use docket_log::kafka::topics::{self, Missing};
use docket_log::relay::{self, marks};
use docket_log::{Bell, Installation, Kafka, KafkaArgs, Mode, Topic, faults};
use docket_platform::Shutdown;
use docket_platform::db::{Database, DbRole};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::exit::Ending;
use crate::place::{self, Place};
use crate::progress::Progress;

/// With so few events left, or fewer, the log may be moved under load: relays publish the rest.
const FEW: u64 = 1000;
/// How long it is tried to have none left.
const LAST: Duration = Duration::from_secs(3);
/// How often it is looked at how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// How long nothing may get on.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do with the log.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Move the log to Kafka, or back to the journal, while everything runs
    Switch(SwitchArgs),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  KAFKA_BROKERS=127.0.0.1:9092 docket log switch kafka      beside a `docket up` that was started with the same brokers
  DATABASE_URL=... docket log switch journal                 back again

To Kafka: makes or verifies the topics, publishes the whole journal, then tells the running processes, which follow within seconds.
Positions that clients hold stay valid. Processes that were started without KAFKA_BROKERS go on with the journal until they are
started anew, with brokers. Cut off at any moment it has changed nothing, or everything: run it again.")]
struct SwitchArgs {
    /// Where to
    #[arg(value_enum, default_value_t = To::Kafka)]
    to: To,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// The topics of the brokers that KAFKA_BROKERS names
    Kafka,
    /// PostgreSQL alone
    Journal,
}

/// Does it.
///
/// # Errors
/// When the database or Kafka refuses or does not answer; then the log is where it was, or has moved for good.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Action::Switch(args) = args.action;
    let kafka = place::kafka(&args.kafka)?;
    if args.to == To::Kafka && kafka.is_none() {
        return Err(Ending::usage("a log in Kafka needs brokers: set KAFKA_BROKERS").into());
    }
    let database = args.place.find().await?;
    let owner = args.place.pool(&database, DbRole::Owner);
    let installation = place::installation(&owner).await?;
    match (installation.mode, args.to, kafka) {
        (Mode::Journal, To::Journal, _) => println!("log  journal, as before"),
        (Mode::Kafka, To::Journal, _) => {
            Installation::set_mode(&owner, Mode::Journal).await?;
            println!("log  journal; the topics stay as they are");
        }
        (_, To::Kafka, None) => {}
        (mode, To::Kafka, Some(kafka)) => {
            topics::ensure(&kafka, installation.shards, Missing::Make).await.context("the log was not moved")?;
            publish(&owner, &database, installation, &kafka).await?;
            if mode == Mode::Journal {
                faults::step("switch.before_mode");
                Installation::set_mode(&owner, Mode::Kafka).await?;
                faults::step("switch.after_mode");
            }
            let events: u64 = marks::all(&owner).await?.values().map(|mark| mark.sequence).sum();
            let before = if mode == Mode::Kafka { ", as before" } else { "" };
            println!("log  kafka at {}{before}; {events} events are published", kafka.brokers());
        }
    }
    Ok(())
}

/// Publishes the journal by a relay of our own, beside whatever relays there are, until next to nothing is left.
async fn publish(owner: &PgPool, database: &Database, at: Installation, kafka: &Kafka) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    // Whatever the installation's mode is, this relay works.
    let (_mode, follow) = watch::channel(Mode::Kafka);
    let bell = Bell::new(Topic::Journal);
    let (config, kafka, database, stop) = (relay::Config::default(), kafka.clone(), database.clone(), shutdown.clone());
    let relay = tokio::spawn(async move { relay::run(config, kafka, &database, at, &bell, follow, &stop).await });
    let published = until_published(owner, &Progress::new("published")).await;
    shutdown.begin();
    // A relay that ended by itself has said so in what was not published.
    relay.await.context("the relay broke")??;
    published
}

async fn until_published(owner: &PgPool, progress: &Progress) -> anyhow::Result<()> {
    let (mut least, mut moved, mut few) = (u64::MAX, Instant::now(), None);
    loop {
        let left = marks::backlog(owner).await?;
        let marks = marks::all(owner).await?;
        if let Some((shard, reason)) = marks.iter().find_map(|(shard, mark)| Some((shard, mark.halted.as_ref()?))) {
            return Err(Ending::refused(format!("the log was not moved: {shard}: {reason}")).into());
        }
        let done: u64 = marks.values().map(|mark| mark.sequence).sum();
        progress.at(done, done + left);
        if left == 0 || left <= FEW && few.get_or_insert_with(Instant::now).elapsed() >= LAST {
            progress.end();
            return Ok(());
        }
        if left < least {
            (least, moved) = (left, Instant::now());
        }
        anyhow::ensure!(moved.elapsed() < PATIENCE, "the log was not moved: nothing is published for {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}
