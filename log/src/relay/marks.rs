//! The `published` marks: how far each shard is in Kafka, for relays, readers and operators.

use std::collections::BTreeMap;

use docket_events::{Category, ShardId};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::kafka::Last;

/// What stands in `write.published` of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// All up to here was acknowledged by Kafka.
    pub sequence: u64,
    /// Why the relay publishes nothing of the shard.
    pub halted: Option<String>,
}

/// A mark's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The shard.
    pub shard: ShardId,
    /// Where the mark was left.
    pub from: u64,
    /// Where it goes.
    pub to: u64,
}

fn keys(shards: impl Iterator<Item = ShardId> + Clone) -> (Vec<i16>, Vec<i16>) {
    (shards.clone().map(|shard| shard.category.code()).collect(), shards.map(|shard| shard.shard as i16).collect())
}

/// The marks of all shards that have one; `pool` belongs to the writer's, the projector's or the owner's role.
///
/// # Errors
/// When the database does not answer.
pub async fn all(pool: &PgPool) -> Result<BTreeMap<ShardId, Mark>, sqlx::Error> {
    let rows = sqlx::query("select category, shard, sequence, halted from write.published").fetch_all(pool).await?;
    let mut marks = BTreeMap::new();
    for row in rows {
        let Some(category) = Category::from_code(row.try_get(0)?) else { continue };
        let shard = ShardId { category, shard: row.try_get::<i16, _>(1)? as u16 };
        let sequence = row.try_get::<i64, _>(2)? as u64;
        marks.insert(shard, Mark { sequence, halted: row.try_get(3)? });
    }
    Ok(marks)
}

/// How many journalled events are not in Kafka yet; `pool` belongs to the writer's role or the owner's.
///
/// # Errors
/// When the database does not answer.
pub async fn backlog(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let events: i64 = sqlx::query_scalar(
        "select coalesce(sum(s.sequence - coalesce(p.sequence, 0)), 0)::bigint
         from write.shard s left join write.published p using (category, shard)",
    )
    .fetch_one(pool)
    .await?;
    Ok(events.max(0) as u64)
}

/// Makes the marks that are missing.
pub(crate) async fn make(pool: &PgPool, shards: &[ShardId]) -> Result<(), sqlx::Error> {
    let (categories, numbers) = keys(shards.iter().copied());
    sqlx::query(
        "insert into write.published (category, shard)
         select * from unnest($1::smallint[], $2::smallint[]) on conflict do nothing",
    )
    .bind(categories)
    .bind(numbers)
    .execute(pool)
    .await
    .map(drop)
}

/// Moves marks, each only if it stands where it was left. True: all did.
pub(crate) async fn advance(pool: &PgPool, steps: &[Step]) -> Result<bool, sqlx::Error> {
    let (categories, numbers) = keys(steps.iter().map(|step| step.shard));
    let moved = sqlx::query(
        "update write.published p set sequence = s.target, moved_at = clock_timestamp()
         from unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::bigint[]) as s (category, shard, origin, target)
         where p.category = s.category and p.shard = s.shard and p.sequence = s.origin",
    )
    .bind(categories)
    .bind(numbers)
    .bind(steps.iter().map(|step| step.from as i64).collect::<Vec<_>>())
    .bind(steps.iter().map(|step| step.to as i64).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(moved.rows_affected() == steps.len() as u64)
}

/// Notes what a comparison came to: why a shard is halted, or that it is not.
pub(crate) async fn note(pool: &PgPool, verdicts: &[(ShardId, Option<String>)]) -> Result<(), sqlx::Error> {
    let (categories, numbers) = keys(verdicts.iter().map(|(shard, _)| *shard));
    sqlx::query(
        "update write.published p set halted = v.reason, checked_at = clock_timestamp()
         from unnest($1::smallint[], $2::smallint[], $3::text[]) as v (category, shard, reason)
         where p.category = v.category and p.shard = v.shard",
    )
    .bind(categories)
    .bind(numbers)
    .bind(verdicts.iter().map(|(_, reason)| reason.clone()).collect::<Vec<_>>())
    .execute(pool)
    .await
    .map(drop)
}

/// What the journal says of shards whose topic's end was looked at before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Journalled {
    pub(crate) tail: u64,
    /// The event under the topic's last sequence.
    pub(crate) id: Option<Uuid>,
}

/// Looks up tails, and the events under the topics' last sequences, in one snapshot.
pub(crate) async fn journalled(
    pool: &PgPool,
    ends: &[(ShardId, Option<Last>)],
) -> Result<BTreeMap<ShardId, Journalled>, sqlx::Error> {
    let (categories, numbers) = keys(ends.iter().map(|(shard, _)| *shard));
    let rows = sqlx::query(
        "select s.category, s.shard, s.sequence, j.event_id
         from unnest($1::smallint[], $2::smallint[], $3::bigint[]) as e (category, shard, sequence)
         join write.shard s on s.category = e.category and s.shard = e.shard
         left join write.journal j on j.category = e.category and j.shard = e.shard and j.sequence = e.sequence",
    )
    .bind(categories)
    .bind(numbers)
    .bind(ends.iter().map(|(_, last)| last.map_or(0, |last| last.sequence as i64)).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let Some(category) = Category::from_code(row.try_get(0)?) else { continue };
        let shard = ShardId { category, shard: row.try_get::<i16, _>(1)? as u16 };
        let tail: i64 = row.try_get(2)?;
        found.insert(shard, Journalled { tail: tail as u64, id: row.try_get(3)? });
    }
    Ok(found)
}
