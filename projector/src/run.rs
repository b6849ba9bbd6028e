//! Running the projector: as part of `docket up`, or alone.
//!
//! Owns its configuration and its tasks. Whoever starts it owns the bells and the shutdown.

use std::{fmt, str::FromStr, time::Duration};

use clap::Args;
use docket_events::Category;
use docket_log::{
    Bell, Installation, Kafka, KafkaError, LogReader, MacKey, Mode, Vault,
    lease::{self, Held, Leases},
};
use docket_platform::{
    Shutdown,
    config::{Describe, Setting, parse_duration},
    db::{self, Database, DbRole},
    ids,
};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    projection::Schema,
    projections::registry,
    reactors::{self, Deliverer, Letters, Patience, Webhooks, notices, webhook::Persistence},
    runtime::{self, Engine, EngineOptions},
    status, trim,
};

/// The team whose members share the shards.
const TEAM: &str = "projector";
/// Connections: reading, writing, leases, status, reactors and their deliveries.
const CONNECTIONS: u32 = 8;
/// How often the lag is measured.
const STATUS_PERIOD: Duration = Duration::from_secs(5);

/// How the projector works.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Projector")]
pub struct Config {
    /// Events applied in one transaction, at most
    #[arg(id = "projector_batch", long = "projector-batch", env = "DOCKET_PROJECTOR_BATCH", default_value_t = 5000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Seconds after which others take over the shards of a projector that fell silent
    #[arg(id = "projector_lease_ttl", long = "projector-lease-ttl", env = "DOCKET_PROJECTOR_LEASE_TTL", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub lease_ttl: u64,
    /// Hours for which subscriptions can be resumed
    #[arg(id = "projector_change_retention", long = "projector-change-retention",
          env = "DOCKET_PROJECTOR_CHANGE_RETENTION", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    pub change_retention: u64,
    /// Streams that may be parked in a shard within a minute before the shard rests
    #[arg(id = "projector_park_limit", long = "projector-park-limit", env = "DOCKET_PROJECTOR_PARK_LIMIT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub park_limit: u32,
    /// How often a mail or another delivery is tried before it is given up
    #[arg(id = "delivery_attempts", long = "delivery-attempts", env = "DOCKET_DELIVERY_ATTEMPTS", default_value_t = 14,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub delivery_attempts: u32,
    /// How long to wait before the second attempt of a delivery; the pause doubles up to an hour
    #[arg(id = "delivery_retry", long = "delivery-retry", env = "DOCKET_DELIVERY_RETRY", default_value = "5s",
          value_parser = parse_duration, value_name = "DURATION")]
    pub delivery_retry: Duration,
    /// How long one attempt of a delivery may take; when a process dies in it, others try a third later than that
    #[arg(id = "delivery_timeout", long = "delivery-timeout", env = "DOCKET_DELIVERY_TIMEOUT", default_value = "45s",
          value_parser = parse_duration, value_name = "DURATION")]
    pub delivery_timeout: Duration,
    /// How long somebody is left alone after a letter about consultations: what comes meanwhile goes as one digest
    #[arg(id = "notice_interval", long = "notice-interval", env = "DOCKET_NOTICE_INTERVAL", default_value = "5m",
          value_parser = parse_duration, value_name = "DURATION")]
    pub notice_interval: Duration,
    /// The pauses between the attempts of a webhook, separated by commas; after the last attempt it is a dead letter
    #[arg(
        id = "webhook_retries",
        long = "webhook-retries",
        env = "DOCKET_WEBHOOK_RETRIES",
        default_value = "5s,5m,30m,2h,5h,10h,10h",
        value_name = "DURATIONS"
    )]
    pub webhook_retries: Pauses,
    /// How long a webhook's receiver has to answer
    #[arg(id = "webhook_timeout", long = "webhook-timeout", env = "DOCKET_WEBHOOK_TIMEOUT", default_value = "15s",
          value_parser = parse_duration, value_name = "DURATION")]
    pub webhook_timeout: Duration,
    /// How long a webhook's endpoint may take nothing before it is disabled
    #[arg(id = "webhook_disable_after", long = "webhook-disable-after", env = "DOCKET_WEBHOOK_DISABLE_AFTER", default_value = "120h",
          value_parser = parse_duration, value_name = "DURATION")]
    pub webhook_disable_after: Duration,
}

/// Pauses between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pauses(pub Vec<Duration>);

impl FromStr for Pauses {
    type Err = String;

    /// Reads `5s,5m,2h`.
    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| parse_duration(item).map_err(|error| error.to_string())).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|pause| format!("{}ms", pause.as_millis())).collect::<Vec<_>>().join(","))
    }
}

impl Default for Config {
    fn default() -> Self {
        let Patience { attempts, first, attempt, .. } = Patience::default();
        let Persistence { pauses, timeout, disable_after } = Persistence::default();
        Self {
            batch: 5000,
            lease_ttl: 5,
            change_retention: 24,
            park_limit: 100,
            delivery_attempts: attempts,
            delivery_retry: first,
            delivery_timeout: attempt,
            notice_interval: notices::INTERVAL,
            webhook_retries: Pauses(pauses),
            webhook_timeout: timeout,
            webhook_disable_after: disable_after,
        }
    }
}

