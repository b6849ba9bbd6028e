//! The one way of all commands to webhooks.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::{
    Decided,
    identity::Refusal,
    webhook::{Endpoint, Webhooks, stream_of},
};
use docket_events::{Category, StreamId, identity::IdentityEvent};
use docket_log::{Accepted, CommandContext};
use docket_platform::{
    auth::webhook_secrets::{self, NewSecret},
    db,
    webhook::Secret,
};
use uuid::Uuid;

use super::{error::RouteError, resource::EndpointView};
use crate::{
    run::{answer, journal},
    state::State,
};

/// What the organisation's webhooks are commanded.
pub(super) type Done = Accepted<Webhooks>;

/// Decides and journals, however far the relay is behind: endpoints are few.
pub(super) async fn run(
    state: &State,
    context: &CommandContext,
    decide: impl FnMut(&Webhooks, DateTime<Utc>) -> Decided<IdentityEvent, Refusal>,
) -> Result<Done, RouteError> {
    let stream = StreamId::new(Category::Identity, stream_of(context.tenant));
    Ok(journal(state, context, stream, decide).await?)
}

/// The endpoint as it is after the command, its URL opened; none: it was removed since.
pub(super) async fn endpoint(state: &State, done: &mut Done, id: Uuid) -> Result<Endpoint, RouteError> {
    let found = done.state.endpoints.remove(&id).ok_or(Refusal::NotFound)?;
    let mut alone = Webhooks { endpoints: [(id, found)].into(), ..Webhooks::default() };
    let open = async { Ok(state.store.vault().open(std::slice::from_mut(&mut alone)).await?) };
    state.guarded(open).await?;
    Ok(alone.endpoints.remove(&id).ok_or(Refusal::NotFound)?)
}

/// The answer with the endpoint.
pub(super) async fn shown(state: &State, mut done: Done, id: Uuid) -> Result<Response, RouteError> {
    let endpoint = endpoint(state, &mut done, id).await?;
    let view = EndpointView::new(id, done.version, endpoint);
    Ok(answer(status(&done), &view, done.version, &done.position, None))
}

pub(super) fn status(done: &Done) -> StatusCode {
    StatusCode::from_u16(done.status).unwrap_or(StatusCode::OK)
}

/// The secret that was asked for, or a new one.
pub(super) fn chosen(text: Option<String>) -> Result<Secret, RouteError> {
    match text {
        None => Ok(Secret::generate()),
        Some(text) => Secret::parse(&text).map_err(|wrong| RouteError::Wrong("secret", wrong.to_string())),
    }
}

/// Keeps the secret that the newest event speaks of: for whoever made that event, and for no repetition.
pub(super) async fn keep(
    state: &State,
    done: &Done,
    secret: Secret,
    (tenant, endpoint): (Uuid, Uuid),
    old_until: Option<DateTime<Utc>>,
) -> Result<Option<Secret>, RouteError> {
    if done.replayed {
        return Ok(None);
    }
    let new = NewSecret { endpoint, tenant, version: done.version, old_until };
    let keep = async {
        let mut transaction = db::tenant_transaction(state.store.pool(), tenant).await?;
        webhook_secrets::keep(&mut transaction, &secret, &new).await?;
        transaction.commit().await
    };
    state.guarded_query(keep).await?;
    Ok(Some(secret))
}
