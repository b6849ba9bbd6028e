//! `/api/v1/entities`: add, change, merge and retract.

use axum::response::Response;
use docket_domain::knowledge::{
    AddEntity, ChangeEntity, Entity, MergeEntity, Retract, add_entity, change_entity, entity_id, merge_entity,
    retract_entity, view::EntityView,
};
use docket_events::knowledge::EntityFacts;
use docket_log::{CommandContext, Statuses};
use docket_platform::{
    auth::Principal,
    http::{Json, Path},
    ids,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Write,
    error::RouteError,
    lookup,
    run::{self, ADDED, Done},
};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, KnowledgeProblems},
    state::State,
};

/// How sure is what nobody says anything of.
pub(super) const fn sure() -> f64 {
    1.0
}

/// What is known.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddEntityRequest, example = json!({
    "type": "location", "name": "El Paso", "aliases": ["Paso del Norte"], "properties": {"population": 678815},
    "confidence": 0.9, "source": "the census of 2020", "external_id": "/m/0100mt"
}))]
pub(super) struct AddRequest {
    /// What kind of thing it is, in words of your own: lower-case letters, digits and `_-./`, at most 200.
    r#type: String,
    /// What it is called, 1 to 500 characters.
    name: String,
    /// What else it is called, at most 50.
    #[serde(default)]
    aliases: Vec<String>,
    /// Whatever else is known of it: at most 200 members and 16 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// How sure it is, from 0 to 1; 1 if not given.
    #[serde(default = "sure")]
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Where this is known from, at most 500 characters.
    source: Option<String>,
    /// Your own name for it. Adding under the same name again changes nothing and answers what is there.
    external_id: Option<String>,
}

/// What is known now, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeEntityRequest, example = json!({"type": "location", "name": "El Paso", "confidence": 1}))]
pub(super) struct ChangeRequest {
    /// What kind of thing it is.
    r#type: String,
    /// What it is called.
    name: String,
    /// What else it is called.
    #[serde(default)]
    aliases: Vec<String>,
    /// Whatever else is known of it.
    #[serde(default)]
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// How sure it is, from 0 to 1; 1 if not given.
    #[serde(default = "sure")]
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Where this is known from.
    source: Option<String>,
}

/// Which entity is the same.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MergeEntityRequest)]
pub(super) struct MergeRequest {
    /// The entity that stays and stands for both.
    into: Uuid,
}

/// Why it is not held to exist any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetractRequest, example = json!({"reason": "The source has withdrawn it."}))]
pub(super) struct RetractRequest {
    /// In your words, 1 to 1,000 characters.
    pub(super) reason: String,
}

/// Add an entity
///
/// With an `external_id`, adding it again changes nothing and answers 200 with the entity as it stands.
#[utoipa::path(
    post, path = "/api/v1/entities", operation_id = "add_entity", tag = "knowledge", request_body = AddRequest,
    params(CommandHeaders),
    responses(
        (status = CREATED, description = "Added", body = EntityView),
        (status = OK, description = "It was there under this `external_id`", body = EntityView),
        KnowledgeProblems,
    ),
)]
pub(super) async fn add(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Json { value: request, hash }: Json<AddRequest>,
) -> Result<Response, RouteError> {
    let context = envelope.context(hash, ADDED);
    Ok(add_one(&state, &envelope.principal, &context, request).await?.answer())
}

/// Adds one.
pub(super) async fn add_one(
    state: &State,
    principal: &Principal,
    context: &CommandContext,
    request: AddRequest,
) -> Result<Done<EntityView>, RouteError> {
    let AddRequest { r#type, name, aliases, properties, confidence, source, external_id } = request;
    let id = external_id.as_deref().map_or_else(ids::new_id, |external_id| entity_id(principal.tenant, external_id));
    let facts = EntityFacts { entity_type: r#type, name, aliases, properties, confidence, source };
    let command = AddEntity { facts, external_id, added_by: principal.id };
    run::run(state, context, id, |entity: &Entity| add_entity(entity, &command)).await
}

/// Change an entity
///
/// What is sent stands in place of what was said before.
#[utoipa::path(
    put, path = "/api/v1/entities/{id}", operation_id = "change_entity", tag = "knowledge", request_body = ChangeRequest,
    params(("id" = Uuid, Path, description = "The entity"), CommandHeaders),
    responses((status = OK, description = "The entity", body = EntityView), KnowledgeProblems),
)]
pub(super) async fn change(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: request, hash }: Json<ChangeRequest>,
) -> Result<Response, RouteError> {
    let ChangeRequest { r#type, name, aliases, properties, confidence, source } = request;
    let facts = EntityFacts { entity_type: r#type, name, aliases, properties, confidence, source };
    let command = ChangeEntity { facts, changed_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    Ok(run::run(&state, &context, id, |entity: &Entity| change_entity(entity, &command)).await?.answer())
}

/// Merge an entity into another
///
/// They are the same thing. The other one stays and stands for both: reads that name the one that went away are answered with it, and
/// its relationships are the other's too.
#[utoipa::path(
    post, path = "/api/v1/entities/{id}/merge", operation_id = "merge_entity", tag = "knowledge", request_body = MergeRequest,
    params(("id" = Uuid, Path, description = "The entity that goes away"), CommandHeaders),
    responses((status = OK, description = "The entity that went away", body = EntityView), KnowledgeProblems),
)]
pub(super) async fn merge(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: MergeRequest { into }, hash }: Json<MergeRequest>,
) -> Result<Response, RouteError> {
    let context = envelope.context(hash, Statuses::default());
    // One at a time in this process, so that those who wait for the lock do not hold all connections.
    let _turn = state.merging.lock().await;
    let held = state.guarded_query(lookup::merging(state.store.pool(), context.tenant)).await?;
    // Looked up under the lock, as the tenant's own: another organisation's does not exist.
    let known = state.guarded_query(lookup::entities_among(state.store.pool(), context.tenant, &[into])).await?;
    let mut other = Entity::default();
    if known.contains(&into) {
        let load = async { Ok(state.store.load::<Entity>(run::stream(into), None).await?) };
        other = state.guarded(load).await?.0.state;
    }
    let command = MergeEntity { id, into, other: other.as_other(), merged_by: envelope.principal.id };
    let done = run::run(&state, &context, id, |entity: &Entity| merge_entity(entity, &command)).await;
    // It read only. Should the lock be lost before this, a read still ends: see how redirects are followed.
    drop(held);
    Ok(done?.answer())
}

/// Retract an entity
///
/// It is not held to exist any more; its history stays. It cannot be changed or added again.
#[utoipa::path(
    post, path = "/api/v1/entities/{id}/retract", operation_id = "retract_entity", tag = "knowledge",
    request_body = RetractRequest,
    params(("id" = Uuid, Path, description = "The entity"), CommandHeaders),
    responses((status = OK, description = "The entity after its end", body = EntityView), KnowledgeProblems),
)]
pub(super) async fn retract(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: RetractRequest { reason }, hash }: Json<RetractRequest>,
) -> Result<Response, RouteError> {
    let command = Retract { reason, retracted_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    Ok(run::run(&state, &context, id, |entity: &Entity| retract_entity(entity, &command)).await?.answer())
}
