//! API keys: what lets software in instead of a token.
//!
//! Owns the statements over `auth.api_key_secret` and `auth.api_key_use`, and the memory of what was looked up. A row alone opens
//! nothing: what ended a secret is looked up in the journal with it. It must not hold a secret, only its hash.

mod secret;
mod uses;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use moka::Expiry;
use moka::future::Cache;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use secret::{ApiKeySecret, PREFIX};

use super::{Access, AuthError, Principal, STALE_AFTER, Scope, Scopes};
use crate::db;
use uses::Uses;

/// How long what was found is believed: within this time a secret whose end has come is refused everywhere. Knowledge of what was taken
/// away is not believed for longer either.
const MAX_AGE: Duration = STALE_AFTER;
/// How long it is believed that a hash is nobody's.
const UNKNOWN_AGE: Duration = Duration::from_secs(2);
/// Strangers' hashes push each other out, and some keys that are looked up again then.
const CAPACITY: u64 = 10_000;
/// Look-ups at once, and how long one waits for its turn: strangers' secrets must not take the connections of those who are let in.
const LOOK_UPS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection that stays open is good for without its key being looked at again: as long as one by token at most.
const CONNECTION_AGE: Duration = Duration::from_secs(15 * 60);

/// What stands of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    principal: Principal,
    /// When the secret ends, if ever: with its key, or some time after a rotation.
    ends_at: Option<DateTime<Utc>>,
    /// Whether that is the end of the key itself.
    with_key: bool,
}

type Hash = [u8; 32];

/// Forgets what is nobody's sooner.
#[derive(Debug)]
struct Own;

impl Expiry<Hash, Option<Found>> for Own {
    fn expire_after_create(&self, _hash: &Hash, found: &Option<Found>, _created: Instant) -> Option<Duration> {
        Some(if found.is_some() { MAX_AGE } else { UNKNOWN_AGE })
    }
}

/// The API keys of an installation, as one process looks them up.
#[derive(Debug)]
pub(super) struct ApiKeys {
    pool: PgPool,
    found: Cache<Hash, Option<Found>>,
    turns: Semaphore,
    uses: Uses,
}

impl ApiKeys {
    /// Looks keys up through `pool`, of the writer's or the reader's role.
    pub(super) fn new(pool: PgPool) -> Self {
        let found = Cache::builder().max_capacity(CAPACITY).expire_after(Own).build();
        Self { pool, found, turns: Semaphore::new(LOOK_UPS), uses: Uses::default() }
    }

    /// Whom a secret speaks for at `now`.
    pub(super) async fn access(&self, text: &str, now: DateTime<Utc>) -> Result<Access, AuthError> {
        let secret = ApiKeySecret::parse(text).ok_or(AuthError::UnknownApiKey)?;
        let hash = secret.hash();
        // Of many who ask for the same at once one asks the database.
        let found = self.found.try_get_with(hash, self.look_up(hash)).await;
        let found = found.map_err(|error: Arc<sqlx::Error>| AuthError::ApiKeys(error))?;
        let Found { principal, ends_at, with_key } = found.ok_or(AuthError::UnknownApiKey)?;
        match ends_at {
            Some(end) if end <= now && with_key => Err(AuthError::ExpiredApiKey),
            Some(end) if end <= now => Err(AuthError::UnknownApiKey),
            _ => {
                let look_again = now.timestamp() + CONNECTION_AGE.as_secs().cast_signed();
                let end = ends_at.map_or(look_again, |end| end.timestamp().min(look_again));
                Ok(Access { expires_at: Some(end), ..Access::of(principal) })
            }
        }
    }

    async fn look_up(&self, hash: Hash) -> Result<Option<Found>, sqlx::Error> {
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(sqlx::Error::PoolTimedOut) };
        let row: Option<Row> =
            sqlx::query_as(LOOK_UP).bind(hash.as_slice()).fetch_optional(&mut *db::door(&self.pool).await?).await?;
        Ok(row.map(Found::from))
    }

    /// Notes that the key of `principal` was used.
    pub(super) fn note_use(&self, principal: &Principal, now: DateTime<Utc>) {
        self.uses.note(principal.id, principal.tenant, now);
    }

    /// Writes down which keys were used, every minute and at the end.
    pub(super) async fn keep_uses(&self, stop: CancellationToken) {
        self.uses.keep(&self.pool, stop).await;
    }
}

/// A revocation ends all secrets of a key; a rotation those before it, after a while; and a rotation of the secret that came after a
/// secret ends that at once, so that never more than two are good.
const LOOK_UP: &str = "select s.key_id, s.tenant, s.scopes, s.expires_at, (
         select min(e.old_until) from auth.api_key_end e where e.key_id = s.key_id and e.version > s.version) as old_until
     from auth.api_key_secret s
     where s.hash = $1
       and not exists (select from auth.api_key_end e where e.key_id = s.key_id and e.revoked)
       and not exists (select from auth.api_key_secret n join auth.api_key_end e on e.key_id = n.key_id and e.version > n.version
                       where n.key_id = s.key_id and n.version > s.version)";

#[derive(sqlx::FromRow)]
struct Row {
    key_id: Uuid,
    tenant: Uuid,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
    old_until: Option<DateTime<Utc>>,
}

