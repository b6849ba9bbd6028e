//! What is asked of deliveries: a test, and making some again.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::webhook::{Redeliver, redeliver as decide_again, test_endpoint};
use docket_events::identity::Redelivered;
use docket_log::{CommandContext, Statuses};
use docket_platform::http::{Json, Path};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Manage,
    error::{RouteError, WebhookProblems},
    resource::AcceptedView,
    run,
};
use crate::{envelope::Envelope, openapi::CommandHeaders, run::answer, state::State};

const ACCEPTED: Statuses =
    Statuses { changed: StatusCode::ACCEPTED.as_u16(), unchanged: StatusCode::ACCEPTED.as_u16() };

/// Which deliveries are made again: one, those of a time, or all that were given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RedeliverRequest, example = json!({"failed": true}))]
pub(super) struct Again {
    /// This one, whatever came of it.
    delivery_id: Option<Uuid>,
    /// Those of events from this instant on …
    since: Option<DateTime<Utc>>,
    /// … to before this one.
    until: Option<DateTime<Utc>>,
    /// Only those that were given up: of a time, or, without one, of all. A request makes 100,000 again at most, the oldest.
    #[serde(default)]
    failed: bool,
}

impl Again {
    fn deliveries(self) -> Result<Redelivered, RouteError> {
        let Self { delivery_id, since, until, failed } = self;
        match (delivery_id, since, until) {
            (Some(id), None, None) if !failed => Ok(Redelivered::One(id)),
            (None, Some(since), Some(until)) => Ok(Redelivered::Between { since, until, failed_only: failed }),
            (None, None, None) if failed => Ok(Redelivered::Failed),
            _ => {
                let reason = "must be given alone, or else `since` and `until`, or `failed`";
                Err(RouteError::Wrong("delivery_id", reason.to_owned()))
            }
        }
    }
}

/// Send a test to a webhook endpoint
///
/// A request of type `webhook.test` is on its way. For administrators.
#[utoipa::path(
    post, path = "/api/v1/webhook-endpoints/{id}/test", operation_id = "test_webhook_endpoint", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = ACCEPTED, description = "It is on its way", body = AcceptedView), WebhookProblems),
)]
pub(super) async fn test(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let by = envelope.principal.id;
    let context = CommandContext { status: ACCEPTED, ..envelope.context_of_nothing() };
    let done = run::run(&state, &context, |webhooks, _| test_endpoint(webhooks, id, by)).await?;
    Ok(accepted(&done))
}

/// Deliver to a webhook endpoint again
///
/// Under the ids that the deliveries had: a receiver that has seen one knows it. For administrators.
#[utoipa::path(
    post, path = "/api/v1/webhook-endpoints/{id}/redeliveries", operation_id = "redeliver", tag = "webhooks", request_body = Again,
    params(("id" = Uuid, Path, description = "The endpoint"), CommandHeaders),
    responses((status = ACCEPTED, description = "They are on their way", body = AcceptedView), WebhookProblems),
)]
pub(super) async fn redeliver(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
    Json { value, hash }: Json<Again>,
) -> Result<Response, RouteError> {
    again(&state, &envelope, Some(id), value, hash).await
}

/// Deliver callbacks again
///
/// To the `callback_url` of requests, under the ids that the deliveries had. For administrators.
#[utoipa::path(
    post, path = "/api/v1/callbacks/redeliveries", operation_id = "redeliver_callbacks", tag = "webhooks", request_body = Again,
    params(CommandHeaders),
    responses((status = ACCEPTED, description = "They are on their way", body = AcceptedView), WebhookProblems),
)]
pub(super) async fn redeliver_callbacks(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value, hash }: Json<Again>,
) -> Result<Response, RouteError> {
    again(&state, &envelope, None, value, hash).await
}

async fn again(
    state: &State,
    envelope: &Envelope<Manage>,
    endpoint: Option<Uuid>,
    value: Again,
    hash: [u8; 32],
) -> Result<Response, RouteError> {
    let command = Redeliver { endpoint, deliveries: value.deliveries()?, requested_by: envelope.principal.id };
    let context = envelope.context(hash, ACCEPTED);
    let done = run::run(state, &context, |webhooks, _| decide_again(webhooks, command.clone())).await?;
    Ok(accepted(&done))
}

fn accepted(done: &run::Done) -> Response {
    answer(run::status(done), &AcceptedView { version: done.version }, done.version, &done.position, None)
}
