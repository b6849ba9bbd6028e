//! The tokens of one client that a process holds, and the statement that takes more of them from the shared row.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use super::{Count, Kind, LARGEST_BATCH, REFUSED, WINDOW};
use crate::db;

/// What a process knows of one client.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    held: Mutex<Held>,
    /// One statement at a time and client: the others wait for its tokens.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    tokens: u32,
    /// What the shared row had left, and when all of it will be there again.
    shared: u32,
    full_at: Option<Instant>,
    /// Until when the tokens count: a client that was quiet must not come back with more than its quota.
    until: Option<Instant>,
    refused_until: Option<Instant>,
}

impl Held {
    fn take(&mut self, kind: Kind, quota: u32) -> Option<Count> {
        let now = Instant::now();
        if let Some(until) = self.refused_until.filter(|until| now < *until) {
            REFUSED.with_label_values(&[kind.name()]).inc();
            return Some(Count { kind, quota, remaining: 0, reset: until - now, refused: true });
        }
        if self.tokens == 0 || self.until.is_none_or(|until| until <= now) {
            return None;
        }
        self.tokens -= 1;
        let remaining = (self.tokens + self.shared).min(quota);
        let reset = self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        Some(Count { kind, quota, remaining, reset, refused: false })
    }

    /// What a statement granted, with the seconds until the whole quota is there again.
    fn granted((tokens, full_in): (u32, f64), step: f64) -> Self {
        let (now, window) = (Instant::now(), WINDOW.as_secs_f64());
        if tokens == 0 {
            // Until the first token is back.
            let wait = Duration::from_secs_f64((full_in - window + step).clamp(0.001, window));
            return Self { refused_until: Some(now + wait), ..Self::default() };
        }
        let shared = ((window - full_in) / step + ROUNDING).max(0.0) as u32;
        let full_at = Some(now + Duration::from_secs_f64(full_in.clamp(0.0, window)));
        Self { tokens, shared, full_at, until: Some(now + WINDOW), refused_until: None }
    }
}

impl Bucket {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the tokens held; none: the database has to be asked.
    pub(super) fn take(&self, kind: Kind, quota: u32) -> Option<Count> {
        self.held().take(kind, quota)
    }

    /// Takes tokens from the shared row, and one of them for the caller.
    pub(super) async fn ask(&self, pool: &PgPool, id: &[u8], kind: Kind, quota: u32) -> Result<Count, sqlx::Error> {
        let _asking = self.asking.lock().await;
        // Somebody else may have got some while we waited.
        if let Some(count) = self.take(kind, quota) {
            return Ok(count);
        }
        let step = WINDOW.as_secs_f64() / f64::from(quota);
        let wanted = (quota / 60).clamp(1, LARGEST_BATCH);
        let granted = grant(pool, id, wanted, step).await?;
        let mut held = self.held();
        *held = Held::granted(granted, step);
        held.take(kind, quota).ok_or_else(|| sqlx::Error::Protocol("neither tokens nor a refusal".to_owned()))
    }
}

/// Seconds are floating point numbers.
const ROUNDING: f64 = 1e-6;

/// How many of the wanted tokens there were, and the seconds until the whole quota is there again. `step` is the time in which one token
/// comes back. The database's clock counts, which is one for all processes.
async fn grant(pool: &PgPool, id: &[u8], wanted: u32, step: f64) -> Result<(u32, f64), sqlx::Error> {
    let (granted, full_in): (i32, f64) = sqlx::query_as(
        "with clock as materialized (select clock_timestamp() as now)
         insert into auth.rate_limit as held (id, full_at, granted)
         select $1, now + make_interval(secs => $2 * $3), $2 from clock
         on conflict (id) do update set (full_at, granted) = (
             select greatest(held.full_at, now) + make_interval(secs => got * $3), got
             from clock, lateral (select greatest(0, least($2, floor(
                 ($4 - extract(epoch from greatest(held.full_at, now) - now)::float8) / $3 + $5)::integer)) as got) tokens)
         returning granted, extract(epoch from full_at - (select now from clock))::float8",
    )
    .bind(id)
    .bind(i32::try_from(wanted).unwrap_or(i32::MAX))
    .bind(step)
    .bind(WINDOW.as_secs_f64())
    .bind(ROUNDING)
    .fetch_one(&mut *db::acquire(pool).await?)
    .await?;
    Ok((u32::try_from(granted).unwrap_or(0), full_in))
}