impl From<Row> for Found {
    fn from(row: Row) -> Self {
        // What a later release allows is not known here, and not allowed.
        let scopes = row.scopes.iter().filter_map(|name| name.parse::<Scope>().ok());
        let principal = Principal::key(row.key_id, row.tenant, scopes.collect::<Scopes>());
        let with_key = match (row.expires_at, row.old_until) {
            (Some(key), Some(old)) => key <= old,
            (key, _) => key.is_some(),
        };
        let ends_at = if with_key { row.expires_at } else { row.old_until };
        Self { principal, ends_at, with_key }
    }
}

/// A secret to be kept, as its hash.
#[derive(Debug)]
pub struct NewSecret<'a> {
    /// The key.
    pub key: Uuid,
    /// The organisation that it belongs to.
    pub tenant: Uuid,
    /// The version of the key's stream at the event that made the secret.
    pub version: u64,
    /// What it allows.
    pub scopes: &'a [Scope],
    /// When the key ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Keeps a secret, once its event is journalled, and forgets those before the one before it; `connection` belongs to the writer's role.
///
/// # Errors
/// When the database does not answer.
pub async fn keep_secret(
    connection: &mut PgConnection,
    secret: &ApiKeySecret,
    new: &NewSecret<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.api_key_secret (hash, key_id, tenant, version, scopes, expires_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(secret.hash().as_slice())
    .bind(new.key)
    .bind(new.tenant)
    .bind(new.version.cast_signed())
    .bind(new.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>())
    .bind(new.expires_at)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "delete from auth.api_key_secret where key_id = $1 and version <
             (select version from auth.api_key_secret where key_id = $1 order by version desc offset 1 limit 1)",
    )
    .bind(new.key)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the secrets of a key that was revoked. They open nothing any more, whether this happens or not.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_secrets(connection: &mut PgConnection, key: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.api_key_secret where key_id = $1").bind(key).execute(connection).await?;
    Ok(())
}

/// How long it is still said that a key has expired; after that it reads like one that never was.
const REMEMBER_EXPIRED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Forgets the secrets of keys that expired long ago, and says how many.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_expired(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let done =
        sqlx::query("delete from auth.api_key_secret where expires_at < clock_timestamp() - make_interval(secs => $1)")
            .bind(REMEMBER_EXPIRED.as_secs_f64())
            .execute(connection)
            .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    fn keys() -> ApiKeys {
        ApiKeys::new(PgPool::connect_lazy_with(PgConnectOptions::new().socket("/nonexistent")))
    }

    fn found(ends_at: Option<DateTime<Utc>>) -> Found {
        let principal = Principal::key(Uuid::from_u128(1), Uuid::from_u128(2), Scopes::default());
        Found { principal, ends_at, with_key: true }
    }

    #[tokio::test]
    async fn nothing_is_believed_for_longer_than_a_right_may_outlive_its_end() {
        let keys = keys();
        for (hash, entry, age) in [([1; 32], Some(found(None)), 5), ([2; 32], None, 2)] {
            let kept = Own.expire_after_create(&hash, &entry, Instant::now());
            assert_eq!(kept, Some(Duration::from_secs(age)));
            keys.found.insert(hash, entry).await;
        }
        assert!(MAX_AGE <= STALE_AFTER && UNKNOWN_AGE <= STALE_AFTER);
        // A hit does not make an entry younger.
        let read = Own.expire_after_read(&[1; 32], &None, Instant::now(), Some(Duration::from_secs(1)), Instant::now());
        assert_eq!(read, Some(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn strangers_fill_no_memory() {
        let keys = keys();
        for n in 0..(2 * CAPACITY) {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            keys.found.insert(hash, None).await;
        }
        keys.found.run_pending_tasks().await;
        assert!(keys.found.entry_count() <= CAPACITY, "{}", keys.found.entry_count());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_unknown_secrets_takes_few_connections() {
        let keys = keys();
        let _taken = keys.turns.acquire_many(3).await.expect("never closed");
        let error = keys.access(ApiKeySecret::generate().expose(), DateTime::UNIX_EPOCH).await.expect_err("no turn");
        let problem = crate::Problem::from(error);
        assert_eq!((problem.status().as_u16(), problem.code()), (503, "overloaded"));
        // Whoever was looked up before does not wait.
        let secret = ApiKeySecret::generate();
        keys.found.insert(secret.hash(), Some(found(None))).await;
        assert!(keys.access(secret.expose(), DateTime::UNIX_EPOCH).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_remembered_ends_in_time_and_what_cannot_be_a_key_is_not_looked_up() {
        let keys = keys();
        let (secret, now) = (ApiKeySecret::generate(), DateTime::from_timestamp(1_750_000_000, 0).expect("a time"));
        let end = now + Duration::from_millis(1_500);
        keys.found.insert(secret.hash(), Some(found(Some(end)))).await;
        let access = keys.access(secret.expose(), now).await.expect("good");
        assert_eq!(access.expires_at, Some(end.timestamp()));
        assert!(matches!(keys.access(secret.expose(), end).await, Err(AuthError::ExpiredApiKey)));
        let old = Found { with_key: false, ..found(Some(end)) };
        keys.found.insert(secret.hash(), Some(old)).await;
        assert!(matches!(keys.access(secret.expose(), end).await, Err(AuthError::UnknownApiKey)));
        let cut = &secret.expose()[..56];
        assert!(matches!(keys.access(cut, now).await, Err(AuthError::UnknownApiKey)));
        let unknown = ApiKeySecret::generate();
        assert!(matches!(keys.access(unknown.expose(), now).await, Err(AuthError::ApiKeys(_))));
    }
}
