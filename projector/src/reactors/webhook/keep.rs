//! What is given up because its endpoint is off, what is counted, and what is forgotten.

use std::time::Duration;

use docket_platform::Shutdown;
use sqlx::PgPool;

use crate::metrics;

/// How often endpoints that are off are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How often deliveries are counted.
const COUNT_PERIOD: Duration = Duration::from_secs(15);
/// How often what is old is forgotten.
const FORGET_PERIOD: Duration = Duration::from_secs(600);
/// For how long what was delivered, and what attempts came to, is remembered, in days. What was given up is remembered longer.
const KEPT_DAYS: i32 = 30;
const DEAD_KEPT_DAYS: i32 = 365;
/// Rows at once.
const CHUNK: i64 = 2000;

/// What waits for an endpoint that is off is given up. A lane that somebody has in hand is given up when it comes back.
const GIVE_UP: &str = "with lanes as (
         select l.endpoint, l.stream_id from react.endpoint e
         cross join lateral (select * from react.lane l where l.endpoint = e.id limit $1 for update skip locked) l
         where e.off limit $1
     ), dead as (
         update react.delivery d set state = 'dead', outcome = 'the endpoint is off', settled_at = clock_timestamp()
         from lanes l where d.endpoint = l.endpoint and d.stream_id = l.stream_id and d.state = 'pending'
     )
     delete from react.lane l using lanes g where l.endpoint = g.endpoint and l.stream_id = g.stream_id";

/// What is forgotten, and after how many days.
const FORGET: [(&str, i32); 3] = [
    (
        "delete from react.delivery where ctid = any (array(
             select ctid from react.delivery where state = 'delivered' and settled_at < now() - make_interval(days => $1) limit $2))",
        KEPT_DAYS,
    ),
    (
        "delete from react.delivery where ctid = any (array(
             select ctid from react.delivery where state = 'dead' and settled_at < now() - make_interval(days => $1) limit $2))",
        DEAD_KEPT_DAYS,
    ),
    (
        "delete from react.attempt where ctid = any (array(
             select ctid from react.attempt where at < now() - make_interval(days => $1) limit $2))",
        KEPT_DAYS,
    ),
];

/// Gives up, counts and forgets until the shutdown.
pub(crate) async fn keep(pool: PgPool, shutdown: Shutdown) {
    let (mut counted, mut forgotten) = (None, None);
    let is_due = |last: Option<tokio::time::Instant>, period| last.is_none_or(|at| at.elapsed() >= period);
    loop {
        let mut outcome = give_up(&pool).await;
        if is_due(counted, COUNT_PERIOD) {
            counted = Some(tokio::time::Instant::now());
            outcome = outcome.and(count(&pool).await);
        }
        if is_due(forgotten, FORGET_PERIOD) {
            forgotten = Some(tokio::time::Instant::now());
            outcome = outcome.and(forget(&pool).await);
        }
        if let Err(error) = outcome {
            tracing::debug!(%error, "deliveries of webhooks cannot be kept in order");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn give_up(pool: &PgPool) -> Result<(), sqlx::Error> {
    while sqlx::query(GIVE_UP).bind(CHUNK).execute(pool).await?.rows_affected() > 0 {}
    Ok(())
}

async fn count(pool: &PgPool) -> Result<(), sqlx::Error> {
    let (pending, dead): (i64, i64) = sqlx::query_as(
        "select (select count(*) from react.lane), (select count(*) from react.delivery where state = 'dead')",
    )
    .fetch_one(pool)
    .await?;
    metrics::get().intents.with_label_values(&["webhooks", "pending"]).set(pending);
    metrics::get().intents.with_label_values(&["webhooks", "dead"]).set(dead);
    Ok(())
}

async fn forget(pool: &PgPool) -> Result<(), sqlx::Error> {
    for (statement, days) in FORGET {
        loop {
            let forgotten = sqlx::query(statement).bind(days).bind(CHUNK).execute(pool).await?;
            if forgotten.rows_affected() < CHUNK as u64 {
                break;
            }
        }
    }
    Ok(())
}
