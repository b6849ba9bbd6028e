//! Intents, and notices that wait for their letters, as operators see them: what waits, what is given up, and trying that again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_platform::Shutdown;
use serde::Serialize;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::notices::LETTERS;
use crate::metrics;

/// For how long what is done is remembered.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How often what is done for long is forgotten.
const PERIOD: Duration = Duration::from_secs(600);
/// How often it is counted.
const COUNT_PERIOD: Duration = Duration::from_secs(5);
/// Rows deleted at once.
const CHUNK: i64 = 5000;

/// Where an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is tried, or will be.
    Pending,
    /// It is delivered, or there was nothing to do any more.
    Done,
    /// It is given up.
    Dead,
}

impl State {
    /// Its name in the table and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Dead].into_iter().find(|state| state.name() == name)
    }
}

/// An intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id, the same in every attempt.
    pub id: Uuid,
    /// Whose it is.
    pub reactor: String,
    /// The event that asked for it.
    pub event_id: Uuid,
    /// What it is done for.
    pub target: String,
    /// Where it stands.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was noted.
    pub noted_at: DateTime<Utc>,
    /// When it is tried next, if it waits.
    pub due_at: Option<DateTime<Utc>>,
    /// By whom it was delivered, or what is wrong.
    pub outcome: Option<String>,
}

/// The oldest `limit` intents in `state` of one reactor, or of all; notices are listed as those of `letters`. `pool` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn list(pool: &PgPool, state: State, reactor: Option<&str>, limit: u32) -> Result<Vec<Entry>, sqlx::Error> {
    let rows = sqlx::query(
        "(select id, reactor, event_id, target, state, attempts, noted_at, due_at, outcome from react.intent
          where state = $1 and ($2::text is null or reactor = $2) order by noted_at, id limit $3)
         union all
         (select n.id, $4, n.event_id, n.kind || ' to ' || n.user_id, n.state, n.attempts, n.noted_at,
                 coalesce(nullif(r.due_at, 'infinity'), n.noted_at), n.outcome
          from react.notice n left join react.reader r on r.user_id = n.user_id
          where n.state = $1 and ($2::text is null or $2 = $4) order by n.noted_at, n.id limit $3)
         order by noted_at, id limit $3",
    )
    .bind(state.name())
    .bind(reactor)
    .bind(i64::from(limit))
    .bind(LETTERS)
    .fetch_all(pool)
    .await?;
    let entry = |row: sqlx::postgres::PgRow| {
        let state = State::of(row.try_get("state")?)
            .ok_or_else(|| sqlx::Error::Decode("an intent is in a state that this release does not know".into()))?;
        Ok(Entry {
            id: row.try_get("id")?,
            reactor: row.try_get("reactor")?,
            event_id: row.try_get("event_id")?,
            target: row.try_get("target")?,
            state,
            attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
            noted_at: row.try_get("noted_at")?,
            due_at: (state == State::Pending).then(|| row.try_get("due_at")).transpose()?,
            outcome: row.try_get("outcome")?,
        })
    };
    rows.into_iter().map(entry).collect()
}

/// Tries what was given up again: one, or all of a reactor, or all. Answers how many.
///
/// # Errors
/// When the database does not answer.
pub async fn retry(pool: &PgPool, id: Option<Uuid>, reactor: Option<&str>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "update react.intent set state = 'pending', attempts = 0, attempt = null, settled_at = null, due_at = clock_timestamp()
         where state = 'dead' and ($1::uuid is null or id = $1) and ($2::text is null or reactor = $2)",
    )
    .bind(id)
    .bind(reactor)
    .execute(pool)
    .await?;
    // The readers are looked at once more: whoever has the claim sees them anyway.
    let letters: i64 = sqlx::query_scalar(
        "with again as (
             update react.notice set state = 'pending', attempts = 0, settled_at = null
             where state = 'dead' and ($1::uuid is null or id = $1) and ($2::text is null or $2 = $3)
             returning user_id
         ), readers as (
             insert into react.reader (user_id) select distinct user_id from again order by user_id
             on conflict (user_id) do update set attempts = case when reader.claim is null then 0 else reader.attempts end,
                 due_at = case when reader.claim is null then clock_timestamp() else reader.due_at end
         )
         select count(*) from again",
    )
    .bind(id)
    .bind(reactor)
    .bind(LETTERS)
    .fetch_one(pool)
    .await?;
    Ok(done.rows_affected() + letters.unsigned_abs())
}

/// Forgets what was done longer ago than `kept`; answers how many.
///
/// # Errors
/// When the database does not answer.
pub async fn trim(pool: &PgPool, kept: Duration) -> Result<u64, sqlx::Error> {
    let mut total = 0;
    for statement in OLD {
        loop {
            let deleted =
                sqlx::query(statement).bind(kept.as_secs_f64()).bind(CHUNK).execute(pool).await?.rows_affected();
            total += deleted;
            if deleted < CHUNK as u64 {
                break;
            }
        }
    }
    Ok(total)
}

/// Intents and notices that were settled long ago, and readers for whom nothing waits and who need no rest.
const OLD: [&str; 3] = [
    "delete from react.intent where ctid = any (array(
         select ctid from react.intent
         where state = 'done' and settled_at < clock_timestamp() - make_interval(secs => $1) limit $2))",
    "delete from react.notice where ctid = any (array(
         select ctid from react.notice
         where state = 'done' and settled_at < clock_timestamp() - make_interval(secs => $1) limit $2))",
    "delete from react.reader where ctid = any (array(
         select ctid from react.reader
         where claim is null and due_at = 'infinity' and rests < clock_timestamp() - make_interval(secs => $1) limit $2
         for update skip locked))",
];

/// Forgets and counts until the shutdown.
pub(crate) async fn keep(pool: PgPool, shutdown: Shutdown) {
    let mut trimmed: Option<tokio::time::Instant> = None;
    loop {
        if trimmed.is_none_or(|at| at.elapsed() >= PERIOD) {
            trimmed = Some(tokio::time::Instant::now());
            if let Err(error) = trim(&pool, KEPT).await {
                tracing::debug!(%error, "old deliveries cannot be forgotten");
            }
        }
        if let Err(error) = count(&pool).await {
            tracing::debug!(%error, "deliveries cannot be counted");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(COUNT_PERIOD) => {}
        }
    }
}

async fn count(pool: &PgPool) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select c.reactor, (select count(*) from react.intent i where i.reactor = c.reactor and i.state = 'pending'),
                (select count(*) from react.intent i where i.reactor = c.reactor and i.state = 'dead')
         from (select distinct projection as reactor from react.checkpoint) c",
    )
    .fetch_all(pool)
    .await?;
    for (reactor, pending, dead) in rows {
        metrics::get().intents.with_label_values(&[reactor.as_str(), "pending"]).set(pending);
        metrics::get().intents.with_label_values(&[reactor.as_str(), "dead"]).set(dead);
    }
    let (pending, dead): (i64, i64) = sqlx::query_as(
        "select (select count(*) from react.notice where state = 'pending'),
                (select count(*) from react.notice where state = 'dead')",
    )
    .fetch_one(pool)
    .await?;
    metrics::get().intents.with_label_values(&[LETTERS, "pending"]).set(pending);
    metrics::get().intents.with_label_values(&[LETTERS, "dead"]).set(dead);
    Ok(())
}
