//! The secrets that sign webhooks: a row for each that signs, kept by the command that made it and read by whoever delivers.
//!
//! Owns the statements over `auth.webhook_secret`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{ids, webhook::Secret};

/// A secret, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct NewSecret {
    /// The endpoint.
    pub endpoint: Uuid,
    /// The organisation.
    pub tenant: Uuid,
    /// The version of the event that made it.
    pub version: u64,
    /// Until when the secrets before it sign too.
    pub old_until: Option<DateTime<Utc>>,
}

/// Keeps a secret. Of those before it only the last goes on, until its time is up. `connection` belongs to the writer's role, in a
/// transaction of the tenant.
///
/// # Errors
/// When the database does not answer.
pub async fn keep(connection: &mut PgConnection, secret: &Secret, new: &NewSecret) -> Result<(), sqlx::Error> {
    sqlx::query("insert into auth.webhook_secret (endpoint, version, tenant, secret) values ($1, $2, $3, $4)")
        .bind(new.endpoint)
        .bind(new.version.cast_signed())
        .bind(new.tenant)
        .bind(secret.bytes())
        .execute(&mut *connection)
        .await?;
    sqlx::query("update auth.webhook_secret set until = coalesce($3, clock_timestamp()) where endpoint = $1 and version < $2 and until is null")
        .bind(new.endpoint)
        .bind(new.version.cast_signed())
        .bind(new.old_until)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "delete from auth.webhook_secret where endpoint = $1 and version <
             (select version from auth.webhook_secret where endpoint = $1 order by version desc offset 1 limit 1)",
    )
    .bind(new.endpoint)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the secrets of an endpoint that was removed.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(connection: &mut PgConnection, endpoint: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.webhook_secret where endpoint = $1")
        .bind(endpoint)
        .execute(connection)
        .await
        .map(drop)
}

/// The secrets that sign for these endpoints now, the present one first; `pool` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn load(pool: &PgPool, endpoints: &[Uuid]) -> Result<HashMap<Uuid, Vec<Secret>>, sqlx::Error> {
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "select endpoint, secret from auth.webhook_secret
         where endpoint = any ($1) and (until is null or until > clock_timestamp()) order by endpoint, version desc",
    )
    .bind(endpoints)
    .fetch_all(pool)
    .await?;
    let mut secrets: HashMap<Uuid, Vec<Secret>> = HashMap::new();
    for (endpoint, bytes) in rows {
        // The table holds no other lengths.
        if let Ok(secret) = Secret::from_bytes(bytes) {
            secrets.entry(endpoint).or_default().push(secret);
        }
    }
    Ok(secrets)
}

/// The first secret of an organisation's callbacks, which nobody makes by a command: made here, unless there is one. `pool` belongs to
/// the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn begin(pool: &PgPool, endpoint: Uuid, tenant: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.webhook_secret (endpoint, version, tenant, secret) values ($1, 0, $2, $3) on conflict do nothing",
    )
    .bind(endpoint)
    .bind(tenant)
    .bind(ids::random_bytes::<32>().as_slice())
    .execute(pool)
    .await
    .map(drop)
}
