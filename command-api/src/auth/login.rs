//! `POST /api/v1/auth/login`: e-mail address and password for an access token and a refresh token.

use std::time::Duration;

use axum::Json as Answer;
use chrono::{DateTime, Utc};
use docket_domain::identity::User;
use docket_events::identity::LoginMethod;
use docket_platform::{
    auth::Role,
    http::{ClientAddress, Json},
    ids,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    accounts::Account,
    attempts,
    error::RouteError,
    origin::Origin,
    password::Verdict,
    registration, second_factor,
    session::{self, Tokens},
};
use crate::{openapi::LoginProblems, state::State};

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
    /// The second factor, where the account has one: the six digits of the app, or a recovery code.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "123456")]
    code: Option<SecretString>,
    /// In which organisation, for those who belong to several; the last one otherwise.
    #[serde(default)]
    organisation_id: Option<Uuid>,
}

/// Two tokens, and whom they speak for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LoginAnswer)]
pub(super) struct LoggedIn {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    expires_in: u64,
    /// Good for the next two tokens, once: `POST /api/v1/auth/refresh`.
    refresh_token: String,
    /// When the session ends at the latest, however often it is renewed.
    session_expires_at: DateTime<Utc>,
    /// The session.
    session_id: Uuid,
    /// Who logged in.
    user: LoggedInUser,
    /// Where.
    organisation: LoggedInOrganisation,
    /// What the user may do there.
    role: Role,
    /// Whether nothing can be done with the access token but setting up the second factor that is demanded; renew it afterwards.
    second_factor_required: bool,
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

/// Log in
///
/// Begins a session: an access token for 15 minutes, and a refresh token for the next. An unknown address and a wrong password get the
/// same answer. Where the account has a second factor, its code is asked for once the password was right.
#[utoipa::path(
    post, path = "/api/v1/auth/login", operation_id = "login", tag = "auth", request_body = Request,
    responses((status = OK, description = "Logged in", body = LoggedIn), LoginProblems),
    security(()),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    origin: Origin,
    from: ClientAddress,
    Json { value: request, .. }: Json<Request>,
) -> Result<Answer<LoggedIn>, RouteError> {
    let attempt = attempts::before(&state, request.email.expose_secret(), from).await?;
    let account = state.guarded_query(state.accounts.find(request.email.expose_secret())).await?;
    // Read before the password is looked at: what ends sessions after that, ends this one too.
    let user_id = account.as_ref().map_or_else(ids::new_id, |account| account.user_id);
    let user: User = session::load(&state, user_id).await?;
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    // Without an account the same work is done, so that neither the answer nor its time tells.
    let verdict = state.hasher.verify(request.password.clone(), hash).await;
    let method = match verdict {
        Ok(Verdict::Right { .. }) => method(&state, &origin, user_id, &user, request.code.as_ref()).await,
        Ok(Verdict::Wrong) | Err(_) => Ok(LoginMethod::Password),
    };
    let counts = match (&verdict, &method) {
        (Ok(verdict), Ok(_)) => Some(*verdict),
        // Codes can be guessed as passwords can. And an account that its owner has not confirmed counts like any that is not one's own, so
        // that nobody learns by registering with an address whether it had an account before.
        (Ok(_), Err(RouteError::WrongCode | RouteError::InvalidCredentials)) => Some(Verdict::Wrong),
        (Ok(_) | Err(_), _) => None,
    };
    attempts::after(&state, attempt, account.as_ref().map(|account| account.user_id), counts).await?;
    let (Some(account), Verdict::Right { outdated }) = (account, verdict?) else {
        return Err(RouteError::InvalidCredentials);
    };
    if outdated {
        rehash(&state, &account, request.password).await;
    }
    let method = method?;
    let member = session::choose(&state, user_id, &user, request.organisation_id).await?;
    let tokens = session::begin(&state, &origin, member, method, user.sessions_ended.version).await?;
    answer(&state, tokens).await
}

/// How somebody logs in whose password was right: with a confirmed address, and with the second factor, where there is one.
async fn method(
    state: &State,
    origin: &Origin,
    user_id: Uuid,
    user: &User,
    code: Option<&SecretString>,
) -> Result<LoginMethod, RouteError> {
    if registration::waits(state, origin, user_id).await? {
        return Err(RouteError::InvalidCredentials);
    }
    if !user.second_factor {
        return Ok(LoginMethod::Password);
    }
    second_factor::check(state, origin, user_id, code).await?;
    Ok(LoginMethod::PasswordAndSecondFactor)
}

/// What somebody who has tokens is told.
pub(super) async fn answer(state: &State, tokens: Tokens) -> Result<Answer<LoggedIn>, RouteError> {
    let Tokens { access, refresh, session, member } = tokens;
    let Some(name) = state.guarded(state.people.name(member.user_id)).await? else {
        return Err(RouteError::InvalidCredentials);
    };
    Ok(Answer(LoggedIn {
        access_token: access,
        token_type: "Bearer",
        expires_in: TOKEN_LIFETIME.as_secs(),
        refresh_token: refresh.expose_secret().to_owned(),
        session_expires_at: session.expires_at,
        session_id: session.id,
        user: LoggedInUser { id: member.user_id, name: name.to_string() },
        organisation: LoggedInOrganisation { id: member.tenant },
        role: member.role,
        second_factor_required: member.is_restricted(),
    }))
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
