//! Why a command to the knowledge graph is not done, and what the client is told. Owns the mapping, exhaustively.

use axum::response::{IntoResponse, Response};
use docket_domain::knowledge::Refusal;
use docket_log::ExecuteError;
use docket_platform::{Problem, breaker::BreakerError};

use crate::{
    error::{self, invalid, sentence},
    run::NotDone,
};

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
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
    #[error(transparent)]
    Refused(#[from] Refusal),
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

impl RouteError {
    /// A field that does not do: the rest of a sentence that begins with it.
    pub(super) fn wrong(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Wrong { field, reason: reason.into() }
    }
}

impl From<Problem> for RouteError {
    fn from(problem: Problem) -> Self {
        Self::Unread(problem)
    }
}

impl From<BreakerError<sqlx::Error>> for RouteError {
    fn from(error: BreakerError<sqlx::Error>) -> Self {
        Self::Unseen(error)
    }
}

impl From<NotDone<Refusal>> for RouteError {
    fn from(error: NotDone<Refusal>) -> Self {
        match error {
            NotDone::Refused(refusal) => Self::Refused(refusal),
            NotDone::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Wrong { field, reason } => invalid(field, &reason),
            RouteError::Unread(problem) => problem,
            RouteError::Refused(refusal) => of_refusal(refusal),
            RouteError::Failed(error) => error::of_breaker(error),
            RouteError::Unseen(error) => error::of_query(error),
            RouteError::Backlog => error::backlog_full(),
            RouteError::Nothing => Self::internal(error),
        }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

fn of_refusal(refusal: Refusal) -> Problem {
    let code = refusal.code();
    let detail = sentence(&refusal.to_string());
    match refusal {
        Refusal::NotFound(_) => Problem::not_found(detail),
        Refusal::Invalid { field, reason } => invalid(field, &reason),
        Refusal::Retracted | Refusal::TargetRetracted => Problem::conflict(code, detail),
        Refusal::MergedAway { into } | Refusal::TargetMergedAway { into } => {
            Problem::conflict(code, detail).with_member("merged_into", into.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_refusal_has_its_status_and_code() {
        let into = Uuid::nil();
        let invalid = Refusal::Invalid { field: "name", reason: "must have 1 to 500 characters".to_owned() };
        for (refusal, status, code) in [
            (Refusal::NotFound("entity"), 404, "not_found"),
            (invalid, 422, "validation_failed"),
            (Refusal::Retracted, 409, "retracted"),
            (Refusal::MergedAway { into }, 409, "merged_away"),
            (Refusal::TargetMergedAway { into }, 409, "target_merged_away"),
            (Refusal::TargetRetracted, 409, "target_retracted"),
        ] {
            let problem = of_refusal(refusal);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }
}
