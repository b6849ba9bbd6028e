//! Problems that several routes share: a journal that cannot, and what it refuses before anything is decided.
//!
//! Owns the mapping of [`ExecuteError`] to HTTP, exhaustively. It must not tell a client why the journal failed.

use std::time::Duration;

use axum::http::StatusCode;
use docket_domain::identity::Refusal;
use docket_events::envelope::MAX_EVENT_BYTES;
use docket_log::ExecuteError;
use docket_platform::{FieldError, Problem, breaker::BreakerError};

/// When to come back after a 503.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The same while the relay is far behind, which takes longer.
const BACKLOG_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The relay is too far behind.
pub(crate) fn backlog_full() -> Problem {
    Problem::unavailable("backlog_full", BACKLOG_RETRY_AFTER)
        .with_detail("Too much that was accepted waits to be published; no more is accepted until that is done.")
}

/// The database is not there.
pub(crate) fn unreachable() -> Problem {
    Problem::unavailable("database_unavailable", RETRY_AFTER)
}

/// What a failed command answers.
pub(crate) fn of_execute(error: ExecuteError) -> Problem {
    match error {
        ExecuteError::KeyReused => Problem::unprocessable(
            "idempotency_key_reused",
            "This Idempotency-Key was used for another request; a new request needs a new key.",
        ),
        ExecuteError::VersionMismatch { actual } => Problem::new(StatusCode::PRECONDITION_FAILED, "version_mismatch")
            .with_detail(format!("If-Match names another version than {actual}."))
            .with_member("version", actual),
        ExecuteError::EventTooLarge { bytes } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "event_too_large")
            .with_detail(format!("This would make an event of {bytes} bytes; at most {MAX_EVENT_BYTES} are kept.")),
        ExecuteError::Contended => Problem::unavailable("contended", RETRY_AFTER),
        ExecuteError::Unreachable => unreachable(),
        ExecuteError::Busy => Problem::unavailable("overloaded", RETRY_AFTER),
        // No route of these claims anything: it is our mistake.
        error @ (ExecuteError::ClaimTaken | ExecuteError::Internal(_)) => Problem::internal(error),
    }
}

/// The same behind a breaker.
pub(crate) fn of_breaker(error: BreakerError<ExecuteError>) -> Problem {
    match error {
        BreakerError::Open { .. } => unreachable(),
        BreakerError::Failed(error) => of_execute(error),
    }
}

/// A refusal that no request can bring about.
pub(crate) fn unexpected(refusal: &Refusal) -> BreakerError<ExecuteError> {
    BreakerError::Failed(ExecuteError::Internal(refusal.to_string()))
}

/// What a failed query answers.
pub(crate) fn of_query(error: BreakerError<sqlx::Error>) -> Problem {
    match error {
        BreakerError::Open { .. } => unreachable(),
        BreakerError::Failed(error) => error.into(),
    }
}

/// What was mailed does not do.
pub(crate) fn invalid_token() -> Problem {
    Problem::bad_request("invalid_token", "This link was used, has expired, or is none of ours. Ask for a new one.")
}

/// Refusals are parts of sentences; a problem's detail is a whole one.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// What a refused command to a user or an organisation answers.
pub(crate) fn of_identity(refusal: Refusal) -> Problem {
    let code = refusal.code();
    let detail = sentence(&refusal.to_string());
    match refusal {
        Refusal::Invalid { field, reason } => invalid(field, &reason),
        Refusal::NotFound
        | Refusal::NoSuchUser
        | Refusal::NoSuchMember
        | Refusal::NoSuchInvitation
        | Refusal::NoSuchGroup => Problem::not_found(detail),
        Refusal::LastAdmin
        | Refusal::GroupNameTaken
        | Refusal::TooMany(_)
        | Refusal::Ended
        | Refusal::AlreadyMember { .. } => Problem::conflict(code, detail),
    }
}

/// A field that does not do.
pub(crate) fn invalid(field: &'static str, reason: &str) -> Problem {
    Problem::validation(vec![FieldError::coded(field, "invalid_value", sentence(reason))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_status_and_code() {
        for (error, status, code) in [
            (ExecuteError::KeyReused, 422, "idempotency_key_reused"),
            (ExecuteError::VersionMismatch { actual: 7 }, 412, "version_mismatch"),
            (ExecuteError::EventTooLarge { bytes: 1 }, 413, "event_too_large"),
            (ExecuteError::Contended, 503, "contended"),
            (ExecuteError::Unreachable, 503, "database_unavailable"),
            (ExecuteError::Busy, 503, "overloaded"),
            (ExecuteError::ClaimTaken, 500, "internal"),
            (ExecuteError::Internal("secret".to_owned()), 500, "internal"),
        ] {
            let problem = of_execute(error);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
            assert_eq!(problem.retry_after(), (status == 503).then_some(1), "{code}");
            assert!(!problem.detail().unwrap_or_default().contains("secret"));
        }
    }

    #[test]
    fn every_refusal_of_identity_has_its_status_and_code() {
        let role = docket_events::identity::Role::Admin;
        let invalid = Refusal::Invalid { field: "name", reason: "must have 1 to 200 characters".to_owned() };
        for (refusal, status, code) in [
            (Refusal::NotFound, 404, "not_found"),
            (Refusal::NoSuchUser, 404, "not_found"),
            (Refusal::NoSuchMember, 404, "not_found"),
            (Refusal::NoSuchInvitation, 404, "not_found"),
            (Refusal::NoSuchGroup, 404, "not_found"),
            (invalid, 422, "validation_failed"),
            (Refusal::LastAdmin, 409, "last_admin"),
            (Refusal::GroupNameTaken, 409, "name_taken"),
            (Refusal::TooMany("groups"), 409, "too_many"),
            (Refusal::Ended, 409, "ended"),
            (Refusal::AlreadyMember { role }, 409, "already_member"),
        ] {
            let problem = of_identity(refusal);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }
}
