//! Access tokens: who a request speaks for.
//!
//! Owns the keys that sign tokens, the tokens' claims, and the extractor of [`Principal`]. It must not decide what a
//! principal may do, and it holds no passwords.

mod authenticator;
mod cache;
mod keys;
pub mod mailed;
mod store;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use authenticator::{Authenticator, KeyLoader, RELOAD_INTERVAL};
pub use cache::CacheStats;
pub use keys::{Keys, SigningKey, Validity};
pub use store::{KeyState, Pace, Rotation, StoredKey, ensure_key, list_keys, load_keys, load_public_keys, rotate_key};

use crate::problem::Problem;

/// Who issues our tokens.
pub const ISSUER: &str = "docket";
/// Whom our tokens are for.
pub const AUDIENCE: &str = "docket";
/// `typ` of an access token (RFC 9068).
pub const TOKEN_TYPE: &str = "at+jwt";

/// What a member of an organisation may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything within the organisation.
    Admin,
    /// Answers consultations.
    Reviewer,
    /// Asks for decisions.
    Requester,
    /// Reads and replays.
    Analyst,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Reviewer, Self::Requester, Self::Analyst];

    /// The role as it is written in tokens, events and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Reviewer => "reviewer",
            Self::Requester => "requester",
            Self::Analyst => "analyst",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role {0:?}: use admin, reviewer, requester or analyst")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Who asks: a user, in one organisation, in one role. An extractor: without a valid token the request is a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The user.
    pub user_id: Uuid,
    /// The organisation the token names.
    pub tenant: Uuid,
    /// The user's role there.
    pub role: Role,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: [`ISSUER`].
    pub iss: String,
    /// Whom it is for: [`AUDIENCE`].
    pub aud: String,
    /// The user.
    pub sub: Uuid,
    /// The organisation.
    pub org: Uuid,
    /// The role there.
    pub role: Role,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// From when on it is valid.
    pub nbf: i64,
    /// From when on it is not valid any more.
    pub exp: i64,
    /// The token itself.
    pub jti: Uuid,
}

impl Claims {
    /// Claims for `principal`, valid from `now` for `lifetime`.
    pub fn new(principal: Principal, jti: Uuid, now: DateTime<Utc>, lifetime: Duration) -> Self {
        let iat = now.timestamp();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: principal.user_id,
            org: principal.tenant,
            role: principal.role,
            iat,
            nbf: iat,
            exp: iat.saturating_add(lifetime),
            jti,
        }
    }

    /// Whom the token speaks for.
    pub fn principal(&self) -> Principal {
        Principal { user_id: self.sub, tenant: self.org, role: self.role }
    }
}

/// Why there is no token, or no valid one.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The request has no usable `Authorization: Bearer`.
    #[error("no bearer token")]
    Missing,
    /// The token is malformed, forged, of another kind, or for somebody else.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// The token was valid once.
    #[error("the token has expired")]
    Expired,
    /// No key of ours has this id.
    #[error("the token names a key that is not ours")]
    UnknownKey,
    /// The keys could not be loaded a moment ago, so no token can be judged.
    #[error("no signing keys are known yet")]
    NoKeys,
    /// No key may sign.
    #[error("there is no key to sign with")]
    NoSigningKey,
    /// A stored key cannot be used.
    #[error("the signing key {0:?} cannot be used")]
    BadKey(String),
    /// The keys cannot be loaded.
    #[error("the signing keys cannot be loaded: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => {
                Self::unauthorized("unauthorized", "This needs a token: send Authorization: Bearer with it.")
            }
            AuthError::Expired => Self::unauthorized("token_expired", "The token has expired; log in again."),
            AuthError::Invalid(_) | AuthError::UnknownKey => {
                tracing::debug!(%error, "token refused");
                Self::unauthorized("unauthorized", "The token is not valid.")
            }
            AuthError::Database(error) => error.into(),
            AuthError::NoKeys => Self::unavailable("database_unavailable", Duration::from_secs(1)),
            AuthError::NoSigningKey | AuthError::BadKey(_) => Self::internal(error),
        }
    }
}
