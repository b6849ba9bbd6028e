//! The feed as server-sent events: each event with the position behind it as its `id`, for as long as the token is good.
//!
//! Owns the stream's form and its end. A position that moved over events which are not wanted is told by an `id` alone, so that whoever
//! resumes does not go over them again.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use docket_log::Position;
use docket_platform::{
    Problem,
    auth::{Access, Authenticator, Revocations},
    clock,
};
use futures_util::{StreamExt, future, stream};

use super::{
    rest::{Reader, show},
    told::Page,
};
use crate::graphql::sse::{kept_alive, remaining};

/// Streams what `reader` is told until the access ends, by its time or because what it stands on was taken away, or the process does.
pub(super) fn respond(reader: Reader, access: Access, authenticator: Arc<Authenticator>) -> Response {
    let (cursor, installation) = (reader.cursor.clone(), reader.installation());
    let shutdown = reader.shutdown().clone();
    let revocations = authenticator.revocations().clone();
    let last = farewell(access.clone(), revocations.clone());
    let events = stream::unfold(Told { reader, ready: VecDeque::new(), ended: false }, |mut told| async move {
        let text = told.next().await?;
        Some((text, told))
    });
    let events = events
        .take_until(async move {
            tokio::select! {
                () = tokio::time::sleep(remaining(&access)) => {}
                () = revocations.ended(&access) => {}
                () = shutdown.cancelled() => {}
            }
        })
        .chain(stream::once(last).filter_map(future::ready));
    let mut response = Body::from_stream(kept_alive(events)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    show(headers, &cursor, installation, None);
    response
}

/// What is said at the end, if it was the access that ended.
async fn farewell(access: Access, revocations: Arc<Revocations>) -> Option<String> {
    if revocations.ends(&access) {
        return Some(problem(&Problem::unauthorized(
            "token_revoked",
            "The session has ended, or the right has changed.",
        )));
    }
    let has_expired = access.expires_at.is_some_and(|end| clock::now().timestamp() >= end);
    has_expired.then(|| problem(&Problem::unauthorized("token_expired", "The token has expired.")))
}

/// A stream under way.
struct Told {
    reader: Reader,
    ready: VecDeque<String>,
    ended: bool,
}

impl Told {
    /// The next piece of the stream; none: it has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            if self.ended {
                return None;
            }
            let before = self.reader.cursor.clone();
            match self.reader.next().await {
                Ok(page) if page.events.is_empty() => {
                    if page.position != before {
                        self.ready.push_back(self.id(&page.position) + "\n");
                    }
                    // Nothing of the database is held while nothing happens.
                    if self.ready.is_empty() {
                        self.reader.news().await;
                    }
                }
                Ok(page) => self.ready.push_back(self.page(&page)),
                Err(error) => {
                    self.ended = true;
                    self.ready.push_back(problem(&error.into()));
                }
            }
        }
    }

    fn id(&self, position: &Position) -> String {
        format!("id: {}\n", position.marked(self.reader.installation()))
    }

    /// Each event is one line of JSON.
    fn page(&self, page: &Page) -> String {
        let event = |(line, position): &(String, Position)| format!("{}data: {line}\n\n", self.id(position));
        page.events.iter().map(event).collect()
    }
}

/// Why the stream ends, as problems say it.
fn problem(problem: &Problem) -> String {
    let text = serde_json::to_string(&problem.document()).unwrap_or_default();
    format!("event: problem\ndata: {text}\n\n")
}
