//! Where keys are kept: the table `auth.signing_key`. Owns its statements, and the order of a rotation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};

use super::{AuthError, Keys, SigningKey, Validity};
use crate::db;

/// Who makes keys holds this. Any number that nothing else locks: "docket" and "key", as ASCII.
const LOCK: i64 = 0x646f_636b_6574_6b65;
/// Beyond the life of its last token: clocks differ, and a process may learn of a new key late.
const GRACE: Duration = Duration::from_secs(60);

type Row = (String, Vec<u8>, Vec<u8>, DateTime<Utc>, Option<DateTime<Utc>>);
type PublicRow = (String, Vec<u8>, Option<DateTime<Utc>>);

/// All keys, the newest last. Keys that have retired verify nothing and are left out.
///
/// # Errors
/// When the database fails or holds a key that cannot be used.
pub async fn load_keys(pool: &PgPool) -> Result<Keys, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT kid, public_der, private_der, signs_from, retires_at FROM auth.signing_key
         WHERE retires_at IS NULL OR retires_at > now() ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let keys = rows.into_iter().map(|(kid, public, private, signs_from, retires_at)| {
        SigningKey::from_der(kid, &public, Some(private), Validity { signs_from: Some(signs_from), retires_at })
    });
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
    let keys = rows.into_iter().map(|(kid, public, retires_at)| {
        SigningKey::from_der(kid, &public, None, Validity { signs_from: None, retires_at })
    });
    Ok(Keys::new(keys.collect::<Result<_, _>>()?))
}

/// Makes the first key if there is none that goes on. Several processes may do so at once: one key comes out.
///
/// # Errors
/// When the database fails.
pub async fn ensure_key(pool: &PgPool) -> Result<(), AuthError> {
    let mut connection = db::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let now = locked(&mut transaction, LOCK).await?;
    let (exists,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM auth.signing_key WHERE retires_at IS NULL)")
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        let key = SigningKey::generate()?;
        insert(&mut transaction, INSERT, &key, now, now).await?;
        tracing::info!(kid = key.kid(), "made a signing key");
    }
    transaction.commit().await?;
    Ok(())
}

/// How a new key takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It is published, signs after `lead`, and the old ones verify until tokens of such a `lifetime` have expired.
    Overlap {
        /// How long it is published before it signs.
        lead: Duration,
        /// How long tokens are valid.
        lifetime: Duration,
    },
    /// It signs, and no old one verifies anything any more: whoever is logged in has to log in again.
    AtOnce,
}

/// What came of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// This key is new.
    Done(StoredKey),
    /// This one was new already and does not sign yet: nothing was changed.
    UnderWay(StoredKey),
}

/// What is told of a key: nothing of its halves.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredKey {
    /// Its id.
    pub kid: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it signs.
    pub signs_from: DateTime<Utc>,
    /// From when on it verifies nothing; none while it goes on.
    pub retires_at: Option<DateTime<Utc>>,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It is published and verifies, and will sign.
    Waits,
    /// It signs and verifies.
    Signs,
    /// It verifies what it has signed.
    Verifies,
    /// It does nothing any more.
    Retired,
}

impl KeyState {
    /// The state in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Signs => "signs",
            Self::Verifies => "verifies",
            Self::Retired => "retired",
        }
    }
}

/// All keys, the newest last, with what each does now by the database's clock.
///
/// # Errors
/// When the database fails.
pub async fn list_keys(pool: &PgPool) -> Result<Vec<(StoredKey, KeyState)>, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let now = clock(&mut connection).await?;
    Ok(with_states(stored(&mut connection).await?, now))
}

/// What each of a family's keys, in their order, does at `now`.
pub(super) fn with_states(keys: Vec<StoredKey>, now: DateTime<Utc>) -> Vec<(StoredKey, KeyState)> {
    let is_retired = |key: &StoredKey| key.retires_at.is_some_and(|end| end <= now);
    let signing = keys.iter().rposition(|key| key.signs_from <= now && !is_retired(key));
    let state = |(place, key): (usize, StoredKey)| {
        let state = match signing {
            _ if is_retired(&key) => KeyState::Retired,
            _ if key.signs_from > now => KeyState::Waits,
            Some(signing) if signing == place => KeyState::Signs,
            _ => KeyState::Verifies,
        };
        (key, state)
    };
    keys.into_iter().enumerate().map(state).collect()
}

