//! Headers that keep browsers from doing harm. Owns their values; a handler may set its own first.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::context::{CORRELATION_ID, REQUEST_ID, TRACEPARENT};
use super::headers::{IDEMPOTENCY_KEY, POSITION};
use crate::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};

/// Middleware: adds what the answer does not say itself.
pub(super) async fn headers(behind_tls: bool, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let mut set = |name: HeaderName, value: &'static str| {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'");
    set(header::REFERRER_POLICY, "no-referrer");
    // Pages that may be cached say so themselves.
    set(header::CACHE_CONTROL, "no-store");
    if behind_tls {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    }
    response
}

/// Cross-origin rules for the origins that may call from a browser; none when only the own origin may.
pub(super) fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter(|origin| !origin.is_empty() && *origin != "*")
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    if origins.is_empty() {
        return None;
    }
    let asked = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        IDEMPOTENCY_KEY,
        POSITION,
        REQUEST_ID,
        CORRELATION_ID,
        TRACEPARENT,
    ];
    let told = [
        header::ETAG,
        header::RETRY_AFTER,
        header::LOCATION,
        header::CONTENT_LOCATION,
        POSITION,
        REQUEST_ID,
        CORRELATION_ID,
        RATE_LIMIT,
        RATE_LIMIT_POLICY,
    ];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(asked)
            .expose_headers(told),
    )
}
