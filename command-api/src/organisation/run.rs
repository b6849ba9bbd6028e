//! The one way of all commands to the organisation that the token names.

use axum::{http::StatusCode, response::Response};
use docket_domain::identity::{Invitation, Organisation, OrganisationCommand, decide_organisation};
use docket_events::{Category, StreamId};
use docket_log::{Accepted, CommandContext, ExecuteError};
use docket_platform::breaker::BreakerError;
use serde::Serialize;
use uuid::Uuid;

use super::{error::RouteError, resource::OrganisationView};
use crate::{run, state::State};

/// A command that was done.
pub(super) struct Done(Accepted<Organisation>);

impl Done {
    /// The answer, with what `view` makes of the organisation as it is after the command.
    pub(super) fn answer<T: Serialize>(
        self,
        view: impl FnOnce(&Organisation) -> Option<T>,
    ) -> Result<Response, RouteError> {
        let Accepted { state, version, position, status, .. } = self.0;
        let body = view(&state).ok_or(RouteError::Nothing)?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        Ok(run::answer(status, &body, version, &position, None))
    }

    /// The answer with the organisation in short.
    pub(super) fn in_short(self) -> Result<Response, RouteError> {
        let id = self.0.stream.id;
        self.answer(|state| OrganisationView::of(id, state))
    }

    /// Opens the address of one invitation.
    pub(super) async fn opened(mut self, state: &State, invitation: Uuid) -> Result<Self, RouteError> {
        if let Some(found) = self.0.state.invitations.remove(&invitation) {
            let opened = open(state, invitation, found).await?;
            self.0.state.invitations.insert(invitation, opened);
        }
        Ok(self)
    }
}

/// The invitation with its address in clear, unless that was erased.
pub(crate) async fn open(
    state: &State,
    id: Uuid,
    invitation: Invitation,
) -> Result<Invitation, BreakerError<ExecuteError>> {
    let mut alone = Organisation { invitations: [(id, invitation.clone())].into(), ..Organisation::default() };
    let open = async { Ok(state.store.vault().open(std::slice::from_mut(&mut alone)).await?) };
    state.guarded(open).await?;
    Ok(alone.invitations.remove(&id).unwrap_or(invitation))
}

/// Decides and journals `command`, however far the relay is behind: they are few, and a right that is taken away waits for nobody.
pub(super) async fn run(
    state: &State,
    context: &CommandContext,
    command: OrganisationCommand,
) -> Result<Done, RouteError> {
    let stream = StreamId::new(Category::Identity, context.tenant);
    let decide = |folded: &Organisation, now| decide_organisation(folded, command.clone(), now);
    Ok(Done(run::journal(state, context, stream, decide).await?))
}
