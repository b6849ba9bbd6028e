//! Intents to deliveries: each at least once, several at a time, by any process.
//!
//! Owns the statements that claim and settle an intent. A claim is a time after which others may try; whoever settles names the attempt
//! that it made, so that one who comes back late changes nothing. Between the delivery and its settling a process may die: then it is
//! delivered again, under the same id.

use std::{sync::Arc, time::Duration};

use docket_events::{Category, Recorded, ShardId};
use docket_log::{Bell, Vault, faults, journal, reader::ReadError};
use docket_platform::{Shutdown, ids};
use futures_util::TryStreamExt;
use sqlx::{PgPool, Row};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    backoff::Patience,
    reactor::{Delivered, Delivery, DeliveryError, React, Reactor, Target},
};
use crate::{
    metrics,
    runtime::decode::{self, Run},
};

/// Attempts under way at once, in one process.
const AT_ONCE: usize = 16;
/// The longest sleep without a look: retries become due without a bell.
const POLL: Duration = Duration::from_secs(1);
/// For how long attempts under way may go on when the process ends.
const LAST_CALL: Duration = Duration::from_secs(10);

/// A reactor, and who does what it wants.
#[derive(Clone)]
pub struct Deliverer {
    /// What is wanted.
    pub reactor: &'static Reactor,
    /// Who does it.
    pub by: Arc<dyn React>,
}

/// Delivers what reactors noted.
#[derive(Clone)]
pub struct Dispatch {
    pool: PgPool,
    vault: Vault,
    deliverers: Arc<[Deliverer]>,
    patience: Patience,
}

/// An intent that was claimed.
#[derive(Debug)]
struct Claimed {
    id: Uuid,
    attempt_id: Uuid,
    attempt: u32,
    reactor: String,
    target: Target,
    event: Uuid,
    shard: ShardId,
    sequence: u64,
}

/// Why an attempt could not begin.
#[derive(Debug, thiserror::Error)]
enum Unprepared {
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("the event is not in the journal")]
    Gone,
    #[error("the event is known to a newer release alone")]
    Unknown,
    #[error("the event cannot be read: {0}")]
    Unreadable(String),
}

impl From<Unprepared> for DeliveryError {
    fn from(error: Unprepared) -> Self {
        let reason = error.to_string();
        match error {
            // What a restored database lacks is brought back by `docket recover`.
            Unprepared::Database(_) | Unprepared::Read(_) | Unprepared::Unknown | Unprepared::Gone => {
                Self::Passing { reason, retry_after: None }
            }
            Unprepared::Unreadable(_) => Self::Lasting(reason),
        }
    }
}

const CLAIM: &str = "with due as (
         select event_id, reactor, target from react.intent
         where state = 'pending' and due_at <= clock_timestamp() and reactor = any ($1)
         order by due_at limit $2 for update skip locked
     )
     update react.intent i
     set attempt = gen_random_uuid(), attempts = i.attempts + 1, due_at = clock_timestamp() + make_interval(secs => $3)
     from due d where i.event_id = d.event_id and i.reactor = d.reactor and i.target = d.target
     returning i.id, i.attempt, i.attempts, i.reactor, i.target, i.event_id, i.category, i.shard, i.sequence";

const SETTLE: &str = "update react.intent
     set state = $3, outcome = $4, attempt = null, settled_at = case when $3 = 'pending' then null else clock_timestamp() end,
         due_at = clock_timestamp() + make_interval(secs => $5)
     where id = $1 and attempt = $2";

impl Dispatch {
    /// Delivers for `deliverers`; `pool` belongs to the projector's role.
    pub fn new(pool: PgPool, vault: Vault, deliverers: Vec<Deliverer>, patience: Patience) -> Self {
        Self { pool, vault, deliverers: deliverers.into(), patience }
    }

