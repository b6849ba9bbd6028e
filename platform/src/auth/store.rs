//! Where keys are kept: the table `auth.signing_key`. Owns its statements.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{AuthError, Keys, SigningKey};
use crate::db;

/// Any number that nothing else locks: "docket" and "key", as ASCII.
const FIRST_KEY_LOCK: i64 = 0x646f_636b_6574_6b65;

type Row = (String, Vec<u8>, Vec<u8>, Option<DateTime<Utc>>);
type PublicRow = (String, Vec<u8>, Option<DateTime<Utc>>);

/// All keys, the newest last. Keys that have retired verify nothing and are left out.
///
/// # Errors
/// When the database fails or holds a key that cannot be used.
pub async fn load_keys(pool: &PgPool) -> Result<Keys, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT kid, public_der, private_der, retires_at FROM auth.signing_key
         WHERE retires_at IS NULL OR retires_at > now() ORDER BY created_at, kid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let keys = rows
        .into_iter()
        .map(|(kid, public, private, retires_at)| SigningKey::from_der(kid, &public, Some(private), retires_at));
    Ok(Keys::new(keys.collect::<Result<_, _>>()?))
}

/// The public halves alone, for who verifies and never signs: its role may not read the private ones.
///
/// # Errors
/// When the database fails or holds a key that cannot be used.
pub async fn load_public_keys(pool: &PgPool) -> Result<Keys, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let rows: Vec<PublicRow> = sqlx::query_as(
        "SELECT kid, public_der, retires_at FROM auth.signing_key
         WHERE retires_at IS NULL OR retires_at > now() ORDER BY created_at, kid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let keys = rows.into_iter().map(|(kid, public, retires_at)| SigningKey::from_der(kid, &public, None, retires_at));
    Ok(Keys::new(keys.collect::<Result<_, _>>()?))
}

/// Makes the first key if there is none that goes on. Several processes may do so at once: one key comes out.
///
/// # Errors
/// When the database fails.
pub async fn ensure_key(pool: &PgPool) -> Result<(), AuthError> {
    let mut connection = db::acquire(pool).await?;
    let mut transaction = sqlx::Connection::begin(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(FIRST_KEY_LOCK).execute(&mut *transaction).await?;
    let (exists,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM auth.signing_key WHERE retires_at IS NULL)")
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        let key = SigningKey::generate()?;
        sqlx::query(
            "INSERT INTO auth.signing_key (kid, public_der, private_der, created_at) VALUES ($1, $2, $3, now())",
        )
        .bind(key.kid())
        .bind(key.public_der())
        .bind(key.private_der())
        .execute(&mut *transaction)
        .await?;
        tracing::info!(kid = key.kid(), "made a signing key");
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::db::{Database, DbRole};
    use crate::embedded::{DATABASE, OWNER, ScratchCluster};
    use std::time::Duration;

    #[tokio::test]
    async fn racing_processes_make_one_first_key() {
        let owner = ScratchCluster::shared().connect_options(OWNER, DATABASE);
        let pool = Database::embedded(owner).pool(DbRole::Owner, 8, Duration::from_secs(10));
        sqlx::raw_sql(
            "CREATE SCHEMA auth;
             CREATE TABLE auth.signing_key (kid text PRIMARY KEY, public_der bytea NOT NULL,
                private_der bytea NOT NULL, created_at timestamptz NOT NULL, retires_at timestamptz)",
        )
        .execute(&pool)
        .await
        .expect("the table is made");
        let racers = (0..8).map(|_| ensure_key(&pool));
        for result in futures_util::future::join_all(racers).await {
            result.expect("each ends well");
        }
        let keys = load_keys(&pool).await.expect("they load");
        assert_eq!(keys.jwks(clock::now())["keys"].as_array().map(Vec::len), Some(1));
        let token = keys.issue(&super::super::keys::tests::claims()).expect("the stored key signs");
        let public = load_public_keys(&pool).await.expect("they load");
        assert!(public.verify(&token, super::super::keys::tests::now()).is_ok());
        assert!(public.issue(&super::super::keys::tests::claims()).is_err());
        assert!(keys.verify(&token, super::super::keys::tests::now()).is_ok());
    }
}
