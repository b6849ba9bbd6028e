//! `POST /api/v1/consultations/{id}/comments`: say something, before the outcome or after it.

use axum::response::Response;
use docket_domain::consultation::{self, view::ConsultationView};
use docket_log::Statuses;
use docket_platform::{
    http::{Json, Path},
    ids,
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

/// What is said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CommentRequest, example = json!({"text": "Which index does the migration add?"}))]
pub(super) struct Request {
    /// 1 to 10,000 characters, not all of them blank.
    text: String,
}

pub(super) struct Comment;

impl Needs for Comment {
    const ACTION: Action = Action::Comment;
}

/// Comment on a consultation
///
/// Allowed in every state, after the outcome too.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/comments", operation_id = "comment", tag = "consultations",
    request_body = Request,
    params(
        ("id" = Uuid, Path, description = "The consultation"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the consultation must have"),
    ),
    responses(
        (status = OK, description = "The consultation after the comment", body = ConsultationView, headers(
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        CommandProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Comment>,
    Path(id): Path<Uuid>,
    Json { value: Request { text }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let command = consultation::Comment { comment_id: ids::new_id(), by, text };
    let done = run::run(&state, &envelope.context(hash, Statuses::default()), id, command.into()).await?;
    Ok(done.ok())
}
