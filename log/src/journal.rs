//! The journal reader: events straight from PostgreSQL, by shard and sequence.

use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_events::{Category, Recorded, ShardId, StreamId};
use futures_util::{Stream, TryStreamExt};
use sqlx::{FromRow, PgExecutor, PgPool};
use uuid::Uuid;

use crate::{
    bell::{Bell, Listener},
    faults::{self, Bug},
    reader::{ReadError, Reader},
};

/// A row of the journal, whoever reads it; it becomes a [`Recorded`].
#[derive(Debug, FromRow)]
pub struct JournalRow {
    category: i16,
    shard: i16,
    sequence: i64,
    stream_id: Uuid,
    stream_version: i64,
    event_id: Uuid,
    tenant: Uuid,
    time: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    event_type: String,
    data: String,
    meta: String,
}

impl TryFrom<JournalRow> for Recorded {
    type Error = ReadError;

    fn try_from(row: JournalRow) -> Result<Self, ReadError> {
        let category = Category::from_code(row.category).ok_or(ReadError::UnknownCategory(row.category))?;
        Ok(Self {
            stream: StreamId::new(category, row.stream_id),
            shard: row.shard as u16,
            sequence: row.sequence as u64,
            version: row.stream_version as u64,
            id: row.event_id,
            event_type: row.event_type,
            tenant: row.tenant,
            time: row.time,
            recorded_at: row.recorded_at,
            data: row.data,
            meta: row.meta,
        })
    }
}

/// A shard's slice is cut off by the lateral limit, so that one busy shard cannot fill a batch alone for ever.
const READ: &str =
    "select j.category, j.shard, j.sequence, j.stream_id, j.stream_version, j.event_id, j.tenant, j.time,
            j.recorded_at, j.event_type, j.data, j.meta
     from unnest($1::smallint[], $2::smallint[], $3::bigint[]) as wanted (category, shard, behind)
     cross join lateral (
         select * from write.journal e
         where e.category = wanted.category and e.shard = wanted.shard and e.sequence > wanted.behind
         order by e.sequence limit $4
     ) j";

const READ_STREAM: &str =
    "select category, shard, sequence, stream_id, stream_version, event_id, tenant, time, recorded_at,
            event_type, data, meta
     from write.journal where stream_id = $1 and category = $2 order by stream_version";

const READ_STREAMS: &str =
    "select category, shard, sequence, stream_id, stream_version, event_id, tenant, time, recorded_at,
            event_type, data, meta
     from write.journal where stream_id = any ($1) order by stream_id, stream_version";

const READ_SHARD: &str =
    "select category, shard, sequence, stream_id, stream_version, event_id, tenant, time, recorded_at,
            event_type, data, meta
     from write.journal where category = $1 and shard = $2 and sequence > $3 order by sequence";

/// Reads the journal for projections, woken by the journal's bell.
#[derive(Debug)]
pub struct JournalReader {
    pool: PgPool,
    listener: Listener,
}

impl JournalReader {
    /// A reader over a pool whose role may read the journal.
    #[must_use]
    pub fn new(pool: PgPool, bell: &Bell) -> Self {
        Self { pool, listener: bell.listen() }
    }
}

impl Reader for JournalReader {
    async fn read(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        if behind.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<JournalRow> = sqlx::query_as(READ)
            .bind(behind.iter().map(|(shard, _)| shard.category.code()).collect::<Vec<_>>())
            .bind(behind.iter().map(|(shard, _)| shard.shard as i16).collect::<Vec<_>>())
            .bind(behind.iter().map(|(_, sequence)| *sequence as i64).collect::<Vec<_>>())
            .bind((limit / behind.len()).max(1) as i64)
            .fetch_all(&self.pool)
            .await?;
        let mut events: Vec<Recorded> = rows.into_iter().map(Recorded::try_from).collect::<Result<_, _>>()?;
        if faults::has(Bug::ReadPastGap) {
            events.retain(|event| event.sequence % 97 != 0);
        }
        Ok(events)
    }

    async fn news(&mut self, at_most: Duration) {
        self.listener.heard(at_most).await;
    }
}

/// Every event of one stream, in order.
pub fn stream_events(pool: &PgPool, stream: StreamId) -> impl Stream<Item = Result<Recorded, ReadError>> + Send + '_ {
    sqlx::query_as::<_, JournalRow>(READ_STREAM)
        .bind(stream.id)
        .bind(stream.category.code())
        .fetch(pool)
        .map_err(ReadError::from)
        .and_then(|row| std::future::ready(Recorded::try_from(row)))
}

/// Every event of several streams, each in order.
///
/// # Errors
/// See [`ReadError`].
pub async fn streams_events(executor: impl PgExecutor<'_>, streams: &[Uuid]) -> Result<Vec<Recorded>, ReadError> {
    let rows: Vec<JournalRow> = sqlx::query_as(READ_STREAMS).bind(streams).fetch_all(executor).await?;
    rows.into_iter().map(Recorded::try_from).collect()
}

/// Every event of one shard behind `sequence`, in order.
pub fn shard_events(
    pool: &PgPool,
    shard: ShardId,
    sequence: u64,
) -> impl Stream<Item = Result<Recorded, ReadError>> + Send + '_ {
    sqlx::query_as::<_, JournalRow>(READ_SHARD)
        .bind(shard.category.code())
        .bind(shard.shard as i16)
        .bind(sequence as i64)
        .fetch(pool)
        .map_err(ReadError::from)
        .and_then(|row| std::future::ready(Recorded::try_from(row)))
}

/// The last sequence given in every shard.
///
/// # Errors
/// See [`ReadError`].
pub async fn tails(pool: &PgPool) -> Result<Vec<(ShardId, u64)>, ReadError> {
    let rows: Vec<(i16, i16, i64)> =
        sqlx::query_as("select category, shard, sequence from write.shard order by category, shard")
            .fetch_all(pool)
            .await?;
    rows.into_iter()
        .map(|(code, shard, sequence)| {
            let category = Category::from_code(code).ok_or(ReadError::UnknownCategory(code))?;
            Ok((ShardId { category, shard: shard as u16 }, sequence as u64))
        })
        .collect()
}
