//! `POST /api/v1/consultations/{id}/withdrawal`: take a request back before its outcome.

use axum::response::Response;
use docket_domain::consultation::{self, view::ConsultationView};
use docket_events::consultation::WithdrawalReason;
use docket_log::Statuses;
use docket_platform::{
    auth::Role,
    http::{Json, Path},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::RouteError, run};
use docket_platform::auth::permissions::Action;

use crate::{
    envelope::{Envelope, Needs},
    openapi::CommandProblems,
    state::State,
};

/// Why it is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WithdrawRequest, example = json!({"reason": "superseded", "comment": "Release 4.3 takes its place."}))]
pub(super) struct Request {
    /// `withdrawn` (when none is given) and `superseded` are the requester's, `cancelled` is an administrator's.
    #[schema(value_type = Option<String>, pattern = "^(withdrawn|cancelled|superseded)$")]
    reason: Option<WithdrawalReason>,
    /// In your words, at most 10,000 characters.
    comment: Option<String>,
}

pub(super) struct Withdraw;

impl Needs for Withdraw {
    const ACTION: Action = Action::Withdraw;
}

/// Withdraw a consultation
///
/// The requester withdraws or supersedes, an administrator cancels.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/withdrawal", operation_id = "withdraw", tag = "consultations",
    request_body = Request,
    params(
        ("id" = Uuid, Path, description = "The consultation"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the consultation must have"),
    ),
    responses(
        (status = OK, description = "The consultation after the withdrawal", body = ConsultationView, headers(
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        CommandProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Withdraw>,
    Path(id): Path<Uuid>,
    Json { value: Request { reason, comment }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let command = consultation::Withdraw {
        by,
        reason: reason.unwrap_or(WithdrawalReason::Withdrawn),
        comment,
        as_admin: envelope.principal.role == Role::Admin,
    };
    let done = run::run(&state, &envelope.context(hash, Statuses::default()), id, command.into()).await?;
    Ok(done.ok())
}
