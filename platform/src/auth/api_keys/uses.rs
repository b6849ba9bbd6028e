//! When keys were last used: noted in memory, to the minute, and written down now and then in one statement.
//!
//! Owns the table `auth.api_key_use`. It must not make a request wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db;

/// How often uses are written down.
const PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Use {
    tenant: Uuid,
    /// The minute.
    last: DateTime<Utc>,
    is_written: bool,
}

/// The uses that one process has seen.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<Uuid, Use>>);

impl Uses {
    fn with<T>(&self, look: impl FnOnce(&mut HashMap<Uuid, Use>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a key was used.
    pub(super) fn note(&self, key: Uuid, tenant: Uuid, now: DateTime<Utc>) {
        let last = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        self.with(|uses| {
            let known = uses.entry(key).or_insert(Use { tenant, last, is_written: false });
            if last > known.last {
                *known = Use { tenant, last, is_written: false };
            }
        });
    }

    /// Writes down what is new, in one statement; what could not be written stays noted.
    pub(super) async fn write(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut new: Vec<(Uuid, Use)> = self
            .with(|uses| uses.iter().filter(|(_, seen)| !seen.is_written).map(|(key, seen)| (*key, *seen)).collect());
        if new.is_empty() {
            return Ok(());
        }
        // In one order everywhere, so that processes that write at once do not wait for each other in a ring.
        new.sort_unstable_by_key(|(key, _)| *key);
        let keys: Vec<Uuid> = new.iter().map(|(key, _)| *key).collect();
        let tenants: Vec<Uuid> = new.iter().map(|(_, seen)| seen.tenant).collect();
        let times: Vec<DateTime<Utc>> = new.iter().map(|(_, seen)| seen.last).collect();
        let mut door = db::door(pool).await?;
        sqlx::query(
            "insert into auth.api_key_use (key_id, tenant, last_used_at)
             select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
             on conflict (key_id) do update set last_used_at = greatest(api_key_use.last_used_at, excluded.last_used_at)",
        )
        .bind(keys)
        .bind(tenants)
        .bind(times)
        .execute(&mut *door)
        .await?;
        door.commit().await?;
        self.with(|uses| {
            // A minute on the books is all that is needed of a key that rests.
            for (key, written) in new {
                if let Some(seen) = uses.get_mut(&key)
                    && seen.last == written.last
                {
                    seen.is_written = true;
                }
            }
            let newest = uses.values().map(|seen| seen.last).max();
            uses.retain(|_, seen| !seen.is_written || Some(seen.last) == newest);
        });
        Ok(())
    }

    /// Writes down what is new every minute, and at the end.
    pub(super) async fn keep(&self, pool: &PgPool, stop: CancellationToken) {
        loop {
            let ends = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            if let Err(error) = self.write(pool).await {
                tracing::warn!(%error, "when API keys were last used cannot be written down yet");
            }
            if ends {
                return;
            }
        }
    }
}
