//! Rotating the secrets that sign.

use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use docket_domain::webhook::{callbacks_of, rotate_secret};
use docket_log::Statuses;
use docket_platform::http::{Json, Path};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Manage,
    error::{RouteError, WebhookProblems},
    resource::{CallbacksView, EndpointView, SecretView, WithSecret},
    run,
};
use crate::{envelope::Envelope, openapi::CommandHeaders, run::answer, state::State};

/// A day: enough to bring the new secret to where the old one is.
const OVERLAP: u32 = 24 * 60 * 60;
/// 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

/// How long the old secret goes on, and which the new one is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateWebhookSecretRequest, example = json!({"overlap_seconds": 3600}))]
pub(super) struct Rotate {
    /// How long the old secret signs too: a day, when nothing is said; 0 ends it at once.
    #[schema(maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
    /// The new secret: `whsec_` and the base64 of 24 to 64 bytes. A new one, when none is given.
    secret: Option<String>,
}

impl Rotate {
    fn overlap(&self) -> Result<TimeDelta, RouteError> {
        let overlap = self.overlap_seconds.unwrap_or(OVERLAP);
        if overlap > MAX_OVERLAP {
            return Err(RouteError::Wrong("overlap_seconds", format!("must be at most {MAX_OVERLAP}: 30 days")));
        }
        Ok(TimeDelta::seconds(overlap.into()))
    }
}

/// Rotate the secret of a webhook endpoint
///
/// The new one is in this answer and nowhere else. Until the old one ends, requests bear a signature of each. For administrators.
#[utoipa::path(
    post, path = "/api/v1/webhook-endpoints/{id}/rotate-secret", operation_id = "rotate_webhook_secret", tag = "webhooks",
    request_body = Rotate, params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = OK, description = "The endpoint with its new secret", body = WithSecret), WebhookProblems),
)]
pub(super) async fn rotate(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
    Json { value, hash }: Json<Rotate>,
) -> Result<Response, RouteError> {
    let overlap = value.overlap()?;
    let secret = run::chosen(value.secret)?;
    let (tenant, by) = (envelope.principal.tenant, envelope.principal.id);
    let context = envelope.context(hash, Statuses::default());
    let mut done =
        run::run(&state, &context, |webhooks, now| rotate_secret(webhooks, Some(id), now + overlap, by)).await?;
    let endpoint = run::endpoint(&state, &mut done, id).await?;
    let secret = run::keep(&state, &done, secret, (tenant, id), endpoint.old_secret_until).await?;
    let view = WithSecret { endpoint: EndpointView::new(id, done.version, endpoint), secret: SecretView::of(secret) };
    Ok(answer(run::status(&done), &view, done.version, &done.position, None))
}

/// Rotate the secret of callbacks
///
/// One secret signs what is sent to the `callback_url` of all of the organisation's requests. This is how one gets to know it. For
/// administrators.
#[utoipa::path(
    post, path = "/api/v1/callbacks/rotate-secret", operation_id = "rotate_callback_secret", tag = "webhooks", request_body = Rotate,
    params(CommandHeaders),
    responses((status = OK, description = "The new secret", body = CallbacksView), WebhookProblems),
)]
pub(super) async fn rotate_callbacks(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value, hash }: Json<Rotate>,
) -> Result<Response, RouteError> {
    let overlap = value.overlap()?;
    let secret = run::chosen(value.secret)?;
    let (tenant, by) = (envelope.principal.tenant, envelope.principal.id);
    let context = envelope.context(hash, Statuses::default());
    let done = run::run(&state, &context, |webhooks, now| rotate_secret(webhooks, None, now + overlap, by)).await?;
    let old_until: Option<DateTime<Utc>> = done.state.old_callback_secret_until;
    let secret = run::keep(&state, &done, secret, (tenant, callbacks_of(tenant)), old_until).await?;
    let view = CallbacksView { version: done.version, old_secret_until: old_until, secret: SecretView::of(secret) };
    Ok(answer(run::status(&done), &view, done.version, &done.position, None))
}
