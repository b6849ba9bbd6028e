//! Access tokens and API keys: who a request speaks for, and what they may do.
//!
//! Owns the keys that sign tokens and those that sign receipts, the tokens' claims, the extractor of [`Principal`], the table of roles and scopes, and the memory of what
//! was taken away. It holds no passwords.

pub mod api_keys;
mod authenticator;
mod cache;
mod keys;
pub mod mailed;
pub mod permissions;
mod receipts;
mod revocations;
mod store;
pub mod webhook_secrets;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use authenticator::{Authenticator, KeyLoader, RELOAD_INTERVAL, Restricted};
pub use cache::CacheStats;
pub use keys::{Keys, SigningKey, Validity};
pub use receipts::{
    RECEIPT_KID_PREFIX, RECEIPT_TYPE, ReceiptError, ReceiptKeys, Receipts, ensure_receipt_key, list_receipt_keys,
    load_receipt_keys, new_receipt_key, rotate_receipt_key,
};
pub use revocations::{Revocation, Revocations, STALE_AFTER};
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

/// What an API key may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Ask for decisions.
    #[serde(rename = "consultation:ask")]
    ConsultationAsk,
    /// Read consultations.
    #[serde(rename = "consultation:read")]
    ConsultationRead,
    /// Comment on consultations.
    #[serde(rename = "consultation:comment")]
    ConsultationComment,
    /// Take back consultations that the key asked.
    #[serde(rename = "consultation:withdraw")]
    ConsultationWithdraw,
    /// Read entities and relationships.
    #[serde(rename = "knowledge:read")]
    KnowledgeRead,
    /// Add, change, merge and retract entities and relationships.
    #[serde(rename = "knowledge:write")]
    KnowledgeWrite,
    /// Say what was read, and keep preferences and saved articles of the key's own.
    #[serde(rename = "engagement:write")]
    EngagementWrite,
    /// Read who belongs to the organisation and its groups.
    #[serde(rename = "identity:read")]
    IdentityRead,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 8] = [
        Self::ConsultationAsk,
        Self::ConsultationRead,
        Self::ConsultationComment,
        Self::ConsultationWithdraw,
        Self::KnowledgeRead,
        Self::KnowledgeWrite,
        Self::EngagementWrite,
        Self::IdentityRead,
    ];

    /// The scope as it is written in requests, events and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsultationAsk => "consultation:ask",
            Self::ConsultationRead => "consultation:read",
            Self::ConsultationComment => "consultation:comment",
            Self::ConsultationWithdraw => "consultation:withdraw",
            Self::KnowledgeRead => "knowledge:read",
            Self::KnowledgeWrite => "knowledge:write",
            Self::EngagementWrite => "engagement:write",
            Self::IdentityRead => "identity:read",
        }
    }
}

/// There is no such scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope {0:?}")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u32);

impl Scopes {
    /// Whether `scope` is one of them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u32))
    }
}

/// Who asks: a user in one organisation and one role, or an API key of one. An extractor: without a valid token or key the request is a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The user, or the API key.
    pub id: Uuid,
    /// The organisation that the token names, or the key belongs to.
    pub tenant: Uuid,
    /// The user's role there. A key has the least that asking takes; what it may do is said by its scopes.
    pub role: Role,
    /// The user's session; none for keys, and for tokens that an operator made.
    pub session: Option<Uuid>,
    /// What a key may do; none: it is a person, who may do what the role allows.
    pub scopes: Option<Scopes>,
}

impl Principal {
    /// A user without a session.
    #[must_use]
    pub const fn member(id: Uuid, tenant: Uuid, role: Role) -> Self {
        Self { id, tenant, role, session: None, scopes: None }
    }

    /// An API key.
    #[must_use]
    pub const fn key(id: Uuid, tenant: Uuid, scopes: Scopes) -> Self {
        Self { id, tenant, role: Role::Requester, session: None, scopes: Some(scopes) }
    }
}

/// Whom a token or a key speaks for, until when, and what that stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Whom.
    pub principal: Principal,
    /// From when on it does not any more, in seconds since 1970; none: no end is known.
    pub expires_at: Option<i64>,
    /// The version of the user's stream that the login had been checked at.
    pub credentials: Option<u64>,
    /// The version of the organisation's stream since which the member has the role.
    pub member_since: Option<u64>,
    /// Whether nothing may be done with it but setting up the second factor that is demanded.
    pub restricted: bool,
}

impl Access {
    /// Access that stands on nothing that could be taken away, and has no end.
    #[must_use]
    pub const fn of(principal: Principal) -> Self {
        Self { principal, expires_at: None, credentials: None, member_since: None, restricted: false }
    }
}

impl From<Principal> for Access {
    fn from(principal: Principal) -> Self {
        Self::of(principal)
    }
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
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// See [`Access::credentials`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cv: Option<u64>,
    /// See [`Access::member_since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mv: Option<u64>,
    /// See [`Access::restricted`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
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
    /// Claims for `access`, valid from `now` for `lifetime`.
    pub fn new(access: &Access, jti: Uuid, now: DateTime<Utc>, lifetime: Duration) -> Self {
        let principal = &access.principal;
        let iat = now.timestamp();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: principal.id,
            org: principal.tenant,
            role: principal.role,
            sid: principal.session,
            cv: access.credentials,
            mv: access.member_since,
            restricted: access.restricted,
            iat,
            nbf: iat,
            exp: iat.saturating_add(lifetime),
            jti,
        }
    }

    /// Whom the token speaks for.
    pub fn access(&self) -> Access {
        Access {
            principal: Principal { session: self.sid, ..Principal::member(self.sub, self.org, self.role) },
            expires_at: Some(self.exp),
            credentials: self.cv,
            member_since: self.mv,
            restricted: self.restricted,
        }
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
    /// What the token stands on was taken away: the session, or the right.
    #[error("what the token stands on was taken away")]
    Revoked,
    /// Nobody has this API key, or not any more: which of it is not told.
    #[error("no such API key")]
    UnknownApiKey,
    /// The API key was valid until its end.
    #[error("the API key has expired")]
    ExpiredApiKey,
    /// Nothing may be done with it but setting up a second factor.
    #[error("a second factor has to be set up first")]
    Restricted,
    /// What was taken away lately is not known at the moment.
    #[error("what was taken away lately is not known")]
    Stale,
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
    /// API keys cannot be looked up.
    #[error("API keys cannot be looked up: {0}")]
    ApiKeys(Arc<sqlx::Error>),
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
            AuthError::Revoked => Self::unauthorized(
                "token_revoked",
                "The session has ended, or the right has changed: renew the token, or log in again.",
            ),
            AuthError::UnknownApiKey => {
                tracing::debug!(%error, "API key refused");
                Self::unauthorized("unauthorized", "The API key is not valid.")
            }
            AuthError::ExpiredApiKey => Self::unauthorized("key_expired", "The API key has expired."),
            AuthError::Restricted => Self::forbidden(
                "second_factor_required",
                "The organisation demands a second factor of this role: set one up first.",
            ),
            AuthError::Invalid(_) | AuthError::UnknownKey => {
                tracing::debug!(%error, "token refused");
                Self::unauthorized("unauthorized", "The token is not valid.")
            }
            AuthError::Database(error) => error.into(),
            AuthError::ApiKeys(error) => Self::from(&*error),
            AuthError::NoKeys | AuthError::Stale => Self::unavailable("database_unavailable", Duration::from_secs(1)),
            AuthError::NoSigningKey | AuthError::BadKey(_) => Self::internal(error),
        }
    }
}
