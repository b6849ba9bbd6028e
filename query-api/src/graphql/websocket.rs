//! GraphQL over a WebSocket, in the protocol `graphql-transport-ws`.
//!
//! Owns the handshake, the close codes and the limits of a connection. It is written here because the engine's own helper answers
//! a subscription before the handshake with another code, and replaces an operation whose id is in use.

mod connection;
mod message;

use axum::{
    extract::WebSocketUpgrade,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use docket_platform::{Problem, http::RequestContext, rate_limit::Limiter};

use super::Door;
use connection::Connection;

/// The only protocol spoken.
const PROTOCOL: &str = "graphql-transport-ws";
/// The largest message from a client, in bytes.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// Opens a connection, unless it comes from a foreign page. Each operation on it is counted by `limiter`.
pub fn open(
    door: Door,
    limiter: Option<Limiter>,
    upgrade: WebSocketUpgrade,
    headers: &HeaderMap,
    context: RequestContext,
) -> Response {
    if !is_welcome(headers, &door.allowed_origins) {
        return Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed")
            .with_detail("This origin may not open a WebSocket here.")
            .into_response();
    }
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(MESSAGE_LIMIT)
        .max_frame_size(MESSAGE_LIMIT)
        .on_upgrade(move |socket| context.scope(Connection::new(door, limiter, socket).serve()))
}

/// Browsers always name the page's origin on a WebSocket: it must be our own, or allowed. Other clients name none.
fn is_welcome(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_own = authority.zip(own).is_some_and(|(authority, own)| authority.eq_ignore_ascii_case(own));
    is_own || allowed.iter().any(|allowed| allowed.trim().trim_end_matches('/').eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_and_allowed_ones_are_welcome() {
        let welcome = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "docket.example:8080".parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            is_welcome(&headers, &["https://app.example/".to_owned()])
        };
        assert!(welcome("http://docket.example:8080") && welcome("https://app.example"));
        for origin in ["http://docket.example", "https://app.example.evil", "null", "http://evil", ""] {
            assert!(!welcome(origin), "{origin}");
        }
        assert!(is_welcome(&HeaderMap::new(), &[]));
    }
}
