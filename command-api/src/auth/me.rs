//! `GET /api/v1/auth/me`: who one is, where, and where else one could be. Read from the streams, so that it is never behind.

use axum::Json as Answer;
use docket_domain::identity::{Organisation, User};
use docket_platform::auth::{
    Restricted, Role,
    permissions::{self, Action},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::RouteError, notifications::Preferences, session};
use crate::{openapi::SessionProblems, roles::token_role, state::State};

/// Whoever asks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
pub(super) struct Me {
    /// The user's id.
    id: Uuid,
    /// The name that others see; null when it was erased.
    name: Option<String>,
    /// The e-mail address; likewise.
    email: Option<String>,
    /// Whether the address was shown to be the user's.
    email_verified: bool,
    /// Whether logging in takes a second factor.
    second_factor: bool,
    /// Whether nothing can be done with this token but setting up the second factor that is demanded.
    second_factor_required: bool,
    /// The session; null for a token that no login gave.
    session_id: Option<Uuid>,
    /// The organisation that the token names.
    organisation_id: Uuid,
    /// What the user may do there.
    role: Role,
    /// All organisations that the user belongs to.
    organisations: Vec<MyOrganisation>,
    /// How the user wants to be told by mail of consultations.
    notifications: Preferences,
}

/// An organisation that somebody belongs to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyOrganisation)]
struct MyOrganisation {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// What the user may do there.
    role: Role,
}

/// Show who one is
#[utoipa::path(
    get, path = "/api/v1/auth/me", operation_id = "me", tag = "auth",
    responses((status = OK, description = "Whoever asks", body = Me), SessionProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    Restricted(access): Restricted,
) -> Result<Answer<Me>, RouteError> {
    let principal = access.principal;
    permissions::check(&principal, Action::ManageSelf)?;
    let mut user: User = session::load(&state, principal.id).await?;
    let opened = async { Ok(state.store.vault().open(std::slice::from_mut(&mut user)).await?) };
    state.guarded(opened).await?;
    let mut organisations = Vec::new();
    for id in state.guarded_query(state.accounts.organisations(principal.id)).await? {
        let organisation: Organisation = session::load(&state, id).await?;
        if let (Some(role), Some(name)) = (organisation.role_of(principal.id), organisation.name) {
            organisations.push(MyOrganisation { id, name, role: token_role(role) });
        }
    }
    let notifications = Preferences::of(&user);
    let registered = user.registered.as_ref();
    Ok(Answer(Me {
        id: principal.id,
        name: registered.and_then(|registered| registered.name.value().cloned()),
        email: registered.and_then(|registered| registered.email.value().cloned()),
        email_verified: user.verified_at.is_some(),
        second_factor: user.second_factor,
        second_factor_required: access.restricted,
        session_id: principal.session,
        organisation_id: principal.tenant,
        role: principal.role,
        organisations,
        notifications,
    }))
}
