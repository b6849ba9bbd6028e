//! `POST /api/v1/invitations/accept`: join another organisation with the account that one has.
//!
//! Owns the way into an organisation by a mailed token, which a registration goes too ([`join`]).

use axum::{Json as Answer, http::StatusCode};
use docket_domain::identity::{AcceptInvitation, Organisation, OrganisationCommand, Refusal, decide_organisation};
use docket_events::{Category, StreamId};
use docket_log::{CommandContext, ExecuteError, IdempotencyKey, faults};
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
use crate::{
    auth::{memberships, origin::Origin},
    error,
    openapi::AcceptProblems,
    run::{self, NotDone},
    state::State,
};

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
    origin: Origin,
    Json { value: Request { token }, .. }: Json<Request>,
) -> Result<(StatusCode, Answer<JoinedView>), RouteError> {
    permissions::check(&principal, Action::ManageSelf).map_err(RouteError::Forbidden)?;
    let invited = async { Ok(mailed::invited(&mut *db::door(state.store.pool()).await?, &token).await?) };
    let invited = state.guarded(invited).await?.ok_or(RouteError::InvalidToken)?;
    let joined =
        join(&state, &origin, principal.id, principal.session, invited).await?.ok_or(RouteError::InvalidToken)?;
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
    origin: &Origin,
    user: Uuid,
    session: Option<Uuid>,
    Invited { invitation, tenant }: Invited,
) -> Result<Option<Organisation>, BreakerError<ExecuteError>> {
    // A hint must not be missing where the event is.
    state.guarded(memberships::hint(state.store.pool(), user, tenant)).await?;
    faults::step("join.before_acceptance");
    let once = IdempotencyKey::scoped(tenant, user, "accept-invitation", &invitation.to_string(), [0; 32]);
    let context = CommandContext { idempotency: Some(once), ..origin.by(tenant, user, session) };
    // A session tells where it came from.
    let from = if session.is_none() { origin.address_of(user) } else { None };
    let command =
        OrganisationCommand::AcceptInvitation(AcceptInvitation { invitation_id: invitation, user_id: user, from });
    let decide = |folded: &Organisation, now| decide_organisation(folded, command.clone(), now);
    match run::journal(state, &context, StreamId::new(Category::Identity, tenant), decide).await {
        Ok(accepted) => Ok(Some(accepted.state)),
        Err(NotDone::Refused(Refusal::NoSuchInvitation | Refusal::NotFound)) => Ok(None),
        Err(NotDone::Refused(refusal)) => Err(error::unexpected(&refusal)),
        Err(NotDone::Failed(error)) => Err(error),
    }
}