/// Makes a new key that takes over from those there are, and removes those that have retired: all of it, or nothing.
///
/// # Errors
/// When the database fails.
pub async fn rotate_key(pool: &PgPool, pace: Pace) -> Result<Rotation, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let now = locked(&mut transaction, LOCK).await?;
    let mut alive = stored(&mut transaction).await?;
    alive.retain(|key| key.retires_at.is_none_or(|end| end > now));
    let lead = match pace {
        // Nobody has to be told before the first one signs.
        Pace::Overlap { .. } if alive.is_empty() => Duration::ZERO,
        Pace::Overlap { lead, .. } => lead,
        Pace::AtOnce => Duration::ZERO,
    };
    if let (Pace::Overlap { .. }, Some(waiting)) = (pace, alive.iter().find(|key| key.signs_from > now)) {
        return Ok(Rotation::UnderWay(waiting.clone()));
    }
    let signs_from = now + lead;
    let retires_at = match pace {
        Pace::Overlap { lifetime, .. } => signs_from + lifetime + GRACE,
        Pace::AtOnce => now,
    };
    sqlx::query("DELETE FROM auth.signing_key WHERE retires_at <= $1").bind(now).execute(&mut *transaction).await?;
    // Who was to retire earlier still does.
    sqlx::query("UPDATE auth.signing_key SET retires_at = least(retires_at, $1)")
        .bind(retires_at)
        .execute(&mut *transaction)
        .await?;
    let key = SigningKey::generate()?;
    insert(&mut transaction, INSERT, &key, now, signs_from).await?;
    transaction.commit().await?;
    let kid = key.kid().to_owned();
    Ok(Rotation::Done(StoredKey { kid, created_at: now, signs_from, retires_at: None }))
}

/// Waits for whoever else makes keys of a family; the time after that, so that whoever waited sees what the other made.
pub(super) async fn locked(transaction: &mut PgConnection, lock: i64) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *transaction).await?;
    clock(transaction).await
}

pub(super) async fn clock(connection: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(connection).await
}

