//! Limits of size and time, and the answers to requests that lead nowhere. Owns their problems.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response as HttpResponse, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{PROBLEM_JSON, Problem};

/// Middleware: the layer that limits bodies answers in plain text; make that a problem.
pub(super) async fn too_large_as_problem(limit: usize, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE && kind != Some(&HeaderValue::from_static(PROBLEM_JSON)) {
        return Problem::too_large(limit).into_response();
    }
    response
}

/// What a client that waits for something to happen may add to the time that an answer may take.
const LONGEST_WAIT: u64 = 60;

/// How long a client says that it waits: `wait` in the query string of a read, in seconds.
fn wait(request: &Request) -> Duration {
    let query = request.uri().query().filter(|_| request.method() == Method::GET).unwrap_or_default();
    let wait = query.split('&').find_map(|part| part.strip_prefix("wait=")?.parse().ok());
    Duration::from_secs(wait.unwrap_or(0).min(LONGEST_WAIT))
}

/// Middleware: an answer begins in time, or is a 503. What streams afterwards has its own limits.
pub(super) async fn bounded(limit: Duration, request: Request, next: Next) -> Response {
    let limit = limit + wait(&request);
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(limit_ms = limit.as_millis(), "request timed out");
        Problem::unavailable("request_timeout", Duration::from_secs(1))
            .with_detail("The request took too long; what it asked for may still have been done.")
            .into_response()
    })
}

/// Answers a request whose handler panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> HttpResponse<Body> {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    Problem::internal(format_args!("panic: {message}")).into_response()
}

/// Answers a path that no role serves here.
pub(super) async fn unknown_route() -> Problem {
    Problem::not_found("Nothing is served at this path.")
}

/// Answers a method that the path does not have; `Allow` names those it has.
pub(super) async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").with_detail("This path has no such method.")
}
