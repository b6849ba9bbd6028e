//! `POST /api/v1/consultations`: ask for a decision.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::consultation::{self, Due, view::ConsultationView};
use docket_log::Statuses;
use docket_platform::{http::Json, ids};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::RouteError, run};
use docket_platform::auth::permissions::Action;

use crate::{
    envelope::{Envelope, Needs},
    openapi::CommandProblems,
    state::State,
};

/// What is to be decided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AskRequest, example = json!({
    "title": "Deploy release 4.2 to production?",
    "body": "All checks passed. **Migration**: adds one index.",
    "context": {"pipeline": 8841, "commit": "3f2a91c"},
    "external_id": "pipeline-8841",
    "timeout_minutes": 60
}))]
pub(super) struct Request {
    /// One line that says what is to be decided, 1 to 200 characters.
    title: String,
    /// The request in full, Markdown, at most 64 KiB.
    body: Option<String>,
    /// What the asker's software wants to hand along: any JSON, at most 200 KiB.
    context: Option<Value>,
    /// The asker's own name for this request. Asking again under the same name gets the first request.
    external_id: Option<String>,
    /// From this instant on it has timed out. Not together with `timeout_minutes`.
    deadline: Option<DateTime<Utc>>,
    /// It times out so many minutes after it was asked. Not together with `deadline`.
    #[schema(minimum = 1, maximum = 5_256_000)]
    timeout_minutes: Option<u32>,
    /// Who may answer; none named: every reviewer of the organisation.
    #[serde(default)]
    reviewers: Vec<Uuid>,
}

pub(super) struct Ask;

impl Needs for Ask {
    const ACTION: Action = Action::Ask;
}

/// The id of the consultation that `tenant` knows as `external_id`: the same whenever it is asked, and by whom.
#[must_use]
pub fn stream_of(tenant: Uuid, external_id: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("consultation:{external_id}").as_bytes())
}

fn due(request: &Request) -> Result<Option<Due>, RouteError> {
    match (request.deadline, request.timeout_minutes) {
        (Some(_), Some(_)) => Err(RouteError::Contradiction {
            field: "timeout_minutes",
            reason: "must not be given together with `deadline`",
        }),
        (Some(instant), None) => Ok(Some(Due::At(instant))),
        (None, Some(minutes)) => Ok(Some(Due::After { minutes })),
        (None, None) => Ok(None),
    }
}

/// Ask for a decision
///
/// Reviewers answer it, or its deadline passes. With an `external_id`, asking again changes nothing and answers 200 with the first
/// request as it stands.
#[utoipa::path(
    post, path = "/api/v1/consultations", operation_id = "ask", tag = "consultations", request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the consultation must have"),
    ),
    responses(
        (status = CREATED, description = "Asked", body = ConsultationView, headers(
            ("Location" = String, description = "Where the consultation is read"),
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        (status = OK, description = "Asked before under this `external_id`: the first request", body = ConsultationView),
        CommandProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Ask>,
    Json { value: request, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let deadline = due(&request)?;
    let requested_by = run::person(&state, &envelope).await?;
    // Invented once: every attempt of this request writes the same stream.
    let id = request
        .external_id
        .as_deref()
        .map_or_else(ids::new_id, |external_id| stream_of(envelope.principal.tenant, external_id));
    let Request { title, body, context, external_id, reviewers, .. } = request;
    let command = consultation::Request { title, body, context, external_id, requested_by, reviewers, deadline };
    let statuses = Statuses { changed: StatusCode::CREATED.as_u16(), unchanged: StatusCode::OK.as_u16() };
    let done = run::run(&state, &envelope.context(hash, statuses), id, command.into()).await?;
    let location = format!("/api/v1/consultations/{}", done.view.id);
    // Asking again may find the first request overdue and record that: something changed, but nothing was created.
    let created = done.status == StatusCode::CREATED.as_u16() && done.view.version == 1;
    Ok(done.answer(if created { StatusCode::CREATED } else { StatusCode::OK }, Some(location)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_id_names_one_consultation_a_tenant() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(stream_of(one, "a"), stream_of(one, "a"));
        assert_ne!(stream_of(one, "a"), stream_of(one, "b"));
        assert_ne!(stream_of(one, "a"), stream_of(other, "a"));
        assert_eq!(stream_of(one, "a").get_version_num(), 5);
    }
}
