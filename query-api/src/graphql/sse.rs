//! GraphQL over server-sent events: each request a stream of its own ("distinct connections" of the graphql-sse protocol).
//!
//! Owns the events `next` and `complete`, and the end of a stream with its token.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_graphql::Response as Answer;
use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use docket_platform::{
    auth::{Access, Revocations},
    clock,
};
use futures_util::{
    Stream, StreamExt, future,
    stream::{self, BoxStream},
};

use super::error;

/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Longer than any connection lives.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Whether the client takes events.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Streams `answers` until they end, or the access does: by its time, or because what it stands on was taken away.
pub fn respond(answers: BoxStream<'static, Answer>, access: Access, revocations: Arc<Revocations>) -> Response {
    let last = farewell(access.clone(), revocations.clone());
    let events = answers
        .take_until(async move {
            tokio::select! {
                () = tokio::time::sleep(remaining(&access)) => {}
                () = revocations.ended(&access) => {}
            }
        })
        .chain(stream::once(last).filter_map(future::ready))
        .map(|answer| event("next", &serde_json::to_string(&answer).unwrap_or_default()))
        .chain(stream::once(future::ready(event("complete", ""))));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(kept_alive(events))).into_response()
}

/// What is said at the end, if it was the access that ended.
async fn farewell(access: Access, revocations: Arc<Revocations>) -> Option<Answer> {
    let reason = if revocations.ends(&access) {
        "The session has ended, or the right has changed."
    } else if access.expires_at.is_some_and(|end| clock::now().timestamp() >= end) {
        "The token has expired."
    } else {
        return None;
    };
    Some(Answer::from_errors(vec![error::refusal(error::UNAUTHENTICATED, reason, None)]))
}

/// The events, and a comment whenever there was none for a while.
pub fn kept_alive(events: impl Stream<Item = String> + Send) -> impl Stream<Item = Result<String, Infallible>> + Send {
    stream::unfold(Box::pin(events), |mut events| async move {
        let text = match tokio::time::timeout(KEEP_ALIVE, events.next()).await {
            Ok(event) => event?,
            Err(_) => ":\n\n".to_owned(),
        };
        Some((Ok(text), events))
    })
}

/// How long an access is good still; a year where no end is known.
pub fn remaining(access: &Access) -> Duration {
    let Some(expires) = access.expires_at else { return ENDLESS };
    let milliseconds = expires.saturating_mul(1_000).saturating_sub(clock::now().timestamp_millis());
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).min(ENDLESS)
}

/// Written here because the framework leaves an empty `data` out, and browsers drop events without it. `data` is one line.
fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use docket_platform::auth::{Principal, Revocation, Role, Scopes};
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_shows_that_it_is_alive() {
        let mut events = Box::pin(kept_alive(stream::pending()));
        assert_eq!(events.next().await, Some(Ok(":\n\n".to_owned())));
    }

    fn someone() -> Access {
        let session = Some(Uuid::from_u128(3));
        Access::of(Principal { session, ..Principal::member(Uuid::from_u128(1), Uuid::from_u128(2), Role::Analyst) })
    }

    /// What a stream says in the end, once `revocation` is known.
    async fn after(access: Access, revocation: Revocation) -> String {
        let revocations = Arc::new(Revocations::default());
        let response = respond(stream::pending().boxed(), access, revocations.clone());
        let body = tokio::spawn(axum::body::to_bytes(response.into_body(), 1 << 16));
        tokio::task::yield_now().await;
        assert!(!body.is_finished());
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        revocations.add([(revocation, until)], tokio::time::Instant::now());
        String::from_utf8(body.await.unwrap().unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_session_or_its_key() {
        let key = Access::of(Principal::key(Uuid::from_u128(4), Uuid::from_u128(2), Scopes::default()));
        for (access, revocation) in
            [(someone(), Revocation::Session(Uuid::from_u128(3))), (key, Revocation::Key(Uuid::from_u128(4)))]
        {
            let text = after(access, revocation).await;
            assert!(text.contains("UNAUTHENTICATED") && text.ends_with("event: complete\ndata: \n\n"), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_token() {
        let access = Access { expires_at: Some(clock::now().timestamp() - 1), ..someone() };
        let response = respond(stream::pending().boxed(), access, Arc::default());
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
