//! What a process serves besides the routes of its roles: pages, contracts, keys, health, metrics.
//!
//! Owns these paths and their caching. It must not know what a role's own routes do.

pub mod contract;
pub mod outbox;
pub mod pages;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use docket_platform::auth::Authenticator;
use docket_platform::health::Health;
use docket_platform::{Problem, metrics};

/// What every process serves, whatever its roles.
pub fn operations(health: &Health) -> Router {
    health.router().route("/metrics", get(metrics::handler))
}

/// The public keys of access tokens and receipts, for those who verify them themselves.
pub fn keys(authenticator: Arc<Authenticator>) -> Router {
    Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(authenticator)
}

async fn jwks(State(authenticator): State<Arc<Authenticator>>) -> Response {
    match authenticator.jwks().await {
        // Short enough for a new key to be known before it signs.
        Ok(keys) => ([(CACHE_CONTROL, "public, max-age=60")], Json(keys)).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}