    /// Delivers until the shutdown, or not at all where nobody does: then what is wanted waits for a process that has somebody. Woken by `bell` when intents were noted in this process.
    pub async fn run(self, bell: Bell, shutdown: Shutdown) {
        if self.deliverers.is_empty() {
            return;
        }
        let mut bell = bell.listen();
        let mut under_way = JoinSet::new();
        while !shutdown.has_begun() {
            let free = AT_ONCE - under_way.len();
            let claimed = match self.claim(free).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(%error, "deliveries that are due cannot be looked for");
                    Vec::new()
                }
            };
            let full = claimed.len() == free;
            for claimed in claimed {
                let this = self.clone();
                under_way.spawn(async move { this.attempt(claimed).await });
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = under_way.join_next(), if full => {}
                () = bell.heard(POLL), if !full => {}
            }
            while under_way.try_join_next().is_some() {}
        }
        let rest = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_CALL, rest).await.is_err() {
            tracing::warn!("deliveries that were under way will be tried again");
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, sqlx::Error> {
        let names: Vec<&str> = self.deliverers.iter().map(|deliverer| deliverer.reactor.name()).collect();
        let rows = sqlx::query(CLAIM)
            .bind(names)
            .bind(limit as i64)
            // A third beyond the time of an attempt, before others may try.
            .bind((self.patience.attempt * 4 / 3).as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(category) = Category::from_code(row.try_get("category")?) else { continue };
            claimed.push(Claimed {
                id: row.try_get("id")?,
                attempt_id: row.try_get("attempt")?,
                attempt: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
                reactor: row.try_get("reactor")?,
                target: row.try_get("target")?,
                event: row.try_get("event_id")?,
                shard: ShardId { category, shard: row.try_get::<i16, _>("shard")? as u16 },
                sequence: row.try_get::<i64, _>("sequence")? as u64,
            });
        }
        Ok(claimed)
    }

    async fn attempt(&self, claimed: Claimed) {
        let Some(deliverer) = self.deliverers.iter().find(|d| d.reactor.name() == claimed.reactor) else { return };
        let delivered = match self.prepare(&claimed).await {
            Ok(delivery) => {
                faults::step("reactor.before_delivery");
                let slow = || DeliveryError::Passing { reason: "it took too long".to_owned(), retry_after: None };
                let tried = tokio::time::timeout(self.patience.attempt, deliverer.by.react(&delivery)).await;
                faults::step("reactor.after_delivery");
                tried.unwrap_or_else(|_| Err(slow()))
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = self.settle(&claimed, delivered).await {
            tracing::warn!(%error, id = %claimed.id, reactor = claimed.reactor, "what a delivery came to is not noted: it is tried again");
        }
    }

    /// The event, read again and opened now.
    async fn prepare(&self, claimed: &Claimed) -> Result<Delivery, Unprepared> {
        let events = journal::shard_events(&self.pool, claimed.shard, claimed.sequence.saturating_sub(1));
        let found: Option<Recorded> = std::pin::pin!(events).try_next().await?;
        let event = found.filter(|event| event.id == claimed.event).ok_or(Unprepared::Gone)?;
        let mut runs = [Run::decode(claimed.shard, vec![event])];
        decode::open(&mut runs, &self.vault).await?;
        let [run] = runs;
        let item = run.items.into_iter().next().ok_or(Unprepared::Unknown)?;
        let data = item.data.map_err(|poison| Unprepared::Unreadable(poison.0))?;
        Ok(Delivery {
            id: claimed.id,
            target: claimed.target.clone(),
            event: item.event,
            data,
            attempt: claimed.attempt,
        })
    }

    async fn settle(&self, claimed: &Claimed, delivered: Result<Delivered, DeliveryError>) -> Result<(), sqlx::Error> {
        let Claimed { id, reactor, attempt, .. } = claimed;
        let (state, outcome, pause) = match delivered {
            Ok(Delivered::By(whom)) => ("done", whom, Duration::ZERO),
            Ok(Delivered::Moot(why)) => ("done", why.to_owned(), Duration::ZERO),
            Err(DeliveryError::Passing { reason, retry_after }) if *attempt < self.patience.attempts => {
                let [chance] = ids::random_bytes::<1>();
                let pause = self.patience.pause(*attempt, chance, retry_after);
                tracing::warn!(%id, reactor, attempt, reason, pause_s = pause.as_secs_f64(), "a delivery did not come about");
                ("pending", reason, pause)
            }
            Err(DeliveryError::Passing { reason, .. } | DeliveryError::Lasting(reason)) => {
                tracing::error!(%id, reactor, attempt, reason, "a delivery is given up; `docket deliveries retry` tries it again");
                ("dead", reason, Duration::ZERO)
            }
        };
        let label = if state == "pending" { "failed" } else { state };
        metrics::get().deliveries.with_label_values(&[reactor.as_str(), label]).inc();
        sqlx::query(SETTLE)
            .bind(id)
            .bind(claimed.attempt_id)
            .bind(state)
            // PostgreSQL's text holds no NUL.
            .bind(outcome.replace('\0', "\u{fffd}"))
            .bind(pause.as_secs_f64())
            .execute(&self.pool)
            .await
            .map(drop)
    }
}
