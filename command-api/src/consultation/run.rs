//! The one way of all these routes: a command in, an answer with its headers out.

use axum::{http::StatusCode, response::Response};
use docket_domain::{
    consultation::{Command, Consultation, Expire, Refusal, Standing, decide, view::ConsultationView},
    identity::Organisation,
};
use docket_events::{Category, StreamId, consultation::Person};
use docket_log::{Accepted, CommandContext, ExecuteError, Statuses, position::Position};
use docket_platform::{
    auth::{Principal, Role},
    breaker::BreakerError,
};
use uuid::Uuid;

use super::error::RouteError;
use crate::{
    auth::session::load,
    envelope::Envelope,
    roles::event_role,
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

    /// What a read that must see it waits for.
    pub(super) fn position(&self) -> &Position {
        &self.position
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

/// Decides and journals a command of somebody whose groups may matter: only where the role alone does not allow it are they looked up.
pub(super) async fn in_standing(
    state: &State,
    principal: &Principal,
    context: &CommandContext,
    id: Uuid,
    command: impl Fn(Standing) -> Command,
) -> Result<Done, RouteError> {
    let standing = Standing {
        groups: Vec::new(),
        role: Some(event_role(principal.role)),
        is_admin: principal.scopes.is_none() && principal.role == Role::Admin,
    };
    match run(state, context, id, command(standing.clone())).await {
        Err(RouteError::Refused(Refusal::NotAReviewer)) => {}
        done => return done,
    }
    let organisation: Organisation = load(state, principal.tenant).await?;
    let standing = Standing { groups: groups_of(&organisation, principal.id), ..standing };
    run(state, context, id, command(standing)).await
}

/// The same request for another stream: nothing that was said of the first holds for it.
pub(super) fn for_another(context: &CommandContext) -> CommandContext {
    CommandContext { idempotency: None, if_match: None, status: Statuses::default(), ..context.clone() }
}

/// The answer to a command that was done before, under its key or on the stream that it names again; `error` if it was not.
pub(super) async fn as_before(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    error: RouteError,
) -> Result<Done, RouteError> {
    match run(state, context, id, Expire.into()).await {
        Err(RouteError::Refused(Refusal::NotFound)) => Err(error),
        done => done,
    }
}

/// The groups that somebody belongs to.
pub(super) fn groups_of(organisation: &Organisation, user: Uuid) -> Vec<Uuid> {
    let groups = organisation.groups.iter().filter(|(_, group)| group.members.contains(&user));
    groups.map(|(id, _)| *id).collect()
}

/// Decides and journals `command` on the consultation `id`.
pub(super) async fn run(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    command: Command,
) -> Result<Done, RouteError> {
    let accepted = accept(state, context, id, command).await?;
    render(state, context.tenant, accepted).await
}

/// The same, answered with the state after it, its names open.
pub(super) async fn accept(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    command: Command,
) -> Result<Accepted<Consultation>, RouteError> {
    let stream = StreamId::new(Category::Consultation, id);
    let asks = matches!(command, Command::Request(_));
    if !run::has_room(state, context).await? {
        return Err(RouteError::Backlog);
    }
    let done = run::journal(state, context, stream, |folded: &Consultation, now| decide(folded, command.clone(), now));
    match done.await {
        Ok(accepted) => open(state, accepted).await,
        // No version of what does not exist can match. It reads like any other that is not there.
        Err(NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 }))) if !asks => {
            Err(Refusal::NotFound.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(state: &State, mut accepted: Accepted<Consultation>) -> Result<Accepted<Consultation>, RouteError> {
    let open = async { Ok(state.store.vault().open(std::slice::from_mut(&mut accepted.state)).await?) };
    state.guarded(open).await?;
    Ok(accepted)
}

async fn render(state: &State, tenant: Uuid, accepted: Accepted<Consultation>) -> Result<Done, RouteError> {
    let Accepted { stream, state: folded, position, status, .. } = accepted;
    let mut view = ConsultationView::of(stream.id, folded).ok_or(RouteError::Nothing)?;
    if view.ended_at.is_some() {
        let keys = state.receipts.keys().await?;
        view.sign(|receipt| keys.sign(tenant, receipt.iat, receipt))?;
    }
    Ok(Done { view, status, position })
}
