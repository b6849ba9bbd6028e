//! Endpoints of webhooks, as an administrator would have set them.

use anyhow::{Context, Result, ensure};
use docket_domain::webhook::{self as decisions, SetEndpoint, stream_of};
use docket_events::{Category, StreamId, identity::EndpointFormat};
use docket_log::{CommandContext, Outcome, Store};
use docket_platform::{
    auth::webhook_secrets::{self, NewSecret},
    db,
    webhook::Secret,
};
use sqlx::PgPool;
use uuid::Uuid;

/// What an endpoint is.
#[derive(Debug)]
pub struct Endpoint<'a> {
    /// Whose it is.
    pub tenant: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Where it listens.
    pub url: String,
    /// What it is told.
    pub event_types: &'a [&'a str],
}

/// Sets an endpoint that `secret` signs for. `pool` belongs to the writer's role.
///
/// # Errors
/// When it is refused, or cannot be kept.
pub async fn set_endpoint(store: &Store, pool: &PgPool, secret: &Secret, endpoint: &Endpoint<'_>) -> Result<()> {
    let tenant = endpoint.tenant;
    let command = SetEndpoint {
        id: endpoint.id,
        changes: false,
        url: endpoint.url.clone(),
        description: None,
        event_types: endpoint.event_types.iter().map(|name| (*name).to_owned()).collect(),
        format: EndpointFormat::Standard,
        template: None,
        set_by: tenant,
    };
    let context = CommandContext { tenant, ..CommandContext::default() };
    let stream = StreamId::new(Category::Identity, stream_of(tenant));
    let decide = |state: &decisions::Webhooks, _| decisions::set_endpoint(state, &command);
    let done = store.execute::<decisions::Webhooks, _>(&context, stream, decide).await?;
    ensure!(matches!(done, Outcome::Accepted(_)), "it was refused");
    keep_secret(pool, secret, tenant, endpoint.id, 1).await
}

/// Keeps the secret that signs for `signer`: an endpoint, or an organisation's callbacks.
///
/// # Errors
/// When it cannot be kept.
pub async fn keep_secret(pool: &PgPool, secret: &Secret, tenant: Uuid, signer: Uuid, version: u64) -> Result<()> {
    let mut transaction = db::tenant_transaction(pool, tenant).await?;
    let new = NewSecret { endpoint: signer, tenant, version, old_until: None };
    webhook_secrets::keep(&mut transaction, secret, &new).await?;
    transaction.commit().await.context("keeping the secret")
}
