//! A session's going on and its end: `refresh`, `switch`, `logout`, and the list of one's own sessions.

use axum::Json as Answer;
use chrono::{DateTime, Utc};
use docket_domain::identity::{User, revoke_all_sessions};
use docket_events::{
    Personal,
    identity::{LoginMethod, SessionEnd},
};
use docket_platform::{
    auth::{
        Principal, Restricted,
        permissions::{self, Action},
    },
    http::{Json, Path},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Row;
use crate::{
    auth::{
        error::RouteError,
        login::{self, LoggedIn},
        origin::Origin,
        session, user,
    },
    openapi::{RefreshProblems, SessionProblems},
    state::State,
};

/// The routes of this file.
pub(in crate::auth) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(refresh))
        .routes(routes!(switch))
        .routes(routes!(logout))
        .routes(routes!(list, revoke_others))
        .routes(routes!(revoke))
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RefreshRequest)]
struct RefreshRequest {
    /// The last one that was given.
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// Where to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SwitchRequest)]
struct SwitchRequest {
    /// An organisation that the user belongs to.
    organisation_id: Uuid,
}

/// It has ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionEnded)]
struct Ended {
    /// A sentence to show.
    #[schema(example = "The session has ended.")]
    message: &'static str,
}

/// The sessions that go on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sessions)]
struct Sessions {
    /// The last used first; a hundred at most.
    sessions: Vec<ListedSession>,
}

/// A session that goes on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
struct ListedSession {
    /// Its id.
    id: Uuid,
    /// The organisation that its tokens name.
    organisation_id: Uuid,
    /// When the user logged in.
    started_at: Option<DateTime<Utc>>,
    /// When a token of it was last renewed.
    last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    expires_at: DateTime<Utc>,
    /// The network address of the login; null when it was erased or is not known.
    address: Option<String>,
    /// The program of the login, as it calls itself; likewise.
    agent: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

/// Renew the tokens
///
/// Gives the next access token and the next refresh token; the one that was sent is used up. Whoever sends one that was used before ends
/// the session: one of the two who have it should not. The role is the one that the user has by now.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", operation_id = "refresh", tag = "auth", request_body = RefreshRequest,
    responses((status = OK, description = "New tokens", body = LoggedIn), RefreshProblems),
    security(()),
)]
async fn refresh(
    axum::extract::State(state): axum::extract::State<State>,
    origin: Origin,
    Json { value: RefreshRequest { refresh_token }, .. }: Json<RefreshRequest>,
) -> Result<Answer<LoggedIn>, RouteError> {
    let tokens = session::renew(&state, &origin, &refresh_token).await?;
    login::answer(&state, tokens).await
}

/// Work in another organisation
///
/// Begins a session there; the one that asks goes on. The next login without `organisation_id` is there too.
#[utoipa::path(
    post, path = "/api/v1/auth/switch", operation_id = "switch_organisation", tag = "auth", request_body = SwitchRequest,
    responses((status = OK, description = "Tokens of the other organisation", body = LoggedIn), SessionProblems),
)]
async fn switch(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    origin: Origin,
    Json { value: SwitchRequest { organisation_id }, .. }: Json<SwitchRequest>,
) -> Result<Answer<LoggedIn>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    let user: User = session::load(&state, principal.id).await?;
    let member = session::choose(&state, principal.id, &user, Some(organisation_id)).await?;
    let credentials = session::credentials(&state, &principal).await?;
    let tokens = session::begin(&state, &origin, member, LoginMethod::Switch, credentials).await?;
    state.guarded_query(state.accounts.prefer(principal.id, organisation_id)).await?;
    login::answer(&state, tokens).await
}

/// Log out
///
/// Ends the session: its tokens are good for nothing any more, in every process within five seconds.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", operation_id = "logout", tag = "auth",
    responses((status = OK, description = "Logged out", body = Ended), SessionProblems),
)]
async fn logout(
    axum::extract::State(state): axum::extract::State<State>,
    Restricted(access): Restricted,
    origin: Origin,
) -> Result<Answer<Ended>, RouteError> {
    let principal = access.principal;
    permissions::check(&principal, Action::ManageSelf)?;
    let id = principal.session.ok_or(RouteError::NoSuchSession)?;
    end(&state, &origin, &principal, id, SessionEnd::LoggedOut).await
}

/// List one's own sessions
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", operation_id = "list_sessions", tag = "auth",
    responses((status = OK, description = "Those that go on, in all organisations", body = Sessions), SessionProblems),
)]
async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
) -> Result<Answer<Sessions>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    let text = |field: &Option<Personal<String>>| field.as_ref().and_then(|field| field.value().cloned());
    let listed = session::open_ones(&state, principal.id).await?.into_iter().map(|(row, session)| {
        let Row { id, tenant, last_used_at, expires_at, .. } = row;
        ListedSession {
            id,
            organisation_id: tenant,
            started_at: session.started_at,
            last_used_at,
            expires_at,
            address: text(&session.address),
            agent: text(&session.agent),
            current: principal.session == Some(id),
        }
    });
    Ok(Answer(Sessions { sessions: listed.collect() }))
}

/// End one of one's own sessions
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{id}", operation_id = "revoke_session", tag = "auth",
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = OK, description = "It has ended", body = Ended), SessionProblems),
)]
async fn revoke(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<Uuid>,
) -> Result<Answer<Ended>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    end(&state, &origin, &principal, id, SessionEnd::Revoked).await
}

/// End all of one's own sessions but this one
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions", operation_id = "revoke_other_sessions", tag = "auth",
    responses((status = OK, description = "All others have ended", body = Ended), SessionProblems),
)]
async fn revoke_others(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    origin: Origin,
) -> Result<Answer<Ended>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    let kept = principal.session.ok_or(RouteError::NoSuchSession)?;
    let context = origin.of_oneself(&principal);
    user::command(&state, &context, principal.id, |user, _| revoke_all_sessions(user, kept)).await?;
    Ok(Answer(Ended { message: "All other sessions have ended." }))
}

async fn end(
    state: &State,
    origin: &Origin,
    principal: &Principal,
    id: Uuid,
    reason: SessionEnd,
) -> Result<Answer<Ended>, RouteError> {
    let row = session::one(state, id, principal.id).await?.ok_or(RouteError::NoSuchSession)?;
    let context = origin.by(row.tenant, principal.id, principal.session);
    session::end(state, &context, &row, reason, None).await?;
    Ok(Answer(Ended { message: "The session has ended." }))
}
