//! Tokens that are mailed: 256 random bits, kept as a hash, used once: within half an hour, or as long as an invitation stands. Those that
//! end mails to somebody are good for half a year, as often as they come.
//!
//! Owns their form and the statements that make and use them, which two roles need: whoever mails one, and whoever takes it back.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids;

/// How long a mailed token is valid, unless it is an invitation's.
pub const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long mails of one kind can be ended with the token that one of them bore.
pub const UNSUBSCRIBE_LIFETIME: Duration = Duration::from_secs(180 * 86_400);

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Setting a new password.
    ResetPassword,
    /// Showing that an address is one's own.
    VerifyAddress,
    /// Joining an organisation.
    Invitation,
}

/// What an invitation's token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Invited {
    /// The invitation.
    pub invitation: Uuid,
    /// The organisation.
    pub tenant: Uuid,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::VerifyAddress => "verify_address",
            Self::Invitation => "invitation",
        }
    }
}

/// Makes a token for a user; `connection` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn issue(connection: &mut PgConnection, purpose: Purpose, user: Uuid) -> Result<SecretString, sqlx::Error> {
    issue_for(connection, purpose.name(), user, LIFETIME).await
}

async fn issue_for(
    connection: &mut PgConnection,
    purpose: &str,
    user: Uuid,
    lifetime: Duration,
) -> Result<SecretString, sqlx::Error> {
    let token = new_token();
    sqlx::query(
        "insert into auth.mailed_token (hash, purpose, user_id, expires_at)
         values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))",
    )
    .bind(hash(&token).as_slice())
    .bind(purpose)
    .bind(user)
    .bind(lifetime.as_secs_f64())
    .execute(connection)
    .await?;
    Ok(token)
}

/// Makes a token for an invitation, valid until then; `connection` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn issue_invitation(
    connection: &mut PgConnection,
    Invited { invitation, tenant }: Invited,
    until: DateTime<Utc>,
) -> Result<SecretString, sqlx::Error> {
    let token = new_token();
    sqlx::query(
        "insert into auth.mailed_token (hash, purpose, user_id, tenant, expires_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(hash(&token).as_slice())
    .bind(Purpose::Invitation.name())
    .bind(invitation)
    .bind(tenant)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(token)
}

/// Which invitation a token is of, as long as it is valid; `connection` belongs to the writer's role.
///
/// # Errors
/// When the database does not answer.
pub async fn invited(connection: &mut PgConnection, token: &SecretString) -> Result<Option<Invited>, sqlx::Error> {
    sqlx::query_as(
        "select user_id as invitation, tenant from auth.mailed_token
         where hash = $1 and purpose = $2 and expires_at > clock_timestamp() and tenant is not null",
    )
    .bind(hash(token).as_slice())
    .bind(Purpose::Invitation.name())
    .fetch_optional(connection)
    .await
}

/// Whose token it is, as long as it is valid; `connection` belongs to the writer's role.
///
/// # Errors
/// When the database does not answer.
pub async fn holder(
    connection: &mut PgConnection,
    purpose: Purpose,
    token: &SecretString,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "select user_id from auth.mailed_token where hash = $1 and purpose = $2 and expires_at > clock_timestamp()",
    )
    .bind(hash(token).as_slice())
    .bind(purpose.name())
    .fetch_optional(connection)
    .await
}

/// Uses a token up, and every other of the same user and purpose with it. False: it is not valid, or somebody was faster.
///
/// # Errors
/// When the database does not answer.
pub async fn redeem(
    connection: &mut PgConnection,
    purpose: Purpose,
    token: &SecretString,
) -> Result<bool, sqlx::Error> {
    let used: Option<Uuid> = sqlx::query_scalar(
        "delete from auth.mailed_token where hash = $1 and purpose = $2 and expires_at > clock_timestamp() returning user_id",
    )
    .bind(hash(token).as_slice())
    .bind(purpose.name())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(user) = used else { return Ok(false) };
    sqlx::query("delete from auth.mailed_token where user_id = $1 and purpose = $2")
        .bind(user)
        .bind(purpose.name())
        .execute(connection)
        .await?;
    Ok(true)
}

/// Which mails a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsubscribed {
    /// Those about what is wanted of somebody.
    Asked,
    /// Those about what came of something.
    Outcome,
    /// Both.
    Both,
}

impl Unsubscribed {
    const ALL: [Self; 3] = [Self::Asked, Self::Outcome, Self::Both];

    const fn purpose(self) -> &'static str {
        match self {
            Self::Asked => "unsubscribe_asked",
            Self::Outcome => "unsubscribe_outcome",
            Self::Both => "unsubscribe_both",
        }
    }
}

/// Makes a token that ends mails to a user; `connection` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn issue_unsubscribe(
    connection: &mut PgConnection,
    which: Unsubscribed,
    user: Uuid,
) -> Result<SecretString, sqlx::Error> {
    issue_for(connection, which.purpose(), user, UNSUBSCRIBE_LIFETIME).await
}

/// Whose mails a token ends, and which, as long as it is valid; `connection` belongs to the writer's role.
///
/// # Errors
/// When the database does not answer.
pub async fn unsubscriber(
    connection: &mut PgConnection,
    token: &SecretString,
) -> Result<Option<(Uuid, Unsubscribed)>, sqlx::Error> {
    let row: Option<(Uuid, String)> = sqlx::query_as(
        "select user_id, purpose from auth.mailed_token
         where hash = $1 and purpose = any ($2) and expires_at > clock_timestamp()",
    )
    .bind(hash(token).as_slice())
    .bind(Unsubscribed::ALL.map(Unsubscribed::purpose).as_slice())
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|(user, purpose)| {
        let which = Unsubscribed::ALL.into_iter().find(|which| which.purpose() == purpose);
        which.map(|which| (user, which))
    }))
}

/// Forgets tokens that nobody can use any more, and says how many; `connection` belongs to the writer's role.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_expired(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let done =
        sqlx::query("delete from auth.mailed_token where expires_at < clock_timestamp()").execute(connection).await?;
    Ok(done.rows_affected())
}

fn new_token() -> SecretString {
    SecretString::from(URL_SAFE_NO_PAD.encode(ids::random_bytes::<32>()))
}

fn hash(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}
