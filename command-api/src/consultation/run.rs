//! The one way of all four routes: a command in, an answer with its headers out.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use docket_domain::consultation::{Command, Consultation, Refusal, decide, view::ConsultationView};
use docket_events::{Category, StreamId, consultation::Person};
use docket_log::{Accepted, CommandContext, ExecuteError, Outcome, faults};
use docket_platform::{
    breaker::BreakerError,
    http::{etag, headers::POSITION},
};
use serde::Serialize;
use uuid::Uuid;

use super::{envelope::Envelope, error::RouteError, resource};
use crate::state::State;

/// A command that was done.
#[derive(Debug)]
pub(super) struct Done {
    /// The consultation as it is after the command.
    pub(super) view: ConsultationView,
    /// The status of the first answer.
    pub(super) status: u16,
    position: String,
}

impl Done {
    /// The answer with these headers besides those of the version and the position.
    pub(super) fn answer(self, status: StatusCode, location: Option<String>) -> Response {
        answer(status, &self.view, self.view.version, &self.position, location)
    }

    /// The answer of a command to a consultation that existed before.
    pub(super) fn ok(self) -> Response {
        self.answer(StatusCode::OK, None)
    }
}

/// The answer of a command: the resource, its version and the position, and where it is when it is new.
pub(crate) fn answer(
    status: StatusCode,
    resource: &impl Serialize,
    version: u64,
    position: &str,
    location: Option<String>,
) -> Response {
    let mut response = (status, Json(resource)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(version));
    // Paths and positions are of letters, digits, slashes, hyphens and underscores.
    if let Ok(position) = HeaderValue::from_str(position) {
        headers.insert(POSITION, position);
    }
    if let Some(location) = location.and_then(|path| HeaderValue::from_str(&path).ok()) {
        headers.insert(header::LOCATION, location);
    }
    faults::step("command.before_answer");
    response
}

/// Who commands, as events name them.
pub(super) async fn person<N>(state: &State, envelope: &Envelope<N>) -> Result<Person, RouteError> {
    state.person(&envelope.principal).await?.ok_or(RouteError::PersonGone)
}

/// Decides and journals `command` on the consultation `id`.
pub(super) async fn run(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    command: Command,
) -> Result<Done, RouteError> {
    if state.backlog.is_full() && !was_answered(state, context).await? {
        return Err(RouteError::Backlog);
    }
    let stream = StreamId::new(Category::Consultation, id);
    let asks = matches!(command, Command::Request(_));
    let execute =
        state.store.execute(context, stream, |folded: &Consultation, now| decide(folded, command.clone(), now));
    match state.guarded(execute).await {
        Ok(Outcome::Accepted(accepted)) => render(state, accepted).await,
        Ok(Outcome::Refused(refusal)) => Err(refusal.into()),
        // No version of what does not exist can match. It reads like any other that is not there.
        Err(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 })) if !asks => {
            Err(Refusal::NotFound.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether this is a repetition of what was done: it adds nothing, and gets its answer in any case.
async fn was_answered(state: &State, context: &CommandContext) -> Result<bool, RouteError> {
    let Some(key) = &context.idempotency else { return Ok(false) };
    let answered = async { Ok(state.store.answered(key.id).await?.is_some()) };
    Ok(state.guarded(answered).await?)
}

async fn render(state: &State, accepted: Accepted<Consultation>) -> Result<Done, RouteError> {
    let Accepted { stream, state: mut folded, position, status, .. } = accepted;
    let open = async { Ok(state.store.vault().open(std::slice::from_mut(&mut folded)).await?) };
    state.guarded(open).await?;
    let view = resource::view(stream.id, folded).ok_or(RouteError::Nothing)?;
    Ok(Done { view, status, position: position.to_string() })
}
