//! The rows of second factors: secrets, the last time step that was taken, and hashes of recovery codes. Owns their statements.

use docket_platform::db;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A secret.
#[derive(sqlx::FromRow)]
pub(super) struct Secret {
    /// Its bytes.
    #[sqlx(rename = "secret")]
    pub(super) bytes: Vec<u8>,
}

fn hash(user: Uuid, code: &SecretString) -> Vec<u8> {
    Sha256::new().chain_update(user.as_bytes()).chain_update(code.expose_secret().as_bytes()).finalize().to_vec()
}

/// The secret of a user, confirmed or not.
pub(super) async fn secret(pool: &PgPool, user: Uuid) -> Result<Option<Secret>, sqlx::Error> {
    sqlx::query_as("select secret from auth.second_factor where user_id = $1")
        .bind(user)
        .fetch_optional(&mut *db::door(pool).await?)
        .await
}

/// Keeps a secret that is to be confirmed, in place of any that was not.
pub(super) async fn offer(pool: &PgPool, user: Uuid, secret: &[u8]) -> Result<(), sqlx::Error> {
    let mut door = db::door(pool).await?;
    sqlx::query(
        "insert into auth.second_factor (user_id, secret) values ($1, $2)
         on conflict (user_id) do update set secret = excluded.secret, last_step = 0, confirmed_at = null, created_at = now()",
    )
    .bind(user)
    .bind(secret)
    .execute(&mut *door)
    .await?;
    door.commit().await
}

/// Takes the code of a time step, which is then used up with all before it. False: it was used up.
pub(super) async fn take_step(pool: &PgPool, user: Uuid, step: i64) -> Result<bool, sqlx::Error> {
    let mut door = db::door(pool).await?;
    let done = sqlx::query("update auth.second_factor set last_step = $2 where user_id = $1 and last_step < $2")
        .bind(user)
        .bind(step)
        .execute(&mut *door)
        .await?;
    door.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Uses a recovery code up and says how many are left. None: it is none, or was used.
pub(super) async fn use_recovery_code(
    pool: &PgPool,
    user: Uuid,
    code: &SecretString,
) -> Result<Option<u32>, sqlx::Error> {
    let mut door = db::door(pool).await?;
    let done = sqlx::query("delete from auth.recovery_code where user_id = $1 and hash = $2")
        .bind(user)
        .bind(hash(user, code))
        .execute(&mut *door)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let left: i64 = sqlx::query_scalar("select count(*) from auth.recovery_code where user_id = $1")
        .bind(user)
        .fetch_one(&mut *door)
        .await?;
    door.commit().await?;
    Ok(Some(u32::try_from(left).unwrap_or(u32::MAX)))
}

/// Notes that the secret was confirmed, and puts these recovery codes in place of all others; both or neither.
pub(super) async fn confirm(pool: &PgPool, user: Uuid, codes: &[SecretString]) -> Result<(), sqlx::Error> {
    let mut door = db::door(pool).await?;
    sqlx::query("update auth.second_factor set confirmed_at = coalesce(confirmed_at, now()) where user_id = $1")
        .bind(user)
        .execute(&mut *door)
        .await?;
    forget_codes(&mut door, user).await?;
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| hash(user, code)).collect();
    sqlx::query("insert into auth.recovery_code (user_id, hash) select $1, unnest($2::bytea[])")
        .bind(user)
        .bind(hashes)
        .execute(&mut *door)
        .await?;
    door.commit().await
}

async fn forget_codes(connection: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.recovery_code where user_id = $1").bind(user).execute(connection).await.map(drop)
}

/// Forgets secret and recovery codes.
pub(super) async fn forget(pool: &PgPool, user: Uuid) -> Result<(), sqlx::Error> {
    let mut door = db::door(pool).await?;
    forget_codes(&mut door, user).await?;
    sqlx::query("delete from auth.second_factor where user_id = $1").bind(user).execute(&mut *door).await?;
    door.commit().await
}