async fn stored(connection: &mut PgConnection) -> Result<Vec<StoredKey>, sqlx::Error> {
    sqlx::query_as(
        "SELECT kid, created_at, signs_from, retires_at FROM auth.signing_key ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(connection)
    .await
}

const INSERT: &str =
    "INSERT INTO auth.signing_key (kid, public_der, private_der, created_at, signs_from) VALUES ($1, $2, $3, $4, $5)";

/// Keeps a key by the `statement` of its family.
pub(super) async fn insert(
    connection: &mut PgConnection,
    statement: &'static str,
    key: &SigningKey,
    created_at: DateTime<Utc>,
    signs_from: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(key.kid())
        .bind(key.public_der())
        .bind(key.private_der())
        .bind(created_at)
        .bind(signs_from)
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::keys::tests::claims;
    use super::super::{Authenticator, Claims};
    use super::*;
    use crate::clock::now;
    use crate::db::{Database, DbRole};
    use crate::embedded::{OWNER, ScratchCluster};
    use chrono::TimeDelta;
    use serde_json::Value;

    const LIFETIME: Duration = Duration::from_secs(900);
    const OVERLAP: Pace = Pace::Overlap { lead: Duration::from_secs(120), lifetime: LIFETIME };

    /// A database of this name with the tables as the migrations make them.
    pub(in super::super) async fn tables(name: &str) -> PgPool {
        let cluster = ScratchCluster::shared();
        let mut owner =
            PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await.expect("connected");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut owner).await.expect("made");
        let owner = cluster.connect_options(OWNER, name);
        let pool = Database::embedded(owner).pool(DbRole::Owner, 8, Duration::from_secs(10));
        sqlx::raw_sql(
            "CREATE SCHEMA auth;
             CREATE TABLE auth.signing_key (kid text PRIMARY KEY, public_der bytea NOT NULL, private_der bytea NOT NULL,
                created_at timestamptz NOT NULL, retires_at timestamptz, signs_from timestamptz NOT NULL);
             CREATE TABLE auth.receipt_key (kid text PRIMARY KEY, public_der bytea NOT NULL, private_der bytea NOT NULL,
                created_at timestamptz NOT NULL, signs_from timestamptz NOT NULL)",
        )
        .execute(&pool)
        .await
        .expect("the tables are made");
        pool
    }

    async fn states(pool: &PgPool) -> Vec<KeyState> {
        list_keys(pool).await.expect("listed").into_iter().map(|(_, state)| state).collect()
    }

    fn published(keys: &Keys, at: DateTime<Utc>) -> usize {
        keys.jwks(at)["keys"].as_array().map_or(0, Vec::len)
    }

    /// A token of `LIFETIME` that is issued then, and the id of its key.
    fn token(keys: &Keys, at: DateTime<Utc>) -> (String, String) {
        let claims = Claims::new(&claims().access(), claims().jti, at, LIFETIME);
        let token = keys.issue(&claims).expect("signed");
        let kid = jsonwebtoken::decode_header(&token).expect("a header").kid.expect("an id");
        (token, kid)
    }

    fn new_key(rotation: Rotation) -> StoredKey {
        let Rotation::Done(key) = rotation else { panic!("{rotation:?}") };
        key
    }

    #[tokio::test]
    async fn racing_processes_make_one_first_key() {
        let pool = tables("keys_first").await;
        let racers = (0..8).map(|_| ensure_key(&pool));
        for result in futures_util::future::join_all(racers).await {
            result.expect("each ends well");
        }
        let keys = load_keys(&pool).await.expect("they load");
        assert_eq!(published(&keys, now()), 1);
        let (token, _) = token(&keys, now());
        let public = load_public_keys(&pool).await.expect("they load");
        assert!(public.verify(&token, now()).is_ok());
        assert!(public.issue(&claims()).is_err());
        assert!(keys.verify(&token, now()).is_ok());
    }

    #[tokio::test]
    async fn an_old_key_verifies_until_its_last_token_has_expired() {
        let pool = tables("keys_overlap").await;
        ensure_key(&pool).await.expect("made");
        let before = load_keys(&pool).await.expect("they load");
        let new = new_key(rotate_key(&pool, OVERLAP).await.expect("rotated"));
        assert_eq!(states(&pool).await, [KeyState::Signs, KeyState::Waits]);
        let after = load_keys(&pool).await.expect("they load");
        let public = load_public_keys(&pool).await.expect("they load");
        assert_eq!((published(&after, now()), published(&public, now())), (2, 2));

        // The last moment at which the old one signs, in processes that know of the new one and in those that do not.
        let (change, second) = (new.signs_from, TimeDelta::seconds(1));
        for keys in [&before, &after] {
            let (last, kid) = token(keys, change - second);
            assert_ne!(kid, new.kid);
            assert!(public.verify(&last, change + LIFETIME - second * 2).is_ok());
        }
        let (first, kid) = token(&after, change + second);
        assert_eq!(kid, new.kid);
        assert!(public.verify(&first, change + second).is_ok());

        let end = change + LIFETIME + GRACE;
        assert_eq!((published(&after, end - second), published(&after, end)), (2, 1));
        assert!(public.verify(&token(&after, end - second).0, end).is_ok());
    }

    #[tokio::test]
    async fn a_rotation_under_way_is_not_begun_again() {
        let pool = tables("keys_under_way").await;
        ensure_key(&pool).await.expect("made");
        let racers = (0..8).map(|_| rotate_key(&pool, OVERLAP));
        let (mut made, mut told) = (Vec::new(), Vec::new());
        for result in futures_util::future::join_all(racers).await {
            match result.expect("each ends well") {
                Rotation::Done(key) => made.push(key.kid),
                Rotation::UnderWay(key) => told.push(key.kid),
            }
        }
        assert_eq!((made.len(), told.len()), (1, 7));
        assert!(told.iter().all(|kid| *kid == made[0]));
        assert_eq!(states(&pool).await, [KeyState::Signs, KeyState::Waits]);
    }

    #[tokio::test]
    async fn the_first_key_of_all_signs_at_once() {
        let pool = tables("keys_none").await;
        let key = new_key(rotate_key(&pool, OVERLAP).await.expect("rotated"));
        assert_eq!(key.signs_from, key.created_at);
        assert_eq!(states(&pool).await, [KeyState::Signs]);
    }

    #[tokio::test]
    async fn a_rotation_at_once_ends_every_older_token_also_the_remembered_ones() {
        let pool = tables("keys_at_once").await;
        ensure_key(&pool).await.expect("made");
        new_key(rotate_key(&pool, OVERLAP).await.expect("rotated"));
        let (signer, verifier) =
            (Authenticator::from_pool(pool.clone()), Authenticator::public_from_pool(pool.clone()));
        let (old, _) = signer.issue(claims().access(), now(), LIFETIME).await.expect("signed");
        for _ in 0..2 {
            verifier.verify(&old, now()).await.expect("valid");
        }
        assert_eq!(verifier.cache_stats().await.hits, 1);

        let new = new_key(rotate_key(&pool, Pace::AtOnce).await.expect("rotated"));
        assert_eq!(states(&pool).await, [KeyState::Retired, KeyState::Signs, KeyState::Retired]);
        verifier.reload().await.expect("loaded");
        assert!(matches!(verifier.verify(&old, now()).await, Err(AuthError::UnknownKey)));
        assert_eq!(verifier.cache_stats().await.size, 0);
        signer.reload().await.expect("loaded");
        let jwks: Value = signer.jwks().await.expect("there");
        assert_eq!((&jwks["keys"][0]["kid"], &jwks["keys"][1]), (&Value::from(new.kid), &Value::Null));
        let (fresh, _) = signer.issue(claims().access(), now(), LIFETIME).await.expect("signed");
        assert!(verifier.verify(&fresh, now()).await.is_ok());

        // The next one sweeps.
        new_key(rotate_key(&pool, OVERLAP).await.expect("rotated"));
        assert_eq!(states(&pool).await, [KeyState::Signs, KeyState::Waits]);
    }
}
