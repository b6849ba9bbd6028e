//! Why a command to an organisation is not done, and what the client is told.

use axum::response::{IntoResponse, Response};
use docket_domain::identity::Refusal;
use docket_log::ExecuteError;
use docket_platform::{Problem, breaker::BreakerError};

use crate::{error, run::NotDone};

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    /// It may not be done by whoever asks.
    #[error("{0:?}")]
    Forbidden(Problem),
    /// The mailed token is not valid.
    #[error("the mailed link is not valid")]
    InvalidToken,
    /// A field does not do, as was seen before it was judged: the rest of a sentence that begins with it.
    #[error("`{0}` {1}")]
    Wrong(&'static str, &'static str),
    /// A part of the request that is not what it has to be.
    #[error("{0:?}")]
    Unread(Problem),
    /// There is no such template.
    #[error("there is no such template")]
    NoSuchTemplate,
    /// Judged and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not judged, or not written.
    #[error(transparent)]
    Failed(#[from] BreakerError<ExecuteError>),
    /// What was journalled cannot be shown.
    #[error("an accepted command left nothing behind")]
    Nothing,
}

impl From<NotDone<Refusal>> for RouteError {
    fn from(error: NotDone<Refusal>) -> Self {
        match error {
            NotDone::Refused(refusal) => Self::Refused(refusal),
            NotDone::Failed(error) => Self::Failed(error),
        }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        match self {
            Self::Forbidden(problem) | Self::Unread(problem) => problem,
            Self::NoSuchTemplate => Problem::not_found("There is no such template."),
            Self::InvalidToken => error::invalid_token(),
            Self::Wrong(field, reason) => error::invalid(field, reason),
            Self::Refused(refusal) => error::of_identity(refusal),
            Self::Failed(error) => error::of_breaker(error),
            Self::Nothing => Problem::internal(self),
        }
        .into_response()
    }
}
