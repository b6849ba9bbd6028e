//! GraphQL over server-sent events: each request a stream of its own ("distinct connections" of the graphql-sse protocol).
//!
//! Owns the events `next` and `complete`, and the end of a stream with its token.

use std::{convert::Infallible, time::Duration};

use async_graphql::Response as Answer;
use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use docket_platform::clock;
use futures_util::{
    Stream, StreamExt, future,
    stream::{self, BoxStream},
};

use super::error;

/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Whether the client takes events.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Streams `answers` until they end, or the token does at `expires` (seconds since 1970).
pub fn respond(answers: BoxStream<'static, Answer>, expires: i64) -> Response {
    let expired = || Answer::from_errors(vec![error::refusal(error::UNAUTHENTICATED, "The token has expired.", None)]);
    let last = stream::once(async move { (clock::now().timestamp() >= expires).then(expired) });
    let events = answers
        .take_until(tokio::time::sleep(remaining(expires)))
        .chain(last.filter_map(future::ready))
        .map(|answer| event("next", &serde_json::to_string(&answer).unwrap_or_default()))
        .chain(stream::once(future::ready(event("complete", ""))));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(kept_alive(events))).into_response()
}

/// The events, and a comment whenever there was none for a while.
fn kept_alive(events: impl Stream<Item = String> + Send) -> impl Stream<Item = Result<String, Infallible>> + Send {
    stream::unfold(Box::pin(events), |mut events| async move {
        let text = match tokio::time::timeout(KEEP_ALIVE, events.next()).await {
            Ok(event) => event?,
            Err(_) => ":\n\n".to_owned(),
        };
        Some((Ok(text), events))
    })
}

/// How long a token is valid still.
pub fn remaining(expires: i64) -> Duration {
    let milliseconds = expires.saturating_mul(1_000).saturating_sub(clock::now().timestamp_millis());
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// Written here because the framework leaves an empty `data` out, and browsers drop events without it. `data` is one line.
fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_shows_that_it_is_alive() {
        let mut events = Box::pin(kept_alive(stream::pending()));
        assert_eq!(events.next().await, Some(Ok(":\n\n".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_token() {
        let response = respond(stream::pending().boxed(), clock::now().timestamp() - 1);
        let text = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("UNAUTHENTICATED") && text.ends_with("event: complete\ndata: \n\n"), "{text}");
    }

    #[test]
    fn events_are_asked_for_by_the_accept_header() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            is_asked_for(&headers)
        };
        assert!(asked("text/event-stream") && asked("application/json, Text/Event-Stream;q=0.9"));
        assert!(!asked("*/*") && !asked("application/json"));
    }
}