impl Config {
    fn patience(&self) -> Patience {
        Patience {
            attempts: self.delivery_attempts,
            first: self.delivery_retry,
            attempt: self.delivery_timeout,
            ..Patience::default()
        }
    }

    fn persistence(&self) -> Persistence {
        Persistence {
            pauses: self.webhook_retries.0.clone(),
            timeout: self.webhook_timeout,
            disable_after: self.webhook_disable_after,
        }
    }
}

impl Describe for Config {
    fn describe(&self) -> Vec<Setting> {
        let ms = |duration: Duration| format!("{}ms", duration.as_millis());
        vec![
            Setting::new("DOCKET_PROJECTOR_BATCH", self.batch),
            Setting::new("DOCKET_PROJECTOR_LEASE_TTL", self.lease_ttl),
            Setting::new("DOCKET_PROJECTOR_CHANGE_RETENTION", self.change_retention),
            Setting::new("DOCKET_PROJECTOR_PARK_LIMIT", self.park_limit),
            Setting::new("DOCKET_DELIVERY_ATTEMPTS", self.delivery_attempts),
            Setting::new("DOCKET_DELIVERY_RETRY", ms(self.delivery_retry)),
            Setting::new("DOCKET_DELIVERY_TIMEOUT", ms(self.delivery_timeout)),
            Setting::new("DOCKET_NOTICE_INTERVAL", ms(self.notice_interval)),
            Setting::new("DOCKET_WEBHOOK_RETRIES", &self.webhook_retries),
            Setting::new("DOCKET_WEBHOOK_TIMEOUT", ms(self.webhook_timeout)),
            Setting::new("DOCKET_WEBHOOK_DISABLE_AFTER", ms(self.webhook_disable_after)),
        ]
    }
}

/// Why the projector does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The settings for Kafka cannot be used.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// Who tells whom in this process. What nobody here tells waits for a process that does.
#[derive(Clone, Default)]
pub struct Telling {
    /// Who delivers what reactors want.
    pub deliverers: Vec<Deliverer>,
    /// Who tells endpoints.
    pub webhooks: Option<Webhooks>,
    /// Who writes to people about consultations.
    pub letters: Option<Letters>,
}

/// Projects until the shutdown: reads the log where it is, hears `journal`, and rings `read`. PostgreSQL and Kafka may be down at any
/// time.
///
/// # Errors
/// See [`ProjectorError`]; at the start only.
pub async fn run(
    config: Config,
    database: &Database,
    installation: Installation,
    (kafka, mode): (Option<Kafka>, watch::Receiver<Mode>),
    (journal, read): (&Bell, &Bell),
    Telling { deliverers, webhooks, letters }: Telling,
    shutdown: &Shutdown,
) -> Result<(), ProjectorError> {
    let ttl = Duration::from_secs(config.lease_ttl);
    let pool = pool(database, ttl);
    db::export_pool("projector", &pool);
    let all = Category::ALL.into_iter().flat_map(|category| installation.shards_of(category)).collect();
    let leases = Leases::join(pool.clone(), TEAM, ids::new_id(), ttl, all);
    let (publish, held) = watch::channel(Held::nothing());
    let (declines, declined) = mpsc::unbounded_channel();
    let leave = CancellationToken::new();
    let keeper = shutdown.spawn(lease::keep(leases, ttl, publish, declined, leave.clone()));
    shutdown.spawn(status::export(pool.clone(), STATUS_PERIOD, shutdown.clone()));
    shutdown.spawn(trim::keep(pool.clone(), Duration::from_secs(config.change_retention * 3600), shutdown.clone()));

    let key = match &kafka {
        None => None,
        Some(_) => {
            let Some(key) = MacKey::wait(&pool, shutdown).await else { return Ok(()) };
            Some(key)
        }
    };
    let reader = || LogReader::new(pool.clone(), journal, kafka.as_ref().zip(key.clone()), mode.clone());
    let vault = Vault::new(pool.clone());
    let options = EngineOptions { batch: config.batch as usize, park_limit: config.park_limit as usize };
    let reacting = reactors::Reacting {
        pool: pool.clone(),
        vault: vault.clone(),
        reader: reader()?.counted_as("reactors"),
        deliverers,
        options,
        patience: config.patience(),
        webhooks: webhooks.map(|webhooks| (webhooks, config.persistence())),
        letters: letters.map(|letters| (letters, config.notice_interval)),
    };
    let engine = Engine::new(pool.clone(), vault, reader()?, registry(), Schema::live(), Some(read.clone()))
        .with_options(options)
        .with_declines(declines.clone());
    tokio::join!(runtime::work(engine, held.clone(), shutdown.clone()), reacting.run(held, declines, shutdown),);

    // The last batch is committed: others may have the shards at once.
    leave.cancel();
    if let Err(error) = keeper.await {
        tracing::error!(%error, "the keeper of the leases ended badly");
    }
    Ok(())
}

/// Connections are not asked before use: a broken one shows at its first statement, and the turn is repeated. A process that
/// freezes within a transaction must not keep its successor from the checkpoints for longer than the lease did.
fn pool(database: &Database, frozen: Duration) -> PgPool {
    let timeout = format!("{}s", frozen.as_secs());
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .connect_lazy_with(
            database
                .connect_options(DbRole::Projector)
                .options([("idle_in_transaction_session_timeout", timeout.as_str())]),
        )
}
