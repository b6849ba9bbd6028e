//! Messages of `graphql-transport-ws`, and the codes that a connection is closed with.

use async_graphql::{Response, ServerError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::graphql::Body;

/// From the client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromClient {
    /// Says who it is.
    ConnectionInit {
        /// `{"authorization": "Bearer …"}`
        #[serde(default)]
        payload: Option<Value>,
    },
    /// Begins an operation.
    Subscribe {
        /// The client's name for it.
        id: String,
        /// The request.
        payload: Body,
    },
    /// Ends an operation.
    Complete {
        /// Which.
        id: String,
    },
    /// Asks for a sign of life.
    Ping,
    /// Gives one.
    Pong,
}

/// To the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient<'a> {
    /// It is known who the client is.
    ConnectionAck,
    /// An answer of an operation.
    Next {
        /// Which operation.
        id: &'a str,
        /// The answer.
        payload: &'a Response,
    },
    /// The operation failed, and has ended.
    Error {
        /// Which operation.
        id: &'a str,
        /// Why.
        payload: &'a [ServerError],
    },
    /// The operation has ended.
    Complete {
        /// Which operation.
        id: &'a str,
    },
    /// A sign of life.
    Pong,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The process ends.
    GoingAway,
    /// A message is too large.
    TooLarge,
    /// The keys that tokens are verified with cannot be had now.
    TryAgainLater,
    /// The message is none of the protocol.
    BadMessage,
    /// Something is asked for before it was said by whom.
    Unauthorised,
    /// The token has expired.
    Expired,
    /// The session has ended, or the right was taken away.
    Revoked,
    /// The token is not valid.
    Forbidden,
    /// Another protocol is wanted.
    OtherProtocol,
    /// It was not said in time who it is.
    InitTimeout,
    /// An operation of this id is under way.
    IdInUse,
    /// It was said before who it is.
    SecondInit,
    /// The client has gone, or does not listen.
    Gone,
}

impl Closing {
    /// The code and the reason as the client gets them.
    pub fn frame(self) -> (u16, &'static str) {
        match self {
            Self::GoingAway => (1001, "Going away"),
            Self::TooLarge => (1009, "Message too large"),
            Self::TryAgainLater => (1013, "Try again later"),
            Self::BadMessage => (4400, "Invalid message"),
            Self::Unauthorised => (4401, "Unauthorized"),
            Self::Expired => (4401, "Token expired"),
            Self::Revoked => (4403, "Revoked"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::OtherProtocol => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::IdInUse => (4409, "Subscriber already exists"),
            Self::SecondInit => (4429, "Too many initialisation requests"),
            Self::Gone => (1000, ""),
        }
    }
}

/// The token within the payload of `connection_init`.
pub fn token(payload: Option<&Value>) -> Option<&str> {
    let payload = payload?.as_object()?;
    let value = payload.get("authorization").or_else(|| payload.get("Authorization"))?.as_str()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_token_is_taken_from_the_payload() {
        assert_eq!(token(Some(&json!({"authorization": "Bearer abc"}))), Some("abc"));
        assert_eq!(token(Some(&json!({"Authorization": "bearer  abc "}))), Some("abc"));
        for payload in [json!(null), json!({}), json!("Bearer abc"), json!({"authorization": "abc"})] {
            assert_eq!(token(Some(&payload)), None, "{payload}");
        }
        assert_eq!(token(None), None);
    }

    #[test]
    fn messages_read_and_write_as_the_protocol_has_them() {
        let read = |value: Value| serde_json::from_value::<FromClient>(value);
        assert!(read(json!({"type": "connection_init"})).is_ok());
        assert!(read(json!({"type": "ping", "payload": {"a": 1}})).is_ok());
        assert!(read(json!({"type": "subscribe", "id": "1", "payload": {"query": "{a}", "extensions": {}}})).is_ok());
        for wrong in
            [json!({"type": "start"}), json!({"type": "subscribe", "id": 1, "payload": {}}), json!([]), json!({})]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        let ack = serde_json::to_value(ToClient::ConnectionAck).unwrap();
        assert_eq!(ack, json!({"type": "connection_ack"}));
    }
}
