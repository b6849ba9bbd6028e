//! Housekeeping of the write side: what has a time to live is deleted when that is over.
//!
//! Owns the deletion of idempotency rows, in small pieces and by one replica at a time, of mailed tokens, API keys' secrets and sessions, and of
//! what is remembered of clients who ask or guess too much. It must never delete an event.

use std::time::Duration;

use docket_platform::{
    auth::{api_keys, mailed},
    db, ids, rate_limit,
};
use sqlx::{Connection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::auth::{attempts, session};

/// How long the first answer to a command is remembered.
pub const KEEP_ANSWERS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const PERIOD: Duration = Duration::from_secs(5 * 60);
/// Rows a transaction: short enough to stay well within the writer's time-outs.
const CHUNK: i64 = 2_000;
/// Any number that nothing else locks: "docket" and "hk", as ASCII.
const LOCK: i64 = 0x646f_636b_6574_686b;

/// Tidies every few minutes until `stop`.
pub async fn run(pool: PgPool, stop: CancellationToken) {
    loop {
        // Replicas that started together need not come together.
        let [jitter] = ids::random_bytes::<1>();
        let pause = PERIOD + Duration::from_millis(u64::from(jitter) * 100);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match delete_old_answers(&pool, KEEP_ANSWERS, &stop).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "idempotency rows beyond their time were deleted"),
            Err(error) => tracing::warn!(%error, "housekeeping failed and will be tried again"),
        }
        let forget = async {
            let mut door = db::door(&pool).await?;
            mailed::forget_expired(&mut door).await?;
            api_keys::forget_expired(&mut door).await?;
            attempts::forget_expired(&mut door).await?;
            rate_limit::forget_idle(&mut door).await?;
            door.commit().await
        };
        if let Err(error) = forget.await {
            tracing::warn!(%error, "what has had its time in auth is not forgotten yet");
        }
        if let Err(error) = session::forget_old(&pool).await {
            tracing::warn!(%error, "sessions that were over long ago are not forgotten yet");
        }
    }
}

/// Deletes idempotency rows older than `age` and says how many; none while another replica does.
///
/// # Errors
/// When the database does not answer; pieces that were deleted stay deleted.
pub async fn delete_old_answers(pool: &PgPool, age: Duration, stop: &CancellationToken) -> Result<u64, sqlx::Error> {
    let mut deleted = 0;
    while !stop.is_cancelled() {
        let piece = delete_piece(pool, age).await?;
        deleted += piece;
        if piece < CHUNK.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}

async fn delete_piece(pool: &PgPool, age: Duration) -> Result<u64, sqlx::Error> {
    let mut connection = db::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let mine: bool =
        sqlx::query_scalar("select pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *transaction).await?;
    if !mine {
        return Ok(0);
    }
    let done = sqlx::query(
        "delete from write.idempotency where id in (
             select id from write.idempotency where created_at < now() - make_interval(secs => $1) limit $2)",
    )
    .bind(age.as_secs_f64())
    .bind(CHUNK)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(done.rows_affected())
}
