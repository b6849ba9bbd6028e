//! The one way of all four routes: a command in, an answer with its headers out.

use axum::{http::StatusCode, response::Response};
use docket_domain::consultation::{Command, Consultation, Refusal, decide, view::ConsultationView};
use docket_events::{Category, StreamId, consultation::Person};
use docket_log::{Accepted, CommandContext, ExecuteError, position::Position};
use docket_platform::breaker::BreakerError;
use uuid::Uuid;

use super::{error::RouteError, resource};
use crate::{
    envelope::Envelope,
    run::{self, NotDone},
    state::State,
};

/// A command that was done.
#[derive(Debug)]
pub(super) struct Done {
    /// The consultation as it is after the command.
    pub(super) view: ConsultationView,
    /// The status of the first answer.
    pub(super) status: u16,
    position: Position,
}

impl Done {
    /// The answer with these headers besides those of the version and the position.
    pub(super) fn answer(self, status: StatusCode, location: Option<String>) -> Response {
        run::answer(status, &self.view, self.view.version, &self.position, location)
    }

    /// The answer of a command to a consultation that existed before.
    pub(super) fn ok(self) -> Response {
        self.answer(StatusCode::OK, None)
    }
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
    let stream = StreamId::new(Category::Consultation, id);
    let asks = matches!(command, Command::Request(_));
    if !run::has_room(state, context).await? {
        return Err(RouteError::Backlog);
    }
    let done = run::journal(state, context, stream, |folded: &Consultation, now| decide(folded, command.clone(), now));
    match done.await {
        Ok(accepted) => render(state, accepted).await,
        // No version of what does not exist can match. It reads like any other that is not there.
        Err(NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 }))) if !asks => {
            Err(Refusal::NotFound.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn render(state: &State, accepted: Accepted<Consultation>) -> Result<Done, RouteError> {
    let Accepted { stream, state: mut folded, position, status, .. } = accepted;
    let open = async { Ok(state.store.vault().open(std::slice::from_mut(&mut folded)).await?) };
    state.guarded(open).await?;
    let view = resource::view(stream.id, folded).ok_or(RouteError::Nothing)?;
    Ok(Done { view, status, position })
}
