//! Who asked, in the words of the logs: request id, correlation id, trace.
//!
//! Owns [`RequestContext`], its headers, and the span each request runs in. It must not trust what a client sends
//! further than to repeat it: ids are bounded and visible ASCII, or are replaced.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::ids;

/// `X-Request-Id`: one attempt of one request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `X-Correlation-ID`: everything that belongs to one intention of a client.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// `traceparent`: W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The target of the line that is logged for each request: `DOCKET_LOG=info,docket::access=off` drops it.
pub const ACCESS_LOG: &str = "docket::access";

const ID_LIMIT: usize = 128;

/// The ids of a request, as an extension, an extractor, and for the task that answers it ([`current`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// From `X-Request-Id`, or made here.
    pub request_id: String,
    /// From `X-Correlation-ID`, or the request id.
    pub correlation_id: String,
    /// From `traceparent`, if it is valid.
    pub traceparent: Option<String>,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The context of the request that this task answers. None in tasks that were spawned from it.
pub fn current() -> Option<RequestContext> {
    CURRENT.try_with(RequestContext::clone).ok()
}

impl RequestContext {
    /// A context for work that no request asked for, such as a timer's.
    pub fn internal() -> Self {
        let request_id = ids::new_id().to_string();
        Self { correlation_id: request_id.clone(), request_id, traceparent: None }
    }

    /// Reads the headers, and makes what is missing or not sane.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let request_id = sane_id(headers, &REQUEST_ID).unwrap_or_else(|| ids::new_id().to_string());
        let correlation_id = sane_id(headers, &CORRELATION_ID).unwrap_or_else(|| request_id.clone());
        let traceparent = single(headers, &TRACEPARENT).filter(|value| trace_id(value).is_some()).map(str::to_owned);
        Self { request_id, correlation_id, traceparent }
    }

    /// The trace id within `traceparent`.
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref().and_then(trace_id)
    }

    /// Runs `work` so that [`current`] is this context and log lines carry its ids.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        let span = tracing::info_span!(
            "work",
            request_id = %self.request_id,
            correlation_id = %self.correlation_id,
            trace_id = self.trace_id(),
        );
        CURRENT.scope(self, work.instrument(span)).await
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn sane_id(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = single(headers, name)?;
    let sane = (1..=ID_LIMIT).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then(|| value.to_owned())
}

/// The trace id of a valid W3C `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may add parts; version 00 has exactly four. The whole is kept and passed on, so it is bounded.
    let shape = version != "ff" && (version != "00" || parts.next().is_none()) && traceparent.len() <= ID_LIMIT;
    let valid = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (shape && valid && set(trace) && set(parent)).then_some(trace)
}

/// Middleware: establishes the context, the span and the echoed headers. The outermost layer.
pub(super) async fn establish(mut request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    request.extensions_mut().insert(context.clone());
    let span = tracing::info_span!(
        "request",
        request_id = %context.request_id,
        correlation_id = %context.correlation_id,
        trace_id = context.trace_id(),
        method = %request.method(),
        route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str),
    );
    let answered = async {
        let started = Instant::now();
        let response = next.run(request).await;
        // Without the path and the query: they may hold what must not be logged.
        tracing::info!(
            target: ACCESS_LOG,
            status = response.status().as_u16(),
            milliseconds = started.elapsed().as_secs_f64() * 1_000.0,
            "answered"
        );
        response
    };
    let mut response = CURRENT.scope(context.clone(), answered.instrument(span)).await;
    let headers = response.headers_mut();
    // Both were checked to be visible ASCII.
    if let Ok(value) = HeaderValue::from_str(&context.request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Ok(value) = HeaderValue::from_str(&context.correlation_id) {
        headers.insert(CORRELATION_ID, value);
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self::from_headers(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: HeaderName, value: &str) -> RequestContext {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        RequestContext::from_headers(&headers)
    }

    #[test]
    fn a_sane_request_id_is_kept_and_is_the_default_correlation() {
        let context = context(REQUEST_ID, "abc-123");
        assert_eq!((context.request_id.as_str(), context.correlation_id.as_str()), ("abc-123", "abc-123"));
    }

    #[test]
    fn an_id_that_is_too_long_or_not_visible_is_replaced() {
        for id in ["", "a b", "é", &"x".repeat(129)] {
            assert_ne!(context(REQUEST_ID, id).request_id, id);
        }
        assert_eq!(context(REQUEST_ID, &"x".repeat(128)).request_id.len(), 128);
    }

    #[test]
    fn a_valid_traceparent_is_kept_with_its_trace_id() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = context(TRACEPARENT, value);
        assert_eq!(context.traceparent.as_deref(), Some(value));
        assert_eq!(context.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    }

    #[test]
    fn an_invalid_traceparent_is_dropped() {
        for value in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(context(TRACEPARENT, value).traceparent, None, "{value}");
        }
    }

    #[tokio::test]
    async fn the_context_is_current_within_its_scope_only() {
        let context = RequestContext::internal();
        let seen = context.clone().scope(async { current() }).await;
        assert_eq!(seen, Some(context));
        assert_eq!(current(), None);
    }
}
