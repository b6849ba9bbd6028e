//! HTTP manners: what every request and answer goes through, and what handlers may ask of a request.
//!
//! Owns the stack of middleware and its order, and the extractors. It must not know any route of a feature.

mod client;
pub mod context;
mod forwarded;
pub mod headers;
pub mod json;
mod limits;
mod params;
mod security;
mod strict;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::config::HttpArgs;
use crate::metrics;
use crate::outgoing::Networks;

pub use client::ClientAddress;
pub use context::RequestContext;
pub use headers::{IdempotencyKey, IfMatch, PositionHeader, etag};
pub use json::Json;
pub use params::{Path, Query};

/// What the middleware needs to know.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The largest request body in bytes.
    pub body_limit: usize,
    /// How long an answer may take to begin.
    pub request_timeout: Duration,
    /// Foreign web origins that may call from a browser.
    pub allowed_origins: Vec<String>,
    /// Whether to tell browsers to use TLS only.
    pub behind_tls: bool,
    /// The proxies whose word on the client's address counts.
    pub trusted_proxies: Networks,
}

impl From<&HttpArgs> for HttpSettings {
    fn from(args: &HttpArgs) -> Self {
        Self {
            body_limit: args.body_limit,
            request_timeout: args.request_timeout,
            allowed_origins: args.allowed_origins.clone(),
            behind_tls: args.behind_tls,
            trusted_proxies: args.trusted_proxies.clone(),
        }
    }
}

/// Puts the whole router behind the common middleware, and answers unknown routes and methods with problems.
///
/// Call it once, last, on the router of the process: it sets the fallbacks unless the router is to keep its own
/// (`keep_fallback`, for one that serves the console's pages).
pub fn harden(router: Router, settings: &HttpSettings, keep_fallback: bool) -> Router {
    let router = if keep_fallback { router } else { router.fallback(limits::unknown_route) };
    let (body_limit, request_timeout) = (settings.body_limit, settings.request_timeout);
    let behind_tls = settings.behind_tls;
    let proxies = Arc::new(settings.trusted_proxies.clone());
    // The last layer added is the first to see a request.
    let mut router = router
        .method_not_allowed_fallback(limits::wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(body_limit))
        .layer(middleware::from_fn(move |request, next| limits::too_large_as_problem(body_limit, request, next)))
        .layer(middleware::from_fn(move |request, next| limits::bounded(request_timeout, request, next)))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(middleware::from_fn(move |request, next| {
            let proxies = proxies.clone();
            async move { client::establish(&proxies, request, next).await }
        }));
    if let Some(cors) = security::cors(&settings.allowed_origins) {
        router = router.layer(cors);
    }
    router
        .layer(middleware::from_fn(move |request, next| security::headers(behind_tls, request, next)))
        .layer(middleware::from_fn(metrics::track))
        .layer(middleware::from_fn(context::establish))
}

#[cfg(test)]
mod tests;
