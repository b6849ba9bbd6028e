//! `POST /api/v1/api-keys`: a key for software.

use std::collections::BTreeSet;

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::identity::{CreateApiKey, create_api_key};
use docket_log::Statuses;
use docket_platform::{
    auth::{Scope, permissions::Action},
    http::Json,
    ids,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    error::{KeyProblems, RouteError},
    resource::WithSecret,
    run,
};
use crate::{
    envelope::{Envelope, Needs},
    roles::event_scope,
    state::State,
};

/// What the key is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateApiKeyRequest, example = json!({
    "name": "Deployment pipeline",
    "scopes": ["consultation:ask", "consultation:read"],
    "expires_at": "2030-01-01T00:00:00Z"
}))]
pub(super) struct Request {
    /// What it is for, 1 to 200 characters. It stands beside what is done with the key.
    name: String,
    /// What may be done with it: at least one of `consultation:ask`, `consultation:read`, `consultation:comment`,
    /// `consultation:withdraw`, `knowledge:read`, `knowledge:write`, `engagement:write`, `identity:read`.
    #[schema(value_type = Vec<String>, min_items = 1)]
    scopes: BTreeSet<Scope>,
    /// From this instant on nothing can be done with it; never, when none is given.
    expires_at: Option<DateTime<Utc>>,
}

pub(super) struct Create;

impl Needs for Create {
    const ACTION: Action = Action::ManageKeys;
}

/// Make an API key
///
/// The secret is in this answer and nowhere else. For administrators.
#[utoipa::path(
    post, path = "/api/v1/api-keys", operation_id = "create_api_key", tag = "api-keys", request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer, without the secret"),
    ),
    responses(
        (status = CREATED, description = "Made", body = WithSecret, headers(
            ("Location" = String, description = "The API key's own path"),
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        KeyProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Create>,
    Json { value: Request { name, scopes, expires_at }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let tenant = envelope.principal.tenant;
    let scopes = scopes.into_iter().map(event_scope).collect();
    let command = CreateApiKey { name, scopes, created_by: envelope.principal.id, expires_at };
    let statuses = Statuses { changed: StatusCode::CREATED.as_u16(), ..Statuses::default() };
    let context = envelope.context(hash, statuses);
    let done = run::run(&state, &context, ids::new_id(), |key, now| create_api_key(key, &command, now)).await?;
    run::with_secret(&state, tenant, done).await
}
