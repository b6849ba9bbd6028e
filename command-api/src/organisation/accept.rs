//! `POST /api/v1/invitations/accept`: join another organisation with the account that one has.
//!
//! Owns the way into an organisation by a mailed token, which a registration goes too ([`join`]).

use axum::{Json as Answer, http::StatusCode};
use docket_domain::identity::{AcceptInvitation, Organisation, OrganisationCommand, Refusal, decide_organisation};
use docket_events::{Category, Metadata, StreamId};
use docket_log::{CommandContext, ExecuteError, IdempotencyKey, Outcome, faults};
use docket_platform::{
    auth::{
        Principal,
        mailed::{self, Invited, Purpose},
        permissions::{self, Action},
    },
    breaker::BreakerError,
    db,
    http::Json,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::RouteError, resource::JoinedView};
use crate::{auth::memberships, openapi::AcceptProblems, state::State};

/// What was mailed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AcceptRequest)]
pub(super) struct Request {
    /// The token of the mailed link.
    #[schema(value_type = String)]
    token: SecretString,
}

/// Accept an invitation
///
/// Whoever is logged in joins the organisation that invites, besides those that they belong to. The token is used up.
#[utoipa::path(
    post, path = "/api/v1/invitations/accept", operation_id = "accept_invitation", tag = "organisation", request_body = Request,
    responses((status = OK, description = "Joined", body = JoinedView), AcceptProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    Json { value: Request { token }, .. }: Json<Request>,
) -> Result<(StatusCode, Answer<JoinedView>), RouteError> {
    permissions::check(&principal, Action::ManageSelf).map_err(RouteError::Forbidden)?;
    let invited = async { Ok(mailed::invited(&mut *db::door(state.store.pool()).await?, &token).await?) };
    let invited = state.guarded(invited).await?.ok_or(RouteError::InvalidToken)?;
    let by = Metadata { principal: Some(principal.id), session: principal.session, ..Metadata::default() };
    let joined = join(&state, principal.id, invited, by).await?.ok_or(RouteError::InvalidToken)?;
    let used = async {
        let mut door = db::door(state.store.pool()).await?;
        let used = mailed::redeem(&mut door, Purpose::Invitation, &token).await?;
        door.commit().await?;
        Ok(used)
    };
    if !state.guarded(used).await? {
        return Err(RouteError::InvalidToken);
    }
    let view = JoinedView::of(principal.id, invited.tenant, &joined).ok_or(RouteError::Nothing)?;
    Ok((StatusCode::OK, Answer(view)))
}

/// Lets `user` join, and gives the organisation as it is then; none: the invitation was accepted by somebody else, revoked, or has
/// expired. The same user does so once, and is told so again, so that whoever was cut off comes in with the same link.
pub(crate) async fn join(
    state: &State,
    user: Uuid,
    Invited { invitation, tenant }: Invited,
    by: Metadata,
) -> Result<Option<Organisation>, BreakerError<ExecuteError>> {
    // A hint must not be missing where the event is.
    state.guarded(memberships::hint(state.store.pool(), user, tenant)).await?;
    faults::step("join.before_acceptance");
    let once = IdempotencyKey::scoped(tenant, user, "accept-invitation", &invitation.to_string(), [0; 32]);
    let context = CommandContext { tenant, metadata: by, idempotency: Some(once), ..CommandContext::default() };
    let command = AcceptInvitation { invitation_id: invitation, user_id: user };
    let decide =
        |folded: &Organisation, now| decide_organisation(folded, OrganisationCommand::AcceptInvitation(command), now);
    let accept = state.store.execute(&context, StreamId::new(Category::Identity, tenant), decide);
    match state.guarded(accept).await? {
        Outcome::Accepted(accepted) => Ok(Some(accepted.state)),
        Outcome::Refused(Refusal::NoSuchInvitation | Refusal::NotFound) => Ok(None),
        Outcome::Refused(refusal) => Err(BreakerError::Failed(ExecuteError::Internal(refusal.to_string()))),
    }
}
