//! Why a command to an API key is not done, and what the client is told. Owns the mapping, exhaustively.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use docket_domain::identity::Refusal;
use docket_log::ExecuteError;
use docket_platform::{FieldError, Problem, breaker::BreakerError};
use utoipa::{
    IntoResponses,
    openapi::{self, RefOr},
};

use crate::{error, openapi::problems};

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    /// Judged and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not judged, or not written.
    #[error(transparent)]
    Failed(#[from] BreakerError<ExecuteError>),
    /// The key is there, and its secret could not be kept.
    #[error(transparent)]
    Secret(#[from] BreakerError<sqlx::Error>),
}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Refused(refusal) => of_refusal(refusal),
            RouteError::Failed(error) => error::of_breaker(error),
            RouteError::Secret(error) => error::of_query(error),
        }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

fn of_refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::NotFound => Problem::not_found("There is no such API key."),
        Refusal::Invalid { field, reason } => {
            Problem::validation(vec![FieldError::coded(field, "invalid_value", error::sentence(&reason))])
        }
        Refusal::Ended => Problem::conflict("ended", "The API key was revoked, or has expired."),
        // No decision on a key gives these: it is our mistake.
        other @ (Refusal::NoSuchUser
        | Refusal::LastAdmin
        | Refusal::NoSuchMember
        | Refusal::NoSuchInvitation
        | Refusal::NoSuchGroup
        | Refusal::GroupNameTaken
        | Refusal::TooMany(_)
        | Refusal::AlreadyMember { .. }) => Problem::internal(other),
    }
}

/// The problems of commands to API keys.
pub(super) struct KeyProblems;

impl IntoResponses for KeyProblems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        problems(&[
            (
                "400",
                "The request cannot be understood: `invalid_json`, `invalid_header`, `idempotency_key_required`, …",
            ),
            ("401", "No valid token: `unauthorized`, `token_expired`"),
            ("403", "Not allowed: `forbidden`; keys are made by administrators, and not by keys"),
            ("404", "There is no such API key: `not_found`"),
            ("409", "It was revoked, or has expired: `ended`"),
            ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields), `idempotency_key_reused`"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}
