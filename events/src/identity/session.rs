//! Of a session's stream: the refresh tokens that follow from one login, and what was issued with them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Personal;

/// What began a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginMethod {
    /// The password.
    Password,
    /// The password and a second factor.
    PasswordAndSecondFactor,
    /// Another session of the same user, in another organisation.
    Switch,
}

/// `docket.identity.session_started.v1`: a user logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStarted {
    /// Who.
    pub user_id: Uuid,
    /// How.
    pub method: LoginMethod,
    /// The version of the user's stream at which sessions had last been ended: what was checked is no older than that.
    pub credentials: u64,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Whether the user had not been seen with this network address or program before, though with others.
    #[serde(default)]
    pub new_place: bool,
    /// The network address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
    /// The program, as it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Personal<String>>,
}

/// Why a session is over before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The user logged out.
    LoggedOut,
    /// The user ended it from another session.
    Revoked,
    /// A refresh token was used twice, so somebody else may have it.
    RefreshTokenReused,
}

/// `docket.identity.session_revoked.v1`: a session is over, with every token of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRevoked {
    /// Whose it was.
    pub user_id: Uuid,
    /// Why.
    pub reason: SessionEnd,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}
