//! Why a command to a consultation is not done, and what the client is told. Owns the mapping, exhaustively.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use docket_domain::consultation::Refusal;
use docket_log::ExecuteError;
use docket_platform::{
    Problem,
    auth::{AuthError, ReceiptError},
    breaker::BreakerError,
};
use serde_json::json;

use crate::{
    error::{self, invalid, sentence},
    run::NotDone,
};

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    /// The request contradicts itself.
    #[error("`{field}` {reason}")]
    Contradiction {
        /// The field to leave out.
        field: &'static str,
        /// What it contradicts.
        reason: &'static str,
    },
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
    /// No receipt that could be judged, or none can be signed.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Not taken: too much waits to be published.
    #[error("the relay is too far behind")]
    Backlog,
    /// The token is good, but its person is gone.
    #[error("the person was erased")]
    PersonGone,
    /// What was journalled cannot be shown.
    #[error("an accepted command left no consultation behind")]
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

impl From<AuthError> for RouteError {
    fn from(error: AuthError) -> Self {
        Self::Receipt(error.into())
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
            RouteError::Contradiction { field, reason } => invalid(field, reason),
            RouteError::Wrong { field, reason } => invalid(field, &reason),
            RouteError::Unread(problem) => problem,
            RouteError::Refused(refusal) => of_refusal(refusal),
            RouteError::Failed(error) => error::of_breaker(error),
            RouteError::Receipt(error) => of_receipt(error),
            RouteError::Backlog => error::backlog_full(),
            RouteError::PersonGone => {
                Self::unauthorized("unauthorized", "The account that this token speaks for is gone.")
            }
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
        Refusal::NotFound => Problem::not_found(detail),
        Refusal::Invalid { field, reason } => invalid(field, &reason),
        Refusal::NoSuchQuestion => Problem::not_found(detail),
        Refusal::FourEyes | Refusal::NotAReviewer | Refusal::NotTheRequester => Problem::forbidden(code, detail),
        Refusal::Claimed { by } => Problem::conflict(code, detail).with_member("claimed_by", by.to_string()),
        Refusal::DelegationLoop | Refusal::TooManyQuestions => Problem::conflict(code, detail),
        Refusal::Erased => Problem::new(StatusCode::GONE, code).with_detail(detail),
        Refusal::ReceiptForeign | Refusal::ReceiptAltered | Refusal::ReceiptPayloadMismatch => {
            Problem::unprocessable(code, detail)
        }
        Refusal::ReceiptExpired | Refusal::NoReceipt => Problem::conflict(code, detail),
        Refusal::ReceiptRedeemed { by, at } => Problem::conflict(code, detail)
            .with_member("redeemed_by", by.to_string())
            .with_member("redeemed_at", json!(at)),
        Refusal::ReceiptRevoked { at } => Problem::conflict(code, detail).with_member("revoked_at", json!(at)),
        Refusal::AlreadyEnded { state } => Problem::conflict(code, detail).with_member("state", state.as_str()),
    }
}

/// What was no receipt of ours before any consultation was asked; the same codes as those of refusals.
fn of_receipt(error: ReceiptError) -> Problem {
    match error {
        ReceiptError::Malformed(_) => Problem::unprocessable("receipt_malformed", sentence(&error.to_string())),
        ReceiptError::Foreign => of_refusal(Refusal::ReceiptForeign),
        ReceiptError::Altered => of_refusal(Refusal::ReceiptAltered),
        ReceiptError::Keys(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use docket_domain::consultation::State;

    #[test]
    fn every_refusal_has_its_status_and_code() {
        let invalid = Refusal::Invalid { field: "title", reason: "must have 1 to 200 characters".to_owned() };
        for (refusal, status, code) in [
            (Refusal::NotFound, 404, "not_found"),
            (invalid, 422, "validation_failed"),
            (Refusal::FourEyes, 403, "four_eyes"),
            (Refusal::NotAReviewer, 403, "not_a_reviewer"),
            (Refusal::NotTheRequester, 403, "not_the_requester"),
            (Refusal::Claimed { by: uuid::Uuid::nil() }, 409, "claimed"),
            (Refusal::DelegationLoop, 409, "delegation_loop"),
            (Refusal::NoSuchQuestion, 404, "not_found"),
            (Refusal::TooManyQuestions, 409, "too_many"),
            (Refusal::Erased, 410, "erased"),
            (Refusal::ReceiptForeign, 422, "receipt_foreign"),
            (Refusal::ReceiptAltered, 422, "receipt_altered"),
            (Refusal::ReceiptPayloadMismatch, 422, "receipt_payload_mismatch"),
            (Refusal::ReceiptExpired, 409, "receipt_expired"),
            (Refusal::ReceiptRedeemed { by: uuid::Uuid::nil(), at: DateTime::UNIX_EPOCH }, 409, "receipt_redeemed"),
            (Refusal::ReceiptRevoked { at: DateTime::UNIX_EPOCH }, 409, "receipt_revoked"),
            (Refusal::NoReceipt, 409, "no_receipt"),
            (Refusal::AlreadyEnded { state: State::TimedOut }, 409, "already_ended"),
        ] {
            let problem = of_refusal(refusal);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }

    #[test]
    fn an_ended_consultation_says_how_and_an_invalid_field_which() {
        let ended = of_refusal(Refusal::AlreadyEnded { state: State::Withdrawn }).document();
        assert_eq!(ended.members["state"], "withdrawn");
        let invalid = of_refusal(Refusal::Invalid { field: "title", reason: "must not be blank".to_owned() });
        assert_eq!(
            (invalid.errors()[0].field.as_str(), invalid.errors()[0].detail.as_str()),
            ("title", "Must not be blank.")
        );
    }
}
