//! `DELETE /api/v1/api-keys/{id}`: the end of a key.

use axum::{http::StatusCode, response::Response};
use docket_domain::identity::revoke_api_key;
use docket_log::Accepted;
use docket_platform::{
    auth::{api_keys::forget_secrets, permissions::Action},
    db,
    http::Path,
};
use uuid::Uuid;

use super::{
    error::{KeyProblems, RouteError},
    resource::ApiKeyView,
    run,
};
use crate::{
    envelope::{Envelope, Needs},
    run::answer,
    state::State,
};

pub(super) struct Revoke;

impl Needs for Revoke {
    const ACTION: Action = Action::ManageKeys;
}

/// Revoke an API key
///
/// Within 5 seconds nothing can be done with it, and connections that were opened with it are closed. Revoking again changes nothing.
/// For administrators.
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}", operation_id = "revoke_api_key", tag = "api-keys",
    params(
        ("id" = Uuid, Path, description = "The API key"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the API key must have"),
    ),
    responses(
        (status = OK, description = "The API key after its end", body = ApiKeyView, headers(
            ("ETag" = String, description = "The version"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        KeyProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Revoke>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let tenant = envelope.principal.tenant;
    let context = envelope.context_of_nothing();
    let Accepted { stream, state: key, version, position, .. } =
        run::run(&state, &context, id, |key, _| revoke_api_key(key)).await?;
    let forget = async {
        let mut transaction = db::tenant_transaction(state.store.pool(), tenant).await?;
        forget_secrets(&mut transaction, stream.id).await?;
        transaction.commit().await
    };
    // The event has ended them; that their hashes go too is tidiness.
    if let Err(error) = state.guarded_query(forget).await {
        tracing::warn!(%error, "the secrets of a revoked API key are not forgotten yet");
    }
    let view = ApiKeyView::new(stream.id, version, key);
    Ok(answer(StatusCode::OK, &view, version, &position, None))
}
