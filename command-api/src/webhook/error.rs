//! Why a command to webhooks is not done, and what the client is told. Owns the mapping, exhaustively.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use docket_domain::identity::Refusal;
use docket_log::ExecuteError;
use docket_platform::{FieldError, Problem, breaker::BreakerError};
use utoipa::{
    IntoResponses,
    openapi::{self, RefOr},
};

use crate::{error, openapi::problems, run::NotDone};

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    /// A field does not do, as was seen before it was judged: the rest of a sentence that begins with it.
    #[error("`{0}` {1}")]
    Wrong(&'static str, String),
    /// Judged and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not judged, or not written.
    #[error(transparent)]
    Failed(#[from] BreakerError<ExecuteError>),
    /// The event is there, and the secret could not be kept.
    #[error(transparent)]
    Secret(#[from] BreakerError<sqlx::Error>),
}

impl From<NotDone<Refusal>> for RouteError {
    fn from(error: NotDone<Refusal>) -> Self {
        match error {
            NotDone::Refused(refusal) => Self::Refused(refusal),
            // No version of what does not exist can match. It reads like any other that is not there.
            NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 })) => {
                Self::Refused(Refusal::NotFound)
            }
            NotDone::Failed(error) => Self::Failed(error),
        }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        match self {
            Self::Wrong(field, reason) => error::invalid(field, &reason),
            Self::Refused(refusal) => of_refusal(refusal),
            Self::Failed(error) => error::of_breaker(error),
            Self::Secret(error) => error::of_query(error),
        }
        .into_response()
    }
}

fn of_refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::NotFound => Problem::not_found("There is no such endpoint."),
        Refusal::Invalid { field, reason } => {
            Problem::validation(vec![FieldError::coded(field, "invalid_value", error::sentence(&reason))])
        }
        Refusal::Ended => Problem::conflict("endpoint_off", "The endpoint is off: enable it first."),
        Refusal::TooMany(what) => Problem::conflict("too_many", format!("There are too many {what} already.")),
        // No decision on webhooks gives these: it is our mistake.
        other @ (Refusal::NoSuchUser
        | Refusal::LastAdmin
        | Refusal::NoSuchMember
        | Refusal::NoSuchInvitation
        | Refusal::NoSuchGroup
        | Refusal::GroupNameTaken
        | Refusal::AlreadyMember { .. }) => Problem::internal(other),
    }
}

/// The problems of commands to webhooks.
pub(super) struct WebhookProblems;

impl IntoResponses for WebhookProblems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        problems(&[
            (
                "400",
                "The request cannot be understood: `invalid_json`, `invalid_header`, `idempotency_key_required`, …",
            ),
            ("401", "No valid token: `unauthorized`, `token_expired`"),
            ("403", "Not allowed: `forbidden`; webhooks are set by administrators, and not by API keys"),
            ("404", "There is no such endpoint: `not_found`"),
            ("409", "The endpoint is off: `endpoint_off`; there are too many: `too_many`"),
            ("412", "`If-Match` names another version: `version_mismatch`; the member `version` says which it is"),
            ("413", "Too large: `too_large`"),
            ("415", "Not JSON: `unsupported_media_type`"),
            ("422", "Understood, but wrong: `validation_failed` (`errors` names the fields), `idempotency_key_reused`"),
            ("503", "Not now: `database_unavailable`, `overloaded`, `contended`, with `Retry-After`"),
        ])
    }
}
