//! `/api/v1/webhook-endpoints`: where the organisation wants to be told, and of what.

use axum::{http::StatusCode, response::Response};
use docket_domain::webhook::{SetEndpoint, disable_endpoint, enable_endpoint, remove_endpoint, set_endpoint};
use docket_events::identity::EndpointEnd;
use docket_log::Statuses;
use docket_platform::{
    auth::webhook_secrets,
    db,
    http::{Json, Path},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Manage,
    error::{RouteError, WebhookProblems},
    resource::{AcceptedView, EndpointView, Format, SecretView, WithSecret},
    run,
};
use crate::{
    consultation::check_url,
    envelope::{Envelope, made_id},
    openapi::CommandHeaders,
    run::answer,
    state::State,
};

/// What an endpoint is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateWebhookEndpointRequest, example = json!({
    "url": "https://hooks.example.org/docket",
    "event_types": ["consultation.responded", "consultation.timed_out", "consultation.withdrawn"]
}))]
pub(super) struct Create {
    /// Where it is: `https`, at a public address.
    url: String,
    /// Of which events it is told: names such as `consultation.responded`, or `consultation.*` for all.
    event_types: Vec<String>,
    /// What it is for, 200 characters at most.
    description: Option<String>,
    /// What a request looks like.
    #[serde(default)]
    format: Format,
    /// Of `slack` the text, of `json` the JSON, with `{{value}}` where values go: `type`, `time`, `words`, `id`, `title`, `state`, `decision`,
    /// `comment`, `by`, `asked_by`, `priority`, `deadline`, `external_id`, `receipt`, `url`.
    template: Option<Value>,
    /// The secret that signs: `whsec_` and the base64 of 24 to 64 bytes. A new one, when none is given.
    secret: Option<String>,
}

/// What an endpoint is to be from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeWebhookEndpointRequest)]
pub(super) struct Change {
    /// See there.
    url: String,
    /// See there.
    event_types: Vec<String>,
    /// See there.
    description: Option<String>,
    /// See there.
    #[serde(default)]
    format: Format,
    /// See there.
    template: Option<Value>,
}

impl Change {
    fn command(self, id: Uuid, changes: bool, set_by: Uuid) -> Result<SetEndpoint, RouteError> {
        let Self { url, event_types, description, format, template } = self;
        check_url(&url).map_err(|reason| RouteError::Wrong("url", reason.to_owned()))?;
        Ok(SetEndpoint { id, changes, url, description, event_types, format: format.into(), template, set_by })
    }
}

/// Make a webhook endpoint
///
/// From now on it is told of events. The secret that signs what it is sent is in this answer and nowhere else. For administrators.
#[utoipa::path(
    post, path = "/api/v1/webhook-endpoints", operation_id = "create_webhook_endpoint", tag = "webhooks", request_body = Create,
    params(CommandHeaders),
    responses((status = CREATED, description = "The endpoint with its secret", body = WithSecret), WebhookProblems),
)]
pub(super) async fn create(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value, hash }: Json<Create>,
) -> Result<Response, RouteError> {
    let Create { url, event_types, description, format, template, secret } = value;
    let secret = run::chosen(secret)?;
    let wanted = Change { url, event_types, description, format, template };
    let created = StatusCode::CREATED.as_u16();
    let context = envelope.context(hash, Statuses { changed: created, unchanged: created });
    let id = made_id(&context);
    let command = wanted.command(id, false, envelope.principal.id)?;
    let mut done = run::run(&state, &context, |webhooks, _| set_endpoint(webhooks, &command)).await?;
    let secret = run::keep(&state, &done, secret, (envelope.principal.tenant, id), None).await?;
    let endpoint = run::endpoint(&state, &mut done, id).await?;
    let view = WithSecret { endpoint: EndpointView::new(id, done.version, endpoint), secret: SecretView::of(secret) };
    Ok(answer(run::status(&done), &view, done.version, &done.position, None))
}

/// Change a webhook endpoint
///
/// In place of what was said of it before; its secret stays. For administrators.
#[utoipa::path(
    put, path = "/api/v1/webhook-endpoints/{id}", operation_id = "change_webhook_endpoint", tag = "webhooks", request_body = Change,
    params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = OK, description = "The endpoint", body = EndpointView), WebhookProblems),
)]
pub(super) async fn change(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
    Json { value, hash }: Json<Change>,
) -> Result<Response, RouteError> {
    let command = value.command(id, true, envelope.principal.id)?;
    let context = envelope.context(hash, Statuses::default());
    let done = run::run(&state, &context, |webhooks, _| set_endpoint(webhooks, &command)).await?;
    run::shown(&state, done, id).await
}

/// Turn a webhook endpoint on
///
/// It is told of what happens from now on. What was given up while it was off can be delivered again. For administrators.
#[utoipa::path(
    post, path = "/api/v1/webhook-endpoints/{id}/enable", operation_id = "enable_webhook_endpoint", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = OK, description = "The endpoint", body = EndpointView), WebhookProblems),
)]
pub(super) async fn enable(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let by = envelope.principal.id;
    let context = envelope.context_of_nothing();
    let done = run::run(&state, &context, |webhooks, _| enable_endpoint(webhooks, id, by)).await?;
    run::shown(&state, done, id).await
}

/// Turn a webhook endpoint off
///
/// It is told nothing, and what waits for it is given up. For administrators.
#[utoipa::path(
    post, path = "/api/v1/webhook-endpoints/{id}/disable", operation_id = "disable_webhook_endpoint", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = OK, description = "The endpoint", body = EndpointView), WebhookProblems),
)]
pub(super) async fn disable(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let by = Some(envelope.principal.id);
    let context = envelope.context_of_nothing();
    let off = EndpointEnd::Off;
    let done = run::run(&state, &context, |webhooks, _| disable_endpoint(webhooks, id, off, None, by)).await?;
    run::shown(&state, done, id).await
}

/// Remove a webhook endpoint
///
/// It is told nothing any more, and what waits for it is given up. For administrators.
#[utoipa::path(
    delete, path = "/api/v1/webhook-endpoints/{id}", operation_id = "remove_webhook_endpoint", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = OK, description = "It is removed", body = AcceptedView), WebhookProblems),
)]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let (by, tenant) = (envelope.principal.id, envelope.principal.tenant);
    let context = envelope.context_of_nothing();
    let done = run::run(&state, &context, |webhooks, _| remove_endpoint(webhooks, id, by)).await?;
    let forget = async {
        let mut transaction = db::tenant_transaction(state.store.pool(), tenant).await?;
        webhook_secrets::forget(&mut transaction, id).await?;
        transaction.commit().await
    };
    // Nothing is sent there any more; that its secret goes too is tidiness.
    if let Err(error) = state.guarded_query(forget).await {
        tracing::warn!(%error, "the secret of a removed endpoint is not forgotten yet");
    }
    Ok(answer(run::status(&done), &AcceptedView { version: done.version }, done.version, &done.position, None))
}
