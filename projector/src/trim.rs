//! The length of the change feed: old entries go, and where they went to is recorded.
//!
//! Owns the trimming. A cursor that is older than what was trimmed has to resync; it must be able to notice, so the mark commits with
//! the deletion.

use std::time::Duration;

use docket_platform::Shutdown;
use sqlx::{PgPool, Row};

use crate::projection::Schema;

/// Entries deleted in one transaction.
const CHUNK: i64 = 5000;
/// How often old entries are looked for.
const PERIOD: Duration = Duration::from_secs(60);

const PLACES: &str = "select projection, category, shard from {schema}.checkpoint order by projection, category, shard";

// The prefix of the feed up to its last old entry within the chunk. What a retry added there lately goes with it: no cursor that is
// still valid stands before it.
const TRIM: &str = "with front as (
         select sequence, at from {schema}.change
         where projection = $1 and category = $2 and shard = $3 order by sequence limit $4
     ), bound as (
         select max(sequence) as sequence from front where at < clock_timestamp() - make_interval(secs => $5)
     ), marked as (
         insert into {schema}.change_trimmed (projection, category, shard, sequence)
         select $1, $2, $3, sequence from bound where sequence is not null
         on conflict (projection, category, shard) do update
             set sequence = greatest(excluded.sequence, {schema}.change_trimmed.sequence)
     )
     delete from {schema}.change c using bound b
     where c.projection = $1 and c.category = $2 and c.shard = $3 and c.sequence <= b.sequence";

/// Deletes entries of the change feed older than `retention`; answers how many.
///
/// # Errors
/// When the database does not answer; what was deleted before stays deleted.
pub async fn trim(pool: &PgPool, retention: Duration) -> Result<u64, sqlx::Error> {
    let mut total = 0;
    for place in sqlx::query(Schema::live().sql(PLACES)).fetch_all(pool).await? {
        loop {
            let deleted = sqlx::query(Schema::live().sql(TRIM))
                .bind(place.try_get::<&str, _>(0)?)
                .bind(place.try_get::<i16, _>(1)?)
                .bind(place.try_get::<i16, _>(2)?)
                .bind(CHUNK)
                .bind(retention.as_secs_f64())
                .execute(pool)
                .await?
                .rows_affected();
            total += deleted;
            if deleted < CHUNK as u64 {
                break;
            }
        }
    }
    Ok(total)
}

/// Trims now and then until the shutdown.
pub(crate) async fn keep(pool: PgPool, retention: Duration, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        match trim(&pool, retention).await {
            Ok(0) => {}
            Ok(entries) => tracing::debug!(entries, "the change feed was trimmed"),
            Err(error) => tracing::warn!(%error, "the change feed cannot be trimmed"),
        }
    }
}
