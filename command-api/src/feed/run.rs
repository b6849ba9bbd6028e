//! The one way of all commands to the feed: a command in, what it was done to as it is after it out.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, Decided, feed::Refusal};
use docket_events::{Category, StreamId, feed::FeedEvent};
use docket_log::{Accepted, CommandContext, ExecuteError, Position};
use docket_platform::breaker::BreakerError;
use serde::Serialize;
use uuid::Uuid;

use super::error::RouteError;
use crate::{
    run::{self, NotDone},
    state::State,
};

/// A command that was done.
#[derive(Debug)]
pub(super) struct Done<A> {
    /// What it was done to, after it.
    pub(super) state: A,
    status: StatusCode,
    position: Position,
    version: u64,
}

impl<A> Done<A> {
    /// The answer, with the headers of the version and the position.
    pub(super) fn answer<V: Serialize>(self, view: impl FnOnce(A, u64) -> V) -> Response {
        let Self { state, status, position, version } = self;
        run::answer(status, &view(state, version), version, &position, None)
    }
}

/// The stream of something of the feed.
pub(super) const fn stream(id: Uuid) -> StreamId {
    StreamId::new(Category::Feed, id)
}

/// Decides and journals a command to the stream `id`, of something that is called `what`.
pub(super) async fn run<A: Aggregate<Event = FeedEvent>>(
    state: &State,
    context: &CommandContext,
    (what, id): (&'static str, Uuid),
    mut decide: impl FnMut(&A, DateTime<Utc>) -> Decided<FeedEvent, Refusal> + Send,
) -> Result<Done<A>, RouteError> {
    if !run::has_room(state, context).await? {
        return Err(RouteError::Backlog);
    }
    match run::journal(state, context, stream(id), |folded: &A, now| decide(folded, now)).await {
        Ok(Accepted { state, version, position, status, .. }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Ok(Done { state, status, position, version })
        }
        // No version of what does not exist can match. It reads like any other that is not there.
        Err(NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 }))) => {
            Err(Refusal::NotFound(what).into())
        }
        Err(error) => Err(error.into()),
    }
}
