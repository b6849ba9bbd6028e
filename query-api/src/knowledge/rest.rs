//! The REST reads: `GET /api/v1/entities` and `/api/v1/relationships`, and what is under them.
//!
//! Owns the headers and refusals of these routes.

mod entities;
mod relationships;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use docket_domain::knowledge::view::{EntityView, RelationshipView};
use docket_events::{Category, StreamId};
use docket_log::Position;
use docket_platform::{
    Problem, ProblemDocument,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{PositionHeader, headers::POSITION},
};
use serde::Serialize;
use utoipa::OpenApi;
use uuid::Uuid;

use crate::{
    fresh,
    position::{Entered, Gate, KNOWLEDGE},
    read,
};

/// The reads of this feature, for the OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(
    paths(
        entities::get_entity,
        entities::search_entities,
        relationships::list_relationships,
        relationships::get_relationship
    ),
    components(schemas(
        EntityView,
        RelationshipView,
        entities::EntityList,
        relationships::RelationshipList,
        relationships::ListedRelationship,
        relationships::EntityName,
        ProblemDocument
    ))
)]
pub struct Api;

/// The routes.
pub fn router() -> Router<Gate> {
    Router::new()
        .route("/api/v1/entities", get(entities::search_entities))
        .route("/api/v1/entities/{id}", get(entities::get_entity))
        .route("/api/v1/entities/{id}/relationships", get(relationships::list_relationships))
        .route("/api/v1/relationships/{id}", get(relationships::get_relationship))
}

/// Refuses those who may not read the graph.
fn check(principal: &Principal) -> Result<(), Problem> {
    permissions::check(principal, Action::ReadKnowledge)
}

/// Begins to read the graph.
async fn enter(gate: &Gate, principal: &Principal, wanted: &PositionHeader) -> Result<Entered, Problem> {
    Ok(gate.enter(principal.tenant, KNOWLEDGE, &read::header_position(wanted)?, None).await?)
}

/// The same words, whether it is another's or nobody's.
fn not_found(what: &str, entered: &Entered) -> Response {
    let mut response = Problem::not_found(format!("There is no such {what}.")).into_response();
    fresh::show_age(response.headers_mut(), entered.lacks_since);
    response
}

/// Says where the answer stands: in the shards of these streams alone, for the token must fit into a header.
fn show_position(headers: &mut HeaderMap, gate: &Gate, entered: &Entered, ids: &[Uuid]) {
    let mut position = Position::default();
    for id in ids {
        let shard = gate.installation().shard_of(StreamId::new(Category::Knowledge, *id));
        position.raise(shard, entered.seen.get(shard));
    }
    if let Ok(position) = HeaderValue::from_str(&position.to_string()) {
        headers.insert(POSITION, position);
    }
    fresh::show_age(headers, entered.lacks_since);
}

/// One thing of a version, unless the client has it.
fn one(shown: impl Serialize, tag: HeaderValue, modified: Option<DateTime<Utc>>, known: &HeaderMap) -> Response {
    let is_known = fresh::matches(known, &tag).unwrap_or_else(|| fresh::is_since(known, modified));
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { axum::Json(shown).into_response() };
    response.headers_mut().insert(header::ETAG, tag);
    fresh::show_modified(response.headers_mut(), modified);
    response
}

/// A list, unless the client has it.
fn list(shown: impl Serialize, entered: &Entered, known: &HeaderMap) -> Result<Response, Problem> {
    let body = serde_json::to_vec(&shown).map_err(|error| Problem::internal(error.to_string()))?;
    let tag = fresh::tag_of(&body);
    let mut response = if fresh::matches(known, &tag) == Some(true) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    fresh::show_age(response.headers_mut(), entered.lacks_since);
    Ok(response)
}

/// Says that another entity than the one that was named is shown.
fn show_location(headers: &mut HeaderMap, asked: Uuid, shown: Uuid, under: &str) {
    // A path of letters, digits and `-`.
    if let Ok(path) = HeaderValue::from_str(&format!("/api/v1/entities/{shown}{under}"))
        && asked != shown
    {
        headers.insert(header::CONTENT_LOCATION, path);
    }
}
