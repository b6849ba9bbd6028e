//! Why a request about an account is not done, and how that is said. Owns the mapping to HTTP, exhaustively.

use axum::response::{IntoResponse, Response};
use docket_log::ExecuteError;
use docket_platform::{Problem, auth::AuthError, breaker::BreakerError};

use super::{
    attempts::AttemptError,
    password::{PasswordError, UnfitPassword},
};
use crate::error;

/// Why a request about an account is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("unknown account, wrong password, or an address that is not confirmed yet")]
    InvalidCredentials,
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("the password was changed by somebody else at the same time")]
    Raced,
    #[error("the mailed link is not valid")]
    InvalidToken,
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    #[error("the user belongs to no organisation, or not to the one that was named")]
    NoOrganisation,
    #[error("a second factor is asked for")]
    SecondFactorNeeded,
    #[error("the code is wrong")]
    WrongCode,
    #[error("there is no second factor to do this with")]
    NoSecondFactor,
    #[error("there is a second factor already")]
    SecondFactorThere,
    #[error("the organisation demands the second factor")]
    SecondFactorDemanded,
    #[error("there is no such session")]
    NoSuchSession,
    #[error("the password may not be set")]
    Unfit(#[source] UnfitPassword, &'static str),
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
    #[error("refused: {}", .0.code())]
    Refused(Problem),
}

impl From<Problem> for RouteError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::InvalidCredentials => Self::unauthorized(
                "invalid_credentials",
                "The e-mail address or the password is wrong, or the address is not confirmed yet by the link that was mailed to it.",
            ),
            RouteError::WrongPassword => Self::forbidden("wrong_password", "The current password is wrong."),
            RouteError::Raced => Self::conflict("password_changed", "The password was changed at the same time."),
            RouteError::InvalidToken => error::invalid_token(),
            RouteError::InvalidRefreshToken => Self::unauthorized(
                "invalid_refresh_token",
                "The session has ended, or this token was used before: log in again.",
            ),
            RouteError::NoOrganisation => {
                Self::forbidden("no_organisation", "You belong to no organisation, or not to the one that was named.")
            }
            RouteError::SecondFactorNeeded => {
                Self::unauthorized("second_factor_needed", "This account has a second factor: send its `code` too.")
            }
            RouteError::WrongCode => {
                Self::unauthorized("wrong_code", "The code is wrong, was used before, or belongs to another time.")
            }
            RouteError::NoSecondFactor => {
                Self::conflict("no_second_factor", "There is no second factor to confirm or to use: set one up first.")
            }
            RouteError::SecondFactorThere => {
                Self::conflict("second_factor_exists", "There is a second factor already: disable it first.")
            }
            RouteError::SecondFactorDemanded => {
                Self::conflict("second_factor_demanded", "The organisation demands a second factor of your role.")
            }
            RouteError::NoSuchSession => Self::not_found("There is no such session."),
            RouteError::Unfit(unfit, field) => unfit.problem(field),
            RouteError::Attempt(error) => error.into(),
            RouteError::Password(error) => error.into(),
            RouteError::Database(error) => error::of_query(error),
            RouteError::Journal(error) => error::of_breaker(error),
            RouteError::Token(error) => error.into(),
            RouteError::Refused(problem) => problem,
        }
    }
}
