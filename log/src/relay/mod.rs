//! The relay: from the journal to Kafka, in sequence order.
//!
//! | step | module |
//! |---|---|
//! | do topic and journal agree, and from where to go on | [`judge`](mod@judge) |
//! | the producer and what it has in flight | `session`, `flight` |
//! | how far each shard is published | [`marks`] |
//! | the loop | `worker` |
//!
//! Several relays share the shards by lease. A lease fences no send: a relay that froze and wakes up may repeat events, which
//! readers drop by their sequence. It cannot move a mark that another one moved: marks go by compare-and-set.

mod flight;
pub mod judge;
pub mod marks;
mod metrics;
mod session;
mod worker;

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use docket_events::Category;
use docket_platform::{
    Shutdown,
    breaker::{Breaker, BreakerSettings},
    config::{Describe, Setting},
    db::{Database, DbRole},
    ids,
};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    bell::Bell,
    installation::{Installation, Mode},
    journal::JournalReader,
    kafka::{Kafka, KafkaError, MacKey, Probe},
    lease::{self, Held, Leases},
};
use worker::Worker;

pub use session::PRODUCER;

/// The team whose members share the shards.
pub const TEAM: &str = "relay";
/// Connections: reading, marks, leases.
const CONNECTIONS: u32 = 3;
/// How often the backlog is measured.
const BACKLOG_PERIOD: Duration = Duration::from_secs(5);

/// How the relay works.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Relay")]
pub struct Config {
    /// Seconds after which others take over the shards of a relay that fell silent
    #[arg(id = "relay_lease_ttl", long = "relay-lease-ttl", env = "DOCKET_RELAY_LEASE_TTL", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub lease_ttl: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { lease_ttl: 5 }
    }
}

impl Describe for Config {
    fn describe(&self) -> Vec<Setting> {
        vec![Setting::new("DOCKET_RELAY_LEASE_TTL", self.lease_ttl)]
    }
}

/// Why the relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The settings for Kafka cannot be used.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// Publishes until the shutdown, whenever the log is in Kafka. Kafka and PostgreSQL may be down at any time.
///
/// # Errors
/// See [`RelayError`]; at the start only.
pub async fn run(
    config: Config,
    kafka: Kafka,
    database: &Database,
    installation: Installation,
    journal: &Bell,
    mode: watch::Receiver<Mode>,
    shutdown: &Shutdown,
) -> Result<(), RelayError> {
    let pool = pool(database);
    let Some(key) = MacKey::wait(&pool, shutdown).await else { return Ok(()) };
    let probe = Probe::new(&kafka, key.clone())?;
    shutdown.spawn(watch_backlog(pool.clone(), mode.clone(), shutdown.clone()));
    let (publish, held) = watch::channel(Held::nothing());
    let mut worker = Worker {
        reader: JournalReader::new(pool.clone(), journal),
        breaker: Breaker::new("kafka", BreakerSettings::default()),
        refused: BTreeMap::new(),
        mode: mode.clone(),
        shutdown: shutdown.clone(),
        pool: pool.clone(),
        kafka,
        installation,
        key,
        probe,
        held,
    };
    let mut mode = mode;
    while !shutdown.has_begun() {
        if *mode.borrow_and_update() == Mode::Kafka {
            let ttl = Duration::from_secs(config.lease_ttl);
            let all = Category::ALL.into_iter().flat_map(|category| installation.shards_of(category)).collect();
            let leases = Leases::join(pool.clone(), TEAM, ids::new_id(), ttl, all);
            let leave = CancellationToken::new();
            // A relay declines nothing.
            let (_declines, declined) = mpsc::unbounded_channel();
            let keeper = tokio::spawn(lease::keep(leases, ttl, publish.clone(), declined, leave.clone()));
            worker.run().await;
            leave.cancel();
            if let Err(error) = keeper.await {
                tracing::error!(%error, "the keeper of the leases ended badly");
            }
        } else {
            tokio::select! {
                () = shutdown.cancelled() => {}
                changed = mode.changed() => if changed.is_err() { break },
            }
        }
    }
    Ok(())
}

async fn watch_backlog(pool: PgPool, mode: watch::Receiver<Mode>, shutdown: Shutdown) {
    while !shutdown.has_begun() {
        if *mode.borrow() == Mode::Kafka {
            match marks::backlog(&pool).await {
                Ok(events) => metrics::get().backlog.set(i64::try_from(events).unwrap_or(i64::MAX)),
                Err(error) => tracing::debug!(%error, "the backlog cannot be read"),
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(BACKLOG_PERIOD) => {}
        }
    }
}

/// Marks may be lost in a crash: then events are sent again. So nobody waits for the disk.
fn pool(database: &Database) -> PgPool {
    let options = database.connect_options(DbRole::Writer).options([("synchronous_commit", "off")]);
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .connect_lazy_with(options)
}
