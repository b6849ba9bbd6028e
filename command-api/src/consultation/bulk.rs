//! Many at once: `POST /api/v1/consultations/bulk` asks, `POST /api/v1/consultations/bulk-responses` answers.
//!
//! Owns that each item stands for itself: it is done or refused whatever becomes of the others, and item `i` of a repeated request gets its
//! first answer under the key `key/i`.

use axum::{
    Json as Answer,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use docket_domain::consultation::view::ConsultationView;
use docket_log::{CommandContext, Position, Statuses};
use docket_platform::{
    Problem, ProblemDocument,
    http::{Json, headers::POSITION, json},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    ask::{self, Ask},
    error::RouteError,
    respond::{self, Respond},
    run::{self, Done},
};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, CommandProblems},
    state::State,
};

const MAX_ITEMS: usize = 500;
/// Items that are under way at once.
const AT_ONCE: usize = 16;

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(ask_many)).routes(routes!(answer_many))
}

/// What is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkAskRequest)]
struct AskMany {
    /// Up to 500 requests, each as it would be asked alone.
    #[schema(value_type = Vec<ask::Request>)]
    items: Vec<Value>,
}

/// What is answered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkRespondRequest)]
struct AnswerMany {
    /// Up to 500 answers.
    #[schema(value_type = Vec<AnswerItem>)]
    items: Vec<Value>,
}

/// An answer among many, as the document shows it; what belongs to the kind of answer is as in an answer alone.
#[derive(Debug, ToSchema)]
#[schema(as = BulkRespondItem)]
#[expect(dead_code, reason = "for the document: the answer is read as it is alone")]
struct AnswerItem {
    /// The consultation.
    consultation_id: Uuid,
    /// `approve` or `reject`, where an approval or an edit is asked for.
    decision: Option<String>,
    /// The options that are chosen, where a choice is asked for.
    choices: Option<Vec<String>>,
    /// The data, where a form is asked for.
    form: Option<Value>,
    /// The whole proposal as it is approved, where it is changed.
    payload: Option<Value>,
    /// Why, at most 10,000 characters.
    comment: Option<String>,
}

/// What became of each item, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkAnswer)]
struct Verdicts {
    /// How many were done.
    done: usize,
    /// How many were not.
    failed: usize,
    /// One for each item.
    items: Vec<Verdict>,
}

/// What became of an item.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkVerdict)]
struct Verdict {
    /// Which item, from 0.
    index: usize,
    /// The status that it would have had alone.
    status: u16,
    /// The consultation after it; null if it was refused.
    consultation: Option<ConsultationView>,
    /// Why it was refused; null if it was not.
    #[schema(value_type = Option<ProblemDocument>)]
    problem: Option<ProblemDocument>,
}

type Outcome = Result<(StatusCode, Done), RouteError>;

/// Ask for many decisions
///
/// Each request stands for itself: 200 with a verdict for each. Repeated under the same `Idempotency-Key`, each gets its first answer.
#[utoipa::path(
    post, path = "/api/v1/consultations/bulk", operation_id = "ask_many", tag = "consultations", request_body = AskMany,
    params(CommandHeaders),
    responses((status = OK, description = "A verdict for each", body = Verdicts), CommandProblems),
)]
async fn ask_many(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Ask>,
    Json { value: AskMany { items }, .. }: Json<AskMany>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let principal = envelope.principal;
    let items = contexts(&envelope, ask::STATUSES, items)?;
    let outcomes = stream::iter(items).map(move |(context, item)| {
        let (state, by) = (state.clone(), by.clone());
        async move { ask::ask(&state, &principal, &context, by, item).await }
    });
    Ok(verdicts(outcomes.buffered(AT_ONCE).collect().await))
}

/// Answer many consultations
///
/// Each answer stands for itself: 200 with a verdict for each. Repeated under the same `Idempotency-Key`, each gets its first answer.
#[utoipa::path(
    post, path = "/api/v1/consultations/bulk-responses", operation_id = "respond_many", tag = "consultations",
    request_body = AnswerMany, params(CommandHeaders),
    responses((status = OK, description = "A verdict for each", body = Verdicts), CommandProblems),
)]
async fn answer_many(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Respond>,
    Json { value: AnswerMany { items }, .. }: Json<AnswerMany>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let principal = envelope.principal;
    let items = contexts(&envelope, Statuses::default(), items)?;
    let outcomes = stream::iter(items).map(move |(context, item)| {
        let (state, by) = (state.clone(), by.clone());
        async move {
            let (id, answer) = answer_of(item)?;
            let done = respond::respond(&state, &principal, &context, id, by, answer).await?;
            Ok((StatusCode::OK, done))
        }
    });
    Ok(verdicts(outcomes.buffered(AT_ONCE).collect().await))
}

/// The consultation that an item names, and the answer to it.
fn answer_of(mut item: Value) -> Result<(Uuid, respond::Request), RouteError> {
    let id = item.as_object_mut().and_then(|members| members.remove("consultation_id"));
    let id = id.ok_or_else(|| RouteError::wrong("consultation_id", "must be given"))?;
    let id = json::read(id).map_err(|_| RouteError::wrong("consultation_id", "must be a UUID"))?;
    Ok((id, json::read(item)?))
}

/// Each item with what the journal needs to know of it.
fn contexts<N>(
    envelope: &Envelope<N>,
    statuses: Statuses,
    items: Vec<Value>,
) -> Result<Vec<(CommandContext, Value)>, RouteError> {
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(RouteError::wrong("items", format!("must be 1 to {MAX_ITEMS}")));
    }
    let context = |(index, item): (usize, Value)| {
        let hash = Sha256::digest(item.to_string()).into();
        (envelope.context_of_item(index, hash, statuses), item)
    };
    Ok(items.into_iter().enumerate().map(context).collect())
}

fn verdicts(outcomes: Vec<Outcome>) -> Response {
    let mut position = Position::default();
    let mut items = Vec::with_capacity(outcomes.len());
    for (index, outcome) in outcomes.into_iter().enumerate() {
        items.push(match outcome {
            Ok((status, done)) => {
                position.join(done.position());
                Verdict { index, status: status.as_u16(), consultation: Some(done.view), problem: None }
            }
            Err(error) => {
                let problem = Problem::from(error);
                let status = problem.status().as_u16();
                Verdict { index, status, consultation: None, problem: Some(problem.document()) }
            }
        });
    }
    let done = items.iter().filter(|item| item.problem.is_none()).count();
    let verdicts = Verdicts { done, failed: items.len() - done, items };
    let mut response = (StatusCode::OK, Answer(verdicts)).into_response();
    if let Ok(position) = HeaderValue::from_str(&position.to_string())
        && done > 0
    {
        response.headers_mut().insert(POSITION, position);
    }
    response
}
