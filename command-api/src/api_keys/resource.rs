//! The API key as the answer to a command. Owns its shape.

use chrono::{DateTime, Utc};
use docket_domain::identity::ApiKey;
use docket_platform::auth::{Scope, api_keys::ApiKeySecret};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::roles::token_scope;

/// An API key. Its secret is no part of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct ApiKeyView {
    /// The key's id.
    pub(super) id: Uuid,
    /// The version, as in `ETag`.
    #[schema(example = 1)]
    pub(super) version: u64,
    /// What it is for.
    #[schema(example = "Deployment pipeline")]
    name: Option<String>,
    /// What may be done with it.
    #[schema(value_type = Vec<String>, example = json!(["consultation:ask", "consultation:read"]))]
    scopes: Vec<Scope>,
    /// Who made it.
    created_by: Option<Uuid>,
    /// When it was made.
    created_at: Option<DateTime<Utc>>,
    /// When it ends; null: never.
    expires_at: Option<DateTime<Utc>>,
    /// Until when the secret before the present one works too, if there was one.
    old_secret_until: Option<DateTime<Utc>>,
    /// Whether it was revoked: nothing can be done with it any more.
    revoked: bool,
}

impl ApiKeyView {
    pub(super) fn new(id: Uuid, version: u64, key: ApiKey) -> Self {
        Self {
            id,
            version,
            name: key.name,
            scopes: key.scopes.into_iter().map(token_scope).collect(),
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            old_secret_until: key.old_until,
            revoked: key.ended.is_some(),
        }
    }
}

/// An API key that has a new secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeyWithSecret)]
pub(super) struct WithSecret {
    #[serde(flatten)]
    pub(super) key: ApiKeyView,
    /// The secret, to be sent as `Authorization: Bearer …`. It is shown here once and kept nowhere; null in the answer to a repetition.
    #[schema(value_type = Option<String>, pattern = "^docket_key_[0-9A-Za-z]{46}$")]
    #[serde(serialize_with = "shown")]
    pub(super) secret: Option<ApiKeySecret>,
    /// Says why there is no secret, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notice: Option<&'static str>,
}

/// What a repetition is told.
pub(super) const SHOWN_BEFORE: &str =
    "This was done before under this Idempotency-Key, and the secret is shown once only. Rotate the key for a new one.";

fn shown<S: serde::Serializer>(secret: &Option<ApiKeySecret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ApiKeySecret::expose).serialize(serializer)
}
