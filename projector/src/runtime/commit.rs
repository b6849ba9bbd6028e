//! The one transaction: checkpoints, rows, change feed and dead letters, or nothing.
//!
//! Owns its statements. The comparison of the checkpoints comes first, so that whoever lost its shard fails before it writes.

use std::sync::atomic::{AtomicU64, Ordering};

use docket_log::faults::{self, Bug};
use sqlx::{Connection, PgConnection};

use super::plan::{FeedRow, Letter, Move, Part, Plan};
use crate::projection::{AnyBatch, Registry, Schema, WriteError};

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// A checkpoint does not stand where it was left: somebody else works the shard, a retry changed what is parked, or a rebuild
    /// switched to another home.
    #[error("a checkpoint was moved by somebody else")]
    Fenced,
    /// A projection's rows could not be written.
    #[error("{error}")]
    Write {
        /// Which projection.
        projection: usize,
        /// Why.
        error: WriteError,
    },
    /// What all projections share could not be written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

const MOVE: &str = "update {schema}.checkpoint c
     set sequence = m.target, parked = m.revision_after, event_time = m.event_time, applied_at = clock_timestamp()
     from unnest($1::text[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                 $8::timestamptz[])
         as m (projection, category, shard, origin, target, revision, revision_after, event_time)
     where c.projection = m.projection and c.category = m.category and c.shard = m.shard
       and ($9 or (c.sequence = m.origin and c.parked = m.revision))";

const FEED: &str = "insert into {schema}.change (projection, category, shard, sequence, tenant, key, kind)
     select * from unnest($1::text[], $2::smallint[], $3::smallint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[])
     on conflict do nothing";

const LETTERS: &str = "insert into {schema}.dead_letter
         (projection, category, shard, sequence, tenant, stream_id, event_id, event_type, error)
     select * from unnest($1::text[], $2::smallint[], $3::smallint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::uuid[],
                          $8::text[], $9::text[])
     on conflict do nothing";

/// Commits `plan`, all of it or nothing.
pub(crate) async fn commit(
    connection: &mut PgConnection,
    schema: &Schema,
    registry: Registry,
    plan: &Plan<'_>,
) -> Result<(), CommitError> {
    faults::step("projector.before_checkpoint");
    let mut transaction = connection.begin().await?;
    move_checkpoints(&mut transaction, schema, registry, &plan.moves).await?;
    faults::step("projector.before_write");
    for Part { projection, home, batch } in &plan.parts {
        write(&mut transaction, home, batch.as_ref())
            .await
            .map_err(|error| CommitError::Write { projection: *projection, error })?;
    }
    if !plan.feed.is_empty() {
        feed(&mut transaction, schema, registry, &plan.feed).await?;
    }
    if !plan.letters.is_empty() {
        put_aside(&mut transaction, schema, registry, &plan.letters).await?;
    }
    faults::step("projector.before_commit");
    transaction.commit().await?;
    faults::step("projector.after_commit");
    Ok(())
}

async fn move_checkpoints(
    connection: &mut PgConnection,
    schema: &Schema,
    registry: Registry,
    moves: &[Move],
) -> Result<(), CommitError> {
    let unguarded = faults::has(Bug::DropCompareAndSet);
    let moved = sqlx::query(schema.sql(MOVE))
        .bind(moves.iter().map(|m| registry[m.projection].info().name).collect::<Vec<_>>())
        .bind(moves.iter().map(|m| m.shard.category.code()).collect::<Vec<_>>())
        .bind(moves.iter().map(|m| m.shard.shard as i16).collect::<Vec<_>>())
        .bind(moves.iter().map(|m| m.from as i64).collect::<Vec<_>>())
        .bind(moves.iter().map(|m| m.to as i64).collect::<Vec<_>>())
        .bind(moves.iter().map(|m| m.revision).collect::<Vec<_>>())
        .bind(moves.iter().map(Move::next_revision).collect::<Vec<_>>())
        .bind(moves.iter().map(|m| m.event_time).collect::<Vec<_>>())
        .bind(unguarded)
        .execute(connection)
        .await?
        .rows_affected();
    if moved == moves.len() as u64 || unguarded { Ok(()) } else { Err(CommitError::Fenced) }
}

async fn write(connection: &mut PgConnection, home: &Schema, batch: &dyn AnyBatch) -> Result<(), WriteError> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    batch.write(home, connection).await?;
    if faults::has(Bug::ApplyTwice) && WRITES.fetch_add(1, Ordering::Relaxed) % 25 == 24 {
        match batch.write(home, connection).await {
            // A bug that notices itself would be caught by nobody else.
            Err(WriteError::Inconsistent(_)) => {}
            other => return other,
        }
    }
    Ok(())
}

async fn feed(
    connection: &mut PgConnection,
    schema: &Schema,
    registry: Registry,
    rows: &[FeedRow<'_>],
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql(FEED))
        .bind(rows.iter().map(|row| registry[row.projection].info().name).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shard.category.code()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shard.shard as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.sequence as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.key).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn put_aside(
    connection: &mut PgConnection,
    schema: &Schema,
    registry: Registry,
    letters: &[Letter<'_>],
) -> Result<(), sqlx::Error> {
    // PostgreSQL's text holds no NUL, and an error may quote one.
    let errors = letters.iter().map(|letter| letter.error.as_ref().map(|error| error.replace('\0', "\u{fffd}")));
    sqlx::query(schema.sql(LETTERS))
        .bind(letters.iter().map(|letter| registry[letter.projection].info().name).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.shard.category.code()).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.shard.shard as i16).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.item.event.sequence as i64).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.item.event.tenant).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.item.event.stream.id).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.item.event.id).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.item.event.event_type.as_str()).collect::<Vec<_>>())
        .bind(errors.collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
