//! `POST /api/v1/auth/change-password`: a new password for somebody who knows the old one.

use axum::{
    Json as Answer,
    response::{IntoResponse, Response},
};
use docket_events::identity::PasswordProof;
use docket_log::ExecuteError;
use docket_platform::{
    Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    breaker::BreakerError,
    http::Json,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    password::{self, PasswordError, UnfitPassword, Verdict},
    reset_password::{PasswordSet, journal},
};
use crate::{error, openapi::ChangePasswordProblems, state::State};

/// The old password and the new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangePasswordRequest)]
pub(super) struct Request {
    /// The password that counts until now.
    #[schema(value_type = String, format = "password")]
    current_password: SecretString,
    /// The one that is to count from now on.
    #[schema(value_type = String, format = "password")]
    new_password: SecretString,
}

/// Why the password stays what it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    #[error("whoever asks has no password")]
    Forbidden(Problem),
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("the password was changed by somebody else at the same time")]
    Raced,
    #[error(transparent)]
    Unfit(#[from] UnfitPassword),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Database(#[from] BreakerError<sqlx::Error>),
    #[error(transparent)]
    Journal(#[from] BreakerError<ExecuteError>),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        match self {
            Self::Forbidden(problem) => problem,
            Self::WrongPassword => Problem::forbidden("wrong_password", "The current password is wrong."),
            Self::Raced => Problem::conflict("password_changed", "The password was changed at the same time."),
            Self::Unfit(unfit) => unfit.problem("new_password"),
            Self::Password(error) => error.into(),
            Self::Database(error) => error::of_query(error),
            Self::Journal(error) => error::of_breaker(error),
        }
        .into_response()
    }
}

/// Change the password
///
/// Needs the current one, whoever holds the token. A mail tells the owner.
#[utoipa::path(
    post, path = "/api/v1/auth/change-password", operation_id = "change_password", tag = "auth", request_body = Request,
    responses((status = OK, description = "The password is changed", body = PasswordSet), ChangePasswordProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    Json { value: Request { current_password, new_password }, .. }: Json<Request>,
) -> Result<Answer<PasswordSet>, RouteError> {
    permissions::check(&principal, Action::ManageSelf).map_err(RouteError::Forbidden)?;
    password::check_strength(&new_password)?;
    let account = state.guarded_query(state.accounts.of_user(principal.id)).await?;
    let known = account.as_ref().map(|account| account.password_hash.clone());
    let verdict = state.hasher.verify(current_password, known).await?;
    let (Some(account), Verdict::Right { .. }) = (account, verdict) else {
        return Err(RouteError::WrongPassword);
    };
    let hash = state.hasher.hash(new_password).await?;
    // The event first: a change that nobody can see in the history is worse than one that has to be repeated.
    if !journal(&state, account.user_id, PasswordProof::OldPassword, None).await? {
        return Err(RouteError::WrongPassword);
    }
    if state.guarded_query(state.accounts.replace_hash(&account, &hash)).await? {
        return Ok(Answer(PasswordSet::DONE));
    }
    Err(RouteError::Raced)
}
