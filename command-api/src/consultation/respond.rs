//! `POST /api/v1/consultations/{id}/responses`: answer as a reviewer.

use axum::response::Response;
use docket_domain::consultation::{self, Given, view::ConsultationView};
use docket_events::consultation::{Decision, Person};
use docket_log::{CommandContext, Statuses};
use docket_platform::http::{Json, Path};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    error::RouteError,
    run::{self, Done},
};
use docket_platform::auth::{Principal, permissions::Action};

use crate::{
    envelope::{Envelope, Needs},
    openapi::CommandProblems,
    state::State,
};

/// The answer of a reviewer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RespondRequest, example = json!({"decision": "approve", "comment": "Rolled back twice this week: watch the error rate."}))]
pub(super) struct Request {
    /// `approve` or `reject`, where an approval or an edit is asked for.
    #[schema(value_type = Option<String>, pattern = "^(approve|reject)$")]
    decision: Option<Decision>,
    /// The options that are chosen, where a choice is asked for.
    choices: Option<Vec<String>>,
    /// The data, where a form is asked for.
    form: Option<Value>,
    /// The whole proposal as it is approved, where it is changed.
    payload: Option<Value>,
    /// Why, at most 10,000 characters.
    comment: Option<String>,
}

impl From<Request> for Given {
    fn from(request: Request) -> Self {
        let Request { decision, choices, form, payload, comment } = request;
        Self { decision, choices, form, payload, comment }
    }
}

pub(super) struct Respond;

impl Needs for Respond {
    const ACTION: Action = Action::Respond;
}

/// Answer a consultation
///
/// A vote, which may be changed until the outcome; the one that completes the rule decides. Whoever asked cannot answer (four-eyes
/// principle), unless the request has it otherwise. An answer after the deadline is recorded as late, changes no outcome, and is answered
/// 200 with the state `timed_out`.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/responses", operation_id = "respond", tag = "consultations",
    request_body = Request,
    params(
        ("id" = Uuid, Path, description = "The consultation"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the consultation must have"),
    ),
    responses(
        (status = OK, description = "The consultation after the answer", body = ConsultationView, headers(
            ("ETag" = String, description = "The version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        CommandProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Respond>,
    Path(id): Path<Uuid>,
    Json { value: request, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context(hash, Statuses::default());
    Ok(respond(&state, &envelope.principal, &context, id, by, request).await?.ok())
}

/// Answers once.
pub(super) async fn respond(
    state: &State,
    principal: &Principal,
    context: &CommandContext,
    id: Uuid,
    by: Person,
    request: Request,
) -> Result<Done, RouteError> {
    let given = Given::from(request);
    let respond = |standing| consultation::Respond { by: by.clone(), standing, given: given.clone() }.into();
    run::in_standing(state, principal, context, id, respond).await
}
