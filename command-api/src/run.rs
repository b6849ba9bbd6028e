//! The one way of every command: into the journal, and an answer with its headers out.
//!
//! Owns when a command is taken, and the headers. It must not know what is commanded, nor how a refusal reads.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, Decided};
use docket_events::StreamId;
use docket_log::{Accepted, CommandContext, ExecuteError, Outcome, faults, position::Position};
use docket_platform::{
    breaker::BreakerError,
    http::{etag, headers::POSITION},
};
use serde::Serialize;

use crate::state::State;

/// Why a command is not done.
#[derive(Debug)]
pub(crate) enum NotDone<R> {
    /// Judged and refused.
    Refused(R),
    /// Not judged, or not written.
    Failed(BreakerError<ExecuteError>),
}

impl<R> From<BreakerError<ExecuteError>> for NotDone<R> {
    fn from(error: BreakerError<ExecuteError>) -> Self {
        Self::Failed(error)
    }
}

/// Decides and journals a command on `stream`, however far the relay is behind.
pub(crate) async fn journal<A: Aggregate, R>(
    state: &State,
    context: &CommandContext,
    stream: StreamId,
    decide: impl FnMut(&A, DateTime<Utc>) -> Decided<A::Event, R>,
) -> Result<Accepted<A>, NotDone<R>> {
    match state.guarded(state.store.execute(context, stream, decide)).await? {
        Outcome::Accepted(accepted) => Ok(accepted),
        Outcome::Refused(refusal) => Err(NotDone::Refused(refusal)),
    }
}

/// Whether there is room for one more of the commands that come in numbers: not while too much waits to be published. A repetition of what
/// was done adds nothing, and gets its answer in any case.
pub(crate) async fn has_room(state: &State, context: &CommandContext) -> Result<bool, BreakerError<ExecuteError>> {
    if !state.backlog.is_full() {
        return Ok(true);
    }
    let Some(key) = &context.idempotency else { return Ok(false) };
    let answered = async { Ok(state.store.answered(key.id).await?.is_some()) };
    state.guarded(answered).await
}

/// The answer with the headers of the version and the position.
pub(crate) fn answer(
    status: StatusCode,
    body: &impl Serialize,
    version: u64,
    position: &Position,
    location: Option<String>,
) -> Response {
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(version));
    // Paths and positions are of letters, digits, slashes, hyphens and underscores.
    if let Ok(position) = HeaderValue::from_str(&position.to_string()) {
        headers.insert(POSITION, position);
    }
    if let Some(location) = location.and_then(|path| HeaderValue::from_str(&path).ok()) {
        headers.insert(header::LOCATION, location);
    }
    faults::step("command.before_answer");
    response
}
