//! `POST /api/v1/api-keys/{id}/rotate`: a new secret, while the old one works for some time.

use axum::response::Response;
use chrono::TimeDelta;
use docket_domain::identity::{Refusal, rotate_api_key};
use docket_log::Statuses;
use docket_platform::{
    auth::permissions::Action,
    http::{Json, Path},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    error::{KeyProblems, RouteError},
    resource::WithSecret,
    run,
};
use crate::{
    envelope::{Envelope, Needs},
    state::State,
};

/// A day: enough to bring the new secret to where the old one is.
const OVERLAP: u32 = 24 * 60 * 60;
/// 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

/// How long the old secret goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateApiKeyRequest, example = json!({"overlap_seconds": 3600}))]
pub(super) struct Request {
    /// How long the old secret works too: a day, when nothing is said; 0 ends it at once.
    #[schema(maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
}

pub(super) struct Rotate;

impl Needs for Rotate {
    const ACTION: Action = Action::ManageKeys;
}

/// Rotate an API key
///
/// Gives the key a new secret, which is in this answer and nowhere else. At most two secrets work: rotating again ends the older one at
/// once. Connections that were opened with a secret end 15 minutes after it at the latest. For administrators.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/rotate", operation_id = "rotate_api_key", tag = "api-keys", request_body = Request,
    params(
        ("id" = Uuid, Path, description = "The API key"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer, without the secret"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the API key must have"),
    ),
    responses(
        (status = OK, description = "The API key with its new secret", body = WithSecret, headers(
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        KeyProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Rotate>,
    Path(id): Path<Uuid>,
    Json { value: Request { overlap_seconds }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let tenant = envelope.principal.tenant;
    let overlap = overlap_seconds.unwrap_or(OVERLAP);
    if overlap > MAX_OVERLAP {
        let reason = format!("must be at most {MAX_OVERLAP}: 30 days");
        return Err(Refusal::Invalid { field: "overlap_seconds", reason }.into());
    }
    let overlap = TimeDelta::seconds(overlap.into());
    let context = envelope.context(hash, Statuses::default());
    let done = run::run(&state, &context, id, |key, now| rotate_api_key(key, now + overlap, now)).await?;
    run::with_secret(&state, tenant, done).await
}
