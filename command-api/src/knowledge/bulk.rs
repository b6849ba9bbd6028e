//! Many at once: `POST /api/v1/entities/bulk` and `POST /api/v1/relationships/bulk`.
//!
//! Owns that each item stands for itself: it is added or refused whatever becomes of the others, and item `i` of a repeated request gets
//! its first answer under the key `key/i`.

use axum::{
    Json as Answer,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use docket_domain::knowledge::{
    AddRelationship,
    view::{EntityView, RelationshipView},
};
use docket_log::{CommandContext, Position};
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

use super::{
    Write, entity,
    error::RouteError,
    lookup, relationship,
    run::{ADDED, Done},
};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, KnowledgeProblems},
    state::State,
};

const MAX_ITEMS: usize = 1_000;
/// Items that are under way at once.
const AT_ONCE: usize = 32;

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(add_entities)).routes(routes!(add_relationships))
}

/// What is known.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkEntitiesRequest)]
struct AddEntities {
    /// Up to 1,000 entities, each as it would be added alone.
    #[schema(value_type = Vec<entity::AddRequest>)]
    items: Vec<Value>,
}

/// How entities are related.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkRelationshipsRequest)]
struct AddRelationships {
    /// Up to 1,000 relationships, each as it would be added alone.
    #[schema(value_type = Vec<relationship::AddRequest>)]
    items: Vec<Value>,
}

/// What became of each entity, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkEntitiesAnswer)]
struct EntityVerdicts {
    /// How many were added, or were there.
    done: usize,
    /// How many were not.
    failed: usize,
    /// One for each item.
    items: Vec<EntityVerdict>,
}

/// What became of an entity.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkEntityVerdict)]
struct EntityVerdict {
    /// Which item, from 0.
    index: usize,
    /// The status that it would have had alone.
    status: u16,
    /// The entity after it; null if it was refused.
    entity: Option<EntityView>,
    /// Why it was refused; null if it was not.
    #[schema(value_type = Option<ProblemDocument>)]
    problem: Option<ProblemDocument>,
}

/// What became of each relationship, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkRelationshipsAnswer)]
struct RelationshipVerdicts {
    /// How many were added, or were there.
    done: usize,
    /// How many were not.
    failed: usize,
    /// One for each item.
    items: Vec<RelationshipVerdict>,
}

/// What became of a relationship.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkRelationshipVerdict)]
struct RelationshipVerdict {
    /// Which item, from 0.
    index: usize,
    /// The status that it would have had alone.
    status: u16,
    /// The relationship after it; null if it was refused.
    relationship: Option<RelationshipView>,
    /// Why it was refused; null if it was not.
    #[schema(value_type = Option<ProblemDocument>)]
    problem: Option<ProblemDocument>,
}

/// Add many entities
///
/// Each stands for itself: 200 with a verdict for each. Repeated under the same `Idempotency-Key`, each gets its first answer.
#[utoipa::path(
    post, path = "/api/v1/entities/bulk", operation_id = "add_entities", tag = "knowledge", request_body = AddEntities,
    params(CommandHeaders),
    responses((status = OK, description = "A verdict for each", body = EntityVerdicts), KnowledgeProblems),
)]
async fn add_entities(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Json { value: AddEntities { items }, .. }: Json<AddEntities>,
) -> Result<Response, RouteError> {
    let principal = envelope.principal;
    let items = contexts(&envelope, items)?;
    let outcomes = stream::iter(items).map(move |(context, item)| {
        let state = state.clone();
        async move { entity::add_one(&state, &principal, &context, json::read(item)?).await }
    });
    let (position, verdicts) = judged(outcomes.buffered(AT_ONCE).collect().await);
    let items: Vec<EntityVerdict> = verdicts
        .into_iter()
        .enumerate()
        .map(|(index, (status, entity, problem))| EntityVerdict { index, status, entity, problem })
        .collect();
    let done = items.iter().filter(|item| item.problem.is_none()).count();
    Ok(answer(&EntityVerdicts { done, failed: items.len() - done, items }, &position, done))
}

/// Add many relationships
///
/// Each stands for itself: 200 with a verdict for each. Repeated under the same `Idempotency-Key`, each gets its first answer.
#[utoipa::path(
    post, path = "/api/v1/relationships/bulk", operation_id = "add_relationships", tag = "knowledge",
    request_body = AddRelationships, params(CommandHeaders),
    responses((status = OK, description = "A verdict for each", body = RelationshipVerdicts), KnowledgeProblems),
)]
async fn add_relationships(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Json { value: AddRelationships { items }, .. }: Json<AddRelationships>,
) -> Result<Response, RouteError> {
    let principal = envelope.principal;
    let read = |item| json::read::<relationship::AddRequest>(item)?.command(principal.tenant, principal.id);
    let items: Vec<(CommandContext, Result<AddRelationship, RouteError>)> =
        contexts(&envelope, items)?.into_iter().map(|(context, item)| (context, read(item))).collect();
    let commands = items.iter().filter_map(|(_, command)| command.as_ref().ok());
    let mut ends: Vec<_> = commands.flat_map(relationship::ends).collect();
    ends.sort_unstable();
    ends.dedup();
    // All ends at once: alone, each relationship would ask for its own.
    let known = state.guarded_query(lookup::entities_among(state.store.pool(), principal.tenant, &ends)).await?;
    let known = std::sync::Arc::new(known);
    let outcomes = stream::iter(items).map(move |(context, command)| {
        let (state, known) = (state.clone(), known.clone());
        async move { relationship::add_one(&state, &context, command?, &known).await }
    });
    let (position, verdicts) = judged(outcomes.buffered(AT_ONCE).collect().await);
    let items: Vec<RelationshipVerdict> = verdicts
        .into_iter()
        .enumerate()
        .map(|(index, (status, relationship, problem))| RelationshipVerdict { index, status, relationship, problem })
        .collect();
    let done = items.iter().filter(|item| item.problem.is_none()).count();
    Ok(answer(&RelationshipVerdicts { done, failed: items.len() - done, items }, &position, done))
}

/// Each item with what the journal needs to know of it.
fn contexts<N>(envelope: &Envelope<N>, items: Vec<Value>) -> Result<Vec<(CommandContext, Value)>, RouteError> {
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(RouteError::wrong("items", format!("must be 1 to {MAX_ITEMS}")));
    }
    let context = |(index, item): (usize, Value)| {
        let hash = Sha256::digest(item.to_string()).into();
        (envelope.context_of_item(index, hash, ADDED), item)
    };
    Ok(items.into_iter().enumerate().map(context).collect())
}

/// Status, what there is after it, and why it was refused.
type Verdict<V> = (u16, Option<V>, Option<ProblemDocument>);

fn judged<V>(outcomes: Vec<Result<Done<V>, RouteError>>) -> (Position, Vec<Verdict<V>>) {
    let mut position = Position::default();
    let verdict = |outcome| match outcome {
        Ok(Done { view, status, position: of_one, .. }) => {
            position.join(&of_one);
            (StatusCode::as_u16(&status), Some(view), None)
        }
        Err(error) => {
            let problem = Problem::from(error);
            (problem.status().as_u16(), None, Some(problem.document()))
        }
    };
    let verdicts = outcomes.into_iter().map(verdict).collect();
    (position, verdicts)
}

fn answer(verdicts: &impl Serialize, position: &Position, done: usize) -> Response {
    let mut response = (StatusCode::OK, Answer(verdicts)).into_response();
    if let Ok(position) = HeaderValue::from_str(&position.to_string())
        && done > 0
    {
        response.headers_mut().insert(POSITION, position);
    }
    response
}
