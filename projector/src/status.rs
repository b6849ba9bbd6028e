//! How far the read models are: lag per projection and shard, and what is parked.
//!
//! Owns the question, and the gauges that show its answer. It only reads.

use std::time::Duration;

use docket_events::{Category, ShardId};
use docket_platform::Shutdown;
use sqlx::{PgPool, Row};

use crate::{metrics, projection::Schema};

/// Where a projection stands in a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Lag {
    /// The projection.
    pub projection: String,
    /// The shard.
    pub shard: ShardId,
    /// The sequence applied.
    pub sequence: u64,
    /// The last sequence that there is: the journal's, unless the projection is ahead of it.
    pub head: u64,
    /// The last sequence of the journal.
    pub journal: u64,
    /// How long the oldest event that is not applied has been in the journal; zero when all are.
    pub seconds: f64,
    /// Streams that wait for `docket retry`.
    pub parked_streams: u64,
}

impl Lag {
    /// Events that are not applied yet.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.head.saturating_sub(self.sequence)
    }
}

const LAG: &str = "select c.projection, c.category, c.shard, c.sequence, greatest(s.sequence, c.sequence) as head, s.sequence as journal,
            coalesce((select greatest(extract(epoch from clock_timestamp() - j.recorded_at), 0)::float8
                      from write.journal j
                      where j.category = c.category and j.shard = c.shard and j.sequence = c.sequence + 1), 0) as seconds,
            (select count(distinct d.stream_id) from {schema}.dead_letter d
             where d.projection = c.projection and d.category = c.category and d.shard = c.shard) as parked
     from {schema}.checkpoint c
     join write.shard s on s.category = c.category and s.shard = c.shard
     order by c.projection, c.category, c.shard";

/// Every projection's and reactor's lag in every shard that was ever worked; `pool` belongs to the projector's role or the owner's.
///
/// # Errors
/// When the database does not answer.
pub async fn lag(pool: &PgPool) -> Result<Vec<Lag>, sqlx::Error> {
    let mut rows = sqlx::query(Schema::live().sql(LAG)).fetch_all(pool).await?;
    rows.extend(sqlx::query(Schema::reactors().sql(LAG)).fetch_all(pool).await?);
    let mut lags = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(category) = Category::from_code(row.try_get("category")?) else { continue };
        lags.push(Lag {
            projection: row.try_get("projection")?,
            shard: ShardId { category, shard: row.try_get::<i16, _>("shard")? as u16 },
            sequence: row.try_get::<i64, _>("sequence")? as u64,
            head: row.try_get::<i64, _>("head")? as u64,
            journal: row.try_get::<i64, _>("journal")? as u64,
            seconds: row.try_get("seconds")?,
            parked_streams: row.try_get::<i64, _>("parked")? as u64,
        });
    }
    Ok(lags)
}

/// Shows the lag in the metrics, every `period` until the shutdown.
pub(crate) async fn export(pool: PgPool, period: Duration, shutdown: Shutdown) {
    loop {
        match lag(&pool).await {
            Ok(lags) => lags.iter().for_each(show),
            Err(error) => tracing::debug!(%error, "the lag cannot be read"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}

fn show(lag: &Lag) {
    let shard = lag.shard.to_string();
    let labels = [lag.projection.as_str(), shard.as_str()];
    let metrics = metrics::get();
    metrics.lag_events.with_label_values(&labels).set(lag.events() as i64);
    metrics.lag_seconds.with_label_values(&labels).set(lag.seconds);
    metrics.parked_streams.with_label_values(&labels).set(lag.parked_streams as i64);
}
