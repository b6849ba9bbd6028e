//! The rows of sessions and refresh tokens. Owns their statements, and the form of a refresh token: 256 random bits behind a prefix, kept as a
//! hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use docket_log::faults::{self, Bug};
use docket_platform::{db, ids};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Tells scanners of leaked secrets what it is.
const PREFIX: &str = "docket_refresh_";
/// The most sessions of a user that are listed.
const MOST: i64 = 100;
/// How long a session that is over still tells known places from new ones.
const REMEMBERED_DAYS: i32 = 90;

/// A session's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    /// The session.
    pub(crate) id: Uuid,
    /// Its organisation.
    pub(crate) tenant: Uuid,
    /// Whose it is.
    pub(crate) user_id: Uuid,
    /// When a token of it was last renewed.
    pub(crate) last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub(crate) expires_at: DateTime<Utc>,
}

/// A refresh token that somebody brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Brought {
    /// Its session.
    #[sqlx(flatten)]
    pub(crate) session: Row,
    /// Whether it was used before.
    pub(crate) used: bool,
}

/// A new refresh token.
fn generate() -> SecretString {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(ids::random_bytes::<32>())).into()
}

fn hash(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

async fn issue(connection: &mut PgConnection, session: Uuid) -> Result<SecretString, sqlx::Error> {
    let token = generate();
    sqlx::query("insert into auth.refresh_token (hash, session_id) values ($1, $2)")
        .bind(hash(&token).as_slice())
        .bind(session)
        .execute(connection)
        .await?;
    Ok(token)
}

/// Keeps a session that has begun, and gives its first refresh token. `place` is a keyed hash of where it is.
pub(super) async fn insert(pool: &PgPool, session: &Row, place: &[u8]) -> Result<SecretString, sqlx::Error> {
    let mut door = db::door(pool).await?;
    sqlx::query(
        "insert into auth.session (id, tenant, user_id, expires_at, places) values ($1, $2, $3, $4, array[$5])",
    )
    .bind(session.id)
    .bind(session.tenant)
    .bind(session.user_id)
    .bind(session.expires_at)
    .bind(place)
    .execute(&mut *door)
    .await?;
    let token = issue(&mut door, session.id).await?;
    door.commit().await?;
    Ok(token)
}

/// Whether the user had sessions before, and none of them from `place`.
pub(super) async fn is_new_place(pool: &PgPool, user: Uuid, place: &[u8]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) > 0 and not coalesce(bool_or($2 = any(places)), false) from auth.session where user_id = $1",
    )
    .bind(user)
    .bind(place)
    .fetch_one(&mut *db::door(pool).await?)
    .await
}

/// Whose refresh token it is, used or not; none: it is none of ours, or so old that its session is forgotten.
pub(super) async fn find(pool: &PgPool, token: &SecretString) -> Result<Option<Brought>, sqlx::Error> {
    sqlx::query_as(
        "select s.id, s.tenant, s.user_id, s.last_used_at, s.expires_at, t.used_at is not null as used
         from auth.refresh_token t join auth.session s on s.id = t.session_id where t.hash = $1",
    )
    .bind(hash(token).as_slice())
    .fetch_optional(&mut *db::door(pool).await?)
    .await
}

/// Uses a refresh token up and gives the next one, both or neither. None: somebody was faster.
pub(super) async fn rotate(pool: &PgPool, token: &SecretString) -> Result<Option<SecretString>, sqlx::Error> {
    let mut door = db::door(pool).await?;
    let session: Option<Uuid> = sqlx::query_scalar(
        "with used as (update auth.refresh_token set used_at = clock_timestamp()
                       where hash = $1 and (used_at is null or $2) returning session_id)
         update auth.session s set last_used_at = clock_timestamp() from used where s.id = used.session_id returning s.id",
    )
    .bind(hash(token).as_slice())
    .bind(faults::has(Bug::TakeUsedTokens))
    .fetch_optional(&mut *door)
    .await?;
    let Some(session) = session else { return Ok(None) };
    let next = issue(&mut door, session).await?;
    door.commit().await?;
    Ok(Some(next))
}

/// The sessions of a user that have time left, the last used first.
pub(super) async fn of_user(pool: &PgPool, user: Uuid) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "select id, tenant, user_id, last_used_at, expires_at from auth.session
         where user_id = $1 and expires_at > clock_timestamp() order by last_used_at desc, id limit $2",
    )
    .bind(user)
    .bind(MOST)
    .fetch_all(&mut *db::door(pool).await?)
    .await
}

/// A session, if it is the user's.
pub(super) async fn one(pool: &PgPool, id: Uuid, user: Uuid) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as(
        "select id, tenant, user_id, last_used_at, expires_at from auth.session where id = $1 and user_id = $2",
    )
    .bind(id)
    .bind(user)
    .fetch_optional(&mut *db::door(pool).await?)
    .await
}

/// Forgets sessions that were over long ago, with their refresh tokens, and says how many.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_old(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let mut door = db::door(pool).await?;
    let done = sqlx::query("delete from auth.session where expires_at < clock_timestamp() - make_interval(days => $1)")
        .bind(REMEMBERED_DAYS)
        .execute(&mut *door)
        .await?;
    // The tokens of those that are over cannot be used, and need not be told from unknown ones.
    sqlx::query(
        "delete from auth.refresh_token t using auth.session s where s.id = t.session_id and s.expires_at < clock_timestamp()",
    )
    .execute(&mut *door)
    .await?;
    door.commit().await?;
    Ok(done.rows_affected())
}
