//! GraphQL over server-sent events: each request a stream of its own ("distinct connections" of the graphql-sse protocol).
//!
//! Owns the events `next` and `complete`, and the end of a stream with its token.

use std::{convert::Infallible, time::Duration};

use async_graphql::Response as Answer;
use axum::{
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use docket_platform::clock;
use futures_util::{
    StreamExt, future,
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
    let answers = answers
        .take_until(tokio::time::sleep(remaining(expires)))
        .chain(last.filter_map(future::ready))
        .map(|answer| event("next", serde_json::to_string(&answer).unwrap_or_default()))
        .chain(stream::once(future::ready(event("complete", String::new()))));
    Sse::new(answers).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// How long a token is valid still.
pub fn remaining(expires: i64) -> Duration {
    let milliseconds = expires.saturating_mul(1_000).saturating_sub(clock::now().timestamp_millis());
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

fn event(name: &str, data: String) -> Result<Event, Infallible> {
    Ok(Event::default().event(name).data(data))
}

#[cfg(test)]
mod tests {
    use super::*;

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
