//! Why a command is not done, whatever it is about: the one error of routes whose refusals are a feature's own.
//!
//! Owns what is common to all of them; how a refusal reads is the feature's ([`Refused`]).

use axum::response::{IntoResponse, Response};
use docket_log::ExecuteError;
use docket_platform::{Problem, breaker::BreakerError};

use crate::{
    error::{self, invalid},
    run::NotDone,
};

/// A refusal of a feature.
pub(crate) trait Refused: std::error::Error {
    /// What the client is told.
    fn problem(self) -> Problem;
}

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError<R: Refused> {
    /// A field does not do, as was seen before it was judged.
    #[error("`{field}` {reason}")]
    Wrong {
        /// Which.
        field: &'static str,
        /// The rest of a sentence that begins with it.
        reason: String,
    },
    /// It is not what is taken.
    #[error("{0:?}")]
    Unread(Problem),
    /// Judged and refused.
    #[error("{0}")]
    Refused(R),
    /// Not judged, or not written.
    #[error(transparent)]
    Failed(#[from] BreakerError<ExecuteError>),
    /// What had to be looked up could not be.
    #[error("{0}")]
    Unseen(BreakerError<sqlx::Error>),
    /// Not taken: too much waits to be published.
    #[error("the relay is too far behind")]
    Backlog,
    /// What was journalled cannot be shown.
    #[error("an accepted command left nothing behind")]
    Nothing,
}

impl<R: Refused> RouteError<R> {
    /// A field that does not do: the rest of a sentence that begins with it.
    pub(crate) fn wrong(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Wrong { field, reason: reason.into() }
    }
}

impl<R: Refused> From<Problem> for RouteError<R> {
    fn from(problem: Problem) -> Self {
        Self::Unread(problem)
    }
}

impl<R: Refused> From<R> for RouteError<R> {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal)
    }
}

impl<R: Refused> From<BreakerError<sqlx::Error>> for RouteError<R> {
    fn from(error: BreakerError<sqlx::Error>) -> Self {
        Self::Unseen(error)
    }
}

impl<R: Refused> From<NotDone<R>> for RouteError<R> {
    fn from(error: NotDone<R>) -> Self {
        match error {
            NotDone::Refused(refusal) => Self::Refused(refusal),
            NotDone::Failed(error) => Self::Failed(error),
        }
    }
}

impl<R: Refused> From<RouteError<R>> for Problem {
    fn from(error: RouteError<R>) -> Self {
        match error {
            RouteError::Wrong { field, reason } => invalid(field, &reason),
            RouteError::Unread(problem) => problem,
            RouteError::Refused(refusal) => refusal.problem(),
            RouteError::Failed(error) => error::of_breaker(error),
            RouteError::Unseen(error) => error::of_query(error),
            RouteError::Backlog => error::backlog_full(),
            RouteError::Nothing => Self::internal("an accepted command left nothing behind"),
        }
    }
}

impl<R: Refused> IntoResponse for RouteError<R> {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
