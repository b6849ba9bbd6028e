//! Reading the change feed. Owns its SQL; who reads, and so whose changes are seen, is the connection's matter.

use chrono::{DateTime, Utc};
use docket_events::ShardId;
use docket_log::Position;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::Change;
use crate::position::{Source, columns, sequence, shard};

type Columns = (i16, i64, Uuid, Uuid, String, DateTime<Utc>);

fn change(source: Source, (number, at_sequence, tenant, key, kind, at): Columns) -> Change {
    Change { shard: shard(source.category, number), sequence: sequence(at_sequence), tenant, key, kind, at }
}

/// Changes up to `cursors` that were applied late, when their stream was healed: whoever resumes there may not have seen them.
pub(super) async fn healed(
    connection: &mut PgConnection,
    source: Source,
    cursors: &Position,
) -> Result<Vec<Change>, sqlx::Error> {
    let (shards, sequences) = columns(cursors);
    let rows: Vec<Columns> = sqlx::query_as(
        "select c.shard, c.sequence, c.tenant, c.key, c.kind, c.at
         from unnest($3::smallint[], $4::bigint[]) as cursor (shard, sequence)
         join read.change c on c.shard = cursor.shard and c.sequence <= cursor.sequence
         where c.late and c.projection = $1 and c.category = $2
         order by c.shard, c.sequence",
    )
    .bind(source.projection)
    .bind(source.category.code())
    .bind(shards)
    .bind(sequences)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| change(source, row)).collect())
}

/// Changes behind `cursors`, at most `limit` of each shard named there, ascending within each shard.
pub(crate) async fn behind(
    connection: &mut PgConnection,
    source: Source,
    cursors: &Position,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let (shards, sequences) = columns(cursors);
    let rows: Vec<Columns> = sqlx::query_as(
        "select c.shard, c.sequence, c.tenant, c.key, c.kind, c.at
         from unnest($3::smallint[], $4::bigint[]) as cursor (shard, sequence)
         cross join lateral (
             select * from read.change c
             where c.projection = $1 and c.category = $2 and c.shard = cursor.shard and c.sequence > cursor.sequence
             order by c.sequence limit $5
         ) c
         order by c.shard, c.sequence",
    )
    .bind(source.projection)
    .bind(source.category.code())
    .bind(shards)
    .bind(sequences)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| change(source, row)).collect())
}

/// How far a page read with `limit` brought each shard of `cursors`, and whether some have more.
pub(crate) fn advance(cursors: &Position, seen: &Position, page: &[Change], limit: usize) -> (Position, bool) {
    let mut reached = Position::default();
    let mut more = false;
    for (shard, cursor) in cursors.iter() {
        let mut of_shard = page.iter().filter(|change| change.shard == shard);
        let (count, last) = (of_shard.clone().count(), of_shard.next_back());
        let last = last.map_or(cursor, |change| change.sequence.max(cursor));
        more |= count >= limit;
        // A full page may have ended anywhere; behind one that is not, nothing is left up to the checkpoint read before it.
        reached.raise(shard, if count >= limit { last } else { last.max(seen.get(shard)) });
    }
    (reached, more)
}

/// Up to where each shard was trimmed.
pub(crate) async fn trimmed(connection: &mut PgConnection, source: Source) -> Result<Position, sqlx::Error> {
    let rows = sqlx::query("select shard, sequence from read.change_trimmed where projection = $1 and category = $2")
        .bind(source.projection)
        .bind(source.category.code())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| entry(source, row)).collect()
}

fn entry(source: Source, row: &sqlx::postgres::PgRow) -> Result<(ShardId, u64), sqlx::Error> {
    Ok((shard(source.category, row.try_get("shard")?), sequence(row.try_get("sequence")?)))
}

/// Whether `cursors` need what was trimmed.
pub(crate) fn is_too_old(cursors: &Position, trimmed: &Position) -> bool {
    cursors.iter().any(|(shard, sequence)| sequence < trimmed.get(shard))
}

/// How often the set of parked streams, or where the rows are, changed, over all shards.
pub(crate) async fn parked(connection: &mut PgConnection, source: Source) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select coalesce(sum(parked), 0)::bigint from read.checkpoint where projection = $1 and category = $2",
    )
    .bind(source.projection)
    .bind(source.category.code())
    .fetch_one(connection)
    .await
}
