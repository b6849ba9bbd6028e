//! `POST /api/v1/auth/login`: e-mail address and password for an access token.

use std::time::Duration;

use axum::{
    Json as Answer,
    response::{IntoResponse, Response},
};
use docket_domain::identity::Organisation;
use docket_events::{Category, StreamId, identity};
use docket_log::ExecuteError;
use docket_platform::{
    Problem,
    auth::{AuthError, Principal, Role, ensure_key},
    breaker::BreakerError,
    clock,
    http::{ClientAddress, Json},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    accounts::Account,
    attempts::{self, AttemptError},
    password::{PasswordError, Verdict},
};
use crate::{error, openapi::LoginProblems, state::State};

/// How long an access token is valid.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Who logs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LoginRequest)]
pub(super) struct Request {
    /// The e-mail address; case and surrounding blanks do not matter.
    #[schema(value_type = String, format = "email", example = "admin@docket.local")]
    email: SecretString,
    /// The password.
    #[schema(value_type = String, format = "password", example = "correct horse battery")]
    password: SecretString,
}

/// A token, and whom it speaks for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LoginAnswer)]
pub(super) struct LoggedIn {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until it ends.
    #[schema(example = 900)]
    expires_in: u64,
    /// Who logged in.
    user: LoggedInUser,
    /// Where.
    organisation: LoggedInOrganisation,
    /// What the user may do there.
    role: Role,
}

/// Who logged in.
#[derive(Debug, Serialize, ToSchema)]
struct LoggedInUser {
    /// The user's id.
    id: Uuid,
    /// The name that others see.
    #[schema(example = "Administrator")]
    name: String,
}

/// The organisation that the token names.
#[derive(Debug, Serialize, ToSchema)]
struct LoggedInOrganisation {
    /// Its id.
    id: Uuid,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    #[error("unknown account or wrong password")]
    InvalidCredentials,
    #[error(transparent)]
    Attempt(#[from] AttemptError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Database(#[from] BreakerError<sqlx::Error>),
    #[error(transparent)]
    Journal(#[from] BreakerError<ExecuteError>),
    #[error(transparent)]
    Token(#[from] AuthError),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        match self {
            Self::InvalidCredentials => {
                Problem::unauthorized("invalid_credentials", "The e-mail address or the password is wrong.")
            }
            Self::Attempt(error) => error.into(),
            Self::Password(error) => error.into(),
            Self::Database(error) => error::of_query(error),
            Self::Journal(error) => error::of_breaker(error),
            Self::Token(error) => error.into(),
        }
        .into_response()
    }
}

/// Log in
///
/// Gives an access token for 15 minutes. An unknown address and a wrong password get the same answer.
#[utoipa::path(
    post, path = "/api/v1/auth/login", operation_id = "login", tag = "auth", request_body = Request,
    responses((status = OK, description = "Logged in", body = LoggedIn), LoginProblems),
    security(()),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    from: ClientAddress,
    Json { value: request, .. }: Json<Request>,
) -> Result<Answer<LoggedIn>, RouteError> {
    let attempt = attempts::before(&state, request.email.expose_secret(), from).await?;
    let account = state.guarded_query(state.accounts.find(request.email.expose_secret())).await?;
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    // Without an account the same work is done, so that neither the answer nor its time tells.
    let verdict = state.hasher.verify(request.password.clone(), hash).await;
    attempts::after(&state, attempt, account.as_ref(), verdict.as_ref().ok().copied()).await?;
    let verdict = verdict?;
    let (Some(account), Verdict::Right { outdated }) = (account, verdict) else {
        return Err(RouteError::InvalidCredentials);
    };
    if outdated {
        rehash(&state, &account, request.password).await;
    }
    let Some(role) = role_of(&state, &account).await? else {
        return Err(RouteError::InvalidCredentials);
    };
    let Some(name) = state.guarded(state.people.name(account.user_id)).await? else {
        return Err(RouteError::InvalidCredentials);
    };
    let principal = Principal::member(account.user_id, account.organisation, role);
    Ok(Answer(LoggedIn {
        access_token: issue(&state, principal).await?,
        token_type: "Bearer",
        expires_in: TOKEN_LIFETIME.as_secs(),
        user: LoggedInUser { id: account.user_id, name: name.to_string() },
        organisation: LoggedInOrganisation { id: account.organisation },
        role,
    }))
}

/// The member's role, as the organisation's events tell it.
async fn role_of(state: &State, account: &Account) -> Result<Option<Role>, BreakerError<ExecuteError>> {
    let stream = StreamId::new(Category::Identity, account.organisation);
    let load = async { Ok(state.store.load::<Organisation>(stream, None).await?) };
    let (loaded, _) = state.guarded(load).await?;
    Ok(loaded.state.role_of(account.user_id).map(|role| match role {
        identity::Role::Admin => Role::Admin,
        identity::Role::Reviewer => Role::Reviewer,
        identity::Role::Requester => Role::Requester,
        identity::Role::Analyst => Role::Analyst,
    }))
}

/// Signs a token; the first of an installation makes the key.
async fn issue(state: &State, principal: Principal) -> Result<String, AuthError> {
    let now = clock::now();
    let issued = match state.authenticator.issue(principal, now, TOKEN_LIFETIME).await {
        Err(AuthError::NoSigningKey) => {
            ensure_key(state.store.pool()).await?;
            state.authenticator.reload().await?;
            state.authenticator.issue(principal, now, TOKEN_LIFETIME).await
        }
        issued => issued,
    };
    issued.map(|(token, _)| token)
}

/// The login stands whether this works out or not.
async fn rehash(state: &State, account: &Account, password: SecretString) {
    let hash = match state.hasher.hash(password).await {
        Ok(hash) => hash,
        Err(error) => return tracing::warn!(%error, "a password keeps its outdated hash"),
    };
    if let Err(error) = state.guarded_query(state.accounts.replace_hash(account, &hash)).await {
        tracing::warn!(%error, "a password keeps its outdated hash");
    }
}
