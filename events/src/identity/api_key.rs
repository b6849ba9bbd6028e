//! Of an API key's stream.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What software may do with an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// `docket.identity.api_key_created.v1`: software may act in the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyCreated {
    /// What the key is for, in words.
    pub name: String,
    /// What may be done with it.
    pub scopes: Vec<Scope>,
    /// Who made it.
    pub created_by: Uuid,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// `docket.identity.api_key_rotated.v1`: the key has a new secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyRotated {
    /// Until when the old secret works too.
    pub old_until: DateTime<Utc>,
}

/// Why a key is over before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyEnd {
    /// An administrator ended it.
    Revoked,
}

/// `docket.identity.api_key_revoked.v1`: nothing can be done with the key any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyRevoked {
    /// Why.
    pub reason: KeyEnd,
}
