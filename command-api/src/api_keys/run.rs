//! The one way of all three routes: a decision on a key, and the secret that comes of it.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::{
    Decided,
    identity::{ApiKey, Refusal},
};
use docket_events::{Category, StreamId, identity::IdentityEvent};
use docket_log::{Accepted, CommandContext, ExecuteError};
use docket_platform::{
    auth::api_keys::{ApiKeySecret, NewSecret, keep_secret},
    breaker::BreakerError,
    db,
};
use uuid::Uuid;

use super::{
    error::RouteError,
    resource::{ApiKeyView, SHOWN_BEFORE, WithSecret},
};
use crate::{
    roles::token_scope,
    run::{NotDone, answer, journal},
    state::State,
};

/// What a key is commanded.
pub(super) type Done = Accepted<ApiKey>;

/// Decides and journals on the key `id`, however far the relay is behind: keys are few, and a revocation waits for nobody.
pub(super) async fn run(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    decide: impl FnMut(&ApiKey, DateTime<Utc>) -> Decided<IdentityEvent, Refusal>,
) -> Result<Done, RouteError> {
    match journal(state, context, StreamId::new(Category::Identity, id), decide).await {
        Ok(accepted) => Ok(accepted),
        Err(NotDone::Refused(refusal)) => Err(refusal.into()),
        // No version of what does not exist can match. It reads like any other that is not there.
        Err(NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 }))) => {
            Err(Refusal::NotFound.into())
        }
        Err(NotDone::Failed(error)) => Err(error.into()),
    }
}

/// Gives the key the secret that its newest event speaks of, and shows it: to whoever made that event, and to no repetition.
pub(super) async fn with_secret(state: &State, tenant: Uuid, done: Done) -> Result<Response, RouteError> {
    let Accepted { stream, state: key, version, position, status, replayed } = done;
    let secret = if replayed { None } else { Some(new_secret(state, tenant, stream.id, version, &key).await?) };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let notice = secret.is_none().then_some(SHOWN_BEFORE);
    let view = WithSecret { key: ApiKeyView::new(stream.id, version, key), secret, notice };
    let location = (status == StatusCode::CREATED).then(|| format!("/api/v1/api-keys/{}", stream.id));
    Ok(answer(status, &view, version, &position, location))
}

async fn new_secret(
    state: &State,
    tenant: Uuid,
    id: Uuid,
    version: u64,
    key: &ApiKey,
) -> Result<ApiKeySecret, RouteError> {
    let secret = ApiKeySecret::generate();
    let scopes: Vec<_> = key.scopes.iter().copied().map(token_scope).collect();
    let new = NewSecret { key: id, tenant, version, scopes: &scopes, expires_at: key.expires_at };
    let keep = async {
        let mut door = db::tenant_transaction(state.store.pool(), tenant).await?;
        keep_secret(&mut door, &secret, &new).await?;
        door.commit().await
    };
    state.guarded_query(keep).await?;
    Ok(secret)
}
