//! Deadlines: what the clock has to end, as commands journalled it.
//!
//! Several schedulers may work at once. Each claims due rows for a while with SKIP LOCKED and ends them by a command like any
//! other; the command's own append removes the row. A scheduler that dies leaves a claim that runs out.

use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_events::{Category, StreamId};
use sqlx::PgPool;
use uuid::Uuid;

/// A deadline that has passed and was claimed by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The stream to end.
    pub stream: StreamId,
    /// Whose it is.
    pub tenant: Uuid,
    /// The deadline.
    pub due_at: DateTime<Utc>,
}

/// Claims at most `limit` deadlines that have passed by the database's clock, oldest first, for `hold`.
///
/// # Errors
/// When the database does not answer.
pub async fn claim_due(pool: &PgPool, limit: u32, hold: Duration) -> Result<Vec<Due>, sqlx::Error> {
    // The time is looked up once, before the scan: a condition on a volatile function would be no condition of the index, and every
    // open deadline would be read at every look.
    let rows: Vec<(i16, Uuid, Uuid, DateTime<Utc>)> = sqlx::query_as(
        "update write.deadline d set claimed_until = clock_timestamp() + make_interval(secs => $2)
         from (select stream_id from write.deadline
               where due_at <= (select clock_timestamp())
                 and (claimed_until is null or claimed_until <= (select clock_timestamp()))
               order by due_at limit $1 for update skip locked) due
         where d.stream_id = due.stream_id
         returning d.category, d.stream_id, d.tenant, d.due_at",
    )
    .bind(i64::from(limit))
    .bind(hold.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(category, id, tenant, due_at)| {
            Some(Due { stream: StreamId::new(Category::from_code(category)?, id), tenant, due_at })
        })
        .collect())
}

/// How long until something can be claimed: until the next deadline, or until a claim of another scheduler runs out. None when
/// nothing is open.
///
/// # Errors
/// When the database does not answer.
pub async fn until_next(pool: &PgPool) -> Result<Option<Duration>, sqlx::Error> {
    // The claimed ones are few and lie at the front of the index, up to now; the first unclaimed one ends the scan.
    let seconds: Option<f64> = sqlx::query_scalar(
        "select extract(epoch from least(
             (select min(claimed_until) from write.deadline
              where due_at <= (select clock_timestamp()) and claimed_until is not null),
             (select due_at from write.deadline where claimed_until is null order by due_at limit 1)
         ) - clock_timestamp())::float8",
    )
    .fetch_one(pool)
    .await?;
    Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
}

/// Puts a row right that says another thing than its stream: moves it to the deadline that the stream has, or removes it when the
/// stream has none. A row that was written anew since it was claimed is left alone.
///
/// # Errors
/// When the database does not answer.
pub async fn correct(pool: &PgPool, due: Due, actual: Option<DateTime<Utc>>) -> Result<(), sqlx::Error> {
    let query = match actual {
        Some(actual) => sqlx::query(
            "update write.deadline set due_at = $3, claimed_until = null where stream_id = $1 and due_at = $2",
        )
        .bind(due.stream.id)
        .bind(due.due_at)
        .bind(actual),
        None => sqlx::query("delete from write.deadline where stream_id = $1 and due_at = $2")
            .bind(due.stream.id)
            .bind(due.due_at),
    };
    query.execute(pool).await.map(drop)
}
